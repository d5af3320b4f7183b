"""Two processes over gloo: after averaging the gradients, the result is that of one process on the joined batch.

The two processes are this file run as a script, once for all checks, since each costs an import of torch.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.testing import assert_close

from manyviews import distributed
from manyviews.batch import Labelled
from manyviews.downstream import Answers, Downstream, Net
from manyviews.encoder import Encoder
from manyviews.finetuning.dense import Dense, MapAnswers
from manyviews.finetuning.prototypical import Prototypical
from manyviews.finetuning.units import ClassAnswers, Classification, NumberAnswers, Regression
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.nets.batch_norm import BatchNorm
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
from manyviews.objectives.position_prediction import PositionPrediction
from manyviews.objectives.pseudo_labels import PseudoLabelled
from manyviews.objectives.random_codes import RandomCodes
from manyviews.objectives.vicreg import VICReg
from manyviews.testing.apart import as_two
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySpec
from manyviews.traits import Trait
from manyviews.view import View

CLASSES = ClassAnswers(name="y", classes=("a", "b", "c"), counts=(1, 2, 3))
LENGTHS = ([5, 7, 6], [8, 5, 6, 7, 4])
"""Tokens of each process's samples: neither samples nor tokens are equally many."""
PREDICTOR = {"width": 8, "heads": 2, "depth": 1}
CHECKS: dict[str, tuple[Callable[[], Objective], Unit]] = {
    "autoregression": (lambda: Autoregression(), "sample"),
    "autoregression of numbers": (lambda: Autoregression(loss="mse", ahead=3), "sample"),
    "ntxent": (lambda: NTXent(hidden=8, out=6), "sample"),
    "ntxent of tokens": (lambda: NTXent(hidden=8, out=6, norm="layer"), "token"),
    "dcl": (lambda: NTXent(hidden=8, out=6, norm="none", decoupled=True), "sample"),
    "vicreg": (lambda: VICReg(hidden=8), "sample"),
    "vicreg of tokens": (lambda: VICReg(hidden=8, norm="none"), "token"),
    "barlow_twins": (lambda: BarlowTwins(hidden=8), "sample"),
    "barlow_twins mixed": (lambda: BarlowTwins(hidden=8, mixed_weight=5.0), "sample"),
    "byol": (lambda: BYOL(hidden=8, out=6), "sample"),
    "byol of tokens": (lambda: BYOL(hidden=8, out=6), "token"),
    "cca_ssg": (lambda: CCASSG(decorrelation_weight=0.1), "sample"),
    "cca_ssg of tokens": (lambda: CCASSG(), "token"),
    "dino": (lambda: DINO(hidden=8, bottleneck=4, out=16), "sample"),
    "dino of tokens": (lambda: DINO(hidden=8, bottleneck=4, out=16), "token"),
    "lejepa": (lambda: LeJEPA(hidden=8, out=6, slices=16), "sample"),
    "lejepa of tokens": (lambda: LeJEPA(hidden=8, out=6, slices=16), "token"),
    "jepa": (lambda: JEPA(**PREDICTOR), "sample"),
    "jepa together": (lambda: JEPA(predict="together", loss="mse", **PREDICTOR), "sample"),
    "jepa vicreg": (lambda: JEPA(regularizer="vicreg", **PREDICTOR), "sample"),
    "jepa vicreg of tokens": (lambda: JEPA(regularizer="vicreg", regularize="tokens", **PREDICTOR), "sample"),
    "jepa sigreg": (lambda: JEPA(regularizer="sigreg", slices=16, **PREDICTOR), "sample"),
    "jepa sigreg of tokens": (lambda: JEPA(regularizer="sigreg", regularize="tokens", slices=16, **PREDICTOR), "sample"),
    "reconstruction": (lambda: MaskedReconstruction(**PREDICTOR), "sample"),
    "reconstruction l1": (lambda: MaskedReconstruction(loss="l1", normalize_targets=True, **PREDICTOR), "sample"),
    "reconstruction cosine": (lambda: MaskedReconstruction(loss="cosine", **PREDICTOR), "sample"),
    "masked codes": (lambda: MaskedCodes(codes=6, out=4, **PREDICTOR), "sample"),
    "masked codes with topics": (lambda: MaskedCodes(codes=6, out=4, topics=3, **PREDICTOR), "sample"),
    "position prediction": (lambda: PositionPrediction(parts=4, seen=1.0), "sample"),
    "pseudo-labels": (lambda: PseudoLabelled(classes=4, warmup_batches=0, window=8, margin=0.1), "sample"),
    "random codes": (lambda: RandomCodes(codes=6, code_width=4, **PREDICTOR), "sample"),
    "reconstruction classes": (lambda: MaskedReconstruction(loss="cross_entropy", **PREDICTOR), "sample"),
}


