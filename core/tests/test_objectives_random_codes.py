"""Random-projection codes against the paper's argmin; frozen, drawn from their own seed, all of them used."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.objective import Branch
from manyviews.objectives.random_codes import RandomCodes, normalized_by_sample, random_codes
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySpec
from manyviews.view import View


def test_codes_are_the_nearest_after_projection() -> None:
    generator = torch.Generator().manual_seed(0)
    content, projection, book = (
        torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in ((50, 6), (6, 4), (9, 4))
    )
    expected = []
    for token in content:
        projected = F.normalize(token @ projection, dim=0)
        distances = [float((F.normalize(code, dim=0) - projected).norm()) for code in book]
        expected.append(distances.index(min(distances)))
    assert random_codes(content, projection, book).tolist() == expected


def test_samples_are_normalised_one_by_one() -> None:
    content = torch.randn(9, 3, dtype=torch.float64) * 5 + 2
    made = normalized_by_sample(content, Lengths.of([5, 4]), eps=0.0)
    for part, given in zip(made.split([5, 4]), content.split([5, 4]), strict=True):
        assert_close(part, (given - given.mean(0)) / given.std(0, unbiased=False))


def setup(**changes: object) -> tuple[RandomCodes, Branch, View]:
    torch.manual_seed(0)
    objective = RandomCodes(codes=7, code_width=3, depth=0, **changes)
    encoder = ToyEncoder(ToySpec(channels=4), width=8, hide="replace")
    branch = Branch(encoder, torch.nn.Identity(), objective.predictor(encoder, 8), "sample")
    batch = ToyBatch(torch.randn(60, 4), Lengths.of([20, 25, 15]))
    return objective, branch, View(batch, encoder.layout(batch), Mask((torch.rand(60) < 0.5)[None]))


@pytest.mark.parametrize("codebooks", [1, 3])
def test_the_loss_is_the_mean_cross_entropy_over_codebooks(codebooks: int) -> None:
    objective, branch, view = setup(codebooks=codebooks)
    where = view.hidden.where[0]
    loss = objective((view,), branch, None, torch.Generator())
    logits = branch.predictor.outwards(branch.encoder(view).tokens[where]).reshape(-1, codebooks, 7)
    content = normalized_by_sample(view.batch.steps, view.batch.lengths)[where]
    terms = [
        F.cross_entropy(logits[:, k], random_codes(content, objective.projections[k], objective.books[k]))
        for k in range(codebooks)
    ]
    assert_close(loss.value, torch.stack(terms).mean())
    assert loss.metrics["perplexity"] > 2


def test_projection_and_codes_are_frozen_and_come_from_their_seed() -> None:
    objective, branch, view = setup()
    assert not list(objective.parameters())
    objective((view,), branch, None, torch.Generator()).value.backward()
    torch.manual_seed(99)
    again = RandomCodes(codes=7, code_width=3)
    again.predictor(branch.encoder, 8)
    assert_close(again.books, objective.books)
    other = RandomCodes(codes=7, code_width=3, seed=1)
    other.predictor(branch.encoder, 8)
    assert not torch.equal(other.books, objective.books)


def test_an_encoder_without_content_is_refused() -> None:
    encoder = ToyEncoder(ToySpec(channels=4))
    encoder.target_channels = 0
    with pytest.raises(UserError, match="random_codes needs raw content of tokens; ToyEncoder has none"):
        RandomCodes().predictor(encoder, 16)
