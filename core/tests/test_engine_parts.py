"""Schedules, optimisers, order of the data, metric window, collapse watch, teacher: each against a longhand value."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from manyviews.engine.collapse import CollapseWatch, Signs, signs
from manyviews.engine.lars import LARS
from manyviews.engine.learner import Step
from manyviews.engine.loader import Order, on_device
from manyviews.engine.model import Model, Part
from manyviews.engine.optim import make_optimizer, set_step
from manyviews.engine.schedules import cosine, learning_rate, linear, momentum
from manyviews.engine.trainer import mix
from manyviews.engine.window import Window
from manyviews.errors import UserError
from manyviews.objectives.byol import BYOL
from manyviews.objectives.masked_reconstruction import MaskedReconstruction
from manyviews.recipe.model import Optim
from manyviews.testing.toy import ToyEncoder, ToyNoise, ToySource
from manyviews.views.random_mask import RandomMask


def rates(schedule: str, decay: int = 0) -> list[float]:
    given = {"peak": 1.0, "final": 0.1, "warmup": 10, "decay": decay, "schedule": schedule}
    return [learning_rate(step, 100, **given) for step in range(100)]  # type: ignore[arg-type]


def test_warmup_cosine_rises_to_the_peak_and_falls_to_the_end() -> None:
    values = rates("warmup_cosine")
    assert_close(values[:10], [(i + 1) / 10 for i in range(10)])
    assert_close(values[55], 0.1 + 0.9 * (1 + math.cos(math.pi * 0.5)) / 2)
    assert values[10:] == sorted(values[10:], reverse=True)
    assert values[-1] < 0.102


def test_infinite_stays_until_its_decay_and_constant_stays() -> None:
    values = rates("infinite", decay=20)
    assert values[10:80] == [1.0] * 70
    assert_close(values[89], 0.55)
    assert_close(values[99], 0.1)
    assert rates("infinite")[10:] == rates("constant")[10:] == [1.0] * 90


def test_momentum_schedules() -> None:
    assert_close(momentum(0.9, 1.0, 0.5, "linear"), 0.95)
    assert_close(momentum(0.9, 1.0, 0.5, "cosine"), 0.95)
    assert momentum(0.9, 1.0, 0.5, "constant") == 0.9
    assert (linear(0.0, 1.0, 2.0), cosine(0.0, 1.0, 2.0)) == (1.0, 1.0)


def test_lars_is_algorithm_1_longhand() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(3, 2, dtype=torch.float64))
    bias = nn.Parameter(torch.randn(3, dtype=torch.float64))
    groups = [{"params": [weight]}, {"params": [bias], "weight_decay": 0.0, "adapt": False}]
    optimizer = LARS(groups, lr=0.5, momentum=0.9, weight_decay=0.1, trust=0.02)
    w, b, v, u = weight.detach().clone(), bias.detach().clone(), torch.zeros(3, 2).double(), torch.zeros(3).double()
    for _ in range(3):
        g, h = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
        weight.grad, bias.grad = g.clone(), h.clone()
        optimizer.step()
        local = 0.02 * math.sqrt(float((w**2).sum())) / (math.sqrt(float((g**2).sum())) + 0.1 * math.sqrt(float((w**2).sum())))
        v = 0.9 * v + 0.5 * local * (g + 0.1 * w)
        u = 0.9 * u + 0.5 * h
        w, b = w - v, b - u
    assert_close(weight.detach(), w)
    assert_close(bias.detach(), b)


def test_adam_decays_through_the_gradient_and_adamw_beside_it() -> None:
    for name, moved in (("adam", 0.1), ("adamw", 0.1 * 0.5 * 2.0)):  # one step of Adam is lr * sign(g + decay * w)
        net = nn.Linear(2, 1, bias=False)
        net.weight.data.fill_(2.0)
        optimizer = make_optimizer(net, Optim(name=name, lr=0.1, weight_decay=0.5))  # type: ignore[arg-type]
        net.weight.grad = torch.zeros(1, 2)
        optimizer.step()
        assert_close(net.weight.detach(), torch.full((1, 2), 2.0 - moved))


def test_vectors_do_not_decay_unless_asked_and_the_decay_follows_its_cosine() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    optimizer = make_optimizer(net, Optim(weight_decay=0.2, final_weight_decay=0.4))
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 3]
    set_step(optimizer, Optim(weight_decay=0.2, final_weight_decay=0.4), 50, 100)
    assert_close([group["weight_decay"] for group in optimizer.param_groups], [0.3, 0.0])
    every = make_optimizer(net, Optim(weight_decay=0.2, decay_norms_and_biases=True))
    assert [len(group["params"]) for group in every.param_groups] == [4, 0]


def test_norms_biases_embeddings_and_tokens_do_not_decay_whatever_their_shape() -> None:
    net = nn.ModuleDict(
        {"linear": nn.Linear(2, 3), "conv": nn.Conv2d(1, 2, 3), "table": nn.Embedding(4, 2), "norm": nn.LayerNorm((2, 3))}
    )
    net["own"] = nn.Module()
    names = ["cls_token", "position_embeddings", "relative_position_bias_table", "bias", "scale", "mask_tokens", "kernel"]
    for name in [*names, "scaled"]:
        setattr(net["own"], name, nn.Parameter(torch.ones(1, 2, 3)))
    net["shared"] = net["linear"]
    decayed, kept = (group["params"] for group in make_optimizer(net, Optim(weight_decay=0.1)).param_groups)
    named = {id(parameter): name for name, parameter in net.named_parameters()}
    assert {named[id(p)] for p in decayed} == {"linear.weight", "conv.weight", "own.kernel", "own.scaled"}
    assert len(decayed) + len(kept) == len(named)


def test_lars_adapts_what_decays() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    some, every = (Optim(name="lars", weight_decay=0.1, decay_norms_and_biases=asked) for asked in (False, True))
    assert [(group["adapt"], len(group["params"])) for group in make_optimizer(net, some).param_groups] == [
        (True, 1),
        (False, 3),
    ]
    optimizer = make_optimizer(net, every)
    bias, before = net[1].bias, torch.tensor([3.0, 4.0])
    with torch.no_grad():
        bias.copy_(before)
    bias.grad = torch.tensor([1.0, 0.0])
    optimizer.step()
    local = 1e-3 * 5 / (1 + 0.1 * 5)
    assert_close(bias.detach(), before - every.lr * local * (torch.tensor([1.0, 0.0]) + 0.1 * before))


def test_every_epoch_is_another_permutation_and_any_start_gives_the_same_batches() -> None:
    order = Order(np.arange(10, 33), batch_size=4, seed=5)
    assert order.per_epoch == 5
    batches = list(order.batches(0, 10))
    first, second = (np.concatenate(batches[i : i + 5]) for i in (0, 5))
    assert len(set(first)) == len(set(second)) == 20
    assert set(first) < set(range(10, 33))
    assert list(first) != list(second)
    assert all(np.array_equal(a, b) for a, b in zip(order.batches(7, 10), batches[7:], strict=True))


def test_processes_share_each_batch_of_the_one_process_run() -> None:
    alone = list(Order(np.arange(50), batch_size=6, seed=0).batches(0, 12))
    both = [list(Order(np.arange(50), batch_size=3, seed=0, rank=rank, world=2).batches(0, 12)) for rank in (0, 1)]
    for whole, left, right in zip(alone, *both, strict=True):
        assert sorted(whole) == sorted([*left, *right])


def test_stored_blocks_are_read_in_windows_and_all_samples_come_once() -> None:
    blocks = [5, 10, 5, 10]
    train = np.array([i for i in range(30) if i % 3])
    order = Order(train, batch_size=5, seed=1, blocks=blocks, window=2)
    seen = np.concatenate(list(order.batches(0, order.per_epoch)))
    assert sorted(seen) == sorted(train)
    block_of = np.repeat(np.arange(4), blocks)[seen]
    last_of_first_window = max(np.flatnonzero(block_of == block_of[0]))
    assert len(set(block_of[: last_of_first_window + 1])) <= 2


def test_a_batch_that_comes_again_is_moved_once() -> None:
    moved = []

    class Counted:
        def __len__(self) -> int:
            return 1

        def to(self, device: torch.device, non_blocking: bool = False) -> object:
            moved.append(self)
            return object()

    one, two = Counted(), Counted()
    came = list(on_device([one, one, one, two, one], torch.device("cpu")))
    assert moved == [one, two, one]
    assert came[0] is came[1] is came[2] is not came[3]


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.batch_size: 64 is more than the 10 training samples.*10 or less"):
        Order(np.arange(10), batch_size=64, seed=0)


def test_window_gives_means_and_goes_on_where_it_was_saved() -> None:
    window = Window()
    values = [{"loss": torch.tensor(float(i)), "rank": torch.tensor(2.0 * i)} for i in range(5)]
    for value in values[:3]:
        window.add(value)
    window.settle()
    other = Window()
    other.restore(window.state(), torch.device("cpu"))
    for value in values[3:]:
        other.add(value)
    assert other.peek() == other.read() == {"loss": 2.0, "rank": 4.0}
    assert other.read() == {}


def test_signs_of_known_embeddings() -> None:
    eye = torch.cat([torch.eye(8), -torch.eye(8)])
    assert_close(signs(eye).effective_rank, 8.0, rtol=1e-5, atol=0)
    far = signs(eye + 1e4)  # around a point far from zero: what varies is as it was
    assert far.effective_rank < 1.01
    assert_close(far.centred_rank, 8.0, atol=1e-2, rtol=0)
    line = torch.linspace(-1, 1, 32)[:, None] * torch.ones(1, 8) + torch.arange(8)
    assert_close(signs(line).centred_rank, 1.0, rtol=1e-5, atol=0)
    point = signs(torch.full((32, 8), 3.7))
    assert point.effective_rank <= 1.0
    assert point.centred_rank <= 1.0
    assert point.spread < 1e-6
    broken = signs(torch.full((32, 8), math.nan))
    assert math.isnan(broken.spread)


def test_of_very_many_units_a_look_takes_some() -> None:
    seen = signs(torch.randn(5000, 4))
    assert (seen.units, seen.width) == (1000, 4)


def seen(rank: float, spread: float, centred: float = 20.0) -> Signs:
    return Signs(float(rank), centred, spread, units=512, width=64)


@pytest.mark.parametrize(
    ("first", "later", "says"),
    [
        (seen(30, 0.14), seen(29, 0.013), "spread fell to 0.013 (it began at 0.14), towards a single point"),
        (seen(30, 0.14), seen(2, 0.03), "effective rank fell to 2.0 (it began at 30)"),  # T-JEPA on Adult, as measured
        (seen(18, 0.05), seen(2, 0.03), "effective rank fell to 2.0 (it began at 18)"),  # on Covertype
        (seen(30, 0.14), seen(29, 0.14, centred=1.1), "on one line"),
        (seen(51, 0.49), seen(10, 0.22), None),  # SCARF on Adult: healthy, as all that follow
        (seen(11, 0.20), seen(4, 0.24), None),
        (seen(30, 0.2), seen(15, 0.1), None),
        (seen(1.05, 0.2), seen(1.02, 0.2), None),  # an untrained encoder's rank is compared, not judged
    ],
)
def test_collapse_is_told_in_words_and_a_healthy_fall_is_none(first: Signs, later: Signs, says: str | None) -> None:
    watch = CollapseWatch()
    assert watch.judge(first) is None
    sentence = watch.judge(later)
    assert (sentence is None) if says is None else says in (sentence or "")


def test_collapse_is_told_once_a_run_which_a_checkpoint_remembers() -> None:
    watch = CollapseWatch()
    watch.judge(seen(30, 0.5))
    resumed = CollapseWatch()
    resumed.restore(watch.state())
    assert resumed.judge(seen(30, 0.005)) is not None
    again = CollapseWatch()
    again.restore(resumed.state())
    assert again.judge(seen(30, 0.005)) is None


@pytest.mark.parametrize("units", [2, 3, 4])
def test_few_units_are_no_collapse(units: int) -> None:
    """A good embedding of few units, of others at each look: healthy however low the rank that they can have."""
    torch.manual_seed(0)
    watch = CollapseWatch()
    for _ in range(200):
        assert watch.judge(signs(torch.randn(units, 16) + 3)) is None


def test_seeds_of_views_are_well_spread() -> None:
    seeds = {mix(seed, number, rank) for seed in range(10) for number in range(100) for rank in range(4)}
    assert len(seeds) == 4000
    bits = torch.tensor([[mix(0, number, 0) >> bit & 1 for bit in range(63)] for number in range(1000)]).double()
    assert_close(bits.mean(0), torch.full((63,), 0.5, dtype=torch.float64), atol=0.07, rtol=0)


def model(objective: nn.Module, views: nn.Module, **encoder: object) -> tuple[Model, ToySource]:
    source = ToySource()
    torch.manual_seed(0)
    return Model(ToyEncoder(source.spec, **encoder), [Part(views, objective)], "sample"), source  # type: ignore[arg-type]


def test_teacher_follows_by_its_momentum_and_never_trains() -> None:
    net, _ = model(BYOL(out=8), ToyNoise(), dropout=0.5)
    student, teacher = net.encoder, net.teacher[0]
    before = [p.clone() for p in teacher.parameters()]
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1.0)
    net.lead(0.75)
    for old, new, now in zip(before, student.parameters(), teacher.parameters(), strict=True):
        assert_close(now, 0.75 * old + 0.25 * new)
    net.train()
    assert student.training
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in net.teacher.parameters())


def test_no_teacher_is_kept_where_none_is_needed() -> None:
    net, _ = model(MaskedReconstruction(), RandomMask())
    assert len(net.teacher) == 0
    net.lead(0.5)


def test_several_terms_share_the_encoder_and_add_up() -> None:
    source = ToySource()
    parts = [
        Part(RandomMask(), MaskedReconstruction(), 2.0),
        Part(ToyNoise(), BYOL(out=8), 0.5),
    ]
    torch.manual_seed(0)
    net = Model(ToyEncoder(source.spec), parts, "sample")
    metrics: dict[str, torch.Tensor] = {}
    value = net(Step(source.batch(np.arange(8)), torch.Generator().manual_seed(0), metrics.update))
    assert_close(value.detach(), metrics["loss"])
    assert_close(value.detach(), 2.0 * metrics["term0/loss"] + 0.5 * metrics["term1/loss"])
    value.backward()
    assert all(p.grad is not None for p in net.encoder.transformer.parameters())
    names = [name for name, _ in net.named_parameters()]
    assert len(names) == len(set(names))
