"""All that learns in a run: one encoder, the parts of each objective, and the teacher.

Kept in one module whose forward is the whole step, since data parallelism and mixed precision wrap a forward.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews.batch import Batch
from manyviews.encoder import Encoder
from manyviews.objective import Branch, Objective, Unit
from manyviews.traits import Trait
from manyviews.view import ViewGenerator


class Step:
    """What a step is made from. A plain class, since wrappers rebuild dataclasses and containers field by field."""

    def __init__(self, batch: Batch, generator: torch.Generator) -> None:
        self.batch, self.generator = batch, generator


@dataclass(frozen=True)
class Part:
    """One of the objectives that share the encoder."""

    views: ViewGenerator
    objective: Objective
    weight: float = 1.0


class Term(nn.Module):
    """A part with its own modules: head (both branches have one), predictor (the student's alone)."""

    def __init__(self, part: Part, encoder: Encoder, unit: Unit) -> None:
        super().__init__()
        width = encoder.pooled_width if unit == "sample" else encoder.width
        self.views, self.objective, self.weight = part.views, part.objective, part.weight
        self.head = part.objective.head(encoder, width)
        self.predictor = part.objective.predictor(encoder, width)
        self.taught = Trait.TEACHER in part.objective.needs


class Model(nn.Module):
    """The encoder, the terms and, where one of them needs it, the EMA teacher of encoder and heads."""

    def __init__(self, encoder: Encoder, parts: Sequence[Part], unit: Unit) -> None:
        super().__init__()
        self.encoder = encoder
        self.terms = nn.ModuleList(Term(part, encoder, unit) for part in parts)
        taught = any(term.taught for term in self.terms)
        self.teacher = _frozen(nn.ModuleList([encoder, *(term.head for term in self.terms)])) if taught else None
        # Branches are plain tuples of views on the modules above, not registered: every tensor has one name.
        self._students = tuple(Branch(encoder, term.head, term.predictor, unit) for term in self.terms)
        self._teachers = tuple(self._teacher_of(i, term, unit) for i, term in enumerate(self.terms))
        self.train()

    def _teacher_of(self, number: int, term: nn.Module, unit: Unit) -> Branch | None:
        if self.teacher is None or not term.taught:
            return None
        return Branch(self.teacher[0], self.teacher[1 + number], None, unit)  # type: ignore[arg-type]

    def train(self, mode: bool = True) -> Model:
        """The teacher never drops out and never updates its norms' statistics."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def forward(self, step: Step) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The weighted sum of the terms' losses and what they report, prefixed by the term's number if there are several."""
        with torch.no_grad():
            layout = self.encoder.layout(step.batch)
            views = [term.views(step.batch, layout, step.generator) for term in self.terms]
        losses = [
            term.objective(seen, student, teacher, step.generator)
            for term, seen, student, teacher in zip(self.terms, views, self._students, self._teachers, strict=True)
        ]
        if len(losses) == 1 and self.terms[0].weight == 1.0:
            return losses[0].value, dict(losses[0].metrics)
        total = torch.stack([term.weight * loss.value for term, loss in zip(self.terms, losses, strict=True)]).sum()
        metrics = {f"term{i}/{key}": value for i, loss in enumerate(losses) for key, value in loss.metrics.items()}
        return total, metrics | {f"term{i}/loss": loss.value.detach() for i, loss in enumerate(losses)}

    def follow(self, momentum: float) -> None:
        """Move the teacher: teacher = momentum * teacher + (1 - momentum) * student; running statistics are copied."""
        if self.teacher is None:
            return
        pairs = list(zip(self.teacher, [self.encoder, *(term.head for term in self.terms)], strict=True))
        with torch.no_grad():
            old = [p for teacher, _ in pairs for p in teacher.parameters()]
            new = [p.detach() for _, student in pairs for p in student.parameters()]
            torch._foreach_lerp_(old, new, 1 - momentum)
            for teacher, student in pairs:
                for mine, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
                    mine.copy_(theirs)


def _frozen(modules: nn.ModuleList) -> nn.ModuleList:
    copied = copy.deepcopy(modules)
    return copied.requires_grad_(False)
