"""Projection heads."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from manyviews.nets.heads import DINOHead, MLPHead, Prototypes


@pytest.mark.parametrize(("layers", "linears"), [(1, [(8, 5)]), (2, [(8, 6), (6, 5)]), (3, [(8, 6), (6, 6), (6, 5)])])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_layers_of_an_mlp(layers: int, linears: list[tuple[int, int]], norm: str) -> None:
    head = MLPHead(8, hidden=6, out=5, layers=layers, norm=norm)
    found = [layer for layer in head.layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in found] == linears
    assert head(torch.randn(4, 8)).shape == (4, 5)


def test_batch_norm_of_one_unit_is_fine_in_evaluation() -> None:
    assert MLPHead(8, hidden=6, out=5).eval()(torch.randn(1, 8)).isfinite().all()


def test_layer_norm_takes_one_unit() -> None:
    assert MLPHead(8, hidden=6, out=5, norm="layer")(torch.randn(1, 8)).isfinite().all()


def test_prototypes_are_cosines() -> None:
    prototypes, units = Prototypes(6, 9).double(), torch.randn(4, 6, dtype=torch.float64)
    expected = [[float(u @ w / u.norm() / w.norm()) for w in prototypes.weight.detach()] for u in units]
    assert_close(prototypes(units).detach(), torch.tensor(expected, dtype=torch.float64))
    assert_close(prototypes(5 * units), prototypes(units))


def test_dino_head() -> None:
    head = DINOHead(8, hidden=12, bottleneck=4, out=10)
    found = [layer for layer in head.layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in found] == [(8, 12), (12, 12), (12, 4)]
    logits = head(torch.randn(3, 8))
    assert logits.shape == (3, 10)
    assert logits.abs().max() <= 1 + 1e-6
    assert_close(copy.deepcopy(head)(torch.ones(2, 8)), head(torch.ones(2, 8)))
