"""Attention among the tokens of each sample: padded, and flat where a GPU has a kernel for it."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from manyviews.lengths import Lengths
from manyviews.nets.attend import Flat, Padded, arranged
from manyviews.nets.transformer import Attention, Transformer

LENGTHS = (5, 0, 9, 1, 3)


def test_each_samples_tokens_attend_among_themselves() -> None:
    torch.manual_seed(0)
    attention = Attention(8, heads=2, dropout=0.0).double()
    lengths = Lengths.of(LENGTHS)
    x = torch.randn(sum(LENGTHS), 8, dtype=torch.float64)
    alone = [attention(part[None], Padded.of(None, causal=False))[0] for part in x.split(LENGTHS) if len(part)]
    assert_close(attention.among(x, lengths), torch.cat(alone))


def test_where_samples_begin_and_end() -> None:
    assert Flat.of(Lengths.of(LENGTHS)).cuts.tolist() == [0, 5, 5, 14, 15, 18]


def test_without_a_gpu_tokens_are_padded() -> None:
    _, attend, _ = arranged(torch.zeros(18, 8, dtype=torch.bfloat16), Lengths.of(LENGTHS), dropout=0.0)
    assert isinstance(attend, Padded)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_flat_kernel_gives_what_padding_gives_values_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    lengths = Lengths.of((70, 3, 128, 1), torch.device("cuda"))
    net = Transformer(64, depth=2, heads=2).cuda()
    x = torch.randn(lengths.total, 64, device="cuda", requires_grad=True)

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        x.grad = None
        with torch.autocast("cuda", torch.bfloat16):
            _, attend, _ = arranged(x, lengths, dropout=0.0)
            y = net(x, lengths)
        y.float().square().mean().backward()
        assert x.grad is not None
        kinds.append(type(attend))
        return y.detach().float(), x.grad.clone()

    kinds: list[type] = []
    flat = run()
    monkeypatch.setattr("manyviews.nets.attend.varlen_attn", None)
    padded = run()
    assert kinds == [Flat, Padded]
    for one, other in zip(flat, padded, strict=True):
        assert_close(one, other, rtol=3e-2, atol=3e-2 * float(other.abs().max()))
