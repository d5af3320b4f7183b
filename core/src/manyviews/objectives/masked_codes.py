"""Masked prediction of codes: say which code each withheld token has (HuBERT, Hsu et al. 2021; BEiT, Bao et al. 2022).

Codes are clusters of what tokens hold: of their raw content (HuBERT's first round, on MFCC), or of what a layer of an
encoder pretrained before makes of them (its second round). The clusters are found once, before the first step, and are
part of every checkpoint; a token's code is then the nearest of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.batch import Batch
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.frozen import Frozen
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.clusters import k_means, nearest, refuse_other_tokens
from manyviews.objectives.shared import asking, average, exact, full, perplexity, question
from manyviews.objectives.topics import Topics, code_counts
from manyviews.traits import Trait
from manyviews.view import View


def cosine_logits(
    predictions: Float[Tensor, "tokens width"], codes: Float[Tensor, "codes width"], temperature: float
) -> Float[Tensor, "tokens codes"]:
    """cos(prediction, code) / temperature (Hsu 2021, equation 3): unit vectors and one product of matrices."""
    return F.normalize(predictions, dim=-1) @ F.normalize(codes, dim=-1).T / temperature


class CodePredictor(nn.Module):
    """A decoder and the codes' embeddings; from an encoding to logits over codes of the asked tokens."""

    def __init__(self, decoder: nn.Module, codes: int, out: int, temperature: float) -> None:
        super().__init__()
        self.decoder, self.temperature = decoder, temperature
        self.topic: nn.Module | None = None
        """From what is pooled to logits over topics; set where there are any."""
        self.codes = nn.Parameter(torch.empty(codes, out).uniform_())  # as the published code begins

    def forward(self, encoding: Encoding, view: View, asked: Mask) -> Float[Tensor, "asked codes"]:
        predictions = full(self.decoder(encoding, view, asked))
        with exact(predictions):
            return cosine_logits(predictions, self.codes, self.temperature)


