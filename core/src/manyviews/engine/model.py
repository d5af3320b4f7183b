"""All that learns in pretraining: one encoder, the parts of each objective, and the teacher."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews.batch import Batch
from manyviews.encoder import Encoder
from manyviews.engine.learner import Learner, Step
from manyviews.engine.schedules import momentum
from manyviews.errors import keyed
from manyviews.layout import Layout
from manyviews.objective import Branch, Loss, Objective, Unit
from manyviews.recipe.model import Teacher
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator


@dataclass(frozen=True)
class Part:
    """One of the objectives that share the encoder."""

    views: ViewGenerator
    objective: Objective
    weight: float = 1.0
    key: str = "objective"
    """Where the objective stands in the recipe."""


class Term(nn.Module):
    """A part with its own modules: head (both branches have one), predictor (the student's alone)."""

    def __init__(self, part: Part, encoder: Encoder, unit: Unit) -> None:
        super().__init__()
        width = encoder.pooled_width if unit == "sample" else encoder.width
        self.views, self.objective, self.weight, self.key = part.views, part.objective, part.weight, part.key
        self.views.bind(encoder.layout)
        self.objective.unit = unit
        with keyed(part.key):
            self.head = part.objective.head(encoder, width)
            self.predictor = part.objective.predictor(encoder, width)
        self.views_key = part.key.removesuffix("objective") + "views"
        self.taught = Trait.TEACHER in part.objective.needs

    def shown(self, encoder: Encoder, batch: Batch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        """The views of a batch, with what the objective itself asks about it."""
        views: tuple[View, ...] = self.views(batch, layout, generator)
        answer = self.objective.answer(encoder, batch, layout)
        return views if answer is None else tuple(replace(view, target=answer) for view in views)


class Model(Learner):
    """The encoder, the terms and, where one of them needs it, the EMA teacher of encoder and heads."""

    watched = True

    def __init__(self, encoder: Encoder, parts: Sequence[Part], unit: Unit, teacher: Teacher | None = None) -> None:
        super().__init__()
        self.encoder, self.pace = encoder, teacher or Teacher()
        self.each_term = tuple(Term(part, encoder, unit) for part in parts)
        self.terms = nn.ModuleList(self.each_term)
        self._learning = (encoder, *(term.head for term in self.each_term))
        taught = any(term.taught for term in self.each_term)
        self._following = tuple(copy.deepcopy(nn.ModuleList(self._learning)).requires_grad_(False)) if taught else ()
        self.teacher = nn.ModuleList(self._following)
        # Branches are plain tuples of what stands above, not registered again: every tensor has one name.
        self._students = tuple(Branch(encoder, term.head, term.predictor, unit) for term in self.each_term)
        self._teachers = tuple(self._teacher_of(place, term, unit) for place, term in enumerate(self.each_term))
        self.train()

    @property
    def compares(self) -> bool:
        """Whether a term compares samples with one another."""
        return any(Trait.SEVERAL_VIEWS in term.objective.needs for term in self.each_term)

    def _teacher_of(self, place: int, term: Term, unit: Unit) -> Branch | None:
        return Branch(cast(Encoder, self._following[0]), self._following[1 + place], None, unit) if term.taught else None

    def train(self, mode: bool = True) -> Model:
        """The teacher never drops out and never updates its norms' statistics."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The weighted sum of the terms' losses. What they report is noted, by the term's number if there are several."""
        with torch.no_grad():
            layout = self.encoder.layout(step.batch)
            views = [term.shown(self.encoder, step.batch, layout, step.generator) for term in self.each_term]
        losses: list[Loss] = [
            term.objective(seen, student, teacher, step.generator)
            for term, seen, student, teacher in zip(self.each_term, views, self._students, self._teachers, strict=True)
        ]
        if len(losses) == 1 and self.each_term[0].weight == 1.0:
            step.note({"loss": losses[0].value.detach(), **losses[0].metrics})
            return losses[0].value
        total = torch.stack([term.weight * loss.value for term, loss in zip(self.each_term, losses, strict=True)]).sum()
        metrics = {f"term{place}/{key}": value for place, loss in enumerate(losses) for key, value in loss.metrics.items()}
        each = {f"term{place}/loss": loss.value.detach() for place, loss in enumerate(losses)}
        step.note({"loss": total.detach(), **metrics, **each})
        step.losses = [loss.value for loss in losses]
        return total

    def begin(self, share: float) -> None:
        for term in self.each_term:
            term.views.progress(share)

    def follow(self, share: float) -> None:
        if self._following:
            self.lead(momentum(self.pace.momentum, self.pace.final_momentum, share, self.pace.schedule))

    @torch.no_grad()
    def lead(self, momentum: float) -> None:
        """Move the teacher: teacher = momentum * teacher + (1 - momentum) * student; running statistics are copied."""
        if self._following:
            torch._foreach_lerp_(*self._followed, 1 - momentum)
            for teacher, student in zip(self._following, self._learning, strict=True):
                for mine, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
                    mine.copy_(theirs)

    @cached_property
    def _followed(self) -> tuple[list[Tensor], list[Tensor]]:
        """The teacher's parameters and the student's. Looked up once, at the first step, when all wrappers are in place."""
        return _tensors(self._following), _tensors(self._learning)


def _tensors(modules: Sequence[nn.Module]) -> list[Tensor]:
    return [parameter for module in modules for parameter in module.parameters()]
