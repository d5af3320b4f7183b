"""Several objectives at once, weighed by MGDA (`combine: mgda`): a step that makes none of them worse.

Each term's gradient on the shared encoder is taken by itself and brought to unit norm, as in ParetoGNN (Ju et al. 2023),
so that the size of a loss does not decide. The point of smallest norm in the convex hull of these directions lowers all
terms at once, or is zero where no step does (multiple-gradient descent; Sener & Koltun 2018, equation 3). The encoder
goes in that direction; each term's own parameters follow its own gradient (Sener & Koltun 2018, algorithm 2, line 2).

The weights reported are those of the losses themselves, adding up to 1: the coefficient of a unit gradient, divided by
that gradient's norm. (ParetoGNN's code puts the coefficients of the unit gradients on the losses, whose sum is then no
common descent direction: a term with a hundredfold gradient leads.)

Sener & Koltun find the point by Frank-Wolfe, in a loop that asks the device at every turn. There are few terms: here
every subset of them is solved in closed form, all in one batch, and the best feasible one taken. That is exact, and no
device waits. For two terms it is their analytic solution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import compress

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews import distributed
from manyviews.engine.model import Model

Gradients = list[Tensor | None]


def min_norm_point(gram: Float[Tensor, "terms terms"]) -> Float[Tensor, "terms"]:
    """The convex coefficients c that minimise c^T gram c: of the point of smallest norm in the hull of the gradients.

    In a subset whose coefficients are all positive at the optimum, they are those of the smallest norm in its affine hull,
    gram^-1 1 / (1^T gram^-1 1). Among gradients that depend linearly on one another the coefficients are shared out evenly.

    Args:
        gram: Inner products of the gradients, of about unit norm.
    """
    terms = len(gram)
    kind = gram.dtype if gram.device.type == "mps" else torch.float64  # which has no float64
    numbers = torch.arange(1, 2**terms, device=gram.device)
    chosen = (numbers[:, None] >> torch.arange(terms, device=gram.device)) & 1
    chosen = chosen.to(kind)
    identity = torch.eye(terms, dtype=kind, device=gram.device)
    # Rows and columns of terms that are left out are the identity's, with nothing asked of them. The ridge is what makes
    # a dependent set solvable; it moves the point by as little.
    ridged = gram.to(kind) + torch.finfo(kind).eps ** 0.5 * identity
    systems = chosen[:, :, None] * chosen[:, None, :] * ridged + (1 - chosen)[:, :, None] * identity
    solution, _ = torch.linalg.solve_ex(systems, chosen[:, :, None])
    coefficients = solution[:, :, 0] / solution.sum(1)
    norms = torch.einsum("si,ij,sj->s", coefficients, ridged, coefficients)
    feasible = (coefficients >= 0).all(1)
    best: Tensor = coefficients[norms.where(feasible, torch.inf).argmin()]
    return best.to(gram.dtype)


def common_descent(gradients: Float[Tensor, "terms parameters"]) -> Float[Tensor, "terms"]:
    """Weights of the gradients themselves, adding up to 1, that give the direction of the min-norm point of unit gradients.

    A term without gradient has no direction that could make it worse: its weight is 0, and the others' are found without it.
    """
    gram = gradients @ gradients.mT
    norms = gram.diagonal().sqrt()
    some = norms != 0
    sizes = torch.where(some, norms, 1.0)
    cosines = torch.where(torch.eye(len(gram), dtype=torch.bool, device=gram.device), 1.0, gram / sizes[:, None] / sizes)
    weights = torch.where(some, min_norm_point(cosines) / sizes, 0.0)
    return weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


class MGDA:
    """Keeps the terms' gradients apart while they are computed, and weighs them before the optimiser's step.

    Across processes it averages the gradients itself: the weights are those of the gradients of the joined batch. The
    caller keeps the data-parallel wrapper from doing so (`no_backward_sync`).

    Args:
        shared: Parameters that all terms have: the encoder's.
        own: All others.
        terms: Number of terms.
    """

    def __init__(self, shared: Sequence[nn.Parameter], own: Sequence[nn.Parameter], terms: int) -> None:
        self.shared, self.own = shared, own
        self.kept: list[Gradients] = [[None] * len(shared) for _ in range(terms)]

    @classmethod
    def of(cls, model: Model) -> MGDA:
        """For a model that combines its terms by it."""
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        encoder = set(model.encoder.parameters())
        shared, own = [p for p in learning if p in encoder], [p for p in learning if p not in encoder]
        return cls(shared, own, len(model.each_term))

    def backward(self, losses: Sequence[Float[Tensor, ""]], backward: Callable[[Tensor], object]) -> None:
        """Add each term's gradients to those kept for it. May be called several times a step.

        Args:
            losses: One a term.
            backward: What `Tensor.backward` is here: it may scale, autocast or share.
        """
        for place, loss in enumerate(losses):
            for parameter, gradient in zip(self.shared, self.kept[place], strict=True):
                parameter.grad = gradient
            backward(loss)
            self.kept[place] = [parameter.grad for parameter in self.shared]
        for parameter in self.shared:
            parameter.grad = None

    @torch.no_grad()
    def combine(self) -> Mapping[str, Float[Tensor, ""]]:
        """Give the shared parameters the combined gradient, forget the terms' own; the weights, as metrics."""
        reached = distributed.anywhere([any(g is not None for g in terms) for terms in zip(*self.kept, strict=True)])
        shared = list(compress(self.shared, reached))
        gradients = torch.stack([_flat(list(compress(kept, reached)), shared) for kept in self.kept])
        self.kept = [[None] * len(self.shared) for _ in self.kept]
        distributed.average_(gradients)
        self._average_own()
        weights = common_descent(gradients)
        for parameter, gradient in zip(shared, _like(weights @ gradients, shared), strict=True):
            parameter.grad = gradient
        return {f"term{place}/weight": weight.clone() for place, weight in enumerate(weights)}

    def _average_own(self) -> None:
        if not distributed.active():
            return
        reached = distributed.anywhere([parameter.grad is not None for parameter in self.own])
        own = list(compress(self.own, reached))
        gradients = _flat([parameter.grad for parameter in own], own)
        distributed.average_(gradients)
        for parameter, gradient in zip(own, _like(gradients, own), strict=True):
            parameter.grad = gradient


def _flat(gradients: Gradients, parameters: Sequence[nn.Parameter]) -> Float[Tensor, "numbers"]:
    """One vector; zeros where there is no gradient."""
    return torch.cat(
        [
            torch.zeros_like(parameter).flatten() if gradient is None else gradient.flatten()
            for gradient, parameter in zip(gradients, parameters, strict=True)
        ]
    )


def _like(flat: Float[Tensor, "numbers"], parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """The vector cut into the parameters' shapes."""
    parts = torch.split(flat, [parameter.numel() for parameter in parameters])
    return [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]
