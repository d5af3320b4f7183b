"""Low frequencies and styles, against what they must leave alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from manyviews.nets.fourier import low_frequencies, styled


@pytest.mark.parametrize(("size", "small"), [((16, 12), (8, 6)), ((15, 9), (7, 5)), ((16,), (7,)), ((8, 8, 8), (4, 4, 4))])
def test_a_slow_wave_is_the_same_wave_seen_at_fewer_places(size: tuple[int, ...], small: tuple[int, ...]) -> None:
    def wave(sizes: tuple[int, ...]) -> torch.Tensor:
        places = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) / n for n in sizes), indexing="ij")
        return 3 + sum(torch.cos(2 * math.pi * place + 0.3) for place in places)[None, None]  # type: ignore[index]

    assert_close(low_frequencies(wave(size), small), wave(small))


def test_fast_waves_are_taken_away() -> None:
    place = torch.arange(32, dtype=torch.float64) / 32
    fast = torch.cos(2 * math.pi * 12 * place)[None, None]
    assert low_frequencies(fast, (16,)).abs().max() < 1e-12


def test_the_size_it_has_changes_nothing() -> None:
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    assert_close(low_frequencies(x, (9, 8)), x)
    assert low_frequencies(x.to(torch.bfloat16), (4, 4)).dtype == torch.bfloat16


def test_a_style_is_of_amplitudes_alone() -> None:
    x, style = torch.randn(4, 3, 16, 16, dtype=torch.float64), torch.randn(1, 3, 16, 16, dtype=torch.float64)
    assert_close(styled(x, x, 0.5), x)
    changed = styled(x, style, 0.25)
    own, before, wanted = (torch.fft.fft2(part) for part in (changed, x, style))
    assert_close(own[..., :2, :2].abs(), wanted[..., :2, :2].abs().expand(4, -1, -1, -1))
    assert_close(own[..., 6, 6], before[..., 6, 6])
    assert_close(
        torch.polar(torch.ones(()).double(), own[..., 1, 2].angle()),
        torch.polar(torch.ones(()).double(), before[..., 1, 2].angle()),
    )


def test_all_of_a_batch_in_one_style_have_one_mean_amplitude() -> None:
    x = torch.randn(5, 2, 8, 8) + torch.arange(1.0, 6.0)[:, None, None, None]
    found = styled(x, x[:1], 0.01).mean((2, 3)).abs()
    assert_close(found, found[:1].expand(5, -1))