TRUTH = ([1, -1, 0], [0, 2, 2, -1, 1])
"""Labels of each process's samples, some unlabelled."""
SUPERVISED: dict[str, tuple[Callable[[], Downstream], Answers]] = {
    "classification": (lambda: Classification(), CLASSES),
    "classification balanced": (lambda: Classification(balanced=True, smoothing=0.1, hidden=5), CLASSES),
    "prototypical": (lambda: Prototypical(prototypes=2), CLASSES),
    "regression": (lambda: Regression(), NumberAnswers(name="y", mean=0.5, scale=2.0)),
    "regression huber": (lambda: Regression(huber=0.5), NumberAnswers(name="y", mean=0.5, scale=2.0)),
}
"""Supervised tasks, and what they know of the labels."""


class Step(nn.Module):
    """An objective with its branches, whose forward is the loss, as the engine has it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        make, unit = CHECKS[name]
        torch.manual_seed(0)
        self.objective = make().double()
        encoder = ToyEncoder(ToySpec(channels=3), width=8, causal=isinstance(self.objective, Autoregression)).double()
        head = self.objective.head(encoder, 8).double()
        predictor = self.objective.predictor(encoder, 8)
        self.objective.prepare(encoder, iter([ToyBatch(torch.randn(40, 3), Lengths.of([10] * 4))]))
        self.student = Branch(encoder, head, predictor and predictor.double(), unit)
        teacher = copy.deepcopy(Branch(encoder, head, None, unit)).requires_grad_(False).eval()
        for parameter in teacher.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        self.teacher = teacher if Trait.TEACHER in self.objective.needs else None

    def forward(self, views: tuple[View, ...], generator: torch.Generator) -> torch.Tensor:
        self.loss: Loss = self.objective(views, self.student, self.teacher, generator)
        return self.loss.value


@dataclass
class Result:
    value: torch.Tensor
    gradients: dict[str, torch.Tensor]
    center: torch.Tensor


def run(step: Step, views: tuple[View, ...], seed: int) -> Result:
    value = step(views, torch.Generator().manual_seed(seed))
    value.backward()
    gradients = {name: p.grad for name, p in step.student.named_parameters() if p.grad is not None}
    return Result(value.detach(), gradients, dict(step.objective.named_buffers()).get("center", torch.zeros(0)))


def views(step: Step, number: int | None) -> tuple[View, ...]:
    """Those of one process, or of both together (None)."""
    tokens = [sum(lengths) for lengths in LENGTHS]
    generator = torch.Generator().manual_seed(1)
    steps = torch.randn(3, sum(tokens), 3, dtype=torch.float64, generator=generator)
    asked = torch.rand(2, sum(tokens), generator=generator) < torch.where(torch.arange(sum(tokens)) < tokens[0], 0.2, 0.4)
    share = torch.rand(8, dtype=torch.float64, generator=generator)
    partners = [torch.tensor([2, 0, 1]), torch.tensor([1, 0, 3, 4, 2])]
    if number is None:
        lengths, here, partner = LENGTHS[0] + LENGTHS[1], slice(None), torch.cat([partners[0], partners[1] + 3])
    else:
        start = tokens[0] * number
        lengths, here, partner = LENGTHS[number], slice(start, start + tokens[number]), partners[number]
        share = share[3 * number :][: len(lengths)]
    batches = [ToyBatch(one[here].contiguous(), Lengths.of(lengths)) for one in steps]
    shown = [View(batch, step.student.encoder.layout(batch)) for batch in batches]
    if {Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS} & step.objective.needs:
        part = asked[:, here]
        return (replace(shown[0], hidden=Mask(part.any(0, keepdim=True)), asked=Mask(part)),)
    if isinstance(step.objective, Autoregression):
        return (shown[0],)
    if isinstance(step.objective, PositionPrediction):
        return (shown[0],)
    if isinstance(step.objective, PseudoLabelled):
        labels = step.objective.answer(step.student.encoder, batches[0], shown[0].layout)
        return tuple(replace(view, target=labels) for view in shown[:2])
    mixture = Mixture(share, partner) if isinstance(step.objective, BarlowTwins) and step.objective.mixed_weight else None
    return (*shown[:2], replace(shown[2], target=mixture, role="local"))


def averaged(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    dist.all_reduce(tensor)
    return tensor / dist.get_world_size()


def check(name: str, number: int, expected: Result, wrap: Callable[[nn.Module], nn.Module] | None = None) -> None:
    step = Step(name)
    shown = views(step, number)
    # The second process's generator stands elsewhere: what has to be drawn alike is drawn once.
    if wrap is None:
        result = run(step, shown, seed=number)
        gradients = {key: averaged(gradient) for key, gradient in result.gradients.items()}
    else:
        wrapped = wrap(step)
        wrapped(shown, torch.Generator().manual_seed(number)).backward()
        result = Result(step.loss.value.detach(), {}, torch.zeros(0))
        gradients = {key: p.grad for key, p in step.student.named_parameters() if p.grad is not None}
    closely = {"rtol": 1e-10, "atol": 1e-10}
    assert gradients.keys() == expected.gradients.keys(), name
    for key, gradient in gradients.items():
        assert_close(gradient, expected.gradients[key], **closely, msg=lambda text, key=key: f"{name}, {key}: {text}")
    assert_close(averaged(result.value), expected.value, **closely, msg=lambda text: f"{name}: {text}")
    if wrap is None:
        assert_close(result.center, expected.center, **closely)


def supervised(name: str, number: int | None) -> Result:
    """The loss of a task on one process's samples, or on both's (None)."""
    make, answers = SUPERVISED[name]
    torch.manual_seed(0)
    encoder = ToyEncoder(ToySpec(channels=3), width=8).double()
    task = make()
    net = Net(encoder, task.head(encoder, answers, "sample").double(), "sample")
    tokens = [sum(lengths) for lengths in LENGTHS]
    steps = torch.randn(sum(tokens), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    at = slice(None) if number is None else slice(tokens[0] * number, tokens[0] * number + tokens[number])
    lengths, labels = (LENGTHS[0] + LENGTHS[1], TRUTH[0] + TRUTH[1]) if number is None else (LENGTHS[number], TRUTH[number])
    truth = torch.tensor(labels)
    if isinstance(task, Regression):
        truth = torch.where(truth < 0, torch.nan, truth.double())
    batch = Labelled(ToyBatch(steps[at].contiguous(), Lengths.of(lengths)), truth)
    value = task.loss(net, answers, batch, torch.Generator()).value
    value.backward()
    gradients = {key: p.grad for key, p in net.named_parameters() if p.grad is not None}
    return Result(value.detach(), gradients, torch.zeros(0))


def check_supervised(name: str, number: int, expected: Result) -> None:
    found = supervised(name, number)
    assert_close(averaged(found.value), expected.value, rtol=1e-10, atol=1e-10, msg=lambda text: f"{name}: {text}")
    assert found.gradients.keys() == expected.gradients.keys()
    for key, gradient in found.gradients.items():
        assert_close(averaged(gradient), expected.gradients[key], rtol=1e-10, atol=1e-10, msg=lambda text: f"{name}: {text}")


def label_maps(number: int | None) -> Result:
    """Cross-entropy and soft Dice of label maps, of which the second process has more, and more labelled places."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(5, 3, 4, 4, dtype=torch.float64, generator=generator)
    truth = torch.randint(-1, 3, (5, 4, 4), generator=generator)
    at = slice(None) if number is None else slice(0, 2) if number == 0 else slice(2, 5)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    value = Maps().loss_of(scale * logits[at], truth[at]).value
    value.backward()
    assert scale.grad is not None
    return Result(value.detach(), {"scale": scale.grad}, torch.zeros(0))


