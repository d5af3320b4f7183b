"""Does a step make the host wait for the device? Told without a device, by what a step does on the CPU.

A step waits where a shape, a condition or a number is read from the device (`item`, `nonzero`, a boolean index,
`repeat_interleave` without a size), and where something goes to it out of ordinary memory (`torch.tensor(…, device=…)`, a list
for an index). On the CPU none of this shows. So the model's and the batch's tensors, and all that is made of them or on their
device, are noted as lying on a device; that device calls itself `cuda:0`, so that the same branches are taken as there; and
what would wait, or would not run at all since a tensor lies on the wrong side, is written down with its line. Where there is
a GPU, `torch.cuda.set_sync_debug_mode` is the judge: this finds the same before one is at hand.
"""

from __future__ import annotations

import sys
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from manyviews import moving
from manyviews.engine.learner import Learner, Step
from manyviews.testing.compare import tensors

_ATEN: Any = torch.ops.aten
_READS = {
    _ATEN._local_scalar_dense.default,
    _ATEN._linalg_check_errors.default,
    _ATEN._linalg_eigh.default,
    _ATEN._unique2.default,
    _ATEN.bincount.default,
    _ATEN.equal.default,
    _ATEN.is_nonzero.default,
    _ATEN.masked_select.default,
    _ATEN.multinomial.default,
    _ATEN.nonzero.default,
    _ATEN.unique_consecutive.default,
    _ATEN.unique_dim.default,
}
_INDEXING = {_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default}
_TO_HOST = (Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__array__)


class _Device(str):
    """What a noted tensor says of where it lies. Text, since torch's functions take it for a device then."""

    type: str = "cuda"
    index: int = 0  # type: ignore[assignment]

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """A device as far as `isinstance` knows, which checks annotations in tests."""
        return torch.device


_CUDA = _Device("cuda:0")


class _Generator(torch.Generator):
    """The step's, which says that it is on the device and lends its offset as a CUDA generator does."""

    device: Any = _CUDA
    _offset = 0

    def get_offset(self) -> int:
        return self._offset

    def set_offset(self, offset: int) -> torch.Generator:
        self._offset = offset
        return self


class Waits:
    """What was found: a line of our own code and what happened there."""

    _noted: ClassVar[dict[int, weakref.ref[Tensor]]] = {}
    """Of all steps that are looked at: what a module keeps on the device from one to the next stays there."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.quiet = False
        """Inside a function of torch's that reads nothing on CUDA, though it does on the CPU."""
        self.backward = False
        """Calls in a backward pass are not seen: what our functions make there is not known to be on the device."""

    def note(self, value: Any) -> None:
        """All tensors in it lie on the device."""
        for tensor in tree_leaves(value):
            if isinstance(tensor, Tensor):
                self._noted[id(tensor)] = weakref.ref(tensor, partial(self._forget, id(tensor)))

    def _forget(self, key: int, _: object) -> None:
        self._noted.pop(key, None)

    def there(self, value: Any) -> bool:
        """Whether it is a tensor on the device."""
        reference = self._noted.get(id(value))
        return reference is not None and reference() is value

    def say(self, what: str) -> None:
        lines = [line for line in traceback.extract_stack() if "manyviews" in line.filename and "testing" not in line.filename]
        if not self.quiet and lines:
            self.found.append(f"{lines[-1].filename}:{lines[-1].lineno}: {lines[-1].line}: {what}")


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation, those of a backward pass too."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = waits

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [tensor for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)]
        there = any(self.waits.there(tensor) for tensor in given)
        if there:
            self._judge(func, args, kwargs, given)
        result = func(*args, **kwargs)
        if there:
            self.waits.note(result)
        return result

    def _judge(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], given: list[Tensor]) -> None:
        waits = self.waits
        if func in _READS and not (waits.backward and func is _ATEN.bincount.default):
            waits.say(f"{func} reads from the device")
        if func is _ATEN.repeat_interleave.Tensor and kwargs.get("output_size") is None:
            waits.say("repeat_interleave without output_size reads from the device")
        if func in _INDEXING:
            self._judge_index(func, args)
        elif not waits.backward and any(tensor.ndim and tensor.numel() and not waits.there(tensor) for tensor in given):
            waits.say(f"{func} is given a tensor on the host")

    def _judge_index(self, func: Any, args: tuple[Any, ...]) -> None:
        index = [part for part in args[1] if part is not None]
        masks = [part for part in index if part.dtype in (torch.bool, torch.uint8)]
        filling = func is not _ATEN.index.Tensor and len(index) == 1 and args[2].numel() == 1  # is a masked_fill
        if masks and not filling:
            self.waits.say("a boolean index reads from the device")
        if self.waits.there(args[0]) and not self.waits.backward and not all(self.waits.there(part) for part in index):
            self.waits.say("an index on the host is sent to the device")
        if func is not _ATEN.index.Tensor and not filling and not self.waits.backward and not self.waits.there(args[2]):
            self.waits.say("a number of the host is put at places of the device; `scatter_` does not wait")


