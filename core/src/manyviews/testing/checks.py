"""What several kits check of encodings and gradients, with a sentence for what is wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.layout import Layout
from manyviews.testing.compare import tensors
from manyviews.traits import Trait
from manyviews.view import View

WITHOUT_GRADIENT = 0.1
"""Share of the numbers of an encoder that may be left without a gradient: mask tokens, heads of a class that is not there."""


def need(encoder: Encoder, *traits: Trait) -> None:
    """Skip where an encoder does not offer something."""
    lacking = [trait.name for trait in traits if trait not in encoder.offers]
    if lacking:
        pytest.skip(f"it does not offer {' and '.join(lacking)}")


def check_layout(layout: Layout, samples: int) -> None:
    """A layout's numbers on the host say what its tensors say."""
    lengths = layout.lengths
    numbers = lengths.tensor.tolist()
    assert len(numbers) == samples, f"{samples} samples, and `lengths` has {len(numbers)}"
    assert lengths.total == sum(numbers), f"`total` is {lengths.total}, the lengths add up to {sum(numbers)}"
    assert lengths.longest == max(numbers), f"`longest` is {lengths.longest}, the longest sample has {max(numbers)} tokens"
    assert lengths.each is None or set(numbers) == {lengths.each}, f"`each` is {lengths.each}, samples have {set(numbers)}"
    if layout.grid is not None:
        assert {torch.Size(layout.grid).numel()} == set(numbers), f"grid {layout.grid} does not have the samples' tokens"
    if layout.positions is not None:
        assert len(layout.positions) == lengths.total, "`positions` has a row for each token"


def check_encoding(encoding: Encoding, view: View, encoder: Encoder) -> None:
    """Shapes, places and finite numbers."""
    samples, lengths = len(view.layout.lengths), encoding.lengths
    assert encoding.tokens.shape == (lengths.total, encoder.width), "`tokens` is (present, width)"
    assert encoding.pooled.shape == (samples, encoder.pooled_width), "`pooled` is (samples, pooled_width)"
    assert int(lengths.tensor.sum()) == lengths.total, "an encoding's `lengths.total` is not the sum of its lengths"
    assert len(lengths) == samples, f"{samples} samples, and an encoding's `lengths` has {len(lengths)}"
    if encoding.present is None:
        assert lengths.total == view.layout.lengths.total, "`present` is None where every token of the layout is there"
    else:
        owners = view.layout.lengths.owners()[encoding.present]
        assert torch.equal(owners, lengths.owners()), "`lengths` and `present` disagree on the samples' tokens"
    assert encoding.tokens.isfinite().all(), "`tokens` holds NaN or infinity"
    assert encoding.pooled.isfinite().all(), "`pooled` holds NaN or infinity"


def check_gradients(module: torch.nn.Module, without_gradient: float = WITHOUT_GRADIENT) -> None:
    """All that can learn, but for a share, has a finite gradient, and not all of them are zero."""
    learning = {name: p for name, p in module.named_parameters() if p.requires_grad}
    without = {name: p.numel() for name, p in learning.items() if p.grad is None}
    share = sum(without.values()) / sum(p.numel() for p in learning.values())
    assert share <= without_gradient, f"no gradient reaches {', '.join(without)}"
    gradients = [p.grad for p in learning.values() if p.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients), "a gradient holds NaN or infinity"
    assert any(bool(gradient.any()) for gradient in gradients), "all gradients are zero"


def weighed(x: Tensor) -> Tensor:
    """A sum whose gradient differs everywhere: that of a plain sum vanishes behind a norm."""
    return (x * torch.linspace(-1, 1, x.numel(), device=x.device, dtype=x.dtype).reshape(x.shape)).square().sum()


def learning_inputs(batch: object) -> list[Tensor]:
    """The numbers of a batch that can have a gradient, which they are told to keep."""
    found = [tensor for tensor in tensors(batch) if tensor.is_floating_point() and tensor.layout is torch.strided]
    for tensor in found:
        tensor.requires_grad_()
    return found


def reach(output: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Where the inputs have a part in the output."""
    if not output.requires_grad or not inputs:
        return [torch.zeros_like(x, dtype=torch.bool) for x in inputs]
    gradients = torch.autograd.grad(weighed(output.nan_to_num()), inputs, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x, dtype=torch.bool) if g is None else g != 0 for x, g in zip(inputs, gradients, strict=True)]
