"""What scanners do to numbers: batched, each sample drawn for itself, on scaled voxels (0 to 1).

Every function takes what it alters, its range, the share of samples that it happens to, and the generator.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

Range = tuple[float, float]


def uniform(x: Tensor, low: float, high: float, generator: torch.Generator) -> Float[Tensor, "samples ..."]:
    """A number for each sample, shaped to be multiplied with them."""
    draws = torch.rand(len(x), generator=generator, device=x.device, dtype=torch.float32).to(x.dtype)
    return (low + (high - low) * draws).reshape(-1, *[1] * (x.ndim - 1))


def sometimes(x: Tensor, made: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """`made` for so large a share of the samples. Its memory is taken for the answer: a third batch would be one too many."""
    made = made.to(x.dtype)  # under autocast convolutions answer in half precision
    if chance >= 1:
        return made
    return torch.where(uniform(x, 0.0, 1.0, generator) < chance, made, x, out=made)


def shifted(x: Tensor, shift: float, scale: float, generator: torch.Generator) -> Tensor:
    """a x + b, a in 1 ± scale, b in ± shift."""
    return (x * uniform(x, 1 - scale, 1 + scale, generator)).add_(uniform(x, -shift, shift, generator))


def gamma(x: Tensor, ends: Range, generator: torch.Generator) -> Tensor:
    """x^g with log g drawn evenly; numbers beyond 0 to 1 are cut off first."""
    low, high = (math.log(end) for end in ends)
    return x.clamp(1e-6, 1).pow(uniform(x, low, high, generator).exp())


def inverted(x: Tensor) -> Tensor:
    """Dark for bright."""
    return 1 - x


def noisy(x: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise of a deviation up to `most`."""
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=torch.float32).to(x.dtype)
    return noise.mul_(uniform(x, 0.0, most, generator)).add_(x)


def blurred(x: Float[Tensor, "samples channels *space"], sigmas: Range, generator: torch.Generator) -> Tensor:
    """A Gaussian of its own deviation (voxels) for each sample, axis by axis."""
    samples, channels, axes = len(x), x.shape[1], x.ndim - 2
    sigma = uniform(x, *sigmas, generator).reshape(-1, 1)
    reach = max(round(3 * sigmas[1]), 1)
    steps = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = (-(steps**2) / (2 * sigma**2)).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, dim=0)
    conv = {2: F.conv2d, 3: F.conv3d}[axes]
    flat = x.reshape(1, samples * channels, *x.shape[2:])
    for axis in range(axes):
        shape = [1] * axes
        shape[axis] = 2 * reach + 1
        pads = [0] * (2 * axes)
        pads[2 * (axes - 1 - axis)] = pads[2 * (axes - 1 - axis) + 1] = reach
        padded = F.pad(flat, pads, mode="replicate")
        flat = conv(padded, kernel.reshape(-1, 1, *shape), groups=samples * channels)
    return flat.reshape(x.shape)


def biased(x: Tensor, most: float, generator: torch.Generator, order: int = 3) -> Tensor:
    """Times the exponential of a random polynomial: the slow drift of brightness of an MR coil (Van Leemput et al. 1999)."""
    axes = x.ndim - 2
    draws = torch.rand(len(x), *[order + 1] * axes, generator=generator, device=x.device, dtype=torch.float32).to(x.dtype)
    field = most * (2 * draws - 1)
    for axis in range(axes):
        side = torch.linspace(-1, 1, x.shape[2 + axis], device=x.device, dtype=x.dtype)
        powers = side[:, None] ** torch.arange(order + 1, device=x.device, dtype=x.dtype)
        field = torch.tensordot(field, powers, dims=([1], [1]))
    return x * field[:, None].exp()


def holes(
    x: Float[Tensor, "samples channels *space"], count: int, sides: Range, generator: torch.Generator
) -> Bool[Tensor, "samples 1 *space"]:
    """Boxes at random places, each side so large a share of the crop's: what is cut out, or asked for in in-painting."""
    space = x.shape[2:]
    inside = torch.zeros(len(x), 1, *space, dtype=torch.bool, device=x.device)
    for _ in range(count):
        box = torch.ones_like(inside)
        for axis, whole in enumerate(space):
            side = (uniform(x, *sides, generator) * whole).round().clamp(1, whole)
            low = (uniform(x, 0.0, 1.0, generator) * (whole - side + 1)).floor()
            shape = [1] * x.ndim
            shape[2 + axis] = whole
            place = torch.arange(whole, device=x.device, dtype=x.dtype).reshape(shape)
            box = box & (place >= low) & (place < low + side)
        inside |= box
    return inside


def cut_out(x: Tensor, where: Bool[Tensor, "samples 1 *space"], generator: torch.Generator) -> Tensor:
    """Noise in the holes."""
    noise = torch.rand(x.shape, generator=generator, device=x.device, dtype=torch.float32).to(x.dtype)
    return torch.where(where, noise, x)
