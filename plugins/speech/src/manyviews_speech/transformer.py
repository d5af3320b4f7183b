"""A Transformer over frames of features: the encoder of TERA, BEST-RQ and ATST-Frame."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from manyviews.nets.transformer import Transformer
from manyviews.traits import Trait
from manyviews_speech.encoder import Hide, Pool
from manyviews_speech.frame_encoder import FrameEncoder
from manyviews_speech.spec import AudioSpec


class FrameTransformer(FrameEncoder):
    """Tokens are so many frames of features end to end.

    Args:
        width: Width of a token.
        depth: Transformer blocks.
        heads: Attention heads.
        ff: Width of the feed-forward nets; null: four times `width`.
        norm: Norms before or after attention and feed-forward nets.
        dropout: Dropout.
        stack: Frames of a token: 1 in TERA, 4 (40 ms) in BEST-RQ and ATST-Frame.
        hide: Hidden tokens are replaced by a learned vector, or dropped.
        causal: A token sees itself and those before it, as `autoregression` (APC, Chung et al. 2019) wants.
        pool: What stands for a clip: the mean of its tokens, mean and standard deviation, or the means of its four quarters.
    """

    offers = FrameEncoder.offers | {Trait.UNPLACED, Trait.CAUSAL}

    def __init__(
        self,
        spec: AudioSpec,
        /,
        *,
        width: PositiveInt = 256,
        depth: PositiveInt = 4,
        heads: PositiveInt = 4,
        ff: PositiveInt | None = None,
        norm: Literal["pre", "post"] = "pre",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        stack: PositiveInt = 4,
        hide: Hide = "replace",
        causal: bool = False,
        pool: Pool = "mean",
    ) -> None:
        context = Transformer(width, depth, heads, ff=ff, norm=norm, dropout=dropout, causal=causal)
        super().__init__(spec, context, width=width, stack=stack, dropout=dropout, hide=hide, pool=pool)
        self.causal = causal
