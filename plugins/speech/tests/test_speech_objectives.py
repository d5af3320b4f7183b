"""wav2vec 2.0's terms against the papers' formulas in loops, and what its objectives need."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.objective import Branch
from manyviews.view import View
from manyviews_speech.contrast import contrastive, draw_negatives
from manyviews_speech.quantizer import ProductQuantizer, diversity
from manyviews_speech.source import AudioSource
from manyviews_speech.wav2vec2 import Wav2Vec2
from manyviews_speech.wav2vec2_loss import W2vBert, Wav2Vec2Loss

SMALL = {"codes": 8, "code_width": 6, "out": 5, "negatives": 7}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def source(sounds: Path) -> AudioSource:
    return AudioSource(path=sounds, rate=None, features=None)


def setup(objective: Wav2Vec2Loss, source: AudioSource, **changes: object) -> tuple[Branch, View]:
    torch.manual_seed(0)
    encoder = Wav2Vec2(source.spec, width=16, depth=3, heads=2, channels=12, position_kernel=8, dropout=0.0, **changes)
    batch = source.batch(np.array([4, 3, 2]))
    layout = encoder.layout(batch)
    where = torch.rand(layout.lengths.total, generator=seeded()) < 0.6
    branch = Branch(encoder, torch.nn.Identity(), objective.predictor(encoder, 16), "sample")
    return branch, View(batch, layout, Mask(where[None]))


def test_negatives_are_other_tokens_of_the_clip_all_alike() -> None:
    lengths = Lengths.of([5, 1, 3])
    drawn = draw_negatives(lengths, 4000, seeded())
    for token, (size, place) in enumerate([(5, p) for p in range(5)] + [(1, 0)] + [(3, p) for p in range(3)]):
        counts = torch.bincount(drawn[token], minlength=size).double() / 4000
        expected = torch.full((size,), 1 / (size - 1) if size > 1 else 1.0, dtype=torch.float64)
        expected[place] = 0.0 if size > 1 else 1.0
        assert_close(counts, expected, atol=0.04, rtol=0)


def test_the_contrast_longhand_with_equal_codes_left_out() -> None:
    lengths = Lengths.of([6, 4])
    predictions, targets = torch.randn(2, 10, 5, dtype=torch.float64, generator=seeded())
    ids = torch.tensor([0, 1, 2, 0, 3, 4, 5, 5, 6, 7])
    negatives = draw_negatives(lengths, 3, seeded(1))
    expected = []
    for token in range(10):
        start = 0 if token < 6 else 6
        own = float(F.cosine_similarity(predictions[token], targets[token], dim=0)) / 0.1
        others = [start + place for place in negatives[token].tolist() if ids[start + place] != ids[token]]
        similar = [float(F.cosine_similarity(predictions[token], targets[other], dim=0)) / 0.1 for other in others]
        terms = [math.exp(own), *(math.exp(value) for value in similar)]
        expected.append(math.log(sum(terms)) - own)
    assert_close(contrastive(predictions, targets, lengths, negatives, 0.1, ids), torch.tensor(expected, dtype=torch.float64))


def test_the_quantiser_gives_entries_and_a_straight_through_gradient() -> None:
    torch.manual_seed(0)
    net = ProductQuantizer(6, groups=2, codes=4, out=10).eval()
    tokens = torch.randn(9, 6, requires_grad=True)
    made = net(tokens, torch.tensor(2.0), seeded())
    logits = net.logits(tokens).reshape(9, 2, 4)
    assert_close(made.codes, logits.argmax(-1))
    expected = torch.cat([net.entries[0][made.codes[:, 0]], net.entries[1][made.codes[:, 1]]], dim=1)
    assert_close(made.vectors, expected)
    assert_close(made.probabilities, logits.softmax(-1).mean(0))
    made.vectors.sum().backward()
    assert tokens.grad.abs().sum() > 0
    net.train()
    several = torch.stack([net(tokens, torch.tensor(2.0), seeded(seed)).codes for seed in range(400)])
    shares = F.one_hot(several[:, 0, 0], 4).double().mean(0)
    assert_close(shares, logits[0, 0].softmax(-1).double(), atol=0.08, rtol=0)  # Gumbel's noise draws from the softmax


def test_diversity_is_0_where_all_are_used_and_near_1_where_one_is() -> None:
    assert_close(diversity(torch.full((2, 8), 1 / 8)), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert_close(diversity(F.one_hot(torch.tensor([3, 1]), 8).float()), torch.tensor(1 - 2 / 16))


def test_the_loss_is_the_sum_of_its_terms(source: AudioSource) -> None:
    objective = Wav2Vec2Loss(**SMALL).eval()
    branch, view = setup(objective, source)
    branch.eval()
    loss = objective((view,), branch, None, seeded())
    encoding = branch.encoder(View(view.batch, view.layout, view.hidden, layers=True))
    where, local = view.hidden.where[0], encoding.local
    contrast = branch.predictor
    quantized = contrast.quantizer(contrast.norm(local[where]), torch.tensor(2.0), seeded())
    counts = [int(part.sum()) for part in where.split(view.layout.lengths.tensor.tolist())]
    lengths = Lengths.of(counts)
    negatives = draw_negatives(lengths, 7, seeded())
    ids = quantized.codes[:, 0] + 8 * quantized.codes[:, 1]
    values = contrastive(
        contrast.context(encoding.tokens[where]), contrast.target(quantized.vectors), lengths, negatives, 0.1, ids
    )
    expected = values.mean() + 0.1 * diversity(quantized.probabilities) + 10 * local.square().mean()
    assert_close(loss.value, expected)
    assert 1 <= loss.metrics["perplexity"] <= 8


def test_gradients_reach_all_parts_and_the_temperature_falls(source: AudioSource) -> None:
    objective = Wav2Vec2Loss(**SMALL, gumbel_decay=0.5)
    branch, view = setup(objective, source)
    objective((view,), branch, None, seeded()).value.backward()
    without = {name for name, parameter in branch.named_parameters() if parameter.grad is None}
    assert not without
    assert objective.gumbel == 1.0
    for _ in range(5):
        objective((view,), branch, None, seeded())
    assert objective.gumbel == 0.5


def test_w2v_bert_contrasts_inside_and_predicts_codes_behind(source: AudioSource) -> None:
    objective = W2vBert(layer=2, **SMALL).eval()
    branch, view = setup(objective, source)
    branch.eval()
    loss = objective((view,), branch, None, seeded())
    plain = Wav2Vec2Loss(groups=1, **SMALL).eval()
    encoding = branch.encoder(View(view.batch, view.layout, view.hidden, layers=True))
    where = view.hidden.where[0]
    quantized = plain.quantized(branch.predictor, encoding, where.nonzero()[:, 0], seeded())
    logits = branch.predictor.masked(encoding.tokens[where])
    assert_close(loss.metrics["masked"], F.cross_entropy(logits, quantized.codes[:, 0]))
    deep = W2vBert(layer=3, **SMALL)
    branch, view = setup(deep, source)
    with pytest.raises(UserError, match=r"objective\.layer: 3 leaves none to predict codes; the encoder has 3 layers"):
        deep((view,), branch, None, seeded())


def test_dropped_tokens_are_refused(source: AudioSource) -> None:
    objective = Wav2Vec2Loss(**SMALL)
    branch, view = setup(objective, source, hide="drop")
    with pytest.raises(UserError, match=r"this encoder drops them: `encoder\.hide: replace`"):
        objective((view,), branch, None, seeded())
    with pytest.raises(UserError, match=r"objective\.code_width: 7 does not divide by 2 groups"):
        Wav2Vec2Loss(code_width=7)
