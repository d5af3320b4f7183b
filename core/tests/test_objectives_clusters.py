"""Clusters of units against longhand parts and scikit-learn's nearest centroid; what cannot be clustered is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from sklearn.metrics import pairwise_distances_argmin
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.frozen import Frozen
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.objective import Unit
from manyviews.objectives import clusters as module
from manyviews.objectives.clusters import Clusters, in_parts, k_means
from manyviews.objectives.pseudo_labels import PseudoLabelled
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySpec
from manyviews.traits import Trait
from manyviews.view import View

LENGTHS = (5, 1, 40, 16, 3)


def batch_of(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> ToyBatch:
    steps = torch.randn(sum(lengths), 4, generator=torch.Generator().manual_seed(seed))
    return ToyBatch(steps, Lengths.of(lengths))


def some(count: int = 8) -> Iterator[ToyBatch]:
    return (batch_of(seed=seed) for seed in range(count))


def frozen(encoder: ToyEncoder) -> Frozen:
    return Frozen("runs/first", "toy", ToySpec(channels=4), encoder.eval().requires_grad_(False), "")


class Unplaced(ToyEncoder):
    """Whose samples are sets."""

    offers = ToyEncoder.offers - {Trait.PLACED_TOKENS}


@pytest.mark.parametrize("rows", [3, 65_536])
def test_parts_of_samples_longhand(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(module, "ROWS", rows)
    batch, encoder, parts = batch_of(), ToyEncoder(ToySpec(channels=4)), 8
    batch.steps[3, 1] = torch.nan
    made = in_parts(encoder, batch, encoder.layout(batch), parts)
    for row, series in zip(made, batch.steps.nan_to_num().split(LENGTHS), strict=True):
        own = min(len(series), parts)
        each = [[step for place, step in enumerate(series) if place * own // len(series) == part] for part in range(own)]
        means = [torch.stack(steps).mean(0) for steps in each]
        assert_close(row, torch.cat([means[part * own // parts] for part in range(parts)]))


def test_the_order_of_a_set_tells_nothing() -> None:
    batch, encoder = batch_of(), Unplaced(ToySpec(channels=4))
    found = Clusters(3, "sample", encoder, None)
    assert found.centroids.shape == (3, 4)
    found.fit(encoder, some(), 1000, 0)
    mean = encoder.layout(batch).lengths.mean(batch.steps)
    expected = pairwise_distances_argmin(mean, found.centroids)
    assert found(encoder, batch, encoder.layout(batch)).tolist() == expected.tolist()


@pytest.mark.parametrize("unit", ["sample", "token"])
@pytest.mark.parametrize("asked", [False, True])
def test_a_label_is_the_nearest_centroid(unit: Unit, asked: bool) -> None:
    torch.manual_seed(0)
    batch, encoder, other = batch_of(), ToyEncoder(ToySpec(channels=4)), ToyEncoder(ToySpec(channels=4), width=8)
    found = Clusters(4, unit, encoder, frozen(other) if asked else None)
    found.fit(encoder, some(), 1000, 0)
    layout = encoder.layout(batch)
    if asked:
        encoding = other(View(batch, layout))
        content = F.normalize(encoding.pooled if unit == "sample" else encoding.tokens, dim=1)
    else:
        content = in_parts(encoder, batch, layout, module.PARTS) if unit == "sample" else batch.steps
    labels = found(encoder, batch, layout)
    assert labels.tolist() == pairwise_distances_argmin(content, found.centroids).tolist()
    assert len(set(labels.tolist())) > 1
    assert not any("encoder" in name or "frozen" in name for name in found.state_dict()), "whom it asks is kept elsewhere"
    again = Clusters(4, unit, encoder, found.frozen)
    again.load_state_dict(found.state_dict())
    assert torch.equal(again(encoder, batch, layout), labels)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(again(encoder, batch, layout), labels), "half precision tells no other label"


@pytest.mark.parametrize("unit", ["sample", "token"])
def test_clusters_are_k_means_of_the_first_units(unit: Unit) -> None:
    encoder = ToyEncoder(ToySpec(channels=4))
    one, two = (Clusters(3, unit, encoder, None) for _ in range(2))
    one.fit(encoder, some(1000), 100, 0)
    two.fit(encoder, some(20 if unit == "sample" else 2), 100, 0)
    assert torch.equal(one.centroids, two.centroids), "no more is read than is asked for"
    if unit == "sample":
        every = [in_parts(encoder, batch, encoder.layout(batch), module.PARTS) for batch in some(20)]
        assert_close(one.centroids, k_means(torch.cat(every).numpy(), 3, 0))


def test_of_one_large_sample_evenly_spaced_tokens_are_clustered_and_labels_made_once() -> None:
    encoder, batch = ToyEncoder(ToySpec(channels=4)), batch_of((1000,))
    found = Clusters(3, "token", encoder, None)
    found.fit(encoder, iter([batch]), 100, 0)
    assert_close(found.centroids, k_means(batch.steps[::10].numpy(), 3, 0))
    layout = encoder.layout(batch)
    assert found(encoder, batch, layout) is found(encoder, batch, layout)
    other = batch_of((1000,), seed=1)
    assert not torch.equal(found(encoder, other, layout), found(encoder, batch, layout))


def test_what_cannot_be_clustered_is_refused() -> None:
    encoder, few = ToyEncoder(ToySpec(channels=4)), PseudoLabelled(classes=6)
    few.predictor(encoder, 16)
    with pytest.raises(UserError, match="6 clusters cannot be found among 5 training samples; set `classes` lower"):
        few.prepare(encoder, some(1))
    encoder.target_channels = 0
    with pytest.raises(UserError, match="ToyEncoder gives no raw content of these data to cluster; name a finished `run`"):
        Clusters(2, "sample", encoder, None)
    broken = ToyEncoder(ToySpec(channels=4))
    torch.nn.init.constant_(broken.inwards.weight, torch.nan)
    with pytest.raises(UserError, match="what runs/first makes of these data holds NaN or infinity"):
        Clusters(2, "sample", broken, frozen(broken)).fit(broken, some(), 100, 0)


class Halved(ToyEncoder):
    """Two steps to a token."""

    def layout(self, batch: ToyBatch) -> Layout:
        return Layout(Lengths.equal(len(batch), 2))


def test_tokens_that_are_others_are_refused() -> None:
    encoder, batch = ToyEncoder(ToySpec(channels=4)), batch_of((4, 4))
    other = Halved(ToySpec(channels=4))
    found = Clusters(2, "token", other, frozen(encoder))
    with pytest.raises(UserError, match="the encoder of runs/first cuts a batch into 8 tokens, this one into 4"):
        found(other, batch, other.layout(batch))


def test_few_numbers_describe_wide_content() -> None:
    encoder = ToyEncoder(ToySpec(channels=4))
    assert Clusters(2, "sample", encoder, None).parts == module.PARTS
    encoder.target_channels = 1000
    assert Clusters(2, "sample", encoder, None).centroids.shape[1] == 4000
    encoder.target_channels = 9000
    assert Clusters(2, "sample", encoder, None).centroids.shape[1] == 9000
