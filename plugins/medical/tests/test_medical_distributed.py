"""Two processes over gloo: after averaging the gradients, the result is that of one process on the joined batch.

The two processes are this file run as a script.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.testing import assert_close

from manyviews import distributed
from manyviews.mask import Mask
from manyviews.objective import Branch, Objective
from manyviews.testing.apart import as_two
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.objectives.alice import Alice
from manyviews_medical.objectives.graph_matching import GraphMatching
from manyviews_medical.spec import VolumeSpec
from manyviews_medical.transformer import PatchTransformer

CHECKS: dict[str, Callable[[], Objective]] = {
    "alice": lambda: Alice(out=8, hidden=8, bottleneck=4, heads=2, width=8, depth=1),
    "graph_matching": lambda: GraphMatching(out=6, near=2, regions=4, best=2),
}
SAMPLES = (2, 3)


def step(name: str) -> tuple[Objective, Branch, Branch | None]:
    torch.manual_seed(0)
    objective = CHECKS[name]()
    encoder = PatchTransformer(VolumeSpec(crop=(8, 8, 8), channels=1), width=12, depth=1, heads=2, patch=4)
    student = Branch(encoder, objective.head(encoder, 12), objective.predictor(encoder, 12), "sample").double()
    teacher = Branch(copy.deepcopy(encoder), copy.deepcopy(student.head), None, "sample").double().requires_grad_(False).eval()
    return objective.double(), student, teacher if Trait.TEACHER in objective.needs else None


def views(name: str, branch: Branch, number: int | None) -> tuple[View, ...]:
    """Those of one process, or of both together (None)."""
    at = slice(None) if number is None else slice(0, SAMPLES[0]) if number == 0 else slice(SAMPLES[0], None)
    generator, made = torch.Generator().manual_seed(1), []
    for _ in range(2):
        voxels = torch.rand(sum(SAMPLES), 1, 8, 8, 8, dtype=torch.float64, generator=generator)
        hidden = torch.stack([torch.randperm(8, generator=generator) < 6 for _ in range(sum(SAMPLES))])
        batch = VolumeBatch(voxels[at], None, None)
        mask = Mask(hidden[at].flatten()[None], 6) if name == "alice" else None
        made.append(View(batch, branch.encoder.layout(batch), hidden=mask))
    return tuple(made)


def run(name: str, number: int | None) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    objective, student, teacher = step(name)
    value = objective(views(name, student, number), student, teacher, torch.Generator()).value
    value.backward()
    gradients = {key: p.grad for key, p in student.named_parameters() if p.grad is not None}
    return value.detach(), gradients, dict(objective.named_buffers())


def averaged(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    dist.all_reduce(tensor)
    return tensor / dist.get_world_size()


def main(number: int, meeting: Path) -> None:
    torch.set_num_threads(1)
    expected = {name: run(name, None) for name in CHECKS}
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=number, world_size=2)
    for name, (value, wanted, state) in expected.items():
        own, found, mine = run(name, number)
        assert_close(averaged(own), value, msg=lambda text, name=name: f"{name}: {text}")
        assert found.keys() == wanted.keys()
        for key, gradient in found.items():
            assert_close(averaged(gradient), wanted[key], msg=lambda text, name=name, key=key: f"{name}, {key}: {text}")
        for key, buffer in mine.items():
            assert_close(buffer, state[key], msg=lambda text, name=name, key=key: f"{name}, {key}: {text}")
    distributed.close()


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    as_two([__file__, str(tmp_path / "meeting")])


if __name__ == "__main__":
    main(int(sys.argv[2]), Path(sys.argv[1]))
