"""JEPA: the distance, and the two ways of asking, on the toy encoder."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from manyviews.decoder import Decoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.objective import Branch
from manyviews.objectives.jepa import JEPA, distances, multiplicity
from manyviews.objectives.sigreg import epps_pulley
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySpec
from manyviews.traits import Trait
from manyviews.view import View


class Places(Decoder):
    """A predictor whose answer depends on the asked place alone, so that the ways of asking can be compared."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.answers = nn.Parameter(torch.randn(12, width, dtype=torch.float64))

    def forward(self, encoding: Encoding, view: View, asked: Mask) -> torch.Tensor:
        return self.answers[asked.index(view.layout.lengths) % view.layout.lengths.total]


def masked(encoder: ToyEncoder) -> View:
    batch = ToyBatch(torch.randn(12, 3, dtype=torch.float64), Lengths.of([5, 7]))
    asked = torch.zeros(2, 12, dtype=torch.bool)
    asked[0, [1, 2, 7]] = True
    asked[1, [2, 3, 9, 10]] = True
    hidden = asked.any(0, keepdim=True)
    hidden[0, 11] = True
    return View(batch, encoder.layout(batch), Mask(hidden), Mask(asked))


def branches(objective: JEPA) -> tuple[Branch, Branch]:
    torch.manual_seed(0)
    encoder = ToyEncoder(ToySpec(channels=3), width=8).double()
    predictor = objective.predictor(encoder, encoder.width).double()
    student = Branch(encoder, objective.head(encoder, 8), predictor, "sample")
    teacher = copy.deepcopy(Branch(encoder, student.head, None, "sample"))
    for parameter in teacher.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return student, teacher.requires_grad_(False).eval()


def test_distances_longhand() -> None:
    prediction, target = torch.randn(2, 256, 256, generator=torch.Generator().manual_seed(0)) * 2
    squared = ((prediction.double() - target.double()) ** 2).mean(1)
    gap = (prediction.double() - target.double()).abs()
    smooth = torch.where(gap < 1, gap**2 / 2, gap - 0.5).mean(1)
    assert_close(distances(prediction, target, "mse").double(), squared, rtol=1e-5, atol=1e-5)
    assert_close(distances(prediction, target, "smooth_l1").double(), smooth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", ["mse", "smooth_l1"])
def test_gradient(loss: str) -> None:
    prediction = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p, t: distances(p, t, loss), (prediction, target))


def test_loss_is_the_mean_over_all_asked_tokens() -> None:
    """Written out: every set, every token in it, against the teacher's token of the whole sample."""
    objective = JEPA(loss="mse", normalize_targets=True, heads=2, width=8, depth=1)
    student, teacher = branches(objective)
    view = masked(student.encoder)
    answers = student.predictor(student.encoder(view), view, view.asked)
    whole = teacher.encoder(View(view.batch, view.layout)).tokens
    values = []
    for answer, token in zip(answers, [1, 2, 7, 2, 3, 9, 10], strict=True):
        target = (whole[token] - whole[token].mean()) / (whole[token].var(correction=0) + 1e-5).sqrt()
        values.append((answer - target).square().mean())
    assert_close(objective((view,), student, teacher, torch.Generator()).value, sum(values) / 7)


def test_together_asks_once_for_the_same_loss() -> None:
    student, teacher = branches(JEPA(heads=2, width=8))
    student.predictor = Places(8)
    view = masked(student.encoder)
    losses = [JEPA(predict=predict)((view,), student, teacher, torch.Generator()).value for predict in ("per_set", "together")]
    assert_close(losses[0], losses[1])


def test_multiplicity_counts_sets() -> None:
    asked = Mask(torch.tensor([[True, True, False, False], [False, True, False, True]]))
    assert multiplicity(asked, torch.tensor([0, 1, 2, 3])).tolist() == [1, 2, 0, 1]


def test_hidden_tokens_are_asked_where_no_sets_are() -> None:
    objective = JEPA(heads=2, width=8)
    student, teacher = branches(objective)
    view = masked(student.encoder)
    alone = View(view.batch, view.layout, view.hidden)
    same = View(view.batch, view.layout, view.hidden, view.hidden)
    generator = torch.Generator()
    assert_close(objective((alone,), student, teacher, generator).value, objective((same,), student, teacher, generator).value)


def test_several_masks_of_a_batch_are_averaged() -> None:
    objective = JEPA(heads=2, width=8)
    student, teacher = branches(objective)
    one = masked(student.encoder)
    two = View(one.batch, one.layout, Mask(one.hidden.where.roll(2, 1)))
    generator = torch.Generator()
    single = [objective((view,), student, teacher, generator).value for view in (one, two)]
    assert_close(objective((one, two), student, teacher, generator).value, sum(single) / 2)


def test_needs_a_teacher_only_without_a_regularizer() -> None:
    assert Trait.TEACHER in JEPA().needs
    assert Trait.TEACHER not in JEPA(regularizer="vicreg").needs
    assert Trait.TEACHER not in JEPA(regularizer="sigreg").needs


@pytest.mark.parametrize(("regularize", "units"), [("pooled", 2), ("tokens", 12)])
@pytest.mark.parametrize("regularizer", ["vicreg", "sigreg"])
def test_regularizer_at_collapse(regularizer: str, regularize: str, units: int) -> None:
    objective = JEPA(regularizer=regularizer, regularize=regularize, slices=16, heads=2, width=8, depth=1)
    student, _ = branches(objective)
    for parameter in student.encoder.parameters():
        parameter.data.zero_()
    loss = objective((masked(student.encoder),), student, None, torch.Generator().manual_seed(0))
    point = epps_pulley(torch.zeros(units, 1, dtype=torch.float64), 17, 5.0).squeeze()
    assert_close(loss.metrics[regularizer], point if regularizer == "sigreg" else torch.tensor(0.99, dtype=torch.float64))
    assert_close(loss.metrics["target_std"], torch.zeros((), dtype=torch.float64))


@pytest.mark.parametrize("regularizer", ["vicreg", "sigreg"])
def test_without_a_teacher_gradient_goes_through_the_targets_too(regularizer: str) -> None:
    """A predictor that does not look at the context still moves the encoder."""
    objective = JEPA(regularizer=regularizer, regularizer_weight=1e-9, slices=16, heads=2, width=8, depth=1)
    student, _ = branches(objective)
    student.predictor = Places(8)
    loss = objective((masked(student.encoder),), student, None, torch.Generator().manual_seed(0))
    gradient = torch.autograd.grad(loss.value, student.encoder.inwards.weight)[0]
    assert gradient.abs().max() > 1e-6


def test_views_that_show_all_are_refused() -> None:
    objective = JEPA(heads=2, width=8)
    student, teacher = branches(objective)
    view = masked(student.encoder)
    with pytest.raises(UserError, match="jepa predicts withheld tokens, and these views show all"):
        objective((View(view.batch, view.layout),), student, teacher, torch.Generator())
