"""Alice: the same anatomy in two volumes is alike, as a whole and token by token (Jiang et al. 2023, ICCV)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.nets.heads import DINOHead
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.dino import assignments, dino, entropy, follow
from manyviews.objectives.masked_reconstruction import errors
from manyviews.objectives.shared import exact, full, pairs, refuse_few_views, withholding
from manyviews.traits import Trait
from manyviews.view import View


class Heads(nn.Module):
    """Prototypes of whole crops, and of tokens."""

    def __init__(self, pooled: int, width: int, *, hidden: int | None, bottleneck: int, out: int) -> None:
        super().__init__()
        self.whole = DINOHead(pooled, hidden=hidden or 4 * pooled, bottleneck=bottleneck, out=out)
        self.tokens = DINOHead(width, hidden=hidden or 4 * width, bottleneck=bottleneck, out=out)

    def forward(self, pooled: Float[Tensor, "units pooled"]) -> Float[Tensor, "units out"]:
        return self.whole(pooled)


class Alignment(nn.Module):
    """Cross-attention of what tokens are said to be with what an encoder makes of all tokens (Jiang 2023, section 3.3)."""

    def __init__(self, out: int, width: int, heads: int) -> None:
        super().__init__()
        if out % heads:
            raise UserError(f"alice: {out} prototypes (`out`) do not divide by {heads} `heads`; choose a multiple")
        self.heads = heads
        self.query, self.content = nn.Linear(out, out, bias=False), nn.Linear(width, 2 * out, bias=False)
        self.join, self.norm = nn.Linear(out, out, bias=False), nn.LayerNorm(out)
        self.feed, self.last = nn.Sequential(nn.Linear(out, width), nn.ReLU(), nn.Linear(width, out)), nn.LayerNorm(out)

    def forward(
        self, asked: Float[Tensor, "samples asked out"], tokens: Float[Tensor, "samples tokens width"]
    ) -> Float[Tensor, "samples asked out"]:
        """What is asked for, read off `tokens`."""
        query = rearrange(self.query(asked), "S A (H C) -> S H A C", H=self.heads)
        key, value = rearrange(self.content(tokens), "S T (two H C) -> two S H T C", two=2, H=self.heads)
        read = rearrange(F.scaled_dot_product_attention(query, key, value), "S H A C -> S A (H C)")
        joined = self.norm(asked + self.join(read))
        return self.last(joined + self.feed(joined))


class Students(nn.Module):
    """What the student alone has: the decoder that fills in what is hidden, and the alignment."""

    def __init__(self, decoder: nn.Module, alignment: Alignment) -> None:
        super().__init__()
        self.decoder, self.alignment = decoder, alignment


class Alice(Objective):
    """Cross-entropy of whole crops between views, cross-entropy of aligned tokens within a view, and reconstruction.

    The student sees masked views, the EMA teacher whole ones. Tokens: what the student's head says of its tokens asks, by
    cross-attention, the student's own tokens and the teacher's for the same; the two answers are to agree. Take it with
    `medical/correspondence`. Two departures from the authors' code: errors of reconstruction are taken at hidden tokens, not
    over the whole crop, and teacher temperatures are DINO's (theirs: .01).

    Args:
        align: Weight of the aligned tokens' cross-entropy.
        reconstruct: Weight of the mean squared error of hidden voxels, 5 as published.
        out: Prototypes of each head.
        hidden: Width of the heads' hidden layers; null: 4 times the width of a unit.
        bottleneck: Width of the normalised embedding before the prototypes.
        heads: Attention heads, of the alignment and of the decoder.
        width: Width of the decoder.
        depth: Blocks of the decoder.
        student_temperature: Of the student's softmax.
        teacher_temperature: Of the teacher's softmax.
        center_momentum: Of the running means of the teacher's logits.
    """

    needs = frozenset(
        {Trait.SEVERAL_VIEWS, Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS, Trait.HIDES_TOKENS, Trait.TOKEN_TARGETS, Trait.TEACHER}
    )
    across = "means over the crops and tokens of all processes, which share the centres"
    center: Tensor
    token_center: Tensor

    def __init__(
        self,
        *,
        align: NonNegativeFloat = 1.0,
        reconstruct: NonNegativeFloat = 5.0,
        out: PositiveInt = 512,
        hidden: PositiveInt | None = None,
        bottleneck: PositiveInt = 256,
        heads: PositiveInt = 4,
        width: PositiveInt = 96,
        depth: NonNegativeInt = 2,
        student_temperature: PositiveFloat = 0.1,
        teacher_temperature: PositiveFloat = 0.04,
        center_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    ) -> None:
        super().__init__()
        self.align, self.reconstruct, self.out, self.hidden, self.bottleneck = align, reconstruct, out, hidden, bottleneck
        self.heads, self.width, self.depth = heads, width, depth
        self.student_temperature, self.teacher_temperature = student_temperature, teacher_temperature
        self.center_momentum = center_momentum
        self.register_buffer("center", torch.zeros(out))
        self.register_buffer("token_center", torch.zeros(out))

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        return Heads(encoder.pooled_width, encoder.width, hidden=self.hidden, bottleneck=self.bottleneck, out=self.out)

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        decoder = encoder.decoder(self.width, self.depth, self.heads, encoder.target_channels)
        return Students(decoder, Alignment(self.out, encoder.width, self.heads))

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert teacher is not None
        views = tuple(withholding(views, "alice"))
        refuse_few_views(views, "alice")
        heads, own = student.head, student.predictor
        assert isinstance(heads, Heads)
        assert isinstance(own, Students)
        wholes, answers, aligned, taught, filling = [], [], [], [], []
        for view in views:
            encoding = student.encoder(view)
            with torch.no_grad():
                shown = teacher.encoder(replace(view, hidden=None, asked=None))
                answers.append(full(teacher.head(shown.pooled)))
            wholes.append(full(heads(encoding.pooled)))
            asked = _dense(heads.tokens(encoding.tokens), encoding)
            aligned.append(full(own.alignment(asked, _dense(encoding.tokens, encoding))).flatten(0, 1))
            with torch.no_grad():
                taught.append(full(own.alignment(asked, _dense(shown.tokens, shown))).flatten(0, 1))
            filling.append(self._filling(view, encoding, student, own))
        with exact(wholes[0]):
            said, told, tokens, answered = (torch.stack(each) for each in (wholes, answers, aligned, taught))
            targets = assignments(told, self.center, self.teacher_temperature)
            whole = distributed.mean(dino(said, targets, pairs(len(views), range(len(views))), self.student_temperature))
            marks = assignments(answered, self.token_center, self.teacher_temperature)
            same = [(number, number) for number in range(len(views))]
            parts = distributed.mean(dino(tokens, marks, same, self.student_temperature))
        filled = torch.stack(filling).mean()
        if self.training:
            follow(self.center, told, self.center_momentum)
            follow(self.token_center, answered, self.center_momentum)
        metrics = {"whole": whole, "tokens": parts, "reconstruction": filled, "mean_entropy": entropy(targets.mean((0, 1)))}
        value = whole + self.align * parts + self.reconstruct * filled
        return Loss(value, {name: number.detach() for name, number in metrics.items()})

    def _filling(self, view: View, encoding: Encoding, student: Branch, own: Students) -> Float[Tensor, ""]:
        """Mean squared error at the voxels of hidden tokens."""
        assert view.hidden is not None
        tokens = view.hidden.index(view.layout.lengths)
        said = full(own.decoder(encoding, view, view.hidden))
        with exact(said):
            values, known = errors(said, student.encoder.targets(view.batch, tokens).detach().to(said.dtype), "mse")
            return distributed.mean(values.flatten(), known.flatten())


def _dense(tokens: Float[Tensor, "tokens width"], encoding: Encoding) -> Float[Tensor, "samples each width"]:
    each = encoding.lengths.each
    if each is None:
        raise UserError("alice aligns samples of equally many tokens, and these differ; give views of one size")
    return tokens.reshape(-1, each, tokens.shape[1])
