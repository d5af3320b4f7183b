"""What holds for every objective, on the toy encoder: gradients, detached metrics, determinism, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.objective import Branch, Loss, Objective, Unit
from manyviews.objectives.autoregression import Autoregression
from manyviews.objectives.barlow_twins import BarlowTwins, Mixture
from manyviews.objectives.byol import BYOL
from manyviews.objectives.cca_ssg import CCASSG
from manyviews.objectives.dino import DINO
from manyviews.objectives.jepa import JEPA
from manyviews.objectives.lejepa import LeJEPA
from manyviews.objectives.masked_codes import MaskedCodes
from manyviews.objectives.masked_reconstruction import MaskedReconstruction
from manyviews.objectives.ntxent import NTXent
from manyviews.objectives.random_codes import RandomCodes
from manyviews.objectives.shared import deviation
from manyviews.objectives.vicreg import VICReg
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySpec
from manyviews.traits import Trait
from manyviews.view import View

JOINT: dict[str, Callable[[], Objective]] = {
    "ntxent": lambda: NTXent(hidden=8, out=6),
    "dcl": lambda: NTXent(hidden=8, out=6, decoupled=True),
    "vicreg": lambda: VICReg(hidden=8),
    "barlow_twins": lambda: BarlowTwins(hidden=8),
    "barlow_twins_mixed": lambda: BarlowTwins(hidden=8, mixed_weight=5.0),
    "byol": lambda: BYOL(hidden=8, out=6),
    "cca_ssg": lambda: CCASSG(),
    "dino": lambda: DINO(hidden=8, bottleneck=4, out=16),
    "lejepa": lambda: LeJEPA(hidden=8, out=6, slices=32),
}
MASKED: dict[str, Callable[[], Objective]] = {
    "jepa": lambda: JEPA(width=8, heads=2, depth=1),
    "jepa_together": lambda: JEPA(width=8, heads=2, depth=1, predict="together"),
    "jepa_vicreg": lambda: JEPA(width=8, heads=2, depth=1, regularizer="vicreg"),
    "jepa_sigreg": lambda: JEPA(width=8, heads=2, depth=1, regularizer="sigreg", slices=32),
    "random_codes": lambda: RandomCodes(codes=6, code_width=4, width=8, heads=2, depth=1),
    "masked_codes": lambda: MaskedCodes(codes=6, out=4, width=8, heads=2, depth=1),
    **{
        f"reconstruction_{loss}": lambda loss=loss: MaskedReconstruction(loss=loss, width=8, heads=2, depth=1)
        for loss in ("mse", "l1", "cosine", "cross_entropy")
    },
}
SEQUENTIAL: dict[str, Callable[[], Objective]] = {
    "autoregression": lambda: Autoregression(),
    "autoregression_mse": lambda: Autoregression(loss="mse", ahead=2),
}
EVERY = JOINT | MASKED | SEQUENTIAL
ALONE = ("ntxent", "dcl", "vicreg", "barlow_twins", "cca_ssg", "lejepa")
WITH_BATCH_NORM = tuple(name for name in (*ALONE, "byol") if name != "cca_ssg")
REGULARIZED = ("jepa_vicreg", "jepa_sigreg")


@dataclass
class Setup:
    """An objective with its branches and views."""

    objective: Objective
    student: Branch
    teacher: Branch | None
    views: tuple[View, ...]

    def loss(self, views: tuple[View, ...] | None = None) -> Loss:
        views = self.views if views is None else views
        return self.objective(views, self.student, self.teacher, torch.Generator().manual_seed(0))


def make(name: str, samples: int = 4, unit: Unit = "sample", dtype: torch.dtype = torch.float32) -> Setup:
    torch.manual_seed(0)
    objective = EVERY[name]().to(dtype)
    encoder = ToyEncoder(ToySpec(channels=3), width=8, causal=name in SEQUENTIAL).to(dtype)
    head = objective.head(encoder, 8).to(dtype)
    predictor = objective.predictor(encoder, objective.out if name == "byol" else 8)
    objective.prepare(encoder, iter([ToyBatch(torch.randn(40, 3), Lengths.of([40]))]))
    student = Branch(encoder, head, predictor and predictor.to(dtype), unit)
    teacher = copy.deepcopy(Branch(encoder, head, None, unit)).requires_grad_(False).eval()
    taught = Trait.TEACHER in objective.needs
    return Setup(objective, student, teacher if taught else None, views(name, encoder, samples, dtype))


def views(name: str, encoder: ToyEncoder, samples: int, dtype: torch.dtype) -> tuple[View, ...]:
    lengths = Lengths.of([5, 7, 6, 8, 5][:samples])
    steps = torch.randn(3, lengths.total, 3, dtype=dtype)
    shown = [View(ToyBatch(step, lengths), encoder.layout(ToyBatch(step, lengths))) for step in steps]
    if name in SEQUENTIAL:
        return (shown[0],)
    if name in MASKED:
        asked = torch.zeros(2, lengths.total, dtype=torch.bool)
        asked[0, ::4] = asked[1, 1::5] = True
        return (replace(shown[0], hidden=Mask(asked.any(0, keepdim=True)), asked=Mask(asked)),)
    if name == "barlow_twins_mixed":
        return (*shown[:2], replace(shown[2], target=Mixture(torch.rand(samples), torch.randperm(samples))))
    return (*shown[:2], replace(shown[2], role="local"))


@pytest.mark.parametrize("name", EVERY)
def test_gradient_reaches_what_learns(name: str) -> None:
    setup = make(name)
    setup.loss().value.backward()
    parts = {"encoder": setup.student.encoder, "head": setup.student.head, "predictor": setup.student.predictor}
    for part in parts.values():
        parameters = list(part.parameters()) if part is not None else []
        assert not parameters or any(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)
    assert setup.teacher is None or all(p.grad is None for p in setup.teacher.parameters())


@pytest.mark.parametrize("name", EVERY)
def test_value_and_metrics_are_finite_scalars_and_metrics_are_detached(name: str) -> None:
    loss = make(name).loss()
    assert loss.value.shape == ()
    assert loss.value.requires_grad
    for value in (loss.value, *loss.metrics.values()):
        assert value.shape == ()
        assert value.isfinite()
    assert not any(metric.requires_grad for metric in loss.metrics.values())


@pytest.mark.parametrize("name", EVERY)
def test_repeats_exactly_under_a_seed(name: str) -> None:
    one, two = make(name).loss(), make(name).loss()
    assert torch.equal(one.value, two.value)


@pytest.mark.parametrize("name", EVERY)
def test_float64(name: str) -> None:
    assert make(name, dtype=torch.float64).loss().value.dtype == torch.float64


@pytest.mark.parametrize("name", EVERY)
def test_equation_is_not_lowered_by_autocast(name: str) -> None:
    setup = make(name)
    with torch.autocast("cpu", torch.bfloat16):
        loss = setup.loss()
    assert loss.value.dtype == torch.float32
    loss.value.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in setup.student.parameters())


@pytest.mark.parametrize("name", [name for name in JOINT if name != "barlow_twins_mixed"])
def test_tokens_are_units_too(name: str) -> None:
    assert make(name, samples=1, unit="token").loss().value.isfinite()


@pytest.mark.parametrize("name", EVERY)
def test_a_few_steps_lower_the_loss(name: str) -> None:
    setup = make(name)
    setup.objective.eval()  # DINO's centre would move the targets
    optimizer = torch.optim.Adam(setup.student.parameters(), lr=5e-3)
    first = setup.loss().value.detach()
    for _ in range(15):
        optimizer.zero_grad()
        setup.loss().value.backward()
        optimizer.step()
    assert setup.loss().value < first


@pytest.mark.parametrize("name", ALONE)
def test_a_single_unit_is_refused(name: str) -> None:
    setup = make(name, samples=1)
    setup.student.eval()
    with pytest.raises(UserError, match=r"has 1 of them\ngive at least 2: a larger `train.batch_size`"):
        setup.loss()


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_batch_norm_of_a_single_unit_is_refused(name: str) -> None:
    with pytest.raises(
        UserError, match="the head's BatchNorm takes statistics over the units of a batch, and this batch has 1"
    ):
        make(name, samples=1).loss()


@pytest.mark.parametrize("regularizer", REGULARIZED)
def test_a_regularizer_refuses_a_single_unit(regularizer: str) -> None:
    setup = make(regularizer, samples=1)
    with pytest.raises(UserError, match=r"jepa with `regularizer: .*` compares units with one another, and this batch has 1"):
        setup.loss()


@pytest.mark.parametrize("name", [name for name in EVERY if name not in (*ALONE, *REGULARIZED, "barlow_twins_mixed")])
def test_one_sample_is_enough_where_nothing_is_compared(name: str) -> None:
    setup = make(name, samples=1)
    setup.student.eval()
    assert setup.loss().value.isfinite()


@pytest.mark.parametrize("name", [name for name in JOINT if name != "barlow_twins_mixed"])
def test_a_single_view_is_refused(name: str) -> None:
    setup = make(name)
    with pytest.raises(UserError, match=r"compares two or more views of each sample; this view generator gives 1"):
        setup.loss(setup.views[:1])


@pytest.mark.parametrize("name", ["byol", "dino", "lejepa"])
def test_views_without_a_global_one_are_refused(name: str) -> None:
    setup = make(name)
    with pytest.raises(UserError, match=r"these views have the roles local\nchoose a view generator that gives a global view"):
        setup.loss(tuple(replace(view, role="local") for view in setup.views))


def test_views_of_different_units_are_refused() -> None:
    setup, other = make("ntxent", unit="token"), make("ntxent", samples=3, unit="token")
    with pytest.raises(UserError, match="these views have 26, 18 units\nchoose `unit: sample`"):
        setup.loss((setup.views[0], other.views[0]))


def test_mixed_weight_needs_a_mixed_view() -> None:
    setup = make("barlow_twins_mixed")
    assert Trait.PRETEXT_TARGET in setup.objective.needs
    assert Trait.PRETEXT_TARGET not in BarlowTwins().needs
    with pytest.raises(UserError, match="needs 2 views and 1 mixed of them, not 2 and 0"):
        setup.loss(setup.views[:2])


def test_dino_updates_its_centre_in_training_alone() -> None:
    setup = make("dino")
    answers = torch.stack([setup.teacher.embed(view) for view in setup.views[:2]])
    setup.loss()
    assert_close(setup.objective.center, 0.1 * answers.mean((0, 1)))
    assert int(setup.objective.batches) == 1
    before = setup.objective.center.clone()
    setup.objective.eval()
    setup.loss()
    assert_close(setup.objective.center, before)
    assert int(setup.objective.batches) == 1


def test_reconstruction_needs_follow_the_loss() -> None:
    assert Trait.TOKEN_TARGETS in MaskedReconstruction().needs
    assert Trait.TOKEN_CLASSES in MaskedReconstruction(loss="cross_entropy").needs
    assert Trait.TOKEN_TARGETS not in MaskedReconstruction(loss="cross_entropy").needs


def test_impossible_normalisation_is_refused() -> None:
    with pytest.raises(UserError, match="`normalize_targets` is for numbers"):
        MaskedReconstruction(loss="cross_entropy", normalize_targets=True)
    encoder = ToyEncoder(ToySpec(channels=1))
    with pytest.raises(UserError, match="needs tokens of 2 or more channels, ToyEncoder's have 1"):
        MaskedReconstruction(normalize_targets=True).predictor(encoder, encoder.width)


def test_missing_content_stays_out_of_the_reconstruction_loss() -> None:
    setup = make("reconstruction_mse")
    view = setup.views[0]
    steps = view.batch.steps.clone()
    steps[0, 1] = float("nan")

    def loss(content: torch.Tensor) -> torch.Tensor:
        setup.student.encoder.targets = lambda batch, tokens: content[tokens]
        return setup.loss().value

    setup.student.encoder.eval()
    missing = loss(steps)
    assert missing.isfinite()
    asked = view.asked.index(view.layout.lengths) % view.layout.lengths.total
    answers = setup.student.predictor(setup.student.encoder(view), view, view.asked)
    squared = (answers - steps[asked]).square()
    assert_close(missing, squared[~squared.isnan()].mean())


@pytest.mark.parametrize("chunk", [1, 3, 9])
def test_ntxent_in_chunks_is_the_same(chunk: int) -> None:
    whole, chunked = make("ntxent", dtype=torch.float64), make("ntxent", dtype=torch.float64)
    chunked.objective.chunk = chunk
    losses = [setup.loss().value for setup in (whole, chunked)]
    assert_close(*losses)
    sum(losses).backward()
    for one, two in zip(whole.student.parameters(), chunked.student.parameters(), strict=True):
        assert_close(one.grad, two.grad)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_read_back_to_the_host(name: str) -> None:
    """Fake tensors have no values, so that anything that would make a device wait raises."""
    setup = make(name, samples=4)
    batch = ToyBatch(torch.randn(24, 3), Lengths.equal(4, 6))
    layout = setup.student.encoder.layout(batch)
    where = torch.tensor([[True, False, True, False, False, False] * 4])
    masks = {"hidden": Mask(where, 2), "asked": Mask(where, 2)} if name in MASKED else {}
    shown = tuple(replace(view, batch=batch, layout=layout, **masks) for view in setup.views)
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake:
        lost = fake.from_tensor(torch.zeros(()))
        with pytest.raises(DataDependentOutputException):
            lost.item()
        setup.loss(shown).value.backward()


def test_the_spread_reported_is_the_standard_deviation() -> None:
    z = torch.randn(2, 7, 5, dtype=torch.float64) + 100
    assert_close(deviation(z), z.std(-2, correction=0).mean())
