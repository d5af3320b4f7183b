"""wav2vec 2.0 (Baevski et al. 2020) and w2v-BERT (Chung et al. 2021): tell a masked token's quantised sound from others."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, cast

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import average, exact, full, question, withholding
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_speech.contrast import contrastive, draw_negatives
from manyviews_speech.quantizer import ProductQuantizer, Quantized, diversity


class Contrast(nn.Module):
    """What the student has beside the encoder: the quantiser and the two projections into the space of comparison."""

    def __init__(self, width: int, channels: int, *, groups: int, codes: int, code_width: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.quantizer = ProductQuantizer(channels, groups=groups, codes=codes, out=code_width)
        self.target, self.context = nn.Linear(code_width, out), nn.Linear(width, out)


class Wav2Vec2Loss(Objective):
    """Contrast with negatives of the same clip, diversity of the codes, and small features.

    Args:
        groups: Codebooks of the quantiser.
        codes: Entries of each.
        code_width: Width of the entries chosen, together.
        out: Width in which context and targets are compared.
        negatives: Other asked tokens of the clip that each is told from.
        temperature: Of the softmax over similarities.
        gumbel: Temperature of the quantiser's Gumbel softmax at first.
        gumbel_decay: Factor of it from step to step.
        gumbel_least: Where it ends.
        diversity_weight: Of the diversity of codes.
        feature_weight: Of the mean square of what the convolutions over the waveform give.
    """

    needs = frozenset({Trait.HIDDEN_TOKENS, Trait.LAYERS, Trait.LOCAL_TOKENS})
    across = "mean over the asked tokens of all processes, negatives from each clip; diversity over all processes' tokens"

    def __init__(
        self,
        *,
        groups: PositiveInt = 2,
        codes: Annotated[PositiveInt, Field(ge=2)] = 320,
        code_width: PositiveInt = 256,
        out: PositiveInt = 256,
        negatives: PositiveInt = 100,
        temperature: PositiveFloat = 0.1,
        gumbel: PositiveFloat = 2.0,
        gumbel_decay: Annotated[float, Field(gt=0, le=1)] = 0.999995,
        gumbel_least: PositiveFloat = 0.5,
        diversity_weight: NonNegativeFloat = 0.1,
        feature_weight: NonNegativeFloat = 10.0,
    ) -> None:
        super().__init__()
        if code_width % groups:
            raise UserError(f"objective.code_width: {code_width} does not divide by {groups} groups")
        self.groups, self.codes, self.code_width, self.out = groups, codes, code_width, out
        self.negatives, self.temperature = negatives, temperature
        self.gumbel_decay, self.gumbel_least = gumbel_decay, gumbel_least
        self.diversity_weight, self.feature_weight = diversity_weight, feature_weight
        self.gumbel: Tensor
        self.register_buffer("gumbel", torch.tensor(gumbel))

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        return Contrast(
            encoder.width,
            encoder.local_width,
            groups=self.groups,
            codes=self.codes,
            code_width=self.code_width,
            out=self.out,
        )

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        loss = average([self._one(view, student, generator) for view in withholding(views, "speech/wav2vec2")])
        if self.training:
            self.gumbel.mul_(self.gumbel_decay).clamp_(min=self.gumbel_least)
        return loss

    def _one(self, view: View, student: Branch, generator: torch.Generator) -> Loss:
        encoding = in_place(student.encoder(replace(view, layers=True)))
        tokens, lengths = asked_tokens(view)
        contrast = cast(Contrast, student.predictor)
        quantized = self.quantized(contrast, encoding, tokens, generator)
        values = self.compared(contrast, encoding.tokens[tokens], quantized, lengths, generator)
        return self.summed(encoding, quantized, distributed.mean(values, (lengths.tensor > 1)[lengths.owners()]))

    def quantized(self, contrast: Contrast, encoding: Encoding, tokens: Tensor, generator: torch.Generator) -> Quantized:
        """The asked tokens' sound, before the mask."""
        temperature = self.gumbel.clone()  # the buffer falls before the backward pass
        made: Quantized = contrast.quantizer(contrast.norm(local_of(encoding)[tokens]), temperature, generator)
        return made

    def compared(
        self, contrast: Contrast, context: Tensor, quantized: Quantized, lengths: Lengths, generator: torch.Generator
    ) -> Float[Tensor, "asked"]:
        """The contrastive loss of each asked token (equation 3)."""
        predictions, targets = full(contrast.context(context)), full(contrast.target(quantized.vectors))
        radix = self.codes ** torch.arange(self.groups, device=targets.device)
        negatives = draw_negatives(lengths, self.negatives, generator)
        with exact(predictions):
            return contrastive(predictions, targets, lengths, negatives, self.temperature, (quantized.codes * radix).sum(1))

    def summed(self, encoding: Encoding, quantized: Quantized, value: Float[Tensor, ""]) -> Loss:
        """With the diversity of codes (equation 4) and the penalty on features."""
        spread = diversity(quantized.probabilities)
        local = full(local_of(encoding))
        penalty = distributed.mean(local.square().mean(1))
        total = value + self.diversity_weight * spread + self.feature_weight * penalty
        perplexity = (1 - spread.detach()) * self.groups * self.codes / self.groups
        metrics = {"contrast": value.detach(), "perplexity": perplexity, "features": penalty.detach()}
        return Loss(total, metrics)