class _Calls(TorchFunctionMode):
    """Every call of torch's functions: devices are named in them."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, waits = dict(kwargs or {}), self.waits
        first = args[0] if args else None
        if func == Tensor.device.__get__ and waits.there(first):
            return _CUDA
        if func == Tensor.is_cuda.__get__ and waits.there(first):  # type: ignore[attr-defined]
            return True
        onto = any(map(_fake, (*args, *kwargs.values())))
        if func in _TO_HOST and waits.there(first):
            waits.say(f"{func.__name__} reads from the device")
        if onto and func in (torch.tensor, torch.as_tensor) and not isinstance(first, Tensor):
            waits.say("numbers of the host are sent to the device; `manyviews.moving.constant` does not wait")
        if func is Tensor.new_tensor and waits.there(first):
            waits.say("numbers of the host are sent to the device; `manyviews.moving.constant` does not wait")
        like = func is Tensor.to and any(map(waits.there, args[1:]))
        if (onto or like) and func is Tensor.to and not waits.there(first):
            waits.say("a tensor of the host is sent to the device; `manyviews.moving.sent` does not wait")
        return self._called(func, args, kwargs, onto)

    def _called(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], onto: bool) -> Any:
        """On the CPU, which is what the device is."""
        waits, before = self.waits, self.waits.quiet
        waits.quiet = before or func in (F.one_hot, F.scaled_dot_product_attention)
        try:
            result = func(*map(_here, args), **{key: _here(value) for key, value in kwargs.items()})
        finally:
            waits.quiet = before
        if onto and func is torch._C._nn._parse_to:  # `module.to(device)`
            return (_CUDA, *result[1:])
        if onto:
            waits.note(result)
        return result


def _fake(value: Any) -> bool:
    return type(value) is _Device


def _here(value: Any) -> Any:
    return torch.device("cpu") if _fake(value) else value


@contextmanager
def _sending(waits: Waits) -> Iterator[None]:
    """`sent` as it is on CUDA: a copy that nobody waits for."""
    original = moving.sent

    def sent(tensor: Tensor, device: torch.device) -> Tensor:
        if not _fake(device):
            return original(tensor, device)
        copy = tensor.clone()
        waits.note(copy)
        return copy

    holders = [module for module in list(sys.modules.values()) if vars(module).get("sent") is original]
    with mock.patch.multiple(moving, sent=sent):
        for module in holders:
            vars(module)["sent"] = sent
        try:
            yield
        finally:
            for module in holders:
                vars(module)["sent"] = original


def waits_of(model: Learner, batch: Any) -> list[str]:
    """What of a second step (forward, backward, teacher) would wait for a device: lines of code, each with the reason.

    Args:
        model: On the CPU.
        batch: A batch of its own, on the CPU.
    """
    waits = Waits()
    with _sending(waits):
        for turn in range(2):  # what is set up at the first step may wait
            waits.note([*_state(model), *tensors(batch)])
            waits.found.clear()
            with _Calls(waits), _Operations(waits):
                loss = model(Step(batch, _Generator().manual_seed(turn), lambda metrics: None))
                waits.backward = True
                loss.backward()
                waits.backward = False
                model.follow(0.99)
    return list(dict.fromkeys(waits.found))


def _state(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
