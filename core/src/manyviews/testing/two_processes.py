"""One of two processes that take a step together, over gloo: `python -m manyviews.testing.two_processes PLUGIN FOLDER RANK`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from manyviews import distributed
from manyviews.engine.learner import Step
from manyviews.engine.model import Model
from manyviews.errors import UserError
from manyviews.testing.bench import Bench
from manyviews.testing.subject import Meeting, Subject

SAMPLES = 8
"""Of each process."""


def main(plugin: str, folder: Path, rank: int) -> None:
    """A step of every objective of the plugin."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=2)
    bench = Bench(Subject.of(plugin), folder / f"process{rank}")
    for meeting in bench.subject.meetings():
        try:
            check(bench, meeting, rank)
        except AssertionError as error:
            raise AssertionError(f"{meeting}: {error}") from error
    distributed.close()


def check(bench: Bench, meeting: Meeting, rank: int) -> None:
    """The processes' gradients are the same, finite, and not all zero."""
    model = bench.model(meeting)
    both = DistributedDataParallel(model, find_unused_parameters=True)
    index = bench.index(meeting.encoder.data, 2 * SAMPLES)
    own = index[rank::2] if len(index) > 1 else index  # a single sample is each process's
    batch = bench.source(meeting.encoder.data).batch(own)
    generator = torch.Generator().manual_seed(rank)
    torch.autograd.backward(both(Step(batch, generator, lambda metrics: None)))
    gradient = torch.cat([p.grad.flatten() for p in learning(model) if p.grad is not None])
    other = gradient.clone()
    dist.broadcast(other, src=0)
    assert torch.equal(gradient, other), "after the step the processes have different gradients"
    assert gradient.isfinite().all(), "a gradient is not finite"
    assert gradient.any(), "all gradients are zero"


def learning(model: Model) -> list[torch.nn.Parameter]:
    """What has a gradient."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    except UserError as error:
        sys.exit(f"{error}")
