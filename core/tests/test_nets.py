"""The Transformer, positions and decoder against longhand computations and their own invariances."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.nets.attend import Padded
from manyviews.nets.decoder import TransformerDecoder
from manyviews.nets.positions import sincos
from manyviews.nets.transformer import Attention, Transformer
from manyviews.testing.toy import ToyBatch
from manyviews.view import View


def test_attention_is_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention = Attention(6, heads=2, dropout=0.0).double()
    x = torch.randn(1, 4, 6, dtype=torch.float64)
    q, k, v = (attention.qkv(x)[0] @ torch.eye(18, dtype=torch.float64)[:, 6 * i : 6 * i + 6] for i in range(3))
    heads: list[Tensor] = []
    for h in range(2):
        part = slice(3 * h, 3 * h + 3)
        weights = torch.softmax(q[:, part] @ k[:, part].T / math.sqrt(3), dim=1)
        heads.append(weights @ v[:, part])
    assert_close(attention(x, Padded.of(None, causal=False))[0], attention.out(torch.cat(heads, dim=1)))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_samples_tokens_do_not_depend_on_its_neighbours(norm: str) -> None:
    torch.manual_seed(0)
    net = Transformer(8, depth=2, heads=2, norm=norm).double()  # type: ignore[arg-type]
    numbers = [3, 1, 5]
    tokens = torch.randn(9, 8, dtype=torch.float64)
    together = net(tokens, Lengths.of(numbers)).split(numbers)
    for alone, part in zip(tokens.split(numbers), together, strict=True):
        assert_close(net(alone, Lengths.of([len(alone)])), part)


def test_dense_and_padded_paths_agree() -> None:
    torch.manual_seed(0)
    net = Transformer(8, depth=1, heads=2).double()
    tokens = torch.randn(6, 8, dtype=torch.float64)
    dense = net(tokens, Lengths.equal(2, 3))
    padded = net(tokens, Lengths(torch.tensor([3, 3]), 6, 3, None))
    assert_close(dense, padded)


def test_a_sample_without_tokens_gives_no_nan() -> None:
    net = Transformer(8, depth=1, heads=2)
    tokens = torch.randn(3, 8, requires_grad=True)
    out = net(tokens, Lengths.of([0, 3]))
    out.sum().backward()
    assert tokens.grad is not None
    assert torch.isfinite(out).all()
    assert torch.isfinite(tokens.grad).all()


def test_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match="width 10 does not divide by 4 heads"):
        Transformer(10, depth=1, heads=4)


def test_sincos_longhand_and_shift() -> None:
    positions = torch.tensor([[0.0, 2.0], [5.0, 1.0]], dtype=torch.float64)
    got = sincos(positions, 10)  # 2 axes x 2 frequencies x (sin, cos) = 8, two channels left over
    angles = [[p * w for axis in row for p, w in ((axis, 1.0), (axis, 1 / 10))] for row in positions.tolist()]  # 100^-(1/2)
    expected = [[math.sin(a) for a in row] + [math.cos(a) for a in row] + [0.0, 0.0] for row in angles]
    assert_close(got, torch.tensor(expected, dtype=torch.float64))
    # the product of two encodings depends on the difference of their positions alone
    line = sincos(torch.arange(10.0, dtype=torch.float64)[:, None], 16)
    assert_close(line[3, 5], torch.tensor(3 / 10_000 ** (5 / 8), dtype=torch.float64).sin())
    products = line @ line.T
    assert_close(products[0, 3], products[5, 8])


def view_of(layout: Layout) -> View:
    return View(ToyBatch(torch.empty(0, 1), Lengths.of([])), layout)


def encoding_of(tokens: Tensor, present: Tensor | None, lengths: Lengths) -> Encoding:
    return Encoding(tokens, present, lengths, lengths.mean(tokens))


def test_asked_sets_do_not_see_one_another_and_come_in_order() -> None:
    torch.manual_seed(0)
    layout = Layout(Lengths.equal(2, 4), grid=(4,))
    decoder = TransformerDecoder(6, width=8, depth=1, heads=2, out=3).double()
    tokens, present = torch.randn(4, 6, dtype=torch.float64), torch.tensor([0, 1, 4, 5])
    encoding = encoding_of(tokens, present, Lengths.equal(2, 2))
    asked = torch.tensor([[0, 0, 1, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0, 1, 0]]).bool()
    both = decoder(encoding, view_of(layout), Mask(asked, 1))
    apart = [decoder(encoding, view_of(layout), Mask(row[None], 1)) for row in asked]
    assert_close(both, torch.cat(apart))
    assert both.shape == (4, 3)


def test_known_and_unknown_counts_give_the_same_predictions() -> None:
    torch.manual_seed(0)
    layout = Layout(Lengths.equal(2, 4), grid=(2, 2))
    decoder = TransformerDecoder(6, width=8, depth=1, heads=2, out=3).double()
    encoding = encoding_of(torch.randn(4, 6, dtype=torch.float64), torch.tensor([0, 1, 4, 5]), Lengths.equal(2, 2))
    asked = torch.tensor([[0, 0, 1, 1, 0, 0, 1, 1]]).bool()
    known, unknown = (decoder(encoding, view_of(layout), Mask(asked, each)) for each in (2, None))
    assert_close(known, unknown)


def test_predictions_depend_on_the_asked_place() -> None:
    torch.manual_seed(0)
    layout = Layout(Lengths.equal(1, 4), grid=(4,))
    decoder = TransformerDecoder(6, width=8, depth=1, heads=2, out=3)
    encoding = encoding_of(torch.randn(2, 6), torch.tensor([0, 1]), Lengths.equal(1, 2))
    out = decoder(encoding, view_of(layout), Mask(torch.tensor([[0, 0, 1, 1]]).bool(), 2))
    assert not torch.allclose(out[0], out[1])


def test_a_grid_and_its_coordinates_give_the_same_predictions() -> None:
    torch.manual_seed(0)
    layout = Layout(Lengths.equal(2, 6), grid=(2, 3))
    spelt = Layout(Lengths.equal(2, 6), positions=layout.coordinates())
    decoder = TransformerDecoder(6, width=8, depth=1, heads=2, out=3)
    encoding = encoding_of(torch.randn(4, 6), torch.tensor([0, 1, 6, 11]), Lengths.equal(2, 2))
    asked = Mask(torch.tensor([[0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0]]).bool(), 2)
    assert_close(decoder(encoding, view_of(layout), asked), decoder(encoding, view_of(spelt), asked))


def test_depth_zero_reads_replaced_tokens_and_refuses_dropped_ones() -> None:
    layout = Layout(Lengths.equal(1, 3), grid=(3,))
    decoder = TransformerDecoder(6, width=8, depth=0, heads=2, out=2)
    tokens, asked = torch.randn(3, 6), Mask(torch.tensor([[False, True, False]]), 1)
    replaced = encoding_of(tokens, None, Lengths.equal(1, 3))
    assert_close(decoder(replaced, view_of(layout), asked), decoder.outwards(tokens[1:2]))
    dropped = encoding_of(tokens[[0, 2]], torch.tensor([0, 2]), Lengths.equal(1, 2))
    with pytest.raises(UserError, match="depth to 1 or more"):
        decoder(dropped, view_of(layout), asked)


def test_layers_end_in_what_forward_gives() -> None:
    torch.manual_seed(0)
    net = Transformer(8, 3, 2)
    lengths = Lengths.of([3, 1, 4])
    tokens = torch.randn(8, 8)
    layers = net.layers(tokens, lengths)
    assert len(layers) == 3
    assert_close(layers[-1], net(tokens, lengths))
    first = Transformer(8, 1, 2)
    first.load_state_dict({key: value for key, value in net.state_dict().items() if "blocks.0" in key or "last" in key})
    assert_close(first.last(layers[0]), first(tokens, lengths))
