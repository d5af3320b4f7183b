"""Adapters on any encoder of linear layers and kernels: a bottleneck behind each, added to what it gives.

Houlsby et al. 2019 (arXiv 1902.00751) put them behind the layers that write into a Transformer's residual stream; Rebuffi et
al. 2017 (arXiv 1705.08045), 1x1 kernels of them, behind convolutions. Here: behind every linear layer and convolution whose
output is as wide as the encoder's tokens; where none is, behind all of them.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.recipe.finetune import Adapters

NAME = "adapter"
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Adapter(nn.Module):
    """x + up(gelu(down(x))) over the channels, `up` zero at first: the encoder begins as it was."""

    def __init__(self, channels: int, width: int, axis: int) -> None:
        super().__init__()
        self.axis, self.called = axis, False
        self.down, self.up = nn.Linear(channels, width), nn.Linear(width, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        self.called = True
        moved = x.movedim(self.axis, -1)
        change: Tensor = self.up(F.gelu(self.down(moved)))
        return x + change.movedim(-1, self.axis)


def add_adapters(encoder: Encoder, settings: Adapters) -> None:
    """Freeze the encoder and put an adapter behind each layer that fits.

    Raises:
        UserError: None fits.
    """
    encoder.requires_grad_(False)
    for layer, channels in _chosen(encoder, settings.where):
        axis = 1 if isinstance(layer, _CONVOLUTIONS) else -1
        reference = next(layer.parameters())
        adapter = Adapter(channels, settings.width, axis).to(reference.device, reference.dtype)
        layer.register_module(NAME, adapter)
        layer.register_forward_hook(_added)


def _added(layer: nn.Module, given: Any, output: Tensor) -> Tensor:
    adapter = layer.get_submodule(NAME)
    adapted: Tensor = adapter(output)
    return adapted


def _chosen(encoder: Encoder, where: str | None) -> list[tuple[nn.Module, int]]:
    layers = [(name, layer, _channels(layer)) for name, layer in encoder.named_modules()]
    found = [(name, layer, channels) for name, layer, channels in layers if channels]
    fitting = [(layer, channels) for name, layer, channels in found if where is None or re.search(where, name)]
    wide = [(layer, channels) for layer, channels in fitting if channels == encoder.width]
    if not fitting:
        names = ", ".join(name for name, _, _ in found[:8])
        raise UserError(f"adapters.where: no layer of the encoder fits {where!r}\n  There are: {names or 'none'}")
    return wide if wide and where is None else fitting


def _channels(layer: nn.Module) -> int:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, _CONVOLUTIONS) else 0


def idle(encoder: nn.Module) -> list[str]:
    """Layers whose adapters were never called: the encoder reads their weights by hand, and the layer itself does nothing."""
    named = [(name, part) for name, part in encoder.named_modules() if isinstance(part, Adapter)]
    return [name.removesuffix(f".{NAME}") for name, part in named if not part.called]


def look_for_idle(encoder: nn.Module) -> None:
    """After a step: say which adapters change nothing.

    Raises:
        UserError: All of them.
    """
    silent, count = idle(encoder), sum(isinstance(part, Adapter) for part in encoder.modules())
    if len(silent) == count:
        raise UserError(
            f"method: adapters change nothing here: {type(encoder).__name__} reads the weights of its layers by hand "
            f"({', '.join(silent[:3])}, …)\nuse method=lora, full or frozen"
        )
    if silent and distributed.rank() == 0:
        print(
            f"{len(silent)} of {count} adapters change nothing, since their layers are read by hand: {', '.join(silent[:8])}",
            file=sys.stderr,
        )
