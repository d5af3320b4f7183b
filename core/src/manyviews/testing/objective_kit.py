"""What the core relies on where an objective meets a domain's encoder and views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from manyviews.engine.learner import Note, Step
from manyviews.engine.model import Model
from manyviews.errors import UserError
from manyviews.testing.apart import as_two
from manyviews.testing.bench import Bench
from manyviews.testing.checks import check_gradients
from manyviews.testing.kit import Kit
from manyviews.testing.subject import Meeting

STEPS, FIRST = 20, 6
"""Steps in which a loss must have fallen, and those before which that is chance."""
SAMPLES = 16


class ObjectiveKit(Kit):
    """Every objective, the core's too, with each of a plugin's encoders that it fits."""

    kind = "objective"

    @classmethod
    def cases(cls) -> Sequence[Any]:
        """Objectives with an encoder and views."""
        return cls.subject().meetings()

    def test_value_and_metrics_are_finite_scalars(self, case: Meeting, bench: Bench) -> None:
        metrics: dict[str, Tensor] = {}
        value = step(bench.model(case), case, bench, note=metrics.update)
        assert value.requires_grad, "the loss hangs on nothing that learns"
        for name, number in {"the loss": value, **metrics}.items():
            assert number.shape == (), f"{name} is no scalar"
            assert number.isfinite(), f"{name} is {number}"
        attached = [name for name, number in metrics.items() if number.requires_grad]
        assert not attached, f"metrics {attached} are not detached: they would keep each step's graph"

    def test_gradients_reach_all_that_learns(self, case: Meeting, bench: Bench, device: str) -> None:
        model = bench.model(case).to(device)
        torch.autograd.backward(step(model, case, bench, device=device))
        check_gradients(model.encoder, without_gradient=0.5)  # a loss of pooled vectors needs no tokens, one of tokens no pool
        for part in (model.each_term[0].head, model.each_term[0].predictor):
            if part is not None and any(True for _ in part.parameters()):
                check_gradients(part)
        assert all(p.grad is None for p in model.teacher.parameters()), "a teacher learns from its student alone"

    def test_it_repeats_exactly_under_a_seed(self, case: Meeting, bench: Bench) -> None:
        one, two = (trained(bench.model(case), case, bench, 3) for _ in range(2))
        assert one == two, "two seeded runs are bitwise equal"

    def test_a_few_steps_lower_the_loss(self, case: Meeting, bench: Bench) -> None:
        """Against targets that stand still: the teacher and the objective's own state stay as they are."""
        model = bench.model(case)
        model.each_term[0].objective.eval()
        losses = trained(model, case, bench, STEPS, momentum=1.0, until=lowered)
        assert lowered(losses), f"from {losses[0]:.4g} to {losses[-1]:.4g} in {STEPS} steps on one batch"

    def test_float64(self, case: Meeting, bench: Bench) -> None:
        value = step(bench.model(case).double(), case, bench)
        assert value.dtype == torch.float64, f"of float64 parts the loss is {value.dtype}"
        torch.autograd.backward(value)

    def test_bf16_autocast(self, case: Meeting, bench: Bench, device: str) -> None:
        model = bench.model(case).to(device)
        with torch.autocast(device, torch.bfloat16):
            value = step(model, case, bench, device=device)
        assert value.dtype == torch.float32, "the equation is computed in float32: leave autocast before it"
        torch.autograd.backward(value)
        assert value.isfinite(), f"in bfloat16 the loss is {value}"
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters()), "a gradient is not finite"

    def test_it_goes_on_from_what_was_saved(self, case: Meeting, bench: Bench) -> None:
        one, two = bench.model(case, seed=0), bench.model(case, seed=1)
        trained(one, case, bench, 2)
        two.load_state_dict(one.state_dict())
        assert trained(one, case, bench, 1) == trained(two, case, bench, 1), (
            "something that the objective has learnt is not in its state_dict"
        )

    def test_a_single_sample_is_judged_or_refused_in_words(self, case: Meeting, bench: Bench) -> None:
        refused = ""
        try:
            value = step(bench.model(case), case, bench, samples=1)
        except UserError as error:
            refused = str(error)
        assert len(refused.splitlines()) <= 3, f"more than three lines: {refused}"
        assert refused or value.isfinite(), f"the loss of a single sample is {value}"

    @pytest.mark.slow
    def test_two_processes_take_a_step_together(self, tmp_path: Path) -> None:
        """Every objective, over gloo: both end with the same gradients, which are finite. The two are scripts of their own."""
        as_two(["-m", "manyviews.testing.two_processes", self.plugin, str(tmp_path)], seconds=300)


def step(
    model: Model,
    case: Meeting,
    bench: Bench,
    *,
    samples: int = SAMPLES,
    device: str = "cpu",
    note: Note = lambda metrics: None,
) -> Tensor:
    """The loss of a batch, its views drawn from seed 0."""
    batch = bench.batch(case.encoder.data, samples).to(torch.device(device))
    value: Tensor = model(Step(batch, torch.Generator(device).manual_seed(0), note))
    return value


def lowered(losses: Sequence[float]) -> bool:
    """Whether the last loss is below the first."""
    return len(losses) > FIRST and losses[-1] < losses[0]


def trained(
    model: Model,
    case: Meeting,
    bench: Bench,
    steps: int,
    *,
    momentum: float = 0.99,
    until: Callable[[Sequence[float]], bool] = lambda losses: False,
) -> list[float]:
    """The losses of so many steps on one batch, or of those that were enough."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(steps):
            value = step(model, case, bench)
            optimizer.zero_grad()
            torch.autograd.backward(value)
            optimizer.step()
            model.lead(momentum)
            losses.append(float(value.detach()))
            if until(losses):
                break
    return losses