class Maps(Dense):
    """Label maps; its head is not asked for here."""

    def head(self, encoder: Encoder, answers: MapAnswers, unit: Unit) -> nn.Module:
        return nn.Identity()


def check_primitives(number: int) -> None:
    assert distributed.counts(number + 2) == [2, 3]
    assert distributed.highest([number, -number]) == [1, 0]
    x = (torch.arange(2.0 + number)[:, None] + 10 * number).double().requires_grad_()
    joined = distributed.gather(x)
    assert joined.flatten().tolist() == [0, 1, 10, 11, 12]
    (joined.flatten() * torch.arange(5.0) * (number + 1)).sum().backward()
    assert x.grad.flatten().tolist() == ([0, 3] if number == 0 else [6, 9, 12])
    assert distributed.gather(torch.full((number,), True)).tolist() == [True]
    y = torch.tensor(float(number + 1), requires_grad=True)
    total = distributed.total(y)
    assert total.tolist() == 3
    (total * (number + 1)).backward()
    assert y.grad.tolist() == 3
    values = torch.tensor([1.0, 2.0, 6.0] if number else [3.0])
    assert_close(averaged(distributed.mean(values)), torch.tensor(3.0))
    assert_close(averaged(distributed.mean(values, values > 2)), torch.tensor(4.5))
    assert_close(distributed.mean(values, values > 9), torch.tensor(0.0))
    assert distributed.broadcast(torch.tensor([float(number)])).tolist() == [0.0]


UNITS = (3, 6)
"""Of each process, to be normalised together; then none of the first's."""


