"""Topics of samples: counts, the variational step against scikit-learn's, and what is added to masked codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import LatentDirichletAllocation
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.objective import Branch
from manyviews.objectives.masked_codes import MaskedCodes, nearest
from manyviews.objectives.topics import Topics, code_counts, topic_shares
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySpec
from manyviews.view import View


def documents(count: int = 60) -> np.ndarray:
    """Words of two topics, which share none."""
    rng = np.random.default_rng(0)
    kinds = np.arange(count) % 2
    return np.stack([rng.multinomial(40, [0.25] * 4 + [0.0] * 4 if kind else [0.0] * 4 + [0.25] * 4) for kind in kinds]).astype(
        np.float64
    )


def test_counts_of_codes() -> None:
    counts = code_counts(torch.tensor([0, 2, 2, 1, 0]), Lengths.of([3, 2]), 4)
    assert counts.tolist() == [[1, 0, 2, 0], [1, 1, 0, 0]]


def test_shares_are_those_of_scikit_learn() -> None:
    counts = documents()
    model = LatentDirichletAllocation(3, random_state=0, max_doc_update_iter=200, mean_change_tol=1e-9).fit(counts)
    words = torch.from_numpy(model.exp_dirichlet_component_)
    made = topic_shares(torch.from_numpy(counts).double(), words, 1 / 3, iterations=200)
    assert_close(made, torch.from_numpy(model.transform(counts)), atol=1e-5, rtol=1e-5)


def test_documents_of_one_kind_are_of_one_topic() -> None:
    counts = documents()
    topics = Topics(2, 8)
    topics.fit(counts, seed=0)
    codes = torch.cat([torch.repeat_interleave(torch.arange(8), torch.from_numpy(row).long()) for row in counts])
    found = topics(codes, Lengths.of([40] * len(counts)))
    assert len(set(found[::2].tolist())) == 1 == len(set(found[1::2].tolist()))
    assert found[0] != found[1]


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(UserError, match="9 topics cannot be found on 5 training samples; set `topics` to fewer"):
        Topics(9, 8).fit(documents(5), seed=0)


def test_masked_codes_adds_the_cross_entropy_of_topics() -> None:
    torch.manual_seed(0)
    encoder = ToyEncoder(ToySpec(channels=4), width=8, hide="replace")
    batch = ToyBatch(torch.randn(90, 4), Lengths.of([20, 40, 30]))
    objective = MaskedCodes(codes=5, depth=0, out=6, topics=2, topic_weight=0.5)
    branch = Branch(encoder, torch.nn.Identity(), objective.predictor(encoder, 8), "sample")
    objective.prepare(encoder, iter([batch, batch]))
    view = View(batch, encoder.layout(batch), Mask((torch.rand(90) < 0.4)[None]))
    loss = objective((view,), branch, None, torch.Generator())
    codes = nearest(batch.steps, objective.centroids)
    topic = objective.topics(codes, batch.lengths)
    expected = F.cross_entropy(branch.predictor.topic(encoder(view).pooled), topic)
    assert_close(loss.metrics["topic"], expected)
    plain = MaskedCodes(codes=5, depth=0, out=6)
    plain.register_buffer("centroids", objective.centroids)
    assert_close(loss.value, plain((view,), branch, None, torch.Generator()).value + 0.5 * expected)
    loss.value.backward()
    assert branch.predictor.topic.weight.grad is not None
    again = MaskedCodes(codes=5, depth=0, out=6, topics=2)
    again.predictor(encoder, 8)
    again.load_state_dict(objective.state_dict())  # a resumed run has the same topics
    assert_close(again.topics.words, objective.topics.words)
