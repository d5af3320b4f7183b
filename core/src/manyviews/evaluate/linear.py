"""Linear models along a path of penalties: logistic regression by L-BFGS, ridge regression in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from scipy.optimize import minimize
from sklearn.linear_model import Ridge
from torch import Tensor
from torch.nn import functional as F

from manyviews.evaluate.basis import Basis


@dataclass(frozen=True)
class Linear:
    """A fitted model, for features centred as those that it was fitted on."""

    weight: Float[Tensor, "width outputs"]
    bias: Float[Tensor, "outputs"]
    l2: float
    converged: bool = True

    def __call__(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows outputs"]:
        return x @ self.weight + self.bias


def log_probabilities(outputs: Float[Tensor, "rows outputs"]) -> Float[Tensor, "rows classes"]:
    """Of a logistic model; a single output is the second of two classes, the first one's being 0."""
    return F.log_softmax(F.pad(outputs, (1, 0)) if outputs.shape[1] == 1 else outputs, dim=1)


def logistic_path(
    x: Float[Tensor, "units width"], y: Int[Tensor, "units"], classes: int, l2: Sequence[float], iterations: int
) -> Iterator[Linear]:
    """Minimise Σ cross-entropy + l2/2 ‖W‖² (bias free) for each `l2` in turn, each starting from the last one's optimum.

    Lazy: a caller that has seen enough stops asking. scikit-learn's `C` is 1/l2. Give the strongest penalty first.
    """
    outputs = classes if classes > 2 else 1
    basis = Basis.of(x)
    rotated = basis.rotate(x)
    problem = _Logistic(rotated, F.one_hot(y, classes)[:, -outputs:].float(), basis.energies.numpy())
    theta = np.zeros((rotated.shape[1] + 1, outputs))
    for penalty in l2:
        theta, converged = problem.minimise(theta, penalty, iterations)
        weight = torch.from_numpy(theta)
        yield Linear(basis.back(weight[:-1]).float(), weight[-1].float(), penalty, converged)


class _Logistic:
    """The objective and its gradient: float32 where the features are read, float64 where L-BFGS compares values."""

    def __init__(self, x: Float[Tensor, "units rank"], truth: Float[Tensor, "units outputs"], energies: np.ndarray) -> None:
        self.x, self.truth = x, truth
        self.curvature = np.append(energies, len(x))[:, None] / 4  # of each weight, and of the bias, at its upper bound

    def minimise(self, theta: np.ndarray, l2: float, iterations: int) -> tuple[np.ndarray, bool]:
        penalty = np.full_like(self.curvature, l2)
        penalty[-1] = 0
        scale = 1 / np.sqrt(self.curvature + penalty)

        def scaled(flat: np.ndarray) -> tuple[float, np.ndarray]:
            theta_ = rearrange(flat, "(rank outputs) -> rank outputs", outputs=theta.shape[1]) * scale
            value, gradient = self.value(theta_)
            return value + 0.5 * (penalty * theta_**2).sum(), ((gradient + penalty * theta_) * scale).ravel()

        # The scaled Hessian is about 1, so half the squared gradient bounds what is left to gain: about 1e-6 a unit.
        tolerance = 1e-4 * np.sqrt(len(self.x))
        options = {"maxiter": iterations, "maxfun": 2 * iterations, "gtol": tolerance, "ftol": 1e-9, "maxcor": 20}
        found = minimize(scaled, (theta / scale).ravel(), jac=True, method="L-BFGS-B", options=options)
        # Status 2 is a line search that float32 rounding ended: at the optimum unless the gradient is still large.
        converged = found.status == 0 or (found.status == 2 and np.abs(found.jac).max() < 100 * tolerance)
        return found.x.reshape(theta.shape) * scale, bool(converged)

    def value(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        weight = torch.from_numpy(theta).float()
        logits = torch.addmm(weight[-1], self.x, weight[:-1])
        if logits.shape[1] == 1:
            value = F.binary_cross_entropy_with_logits(logits, self.truth, reduction="none")
            residual = logits.sigmoid() - self.truth
        else:
            log_p = logits.log_softmax(1)
            value = -(log_p * self.truth).sum(1)
            residual = log_p.exp() - self.truth
        gradient = torch.cat([self.x.T @ residual, residual.sum(0, keepdim=True)])
        return value.sum(dtype=torch.float64).item(), gradient.double().numpy()


def ridge_path(x: Float[Tensor, "units width"], y: Float[Tensor, "units"], l2: Sequence[float]) -> Iterator[Linear]:
    """Minimise ‖y - xw - b‖² + l2 ‖w‖² for each `l2`; one factorisation for all of them."""
    basis = Basis.of(x)
    bias, centred = y.mean().float().reshape(1), (y - y.mean()).double()
    if basis.axes is None:
        for penalty in l2:
            model = Ridge(penalty, fit_intercept=False, solver="lsqr", tol=1e-6).fit(x.numpy(), centred.float().numpy())
            yield Linear(torch.from_numpy(model.coef_).float()[:, None], bias, penalty)
        return
    covariance = torch.zeros(x.shape[1], dtype=torch.float64)
    for part, target in zip(torch.split(x, 4096), torch.split(centred, 4096), strict=True):
        covariance += part.double().T @ target
    along = basis.axes.T @ covariance
    for penalty in l2:
        weight = basis.back((along / (basis.energies + penalty))[:, None])
        yield Linear(weight.float(), bias, penalty)
