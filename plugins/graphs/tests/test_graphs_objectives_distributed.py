"""Two processes over gloo: after averaging the gradients, the result is that of one process on the joined batch.

The two processes are this file run as a script.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.testing import assert_close

from manyviews import distributed
from manyviews.lengths import Lengths
from manyviews.objective import Branch, Objective
from manyviews.testing.apart import as_two
from manyviews.view import View
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.dgi import DGI, Corrupted
from manyviews_graphs.edges import Edges
from manyviews_graphs.gcn import GCN
from manyviews_graphs.pretexts.objective import PretextAnswer
from manyviews_graphs.pretexts.question import Question
from manyviews_graphs.pretexts.views import Pretext
from manyviews_graphs.spec import GraphSpec

CHECKS: dict[str, tuple[Callable[[], Objective], bool]] = {
    "dgi": (DGI, False),
    "dgi of seeds": (DGI, True),
    "edge_mask": (lambda: PretextAnswer(task="edge_mask"), False),
    "pairwise_similarity": (lambda: PretextAnswer(task="pairwise_similarity"), True),
    "node_property": (lambda: PretextAnswer(task="node_property"), False),
}
LENGTHS = ([4, 3], [5, 2, 6])
"""Nodes of each process's graphs: neither graphs nodes nor questions are equally many."""


def graphs(number: int, *, seeded: bool) -> GraphBatch:
    """Those of a process: rings, with one chord."""
    lengths = LENGTHS[number]
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    pairs = [(s + i, s + (i + 1) % n) for s, n in zip(starts, lengths, strict=True) for i in range(n) if n > 2] + [(0, 2)]
    one, two = torch.tensor([*pairs, *[(b, a) for a, b in pairs]]).T
    x = torch.randn(sum(lengths), 5, dtype=torch.float64, generator=torch.Generator().manual_seed(number))
    return GraphBatch(x, Edges.of(one, two, sum(lengths)), Lengths.of(lengths), seeded=seeded)


def joined(one: GraphBatch, two: GraphBatch) -> GraphBatch:
    nodes = one.edges.nodes
    source, target = (torch.cat([getattr(one.edges, name), getattr(two.edges, name) + nodes]) for name in ("source", "target"))
    lengths = Lengths.of(one.lengths.tensor.tolist() + two.lengths.tensor.tolist())
    return replace(one, x=torch.cat([one.x, two.x]), edges=Edges(source, target, nodes + two.edges.nodes), lengths=lengths)


def step(name: str) -> tuple[Objective, Branch]:
    torch.manual_seed(0)
    objective = CHECKS[name][0]()
    encoder = GCN(GraphSpec(channels=5), width=8, layers=1)
    return objective, Branch(encoder, nn.Identity(), objective.predictor(encoder, 8), "token").double()


def own_views(name: str, number: int) -> tuple[View, ...]:
    objective, student = step(name)
    batch = graphs(number, seeded=CHECKS[name][1])
    layout = student.encoder.layout(batch)
    if isinstance(objective, DGI):
        flipped = replace(batch, x=batch.x.flip(0))
        return View(batch, layout, target=Corrupted(False)), View(flipped, layout, target=Corrupted(True))
    views = Pretext(task=objective.task, anchors=4, partners=3)
    return views(batch, layout, torch.Generator().manual_seed(number))


def both_views(name: str) -> tuple[View, ...]:
    """The same views, the two processes' graphs and questions together."""
    student, together = step(name)[1], []
    for one, two in zip(own_views(name, 0), own_views(name, 1), strict=True):
        batch = joined(one.batch, two.batch)
        target = one.target if isinstance(one.target, Corrupted) else asked(one.target, two.target, one.batch.edges.nodes)
        together.append(View(batch, student.encoder.layout(batch), target=target))
    return tuple(together)


def asked(one: Question, two: Question, nodes: int) -> Question:
    partners = None if one.two is None else torch.cat([one.two, two.two + nodes])
    answer, known = torch.cat([one.answer, two.answer]), torch.cat([one.known, two.known])
    return type(one)(torch.cat([one.one, two.one + nodes]), partners, answer, known)


def run(name: str, views: tuple[View, ...]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    objective, student = step(name)
    value = objective(views, student, None, torch.Generator()).value
    value.backward()
    return value.detach(), {key: p.grad for key, p in student.named_parameters() if p.grad is not None}


def averaged(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    dist.all_reduce(tensor)
    return tensor / dist.get_world_size()


def main(number: int, meeting: Path) -> None:
    torch.set_num_threads(1)
    expected = {name: run(name, both_views(name)) for name in CHECKS}
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=number, world_size=2)
    for name, (value, wanted) in expected.items():
        own, found = run(name, own_views(name, number))
        assert_close(averaged(own), value, msg=lambda text, name=name: f"{name}: {text}")
        assert found.keys() == wanted.keys()
        for key, gradient in found.items():
            assert_close(averaged(gradient), wanted[key], msg=lambda text, name=name, key=key: f"{name}, {key}: {text}")
    distributed.close()


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    as_two([__file__, str(tmp_path / "meeting")])


if __name__ == "__main__":
    main(int(sys.argv[2]), Path(sys.argv[1]))
