"""What objectives do around their equations: embed the views, check them, leave half precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manyviews.errors import UserError
from manyviews.mask import Mask
from manyviews.objective import Branch, Loss
from manyviews.view import View


def full(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """At least float32: sums over units and softmaxes lose too much in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def exact(x: Tensor) -> torch.autocast:
    """A context in which autocast does not lower the equation's products to half precision."""
    return torch.autocast(x.device.type, enabled=False)


def embed(views: Sequence[View], branch: Branch, objective: str) -> Float[Tensor, "views units out"]:
    """The head's output for each unit of each view, at least float32.

    Raises:
        UserError: Where the views do not hold the same number of units.
    """
    embeddings = [full(branch.embed(view)) for view in views]
    numbers = [len(embedding) for embedding in embeddings]
    if len(set(numbers)) > 1:
        raise UserError(
            f"{objective} compares the same units in every view; these views have {', '.join(map(str, numbers))} units\n"
            "choose `unit: sample`, or a view generator whose views have aligned tokens"
        )
    return torch.stack(embeddings)


def refuse_few_views(views: Sequence[View], objective: str) -> None:
    """Raises UserError where there is nothing to compare."""
    if len(views) < 2:
        raise UserError(f"{objective} compares two or more views of each sample; this view generator gives {len(views)}")


def refuse_single(units: int, objective: str) -> None:
    """Raises UserError where a batch, of all processes, has one unit: nothing can be told apart or vary.

    Args:
        units: Units in all processes' batches.
        objective: How the message names it.
    """
    if units < 2:
        raise UserError(
            f"{objective} compares units with one another, and this batch has {units} of them\n"
            "give at least 2: a larger `train.batch_size`, or `unit: token` for a source that is one single sample"
        )


def deviation(z: Float[Tensor, "*views units width"]) -> Float[Tensor, ""]:
    """Standard deviation over units, averaged over dimensions: 0 at collapse. A metric, without gradient.

    `std` over any but the last axis takes four times as long on a CPU: 1% of a tabular JEPA's step.
    """
    z = z.detach()
    norms: Tensor = torch.linalg.vector_norm(z - z.mean(-2, keepdim=True), dim=-2)
    return norms.mean() / math.sqrt(z.shape[-2])


def perplexity(codes: Int[Tensor, "tokens"], size: int) -> Float[Tensor, ""]:
    """How many codes are in use: exp of the entropy of their shares. 1 at collapse; a metric."""
    counts = torch.zeros(size, device=codes.device).index_add(0, codes, torch.ones(len(codes), device=codes.device))
    entropy: Tensor = torch.special.entr(counts / max(len(codes), 1)).sum()
    return entropy.exp()


def taught(views: Sequence[View], objective: str) -> list[int]:
    """Which views the teacher sees: those of role `global`.

    Raises:
        UserError: Where there is none.
    """
    seen = [number for number, view in enumerate(views) if view.role == "global"]
    if not seen:
        roles = ", ".join(sorted({view.role for view in views}))
        raise UserError(
            f"{objective} takes its targets from the views of role `global`; these views have the roles {roles}\n"
            "choose a view generator that gives a global view"
        )
    return seen


def pairs(views: int, seen: Sequence[int]) -> list[tuple[int, int]]:
    """(view, target) for every view and every target that is not of the same view; targets are numbered as in `seen`."""
    return [(view, target) for view in range(views) for target, origin in enumerate(seen) if view != origin]


def withholding(views: Sequence[View], objective: str) -> list[View]:
    """The views that withhold tokens.

    Raises:
        UserError: Where there is none.
    """
    masked = [view for view in views if view.hidden is not None]
    if not masked:
        raise UserError(f"{objective} predicts withheld tokens, and these views show all; choose a view generator that masks")
    return masked


def asking(views: Sequence[View], objective: str) -> list[View]:
    """The views that ask for tokens: those that they withhold, or such as they show altered.

    Raises:
        UserError: Where there is none.
    """
    found = [view for view in views if view.hidden is not None or view.asked is not None]
    if not found:
        raise UserError(f"{objective} predicts tokens asked for; these views ask for none: choose a view generator that masks")
    return found


def question(view: View) -> Mask:
    """The tokens to be predicted: those asked for, or all that are hidden."""
    asked = view.hidden if view.asked is None else view.asked
    assert asked is not None
    return asked


def average(losses: Sequence[Loss]) -> Loss:
    """The mean of the losses of several views, and of what they report."""
    keys = losses[0].metrics
    metrics = {key: torch.stack([loss.metrics[key] for loss in losses]).mean() for key in keys}
    return Loss(torch.stack([loss.value for loss in losses]).mean(), metrics)
