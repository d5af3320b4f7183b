"""MP3: places as classes, longhand; no position reaches the encoder; only what is seen is looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.objective import Branch
from manyviews.objectives.position_prediction import PositionPrediction, parts_of
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySpec
from manyviews.view import View


def setup(lengths: list[int] | None = None, **changes: object) -> tuple[PositionPrediction, Branch, View]:
    torch.manual_seed(0)
    objective = PositionPrediction(**{"parts": 8, **changes})
    encoder = ToyEncoder(ToySpec(channels=4), width=8).double()
    branch = Branch(encoder, torch.nn.Identity(), objective.predictor(encoder, 8).double(), "sample")
    sizes = Lengths.of(lengths or [8, 5, 3])
    batch = ToyBatch(torch.randn(sizes.total, 4, dtype=torch.float64), sizes)
    return objective, branch, View(batch, encoder.layout(batch))


def test_as_many_parts_as_tokens_are_their_places() -> None:
    lengths = Lengths.of([8, 3, 1])
    places, known = parts_of(lengths.places()[:, None].float(), lengths, 8)
    assert places[:8, 0].tolist() == list(range(8))
    assert places[8:11, 0].tolist() == [0, 4, 7], "the first, the middle and the last of a short sample"
    assert known[:, 0].tolist() == [True] * 11 + [False], "a single token has no place to tell"
    for count in (7, 30, 100):
        alone = Lengths.of([count])
        assert parts_of(alone.places()[:, None].float(), alone, count)[0][:, 0].tolist() == list(range(count))


def test_axes_are_cut_one_by_one() -> None:
    layout = Layout(Lengths.equal(2, 6), grid=(2, 3))
    coordinates = layout.coordinates()
    assert coordinates is not None
    parts, known = parts_of(coordinates, layout.lengths, 6)
    assert parts[:6].tolist() == [[0, 0], [0, 3], [0, 5], [5, 0], [5, 3], [5, 5]]
    assert known.all()


def test_the_loss_is_the_cross_entropy_of_places() -> None:
    objective, branch, view = setup(seen=1.0)
    loss = objective((view,), branch, None, torch.Generator())
    tokens = branch.encoder(replace(view, placed=False)).tokens
    terms = []
    for start, size in ((0, 8), (8, 5), (13, 3)):
        for place in range(size):
            part = min(int(place / (size - 1) * 8 + 1e-4), 7)
            logits = branch.predictor(tokens[start + place])
            terms.append(-F.log_softmax(logits, 0)[part])
    assert_close(loss.value, torch.stack(terms).mean())


def test_no_position_and_no_order_reaches_the_encoder() -> None:
    _, branch, view = setup([6])
    order = torch.randperm(6)
    blind = branch.encoder(replace(view, placed=False)).tokens
    turned = replace(view, batch=ToyBatch(view.batch.steps[order], view.batch.lengths), placed=False)
    assert_close(branch.encoder(turned).tokens, blind[order])
    assert not torch.allclose(branch.encoder(replace(turned, placed=True)).tokens, branch.encoder(view).tokens[order])


def test_tokens_look_at_those_that_are_seen_alone() -> None:
    _, branch, view = setup()
    seen = torch.zeros(16, dtype=torch.bool)
    seen[[1, 4, 9, 14]] = True
    masked = replace(view, placed=False, seen=Mask(seen[None]))
    before = branch.encoder(masked).tokens
    steps = view.batch.steps.clone()
    steps[[0, 10, 13]] += 1.0
    after = branch.encoder(replace(masked, batch=ToyBatch(steps, view.batch.lengths))).tokens
    changed = (before - after).abs().sum(1) > 1e-9
    assert changed.nonzero().flatten().tolist() == [0, 10, 13], "a token not seen changes itself alone"


def test_a_share_of_each_sample_is_seen_and_drawn_anew() -> None:
    objective, branch, view = setup(seen=0.3)
    values = [objective((view,), branch, None, torch.Generator().manual_seed(seed)).value for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_equal_tokens_are_told_apart_no_better_than_by_chance() -> None:
    objective, branch, view = setup([8, 8])
    flat = replace(view, batch=ToyBatch(torch.ones(16, 4, dtype=torch.float64), view.batch.lengths))
    loss = objective((flat,), branch, None, torch.Generator())
    assert loss.value >= torch.tensor(8.0, dtype=torch.float64).log() - 1e-9, "of equal tokens, log(parts) is the best there is"
    assert_close(loss.metrics["accuracy"], torch.tensor(1 / 8, dtype=torch.float64))


def test_a_causal_encoder_is_refused() -> None:
    with pytest.raises(UserError, match="a causal encoder's tokens tell their place"):
        PositionPrediction().predictor(ToyEncoder(ToySpec(channels=4), causal=True), 16)
