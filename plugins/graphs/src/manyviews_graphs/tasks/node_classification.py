"""Node classification by the probe that the literature reports: a linear layer, trained full batch by Adam.

GraphMAE (Hou et al. 2022), CCA-SSG and BGRL's followers train it for a fixed number of epochs on the public training
nodes and report the test accuracy of the last epoch, or of the epoch that was best on the validation nodes. Another
probe on the same embeddings differs by three to four points, so this one changes nothing: no standardisation, no
convergence, PyTorch's own initial weights. The core's `linear_probe` is the better judge; this one is for comparison.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from manyviews.errors import DataError
from manyviews.evaluate.cut import Cut, cut, labels_of
from manyviews.evaluate.metrics import class_count
from manyviews.evaluate.standardize import Standardizer
from manyviews.evaluate.task import Embedded, Scores, Task
from manyviews.evaluate.threads import torch_threads


class NodeClassification(Task):
    """The published linear probe on the nodes' public split: accuracy, mean and standard deviation over `seeds`.

    Reports `accuracy` (after the last epoch), `accuracy_best_valid` (of the epoch that is best on the validation nodes, the
    latest of several) and `valid_accuracy` (after the last epoch). Where there are no test nodes, as during training,
    `accuracy` is that of the validation nodes and stands alone.

    Args:
        lr: Adam's rate.
        weight_decay: L2, within Adam's gradient.
        epochs: Steps on all training nodes.
        seeds: Initial weights of the probe.
        seed: The first of them; the others count on from it.
        standardize: Scale features to mean 0 and variance 1 on the training nodes; not as published.
    """

    needs_labels = True
    needs_classes = True
    better = {"accuracy": "higher", "accuracy_best_valid": "higher", "valid_accuracy": "higher"}  # noqa: RUF012

    def __init__(
        self,
        *,
        lr: PositiveFloat = 0.01,
        weight_decay: NonNegativeFloat = 1e-4,
        epochs: PositiveInt = 300,
        seeds: PositiveInt = 5,
        seed: NonNegativeInt = 0,
        standardize: bool = False,
    ) -> None:
        self.lr, self.weight_decay, self.epochs = lr, weight_decay, epochs
        self.seeds, self.seed, self.standardize = seeds, seed, standardize

    def check(self, data: Embedded) -> None:
        self.cut(data)

    def cut(self, data: Embedded) -> Cut:
        """Nodes by role: fitted, validated (none where those are reported), reported."""
        labels = labels_of(data)
        if labels.kind != "classification":
            raise DataError(f"labels {labels.name!r} are numbers; `linear_probe` is the probe for these")
        return cut(data, choosing=False)

    def __call__(self, data: Embedded) -> Scores:
        parts, labels = self.cut(data), labels_of(data)
        x = torch.from_numpy(np.ascontiguousarray(data.x, dtype=np.float32))
        if self.standardize:
            x = Standardizer.fit(x[parts.fit], True)(x)
        y = torch.from_numpy(labels.values)
        with torch_threads():
            found = self.run(x, y, class_count(labels), parts)
        runs = [{name: float(values[seed]) for name, values in found.items()} for seed in range(self.seeds)]
        return Scores.over(runs, parts.notes)

    def run(
        self, x: Float[Tensor, "nodes width"], y: Int[Tensor, "nodes"], classes: int, parts: Cut
    ) -> dict[str, Float[Tensor, "seeds"]]:
        """The accuracies of each seed. All seeds are trained at once: Adam's steps are of each weight alone."""
        parameters = self.weights(x.shape[1], classes)
        optimizer = torch.optim.Adam(parameters, lr=self.lr, weight_decay=self.weight_decay, foreach=True)
        fit, choose, report = x[parts.fit], x[parts.choose], x[parts.report]
        best, at_best, valid = (torch.zeros(self.seeds, dtype=torch.float64) for _ in range(3))
        for epoch in range(self.epochs):
            with torch.enable_grad():
                logits = self.logits(fit, parameters)
                loss = F.cross_entropy(logits.flatten(0, 1), y[parts.fit].repeat_interleave(self.seeds)) * self.seeds
                optimizer.zero_grad()
                torch.autograd.backward(loss)
            optimizer.step()
            if not len(choose) and epoch < self.epochs - 1:
                continue
            with torch.no_grad():
                last = accuracy(self.logits(report, parameters), y[parts.report])
                if len(choose):
                    valid = accuracy(self.logits(choose, parameters), y[parts.choose])
                    at_best = torch.where(valid >= best, last, at_best)
                    best = torch.maximum(valid, best)
        if not len(choose):
            return {"accuracy": last}
        return {"accuracy": last, "accuracy_best_valid": at_best, "valid_accuracy": valid}

    def weights(self, width: int, classes: int) -> tuple[Float[Tensor, "width out"], Float[Tensor, "out"]]:
        """Those of a linear layer for each seed, side by side, from the distribution that PyTorch draws them from."""
        bound = 1 / math.sqrt(width)
        drawn = []
        for seed in range(self.seed, self.seed + self.seeds):
            generator = torch.Generator().manual_seed(seed)
            drawn.append(torch.rand(width + 1, classes, generator=generator) * 2 * bound - bound)
        both = torch.cat(drawn, dim=1)
        return both[:-1].clone().requires_grad_(), both[-1].clone().requires_grad_()

    def logits(
        self, x: Float[Tensor, "nodes width"], parameters: tuple[Float[Tensor, "width out"], Float[Tensor, "out"]]
    ) -> Float[Tensor, "nodes seeds classes"]:
        weight, bias = parameters
        return rearrange(torch.addmm(bias, x, weight), "nodes (seeds classes) -> nodes seeds classes", seeds=self.seeds)


def accuracy(logits: Float[Tensor, "nodes seeds classes"], y: Int[Tensor, "nodes"]) -> Float[Tensor, "seeds"]:
    """Of each seed."""
    return (logits.argmax(2) == y[:, None]).double().mean(0)
