"""How many tokens each sample has, known on the device and on the host.

Flat and ragged is the one layout of manyviews: the tokens of all samples stand back to back in one tensor
(tokens, width), without padding. A padded batch of sounds, a PyG batch and a grid of patches are then the same thing.
The numbers that shapes depend on (`total`, `longest`, `each`) are kept on the host beside the tensor, because asking
the device for them would halt the step; where all lengths agree (`each`), dense is a free reshape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from manyviews.moving import sent


@dataclass(frozen=True)
class Lengths:
    """Tokens of each sample, samples back to back."""

    tensor: Int[Tensor, "samples"]
    total: int
    longest: int
    each: int | None
    """Tokens of every sample where all have equally many; None where they differ or where it is not known."""
    numbers: tuple[int, ...] | None = None
    """The tensor on the host, where it is known there and the samples differ."""

    @classmethod
    def equal(cls, samples: int, each: int, device: torch.device | None = None) -> Lengths:
        """`samples` samples of `each` tokens."""
        return cls(torch.full((samples,), each, device=device), samples * each, each, each)

    @classmethod
    def of(cls, lengths: Sequence[int] | Int[Tensor, "samples"], device: torch.device | None = None) -> Lengths:
        """From numbers. A tensor on an accelerator is read back to the host, which waits for the device."""
        tensor = torch.as_tensor(lengths, dtype=torch.long)
        numbers = tensor.tolist()
        longest = max(numbers, default=0)
        each = longest if numbers and min(numbers) == longest else None
        known = tuple(numbers) if each is None else None
        return cls(sent(tensor, device) if device else tensor, sum(numbers), longest, each, known)

    def __len__(self) -> int:
        return self.tensor.shape[0]

    def on_host(self) -> list[int]:
        """Tokens of each sample as numbers. Waits for the device only where nobody kept them on the host."""
        if self.each is not None:
            return [self.each] * len(self)
        return list(self.numbers) if self.numbers is not None else self.tensor.tolist()

    def to(self, device: torch.device, non_blocking: bool = False) -> Lengths:
        """On another device; `self` where it is there already."""
        tensor = self.tensor.to(device, non_blocking=non_blocking)
        return self if tensor is self.tensor else replace(self, tensor=tensor)

    def host(self) -> Lengths | None:
        """The same on the host; None where that would wait for the device."""
        if self.tensor.device.type == "cpu":
            return self
        if self.each is not None:
            return Lengths.equal(len(self), self.each)
        return Lengths.of(self.numbers) if self.numbers is not None else None

    def map(self, change: Callable[[int], int]) -> Lengths:
        """Every length changed: frames of so many samples, tokens of so many frames."""
        if self.each is not None:
            return Lengths.equal(len(self), change(self.each), self.tensor.device)
        return Lengths.of([change(number) for number in self.on_host()], self.tensor.device)

    def owners(self) -> Int[Tensor, "tokens"]:
        """The sample that each token belongs to."""
        samples = torch.arange(len(self), device=self.tensor.device)
        return torch.repeat_interleave(samples, self.tensor, output_size=self.total)

    def starts(self) -> Int[Tensor, "samples"]:
        """Where each sample's first token stands."""
        return self.tensor.cumsum(0) - self.tensor

    def places(self) -> Int[Tensor, "tokens"]:
        """The place of each token within its own sample, from 0."""
        return torch.arange(self.total, device=self.tensor.device) - self.starts()[self.owners()]

    def pad(self, tokens: Shaped[Tensor, "tokens *rest"]) -> Shaped[Tensor, "samples longest *rest"]:
        """Dense, zeros behind the shorter samples; a view of the same memory where all lengths agree."""
        if self.each is not None:
            return tokens.reshape(len(self), self.each, *tokens.shape[1:])
        padded = tokens.new_zeros(len(self) * self.longest, *tokens.shape[1:])
        padded = padded.index_copy(0, self.owners() * self.longest + self.places(), tokens)
        return padded.reshape(len(self), self.longest, *tokens.shape[1:])

    def unpad(self, padded: Shaped[Tensor, "samples longest *rest"]) -> Shaped[Tensor, "tokens *rest"]:
        """The inverse of `pad`."""
        if self.each is not None:
            return padded.reshape(self.total, *padded.shape[2:])
        return padded.flatten(0, 1)[self.owners() * self.longest + self.places()]

    def real(self) -> Bool[Tensor, "samples longest"] | None:
        """Where a padded batch holds tokens; None where there is no padding."""
        if self.each is not None:
            return None
        return torch.arange(self.longest, device=self.tensor.device) < self.tensor[:, None]

    def mean(self, tokens: Float[Tensor, "tokens width"]) -> Float[Tensor, "samples width"]:
        """Mean of each sample's tokens; zero for a sample without any."""
        if self.each is not None:
            return self.pad(tokens).mean(1) if self.each else tokens.new_zeros(len(self), tokens.shape[1])
        sums = tokens.new_zeros(len(self), tokens.shape[1]).index_add(0, self.owners(), tokens)
        return sums / self.tensor.clamp(min=1)[:, None]
