"""A finetuned net back from its checkpoint: it answers new data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from manyviews.downstream import Counted, Downstream, Net
from manyviews.engine import checkpoint
from manyviews.engine.device import Device
from manyviews.engine.load import ANSWERS, FINETUNE, Trained, fit_of, load_into, load_trained
from manyviews.errors import CheckpointError
from manyviews.evaluate.embed import device_of
from manyviews.finetuning.work import build_task
from manyviews.recipe.finetune import read_finetune
from manyviews.writer import EVENT, Rows


@dataclass(frozen=True)
class Finetuned:
    """An encoder with its head, on its device, and the task that they were trained on."""

    trained: Trained
    """The encoder by itself, as `embed` has it."""
    net: Net
    task: Downstream
    answers: Any

    def answer(self, data: Any) -> list[np.ndarray]:
        """Of each sample in the order of the data: class probabilities or numbers, one row a unit; a label map; or onset,
        offset, class and score of each event."""
        source = self.trained.reading(data)
        found: list[np.ndarray] = []
        for rows in self.rows(source, np.arange(len(source))):
            found += rows.each()
        return found

    def rows(self, source: Any, samples: Int[np.ndarray, "samples"]) -> Iterator[Rows]:
        """The same as rows for a writer."""
        self.net.eval()
        for some, values in self.task.predict(self.net, self.answers, source, samples):
            if isinstance(values, Counted):
                yield Rows(some, values.counts, values.values)
                continue
            counts = np.ones(len(some), dtype=np.int64)
            if len(values) != len(some):
                batch = source.batch(some).to(device_of(self.net))
                counts = self.net.encoder.layout(batch).lengths.tensor.cpu().numpy()
            yield Rows(some, counts, values)

    @property
    def width(self) -> int:
        """Numbers in a row, were there no samples to tell."""
        return len(EVENT) if self.task.gives == "events" else max(len(self.names), 1)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes; empty for numbers."""
        return tuple(self.answers.model_dump().get("classes", ()))


def load_finetuned(place: str | Path, *, device: Device = "auto") -> Finetuned:
    """The net of a fit's folder (or of a finetuning's, then of its best fit), or of a checkpoint folder.

    Raises:
        CheckpointError: Missing, damaged, or of no finetuning.
    """
    folder = checkpoint.last(fit_of(Path(place)))
    if not (folder / FINETUNE).is_file():
        raise CheckpointError(f"{folder}: a pretrained encoder answers nothing yet; finetune it: manyviews finetune {place}")
    trained = load_trained(folder, device=device)
    settings = read_finetune((folder / FINETUNE).read_text(encoding="utf-8"))
    task = build_task(settings, trained.recipe.domain)
    answers = task.answers.model_validate_json((folder / ANSWERS).read_text(encoding="utf-8"))
    unit = trained.recipe.unit
    with torch.random.fork_rng(devices=[]):
        head = task.head(trained.encoder, answers, unit)
    weights = checkpoint.read_weights(folder)
    load_into(head, {k.removeprefix("net.head."): v for k, v in weights.items() if k.startswith("net.head.")}, folder)
    net = Net(trained.encoder, head.to(device_of(trained.encoder)), unit).eval()
    return Finetuned(trained, net, task, answers)
