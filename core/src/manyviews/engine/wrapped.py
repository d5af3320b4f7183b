"""A model and its optimiser as Lightning Fabric's strategy places and wraps them, and what a step does with them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from jaxtyping import Float
from lightning_fabric import Fabric
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from manyviews.engine import sharded
from manyviews.engine.learner import Learner, Step
from manyviews.engine.optim import make_optimizer
from manyviews.recipe.model import Optim


class Wrapped:
    """Forward, backward and update, in the run's precision, on one process or many.

    `Fabric.setup` puts wrappers of its own around model and optimiser that convert, hook and look up at every call, for
    users who bring any model and any loop: more work than all that our loop does itself. What those wrappers call, the
    strategy and its precision, is called here directly, by their public methods, alike on one process and on many.

    Args:
        fabric: Launched.
        model: On the CPU.
        spec: Of the optimiser.
        batches: Batches whose gradients are added up for one update.
    """

    def __init__(self, fabric: Fabric, model: Learner, spec: Optim, batches: int = 1) -> None:
        self.strategy, self.precision = fabric.strategy, fabric.strategy.precision
        converted = fabric.to_device(self.precision.convert_module(model))
        self.sharded = isinstance(self.strategy, ModelParallelStrategy)
        if self.sharded:  # the optimiser is of the shares
            self.model = self.strategy.setup_module(converted)
            self.optimizer = self.strategy.setup_optimizer(make_optimizer(self.model, spec, model.rates()))
        else:
            made = [make_optimizer(converted, spec, model.rates())]
            self.model, (self.optimizer,), _ = self.strategy.setup_module_and_optimizers(converted, made)
        self.updated = True
        """Whether this is the first batch of a step."""
        self.learning = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.context = self.precision.forward_context()
        self.share = None if batches == 1 else torch.tensor(1 / batches, device=fabric.device)

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """The loss of a batch."""
        if self.sharded and self.updated:
            self.updated = False
            for statistics in sharded.running(self.model):
                dist.broadcast(statistics, src=0)
        with self.context:
            loss = self.model(step)
        full: Tensor = self.precision.convert_output(loss)
        return full

    def backward(self, loss: Float[Tensor, ""]) -> None:
        """Add its share of the batches' mean gradient."""
        self.strategy.backward(loss, self.model, gradient=self.share)

    def alone(self) -> AbstractContextManager[None]:
        """Inside, forward and backward do not average gradients over processes."""
        if isinstance(self.model, FSDPModule):
            return sharded.alone(self.model)
        return self.model.no_sync() if isinstance(self.model, DistributedDataParallel) else nullcontext()

    def clip(self, largest: float) -> Float[Tensor, ""]:
        """Bring the gradient's norm down to `largest`; the norm it had."""
        norm = self.strategy.clip_gradients_norm(self.model, self.optimizer, max_norm=largest, error_if_nonfinite=False)
        return sharded.put_together(norm)

    def update(self) -> None:
        """A step of the optimiser; the gradients are gone then."""
        self.strategy.optimizer_step(self.optimizer)
        self.updated = True
        for parameter in self.learning:  # as `zero_grad` does, whose bookkeeping costs ten times as much
            parameter.grad = None
