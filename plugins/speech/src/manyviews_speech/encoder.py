"""What all encoders of sound share: tokens in time, a mask vector, pooling."""

from __future__ import annotations

from abc import ABC
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_speech.batch import AudioBatch
from manyviews_speech.frontend import Frontend
from manyviews_speech.spec import AudioSpec

Pool = Literal["mean", "mean_std", "quarters"]
"""`mean_std`: mean and standard deviation over time end to end, twice as wide: what speakers are told apart by. `quarters`: the
means of a clip's four quarters end to end: what words are told apart by, whose sounds follow one another."""
WIDER = {"mean": 1, "mean_std": 2, "quarters": 4}
Hide = Literal["replace", "drop"]


@runtime_checkable
class Context(Protocol):
    """A net over the tokens of each clip: a Transformer, a Conformer."""

    def __call__(
        self, tokens: Float[Tensor, "tokens width"], lengths: Lengths, seen: Bool[Tensor, "tokens"] | None = None
    ) -> Float[Tensor, "tokens width"]:
        """The tokens in the light of their clip, or of those of its tokens that are `seen`."""
        ...

    def layers(
        self, tokens: Float[Tensor, "tokens width"], lengths: Lengths, seen: Bool[Tensor, "tokens"] | None = None
    ) -> tuple[Float[Tensor, "tokens width"], ...]:
        """The same behind each layer, first to last."""
        ...


class AudioEncoder(Encoder, ABC):
    """Tokens of each clip in the order of time; `targets` are what the features hold there."""

    offers = frozenset({Trait.HIDES_TOKENS, Trait.PLACED_TOKENS, Trait.TOKEN_TARGETS, Trait.LAYERS, Trait.MOMENTS})

    def __init__(self, spec: AudioSpec, *, width: int, pool: Pool, hide: Hide = "replace") -> None:
        super().__init__()
        self.spec, self.width, self.pool, self.hide = spec, width, pool, hide
        self.frontend = None if spec.features is None else Frontend.of(spec)
        self.mask = nn.Parameter(torch.empty(width).uniform_())

    @property
    def pooled_width(self) -> int:
        return self.width * WIDER[self.pool]

    def featured(self, batch: AudioBatch) -> AudioBatch:
        """The batch with its features."""
        assert self.frontend is not None
        return self.frontend(batch)

    def shown(
        self, view: View, tokens: Float[Tensor, "tokens width"], *places: Tensor
    ) -> tuple[list[Tensor], Tensor | None, Lengths]:
        """Tokens, and what belongs to them, with the hidden ones dropped or replaced; which are present; their lengths."""
        lengths = view.layout.lengths
        if view.hidden is None:
            return [tokens, *places], None, lengths
        if self.hide == "replace":
            masked = torch.where(view.hidden.where[0][:, None], self.mask.to(tokens.dtype), tokens)
            return [masked, *places], None, lengths
        kept = view.hidden.complement(lengths)
        present = kept.index(lengths)
        return [part[present] for part in (tokens, *places)], present, kept.lengths(lengths)

    def run(
        self,
        context: Context,
        tokens: Float[Tensor, "present width"],
        present: Tensor | None,
        lengths: Lengths,
        view: View,
    ) -> Encoding:
        """A net over the tokens, with its layers where the view asks for them."""
        layers: tuple[Tensor, ...] = ()
        seen = None if view.seen is None else view.seen.where[0]
        if view.layers:
            *_, tokens = layers = context.layers(tokens, lengths, seen)
        else:
            tokens = context(tokens, lengths, seen)
        return Encoding(tokens, present, lengths, pooled(tokens, lengths, self.pool), layers)


def pooled(tokens: Float[Tensor, "tokens width"], lengths: Lengths, pool: Pool) -> Float[Tensor, "clips pooled_width"]:
    """Over the tokens of each clip."""
    if pool == "quarters":
        return quarters(tokens, lengths)
    mean = lengths.mean(tokens)
    if pool == "mean":
        return mean
    centred = tokens - mean[lengths.owners()].to(tokens.dtype)
    # The root of 0 has no finite slope, and a clip of a single token has no deviation.
    return torch.cat([mean, (lengths.mean(centred.square()) + 1e-6).sqrt()], dim=1)


def quarters(tokens: Float[Tensor, "tokens width"], lengths: Lengths) -> Float[Tensor, "clips four_widths"]:
    """The mean of each quarter of a clip, end to end; of a clip of fewer tokens than four, some quarters share a token."""
    clips, device = len(lengths), tokens.device
    edges = torch.arange(5, device=device) * lengths.tensor[:, None]
    first, last = edges[:, :-1] // 4, (edges[:, 1:] + 3) // 4  # rounded outwards: no quarter is empty
    # float64: a difference of two sums over a whole batch must not depend on what stands before a clip.
    sums = torch.cat([tokens.new_zeros(1, tokens.shape[1], dtype=torch.float64), tokens.double().cumsum(0)])
    starts = lengths.starts()[:, None]
    count = (last - first).clamp(min=1)[..., None]
    means = (sums[starts + last] - sums[starts + first]) / count
    return means.reshape(clips, -1).to(tokens.dtype)


def require_features(spec: AudioSpec, encoder: str) -> int:
    """Channels of the features."""
    if spec.features is None:
        raise UserError(f"{encoder} reads features, and the data have none (`data.features: null`); leave that key out")
    return spec.features.channels
