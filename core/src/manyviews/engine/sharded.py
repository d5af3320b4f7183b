"""A model whose parameters, gradients and optimiser state are shared out among processes (FSDP2, `fully_shard`).

The parts that a step runs one after the other, the blocks of the core's Transformer, are put together when they are reached and
let go behind them; all else is put together for the whole step. Between steps every process holds its share alone. What one
process looks at by itself (an evaluation, a checkpoint) is put together by all of them first: everything here that says so is
called by all processes at the same step, or they wait for one another for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from manyviews.nets.transformer import Block


def share_out(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Share a model out, in place. By all processes; all begin as the first is."""
    for tensor in model.state_dict().values():
        dist.broadcast(tensor, src=0)
    processes = mesh["data_parallel"]
    for module in model.modules():
        if isinstance(module, Block):
            fully_shard(module, mesh=processes)
    fully_shard(model, mesh=processes)
    return model


def put_together(tensor: Tensor) -> Tensor:
    """The whole of a tensor that is shared out; any other is itself. By all processes."""
    if not isinstance(tensor, DTensor):
        return tensor
    whole: Tensor = tensor.full_tensor().detach()
    return whole


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _like(whole: Tensor, shared: Tensor) -> Tensor:
    """A whole tensor shared out as another one is: each process, which has all of it, takes its part."""
    if not isinstance(shared, DTensor) or whole.shape != shared.shape:
        return whole
    there = whole.to(shared.device, shared.dtype)
    return distribute_tensor(there, shared.device_mesh, shared.placements, src_data_rank=None)


def weights_like(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A checkpoint's whole tensors as the model holds them."""
    held = model.state_dict()
    return {name: _like(whole, held[name]) if name in held else whole for name, whole in weights.items()}


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors by name, whole, where a checkpoint is written from. By all processes."""
    return {name: _kept(tensor) for name, tensor in model.state_dict().items()}


def whole_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """The optimiser's state as one process would have it. By all processes."""
    state = optimizer.state_dict()
    parts = {
        number: {key: _kept(value) if isinstance(value, Tensor) else value for key, value in part.items()}
        for number, part in state["state"].items()
    }
    return {**state, "state": parts}


def optimizer_like(state: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """A checkpoint's whole state as the optimiser holds it."""
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    parts = {
        number: {key: _like(value, held[number]) if isinstance(value, Tensor) else value for key, value in part.items()}
        for number, part in state["state"].items()
    }
    return {**state, "state": parts}


def _kept(tensor: Tensor) -> Tensor:
    """Whole and in the host's memory, for the first process; for the others one tensor at a time and then gone."""
    if not isinstance(tensor, DTensor):
        return tensor
    whole = put_together(tensor)
    return whole.cpu() if dist.get_rank() == 0 else tensor


def fill(spare: nn.Module, shared: nn.Module) -> None:
    """Make a module that is whole equal to one that is shared out. By all processes; on the first alone something changes."""
    kept = spare.state_dict()
    for name, tensor in shared.state_dict().items():
        whole = put_together(tensor)
        if dist.get_rank() == 0:
            kept[name].copy_(whole)


def running(model: nn.Module) -> list[Tensor]:
    """Statistics that norms keep, the teacher's too: at each step those of the first process, as data parallelism has it."""
    return [
        tensor
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase)
        for tensor in module.buffers(recurse=False)
    ]


@contextmanager
def alone(model: FSDPModule) -> Iterator[None]:
    """Inside, gradients stay with their process, to be averaged later."""
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)
