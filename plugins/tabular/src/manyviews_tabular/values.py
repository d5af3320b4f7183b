"""Masked values: say what the hidden cells hold, each column in its own terms.

Masked-language modelling on rows (BERT, Devlin et al. 2019; TabTransformer, Huang et al. 2020): cross-entropy over a
category's levels and, for a number, over its quantile bins (or the squared error of the scaled number).
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.decoder import Decoder
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.mask import Mask
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import exact, full
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_tabular.batch import TableBatch
from manyviews_tabular.encoder import TableEncoder
from manyviews_tabular.heads import CellHeads


class CellDecoder(nn.Module):
    """What stands at the asked tokens, and each column's head on it.

    Args:
        encoder: The encoder.
        decoder: Fills in the asked tokens; None: the encoder's own tokens are read, which it must have kept in place.
        width: Width of what the heads read.
    """

    def __init__(self, encoder: TableEncoder, decoder: Decoder | None, width: int) -> None:
        super().__init__()
        self.decoder, self.width, self.columns = decoder, width, encoder.columns
        self.heads = CellHeads(encoder, width)

    def forward(
        self, encoding: Encoding, view: View, asked: Mask
    ) -> tuple[Float[Tensor, "tokens classes"], Float[Tensor, "tokens"]]:
        """Logits and numbers of all tokens of the layout; those of tokens that are not asked mean nothing."""
        if self.decoder is None:
            tokens = encoding.tokens
        else:
            lengths = view.layout.lengths
            found = self.decoder(encoding, view, asked)
            tokens = found.new_zeros(lengths.total, self.width).index_copy(0, asked.index(lengths), found)
        logits, numbers = self.heads(tokens.reshape(-1, self.columns, self.width))
        return logits.flatten(0, 1), numbers.flatten()


class Values(Objective):
    """Reconstruction of hidden cells, by type.

    Args:
        numbers: `bins`: cross-entropy over a number's quantile bins; `mse`: squared error of the scaled number.
        depth: Blocks of the decoder; 0: the encoder's tokens are read directly, for encoders that replace what is hidden.
        width: Width of the decoder.
        heads: Attention heads of the decoder.
    """

    needs = frozenset({Trait.HIDDEN_TOKENS, Trait.HIDES_TOKENS, Trait.TOKEN_CLASSES})
    across = "mean over the hidden cells of all processes"

    def __init__(
        self,
        *,
        numbers: Literal["bins", "mse"] = "bins",
        depth: NonNegativeInt = 0,
        width: PositiveInt = 64,
        heads: PositiveInt = 4,
    ) -> None:
        super().__init__()
        self.numbers, self.depth, self.width, self.heads = numbers, depth, width, heads

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        table = require_table(encoder, "tabular/values")
        if self.depth == 0:
            return CellDecoder(table, None, encoder.width)
        return CellDecoder(table, encoder.decoder(self.width, self.depth, self.heads, self.width), self.width)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        (view,) = views
        assert view.hidden is not None
        assert isinstance(student.predictor, CellDecoder)
        asked = (view.asked or view.hidden).any()
        encoding = student.encoder(view)
        if encoding.present is not None and self.depth == 0:
            raise UserError(
                "tabular/values with depth 0 reads hidden tokens in place, but the encoder drops them.\n"
                "Set encoder.hide to replace, or objective.depth to 1 or more."
            )
        logits, numbers = student.predictor(encoding, view, asked)
        with exact(logits):
            return self._loss(full(logits), full(numbers), student.encoder.classes(view.batch), view.batch, asked.where[0])

    def _loss(
        self,
        logits: Float[Tensor, "tokens classes"],
        numbers: Float[Tensor, "tokens"],
        classes: Int[Tensor, "tokens"],
        batch: TableBatch,
        asked: Bool[Tensor, "tokens"],
    ) -> Loss:
        """Mean over the asked cells that hold something. All cells are computed: to pick some, the device would wait."""
        known = asked & (classes >= 0)
        numeric = torch.arange(logits.shape[0], device=logits.device) % batch.columns < batch.values.shape[1]
        errors = cell_errors(logits, classes)
        if self.numbers == "mse":
            values = F.pad(batch.values.to(numbers.dtype), (0, batch.codes.shape[1])).flatten()
            errors = torch.where(numeric, (numbers - values).square(), errors)
        right = (logits.argmax(1) == classes).to(errors.dtype)
        metrics = {
            "numbers": distributed.mean(errors.detach(), known & numeric),
            "categories": distributed.mean(errors.detach(), known & ~numeric),
            "category_accuracy": distributed.mean(right, known & ~numeric),
        }
        return Loss(distributed.mean(errors, known), metrics)


def cell_errors(logits: Float[Tensor, "cells classes"], classes: Int[Tensor, "cells"]) -> Float[Tensor, "cells"]:
    """Cross-entropy of each cell over its own column's classes; 0 where the class is -1 (nothing to predict)."""
    return F.cross_entropy(logits, classes, ignore_index=-1, reduction="none")


def require_table(encoder: Encoder, name: str) -> TableEncoder:
    """The encoder as one of tables, whose columns the heads are made for."""
    if not isinstance(encoder, TableEncoder):
        raise UserError(f"{name} needs an encoder of tables (tabular/transformer, tabular/mlp), not {type(encoder).__name__}")
    return encoder