def check_batch_norm(number: int) -> None:
    """Answers, gradients and running statistics are those of PyTorch's on the joined units."""
    generator = torch.Generator().manual_seed(3)
    everything = 5 + torch.randn(9, 4, dtype=torch.float64, generator=generator)
    wanted = torch.randn(9, 4, dtype=torch.float64, generator=generator)
    closely = {"rtol": 1e-10, "atol": 1e-10}
    for units in (UNITS, (0, 9)):
        whole, shared = nn.BatchNorm1d(4).double(), BatchNorm(4).double()
        for norm in (whole, shared):
            nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(4))
        joined = everything.clone().requires_grad_()
        answer = whole(joined)
        (answer * wanted).sum().backward()
        here = slice(0, units[0]) if number == 0 else slice(units[0], 9)
        own = everything[here].clone().requires_grad_()
        out = shared(own)
        (out * wanted[here]).sum().backward()
        assert_close(out, answer[here], **closely)
        assert_close(own.grad, joined.grad[here], **closely)
        for name in ("weight", "bias"):
            assert_close(2 * averaged(getattr(shared, name).grad), getattr(whole, name).grad, **closely)
        assert_close(dict(shared.named_buffers()), dict(whole.named_buffers()), **closely)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert BatchNorm(4)(everything[here].bfloat16()).dtype == torch.bfloat16
    quiet = BatchNorm(4).eval()
    if number == 0:  # one process alone: in eval mode nobody waits for the others
        assert_close(quiet(everything.float()), nn.BatchNorm1d(4).eval()(everything.float()))


def check_one_unit_each() -> None:
    """One unit on each process is two in all, which is enough to compare and to normalise."""
    step = Step("ntxent")
    batch = ToyBatch(torch.randn(5, 3, dtype=torch.float64), Lengths.of([5]))
    view = View(batch, step.student.encoder.layout(batch))
    assert step((view, view), torch.Generator()).isfinite()


def join(number: int, meeting: Path, names: Iterable[str]) -> dict[str, Result]:
    """What one process alone makes of both batches; then the process group is up."""
    torch.set_num_threads(1)
    steps = {name: Step(name) for name in names}
    expected = {name: run(step, views(step, None), seed=0) for name, step in steps.items()}
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=number, world_size=2)
    return expected


def plainly(number: int, meeting: Path) -> None:
    alone = {name: supervised(name, None) for name in SUPERVISED}
    maps = label_maps(None)
    expected = join(number, meeting, CHECKS)
    for name, result in alone.items():
        check_supervised(name, number, result)
    mine = label_maps(number)
    assert_close(averaged(mine.value), maps.value, rtol=1e-10, atol=1e-10)
    assert_close(averaged(mine.gradients["scale"]), maps.gradients["scale"], rtol=1e-10, atol=1e-10)
    check_primitives(number)
    check_batch_norm(number)
    check_one_unit_each()
    for name in CHECKS:
        check(name, number, expected[name])
    distributed.close()


def with_ddp(number: int, meeting: Path) -> None:
    names = ("ntxent", "lejepa", "reconstruction")
    expected = join(number, meeting, names)
    for name in names:
        parallel = partial(nn.parallel.DistributedDataParallel, find_unused_parameters=True)
        check(name, number, expected[name], wrap=parallel)
    distributed.close()


def launch(way: str, folder: Path) -> None:
    as_two(["-W", "error", __file__, way, str(folder / "meeting")])


def test_two_processes_are_as_one(tmp_path: Path) -> None:
    launch("plainly", tmp_path)


@pytest.mark.slow
def test_ddp_averages_what_the_rule_expects(tmp_path: Path) -> None:
    launch("with_ddp", tmp_path)


def test_without_a_group_nothing_happens() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert distributed.gather(x) is x
    assert distributed.total(x) is x
    assert (distributed.size(), distributed.rank(), distributed.counts(3)) == (1, 0, [3])
    assert distributed.highest([3, -1]) == [3, -1]
    assert_close(distributed.mean(x[:, 0]), x[:, 0].mean())
    assert_close(distributed.mean(x[:, 0], torch.tensor([1.0, 0.0, 3.0])), (x[0, 0] + 3 * x[2, 0]) / 4)
    assert not distributed.broadcast(x).requires_grad


@pytest.mark.parametrize("known", [False, True])
def test_a_mean_of_nothing_is_zero(known: bool) -> None:
    values = torch.ones(2 if known else 0)
    assert_close(distributed.mean(values, torch.zeros_like(values)), torch.tensor(0.0))


if __name__ == "__main__":
    {"plainly": plainly, "with_ddp": with_ddp}[sys.argv[1]](int(sys.argv[3]), Path(sys.argv[2]))
