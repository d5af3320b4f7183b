"""Devices, precision and processes of a run, which are Lightning Fabric's work."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.parallel import ParallelStrategy
from lightning_fabric.strategies.strategy import Strategy

from manyviews import distributed
from manyviews.errors import UserError
from manyviews.recipe.model import Train


def make_fabric(train: Train) -> Fabric:
    """Devices and precision as the recipe says; no process is started yet.

    Raises:
        UserError: The device or the precision is not to be had here, or nothing tells this machine of the others.
    """
    _refuse_another_number(train)
    if train.precision == "16-mixed" and not torch.cuda.is_available():
        raise UserError("train.precision: 16-mixed needs a CUDA device, and there is none here; use bf16-mixed or 32")
    given = train.precision
    precision = given if given == "bf16-mixed" or given == "16-mixed" else "32-true"
    strategy = _strategy(train)
    try:
        with _without_remarks():
            fabric = Fabric(
                accelerator=train.device, devices=train.devices, num_nodes=train.nodes, precision=precision, strategy=strategy
            )
    except (RuntimeError, ValueError) as error:
        raise UserError(f"train.device: {train.device} x {train.devices} cannot be used here: {error}") from error
    if train.nodes > 1:
        _refuse_a_lonely_machine(fabric, train)
    return fabric


def _strategy(train: Train) -> Strategy | str:
    processes = train.devices * train.nodes
    if processes == 1:  # nothing to share
        return "auto"
    if train.strategy == "fsdp":
        if train.precision == "16-mixed":
            raise UserError("train.strategy: fsdp does not go with train.precision: 16-mixed; use bf16-mixed or 32")
        if train.compile:
            raise UserError("train.strategy: fsdp does not go with train.compile: what is compiled is put together inside")
        from manyviews.engine.sharded import share_out

        return ModelParallelStrategy(share_out, data_parallel_size=processes, tensor_parallel_size=1)
    # Most pairs of an objective and an encoder leave a parameter without gradient: a mask token, a class-wise head.
    return DDPStrategy(find_unused_parameters=True)


def _refuse_another_number(train: Train) -> None:
    """Processes that torchrun or Slurm started, more or fewer than it would use: each would train a run of its own."""
    if TorchElasticEnvironment.detect():
        starter, number = "torchrun", int(os.environ["WORLD_SIZE"])
    elif "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        starter, number = "Slurm", int(os.environ["SLURM_NTASKS"])
    else:
        return
    if number != train.devices * train.nodes:
        raise UserError(
            f"train.devices: {starter} says that {number} processes run this, and the recipe that train.nodes: {train.nodes} x "
            f"train.devices: {train.devices} do; make them equal, train.devices being those of one machine"
        )


def _refuse_a_lonely_machine(fabric: Fabric, train: Train) -> None:
    """Before it waits for ever for the others, whose address it was not told."""
    assert isinstance(fabric.strategy, ParallelStrategy)
    if isinstance(fabric.strategy.cluster_environment, LightningEnvironment) and "MASTER_ADDR" not in os.environ:
        raise UserError(
            f"train.nodes: {train.nodes} machines are started by Slurm (srun) or by torchrun, one command on each:\n"
            f"torchrun --nnodes {train.nodes} --nproc-per-node {train.devices} --node-rank 0 --master-addr HOST "
            "--no-python manyviews pretrain …"
        )


def launch(fabric: Fabric, train: Train) -> None:
    """Start this machine's other processes, or join those that Slurm or torchrun started; the process group is up then.

    Raises:
        UserError: There are not as many of them as the recipe says.
    """
    try:
        with _without_remarks():
            fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"train.nodes: {train.nodes} x train.devices: {train.devices} processes cannot be had here: {error}"
        ) from error
    atexit.unregister(distributed.close)  # once, however many runs a program has
    atexit.register(distributed.close)


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Fabric's own advice on precision, at every run, is for who uses it directly; here it is a recipe's `train.precision`."""
    logger = logging.getLogger("lightning_fabric.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
