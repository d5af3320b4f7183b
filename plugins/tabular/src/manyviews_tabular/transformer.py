"""A Transformer over columns: the encoder of T-JEPA and FT-Transformer."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from einops import repeat
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.nets.transformer import Transformer
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_tabular.embedding import ColumnEmbedding, Numbers
from manyviews_tabular.encoder import TableEncoder
from manyviews_tabular.schema import TableSpec


class TableTransformer(TableEncoder):
    """Columns as tokens beside a REG token, which is never hidden and not among the tokens given back.

    T-JEPA (Thimonier et al. 2024, section 3.1): without the REG token a JEPA on tables collapses.

    Args:
        width: Width of a token; a multiple of `heads`.
        depth: Blocks.
        heads: Attention heads.
        ff: Width of the feed-forward nets; default: four times `width`.
        numbers: `linear`: a number's token is x w + b; `bins`: and a vector of its quantile bin; `piecewise`: a line that
            bends at the quantile bins' edges.
        norm: Layer norms before (`pre`) or after (`post`) attention and feed-forward net.
        dropout: Of attention weights, feed-forward nets and residuals.
        pool: A row's vector: the `mean` of its tokens, the REG token (`reg`), or both behind one another (`reg_mean`).
        hide: Hidden tokens are dropped, which is faster, or replaced by a learned one, which lets them be read off in place.
        causal: A column sees itself and those before it, for `autoregression`; the REG token, which stands first, sees nothing
            then, so `pool` is `mean`.
    """

    offers = TableEncoder.offers | {Trait.CAUSAL}

    def __init__(
        self,
        spec: TableSpec,
        /,
        *,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        heads: PositiveInt = 4,
        ff: PositiveInt | None = None,
        numbers: Numbers = "linear",
        norm: Literal["pre", "post"] = "pre",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        pool: Literal["mean", "reg", "reg_mean"] = "mean",
        hide: Literal["drop", "replace"] = "drop",
        causal: bool = False,
    ) -> None:
        super().__init__(spec)
        if causal and pool != "mean":
            raise UserError(f"pool: `{pool}` reads the REG token, which sees no column where `causal: true`; set `pool: mean`")
        self.width, self.pool, self.hide, self.causal = width, pool, hide, causal
        self.embedding = ColumnEmbedding(spec, width, numbers)
        self.reg = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02)) if hide == "replace" else None
        self.transformer = Transformer(width, depth, heads, ff=ff, norm=norm, dropout=dropout, causal=causal)

    @property
    def pooled_width(self) -> int:
        return 2 * self.width if self.pool == "reg_mean" else self.width

    def forward(self, view: View) -> Encoding:
        tokens = self.embedding(view.batch)
        if view.hidden is None:
            return self._dense(tokens, None)
        if self.mask_token is not None:
            # a hidden column keeps its bias, which says which one it is
            where = view.hidden.where.reshape(len(view.batch), -1, 1)
            return self._dense(torch.where(where, self.mask_token + self.embedding.bias, tokens), None)
        shown = view.hidden.complement(view.layout.lengths)
        present = shown.index(view.layout.lengths)
        kept = tokens.flatten(0, 1)[present]
        if shown.each is not None:
            return self._dense(kept.reshape(len(view.batch), shown.each, self.width), present)
        return self._ragged(kept, present, shown.lengths(view.layout.lengths))

    def _dense(self, tokens: Float[Tensor, "rows shown width"], present: Int[Tensor, "present"] | None) -> Encoding:
        """Equally many tokens in each row."""
        reg = repeat(self.reg, "width -> rows 1 width", rows=len(tokens))
        out = self.transformer.dense(torch.cat([reg.to(tokens.dtype), tokens], dim=1))
        lengths = Lengths.equal(len(tokens), tokens.shape[1], tokens.device)
        flat = out[:, 1:].reshape(-1, self.width)
        return Encoding(flat, present, lengths, self._pooled(out[:, 0], flat, lengths))

    def _ragged(self, tokens: Float[Tensor, "shown width"], present: Int[Tensor, "shown"], lengths: Lengths) -> Encoding:
        """As many tokens as a row has left: the REG token goes before each row's first."""
        rows = len(lengths)
        longer = Lengths(lengths.tensor + 1, lengths.total + rows, lengths.longest + 1, None)
        reg, rest = longer.starts(), torch.arange(lengths.total, device=tokens.device) + lengths.owners() + 1
        flat = tokens.new_empty(longer.total, self.width)
        flat = flat.index_copy(0, reg, repeat(self.reg.to(tokens.dtype), "width -> rows width", rows=rows)).index_copy(
            0, rest, tokens
        )
        out = self.transformer(flat, longer)
        return Encoding(out[rest], present, lengths, self._pooled(out[reg], out[rest], lengths))

    def _pooled(
        self, reg: Float[Tensor, "rows width"], tokens: Float[Tensor, "tokens width"], lengths: Lengths
    ) -> Float[Tensor, "rows pooled"]:
        match self.pool:
            case "reg":
                return reg
            case "mean":
                return lengths.mean(tokens)
            case "reg_mean":
                return torch.cat([reg, lengths.mean(tokens)], dim=1)
