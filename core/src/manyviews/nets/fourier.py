"""Views made in the frequency domain, of signals on grids of any number of axes: images, volumes, waveforms."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def low_frequencies(
    x: Float[Tensor, "samples channels *grid"], size: tuple[int, ...]
) -> Float[Tensor, "samples channels *small"]:
    """The centre of the spectrum as a smaller signal: what EfficientTrain shows early (Wang et al. 2023, section 4.1).

    Unlike a plain reduction it takes away high frequencies alone: the mean stays, and nothing is aliased.

    Args:
        x: Signals.
        size: Of the smaller ones, along each axis of the grid.
    """
    axes = tuple(range(2, x.ndim))
    spectrum = torch.fft.fftshift(torch.fft.fftn(_floating(x), dim=axes, norm="forward"), dim=axes)
    for axis, wanted in zip(axes, size, strict=True):
        # The frequency 0 stands at n // 2 and must stand at m // 2.
        spectrum = spectrum.narrow(axis, x.shape[axis] // 2 - wanted // 2, wanted)
    small: Tensor = torch.fft.ifftn(torch.fft.ifftshift(spectrum, dim=axes), dim=axes, norm="forward")
    return small.real.to(x.dtype)


def styled(
    x: Float[Tensor, "samples channels *grid"], style: Float[Tensor, "one_or_samples channels *grid"], share: float
) -> Float[Tensor, "samples channels *grid"]:
    """Signals with the amplitudes of others at low frequencies, and their own phases.

    Batch styles standardisation (Scalbert et al. 2023) gives all samples of a batch the style of one: what tells them apart
    is then no longer the sensor, the season or the scanner.

    Args:
        x: Signals.
        style: Whose amplitudes are taken; one sample, or one for each.
        share: Of each axis of the spectrum, around the frequency 0, whose amplitudes are taken.
    """
    axes = tuple(range(2, x.ndim))
    own, other = (torch.fft.fftn(_floating(part), dim=axes) for part in (x, style))
    near = torch.ones(x.shape[2:], dtype=torch.bool, device=x.device)
    for axis, size in enumerate(x.shape[2:]):
        inside = torch.fft.fftfreq(size, device=x.device).abs() <= share / 2
        near &= inside.reshape([-1 if place == axis else 1 for place in range(x.ndim - 2)])
    changed = torch.where(near, torch.polar(other.abs().expand_as(own.abs()), own.angle()), own)
    back: Tensor = torch.fft.ifftn(changed, dim=axes)
    return back.real.to(x.dtype)


def _floating(x: Tensor) -> Tensor:
    """Half precision has no Fourier transform of all sizes."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