class W2vBert(Wav2Vec2Loss):
    """wav2vec 2.0's contrast at an inner layer, and behind the last one a cross-entropy over the quantiser's own codes.

    Args:
        layer: The layer, from 1, whose tokens are contrasted; those behind it predict codes.
        masked_weight: Of the cross-entropy beside the contrast: 1 in the paper.
        groups: Codebooks of the quantiser.
        codes: Entries of each.
        code_width: Width of the entries chosen, together.
        out: Width in which context and targets are compared.
        negatives: Other asked tokens of the clip that each is told from.
        temperature: Of the softmax over similarities.
        gumbel: Temperature of the quantiser's Gumbel softmax at first.
        gumbel_decay: Factor of it from step to step.
        gumbel_least: Where it ends.
        diversity_weight: Of the diversity of codes.
        feature_weight: Of the mean square of what the convolutions over the waveform give.
    """

    def __init__(
        self,
        *,
        layer: PositiveInt = 6,
        masked_weight: NonNegativeFloat = 1.0,
        groups: PositiveInt = 1,
        codes: Annotated[PositiveInt, Field(ge=2)] = 1024,
        code_width: PositiveInt = 256,
        out: PositiveInt = 256,
        negatives: PositiveInt = 100,
        temperature: PositiveFloat = 0.1,
        gumbel: PositiveFloat = 2.0,
        gumbel_decay: Annotated[float, Field(gt=0, le=1)] = 0.999995,
        gumbel_least: PositiveFloat = 0.5,
        diversity_weight: NonNegativeFloat = 0.1,
        feature_weight: NonNegativeFloat = 10.0,
    ) -> None:
        super().__init__(
            groups=groups,
            codes=codes,
            code_width=code_width,
            out=out,
            negatives=negatives,
            temperature=temperature,
            gumbel=gumbel,
            gumbel_decay=gumbel_decay,
            gumbel_least=gumbel_least,
            diversity_weight=diversity_weight,
            feature_weight=feature_weight,
        )
        self.layer, self.masked_weight = layer, masked_weight

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        contrast = super().predictor(encoder, width)
        contrast.add_module("masked", nn.Linear(encoder.width, self.groups * self.codes))
        return contrast

    def _one(self, view: View, student: Branch, generator: torch.Generator) -> Loss:
        encoding = in_place(student.encoder(replace(view, layers=True)))
        tokens, lengths = asked_tokens(view)
        contrast = cast(Contrast, student.predictor)
        quantized = self.quantized(contrast, encoding, tokens, generator)
        if self.layer >= len(encoding.layers):
            raise UserError(
                f"objective.layer: {self.layer} leaves none to predict codes; the encoder has {len(encoding.layers)} layers"
            )
        values = self.compared(contrast, encoding.layers[self.layer - 1][tokens], quantized, lengths, generator)
        loss = self.summed(encoding, quantized, distributed.mean(values, (lengths.tensor > 1)[lengths.owners()]))
        logits = full(contrast.get_submodule("masked")(encoding.tokens[tokens])).reshape(-1, self.codes)
        codes = quantized.codes.flatten()
        masked = distributed.mean(F.cross_entropy(logits, codes, reduction="none"))
        right = distributed.mean((logits.detach().argmax(1) == codes).to(logits.dtype))
        return Loss(loss.value + self.masked_weight * masked, {**loss.metrics, "masked": masked.detach(), "accuracy": right})


def local_of(encoding: Encoding) -> Float[Tensor, "tokens channels"]:
    """Every token by itself: there, since the view asked for layers."""
    assert encoding.local is not None, "an encoder that offers LOCAL_TOKENS gives them where a view asks for layers"
    return encoding.local


def in_place(encoding: Encoding) -> Encoding:
    """An encoding with every token in its place.

    Raises:
        UserError: Masked ones were dropped.
    """
    if encoding.present is not None:
        raise UserError(
            "speech/wav2vec2 reads predictions off masked tokens, and this encoder drops them: `encoder.hide: replace`"
        )
    return encoding


def asked_tokens(view: View) -> tuple[Tensor, Lengths]:
    """Where the asked tokens stand, and how many there are of each clip."""
    asked = question(view).any()
    lengths = view.layout.lengths
    return asked.index(lengths), asked.lengths(lengths)
