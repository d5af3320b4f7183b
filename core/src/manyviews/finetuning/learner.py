"""What a finetuning trains: the encoder, as much of it as the method lets learn, and the head of its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from manyviews.downstream import Downstream, Net
from manyviews.encoder import Encoder
from manyviews.engine.learner import Learner, Step
from manyviews.finetuning.adapters import add_adapters, look_for_idle
from manyviews.finetuning.lora import add_lora
from manyviews.recipe.finetune import Finetune


class Tuned(Learner):
    """A net on its task."""

    def __init__(self, net: Net, task: Downstream, answers: Any, settings: Finetune, *, scratch: bool) -> None:
        super().__init__()
        self.net, self.task, self.answers = net, task, answers
        self.method = "full" if scratch else settings.method
        self.layer_decay = 1.0 if scratch else settings.layer_decay
        self._looked = False
        self.train()

    @property
    def encoder(self) -> Encoder:  # type: ignore[override]  # registered once, inside the net
        return self.net.encoder

    def train(self, mode: bool = True) -> Tuned:
        """What does not learn does not drop out either, and its norms keep their statistics."""
        super().train(mode)
        if self.method == "frozen":
            self.net.encoder.eval()
        elif self.method != "full":
            for part in self.net.encoder.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()
        return self

    def forward(self, step: Step) -> Float[Tensor, ""]:
        loss = self.task.loss(self.net, self.answers, step.batch, step.generator)
        if self.method == "adapters" and not self._looked:
            self._looked = True
            look_for_idle(self.net.encoder)
        step.note({"loss": loss.value.detach(), **loss.metrics})
        return loss.value

    def rates(self) -> Mapping[nn.Parameter, float]:
        """Layer-wise decay (Howard & Ruder 2018; BEiT, MAE): layer l of L learns at decay^(L + 1 - l), the input at
        decay^(L + 1), the head at 1."""
        if self.layer_decay == 1.0:
            return {}
        return layer_rates(self.net.encoder, self.layer_decay)


def layer_rates(encoder: Encoder, decay: float) -> dict[nn.Parameter, float]:
    """Parameter -> factor of its rate."""
    stages = encoder.stages()
    of_stage = {parameter: number for number, stage in enumerate(stages, 1) for parameter in stage.parameters()}
    rates, behind = {}, 0
    for parameter in encoder.parameters():
        behind = max(behind, of_stage.get(parameter, 0))
        number = of_stage.get(parameter, len(stages) if behind else 0)
        rates[parameter] = decay ** (len(stages) + 1 - number)
    return rates


def adapt(encoder: Encoder, settings: Finetune) -> None:
    """Let as much of the encoder learn as the method says; with LoRA and adapters, add what learns in its place."""
    if settings.method == "frozen":
        encoder.requires_grad_(False)
    elif settings.method == "lora":
        add_lora(encoder, settings.lora)
    elif settings.method == "adapters":
        add_adapters(encoder, settings.adapters)
