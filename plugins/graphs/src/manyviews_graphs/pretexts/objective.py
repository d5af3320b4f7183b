"""The objective `graphs/pretext`: a linear read-out answers a pretext question (SelfTask, Jin et al. 2020, section 3.1).

About a node it reads the embedding h_i, about a pair |h_i - h_j|. Classes are answered by cross-entropy, numbers by
squared error.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import exact, full
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_graphs.encoder import GraphEncoder
from manyviews_graphs.pretexts.distances import FARTHEST
from manyviews_graphs.pretexts.question import QUESTIONS, Question, Task


class PretextAnswer(Objective):
    """Answers the question that the views `graphs/pretext` of the same task ask.

    Args:
        task: As the views'.
        clusters: As the views', for `distance_cluster`.
    """

    needs = frozenset({Trait.PRETEXT_TARGET})
    target = Question
    across = "mean over what is asked on all processes"

    def __init__(self, *, task: Task = "edge_mask", clusters: PositiveInt = 10) -> None:
        super().__init__()
        self.task, self.clusters = task, clusters
        self.target = QUESTIONS[task]

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        self._refuse_leaks(encoder)
        outs = {"edge_mask": 2, "pairwise_distance": FARTHEST, "distance_cluster": self.clusters}
        return nn.Linear(encoder.width, outs.get(self.task, 1))

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert student.predictor is not None
        (view,) = views
        question: Question = view.target
        answers = full(student.predictor(self._asked(full(student.encoder(view).tokens), question)))
        with exact(answers):
            if question.answer.is_floating_point():
                return self._numbers(answers, question)
            values = F.cross_entropy(answers, question.answer, reduction="none")
            right = (answers.detach().argmax(1) == question.answer).to(answers.dtype)
            accuracy = distributed.mean(right, question.known)
            return Loss(distributed.mean(values, question.known), {"accuracy": accuracy})

    @staticmethod
    def _asked(nodes: Float[Tensor, "nodes width"], question: Question) -> Float[Tensor, "asked width"]:
        one = nodes[question.one]
        return one if question.two is None else (one - nodes[question.two]).abs()

    def _numbers(self, answers: Float[Tensor, "asked out"], question: Question) -> Loss:
        if answers.shape != question.answer.shape:
            raise UserError(
                f"pretext: the views ask for {question.answer.shape[1]} clusters, and the objective answers "
                f"{answers.shape[1]}; set `clusters` of both alike"
            )
        errors = (answers - question.answer.to(answers.dtype)).square().mean(1)
        return Loss(distributed.mean(errors, question.known))

    def _refuse_leaks(self, encoder: Encoder) -> None:
        """Features that hold the answer: computed from the edges before these were taken away, or the degree itself."""
        if not isinstance(encoder, GraphEncoder):
            return
        spec = encoder.spec
        leak = "the degrees that the nodes have as features" if spec.features == "degree" else ""
        if self.task == "edge_mask" and spec.place_kind != "none":
            leak = f"the positional encodings ({spec.place_kind})"
        if leak and self.task in ("edge_mask", "node_property"):
            raise UserError(f"pretext: {leak} tell the answer of `task: {self.task}`; leave them out of `data`")