class MaskedCodes(Objective):
    """Cross-entropy over the codes of withheld tokens, by cosine similarity (HuBERT).

    Args:
        codes: Number of clusters: HuBERT has 100 in its first round, 500 in its second.
        run: Folder of a finished run whose encoder's tokens are clustered; null: the raw content of tokens is.
        layer: Which of that encoder's layers, from 1; null: its last.
        fit_tokens: Tokens of training samples that the clusters are found on.
        fit_seed: Of the clustering.
        feature_weight: Of the mean square of what the encoder makes of each token by itself, in front of its context: 10 in
            HuBERT, whose convolutions over the waveform would else drift. For encoders that give it alone; 0: none.
        topics: Topics of samples, found on their tokens' codes and predicted from what is pooled (HuBERTopic); null: none.
        topic_weight: Of the cross-entropy over topics.
        temperature: Of the softmax over similarities.
        out: Width in which predictions and codes are compared.
        width: Width of the decoder.
        depth: Blocks of the decoder; 0 reads withheld tokens off encoders that replace them, as HuBERT does.
        heads: Attention heads of the decoder.
    """

    needs = frozenset({Trait.ASKED_TOKENS, Trait.TOKEN_TARGETS})
    across = "mean over the asked tokens of all processes, however many each has"

    def __init__(
        self,
        *,
        codes: Annotated[PositiveInt, Field(ge=2)] = 100,
        run: str | None = None,
        layer: PositiveInt | None = None,
        fit_tokens: PositiveInt = 100_000,
        fit_seed: NonNegativeInt = 0,
        feature_weight: NonNegativeFloat = 0.0,
        topics: Annotated[int, Field(ge=2)] | None = None,
        topic_weight: NonNegativeFloat = 1.0,
        temperature: PositiveFloat = 0.1,
        out: PositiveInt = 256,
        width: PositiveInt = 64,
        depth: NonNegativeInt = 1,
        heads: PositiveInt = 4,
    ) -> None:
        super().__init__()
        self.codes, self.layer, self.fit_tokens, self.fit_seed = codes, layer, fit_tokens, fit_seed
        self.temperature, self.out, self.width, self.depth, self.heads = temperature, out, width, depth, heads
        self.feature_weight, self.topic_weight = feature_weight, topic_weight
        self.topics = None if topics is None else Topics(topics, codes)
        if feature_weight:
            self.needs = self.needs | {Trait.LAYERS, Trait.LOCAL_TOKENS}
        self.centroids: Tensor
        if run is not None:
            self.frozen = _labeller(run, layer)
            self.needs = self.needs - {Trait.TOKEN_TARGETS}
        elif layer is not None:
            raise UserError("masked_codes: `layer` is one of the encoder of a finished `run`; name that run too")

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        channels = encoder.target_channels if self.frozen is None else self.frozen.encoder.width
        if not channels:
            raise UserError(f"masked_codes needs raw content of tokens; {type(encoder).__name__} has none of these data")
        self.register_buffer("centroids", torch.zeros(self.codes, channels))
        decoder = encoder.decoder(self.width, self.depth, self.heads, self.out)
        predictor = CodePredictor(decoder, self.codes, self.out, self.temperature)
        if self.topics is not None:
            predictor.topic = nn.Linear(encoder.pooled_width, len(self.topics.words))
        return predictor

    def prepare(self, encoder: Encoder, batches: Iterator[Batch]) -> None:
        """Find the clusters on the first `fit_tokens` tokens of training batches (k-means in mini-batches, as published)."""
        parts: list[np.ndarray] = []
        lengths: list[Lengths] = []
        while sum(map(len, parts)) < self.fit_tokens and (batch := next(batches, None)) is not None:
            parts.append(self.content(encoder, batch).cpu().numpy())
            lengths.append(encoder.layout(batch).lengths)
        tokens = np.concatenate(parts)[: self.fit_tokens]
        if len(tokens) < self.codes:
            raise UserError(
                f"masked_codes: {self.codes} codes cannot be found on {len(tokens)} training tokens; set `codes` to fewer"
            )
        self.centroids.copy_(k_means(tokens, self.codes, self.fit_seed))
        if self.topics is not None:
            kind = self.centroids.dtype
            codes = [nearest(torch.from_numpy(part).to(kind), self.centroids) for part in parts]
            counts = [code_counts(code, sizes, self.codes) for code, sizes in zip(codes, lengths, strict=True)]
            self.topics.fit(torch.cat(counts).numpy(), self.fit_seed)

    @torch.no_grad()
    def content(
        self, encoder: Encoder, batch: Batch, tokens: Int[Tensor, "asked"] | None = None
    ) -> Float[Tensor, "asked channels"]:
        """What is clustered, of these tokens or of all; what is missing (NaN) counts as 0."""
        layout = encoder.layout(batch)
        if self.frozen is None:
            every = torch.arange(layout.lengths.total, device=layout.lengths.tensor.device)
            content = encoder.targets(batch, every if tokens is None else tokens)
        else:
            content = self._described(self.frozen, batch, layout)
            content = content if tokens is None else content[tokens]
        return content.to(self.centroids.dtype).nan_to_num()

    def _described(self, frozen: Frozen, batch: Batch, layout: Layout) -> Float[Tensor, "tokens channels"]:
        cut, encoding = frozen(batch, layers=self.layer is not None)
        refuse_other_tokens(frozen, cut, layout)
        if self.layer is None:
            return encoding.tokens
        if self.layer > len(encoding.layers):
            raise UserError(f"masked_codes: `layer` {self.layer} of an encoder of {len(encoding.layers)} layers")
        return encoding.layers[self.layer - 1]

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        return average([self._one(view, student) for view in asking(views, "masked_codes")])

    def _one(self, view: View, student: Branch) -> Loss:
        predictor = cast(CodePredictor, student.predictor)
        asked = question(view)
        tokens = asked.index(view.layout.lengths) % view.layout.lengths.total
        with exact(self.centroids):
            every = nearest(self.content(student.encoder, view.batch, None if self.topics else tokens), self.centroids)
        codes = every[tokens] if self.topics else every
        encoding = student.encoder(replace(view, layers=bool(self.feature_weight)))
        logits = predictor(encoding, view, asked)
        right = (logits.detach().argmax(-1) == codes).to(logits.dtype)
        value = distributed.mean(F.cross_entropy(logits, codes, reduction="none"))
        metrics = {"accuracy": distributed.mean(right), "perplexity": perplexity(codes, self.codes)}
        if self.feature_weight:
            assert encoding.local is not None, "an encoder that offers LOCAL_TOKENS gives them where a view asks for layers"
            penalty = distributed.mean(full(encoding.local).square().mean(1))
            value, metrics = value + self.feature_weight * penalty, metrics | {"features": penalty.detach()}
        if self.topics is not None:
            assert predictor.topic is not None
            topic = self.topics(every, view.layout.lengths)
            off = distributed.mean(F.cross_entropy(full(predictor.topic(encoding.pooled)), topic, reduction="none"))
            value, metrics = value + self.topic_weight * off, metrics | {"topic": off.detach()}
        return Loss(value, metrics)


def _labeller(run: str, layer: int | None) -> Frozen:
    """The encoder of a finished run, which must give layers where one is asked for."""
    from manyviews.engine.load import load_frozen  # the engine stands on objectives, not they on it

    frozen = load_frozen(run)
    if layer is not None and Trait.LAYERS not in frozen.encoder.offers:
        raise UserError(f"masked_codes: {type(frozen.encoder).__name__} of {run} gives no layers; leave `layer` out")
    return frozen
