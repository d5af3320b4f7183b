"""What a kit tests on: a plugin's trial data, read once, and its parts, built from fixed seeds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Int

from manyviews.batch import OwnBatch
from manyviews.encoder import Encoder
from manyviews.engine.model import Model, Part
from manyviews.evaluate.embed import evaluating
from manyviews.objective import Objective
from manyviews.plugins.schema import build
from manyviews.source import Source
from manyviews.testing.subject import Case, Meeting, Subject
from manyviews.view import View, ViewGenerator
from manyviews.views.random_mask import RandomMask

SAMPLES = 6
"""Samples of a batch, where there are so many."""
PREPARED = 32
"""Samples that an objective's `prepare` is given."""


class Bench:
    """A plugin at work in a folder."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.folder = subject, folder
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._sources: dict[str, Source] = {}

    def settings(self, data: str) -> Mapping[str, Any]:
        """The recipe sections of a kind of data, which is made at the first call."""
        if data not in self._settings:
            (self.folder / data).mkdir(parents=True)
            self._settings[data] = self.subject.trial.data[data](self.folder / data)
        return self._settings[data]

    def make_source(self, data: str, **parameters: Any) -> Source:
        """A source of a kind of data, anew."""
        given = {**self.settings(data)["data"], **parameters}
        part = self.subject.registry.component("source", given.pop("source"), self.subject.domain.name)
        return cast(Source, build(part, given, key="data"))

    def source(self, data: str) -> Source:
        """The one source that all tests read."""
        if data not in self._sources:
            self._sources[data] = self.make_source(data)
        return self._sources[data]

    def index(self, data: str, samples: int = SAMPLES) -> Int[np.ndarray, "samples"]:
        """Training samples, at most so many."""
        return np.flatnonzero(self.source(data).splits() == "train")[:samples]

    def batch(self, data: str, samples: int = SAMPLES) -> OwnBatch:
        """A batch of them."""
        return self.source(data).batch(self.index(data, samples))

    def encoder(self, case: Case, seed: int = 0) -> Encoder:
        """An encoder with the initial weights of a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            spec = self.source(case.data).spec
            return cast(Encoder, build(case.part, case.parameters, key=str(case), spec=spec))

    def views(self, case: Case) -> ViewGenerator:
        """A view generator."""
        return cast(ViewGenerator, build(case.part, case.parameters, key=str(case), spec=self.source(case.data).spec))

    def model(self, meeting: Meeting, seed: int = 0) -> Model:
        """An objective with its encoder, its views and, where it needs one, a teacher."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            loss = cast(Objective, build(meeting.objective.part, meeting.objective.parameters, key="objective"))
            model = Model(self.encoder(meeting.encoder, seed), [Part(self.views(meeting.views), loss)], meeting.unit)
        with evaluating(model.encoder):
            loss.prepare(model.encoder, iter([self.batch(meeting.encoder.data, PREPARED)]))
        return model


def shown(encoder: Encoder, batch: OwnBatch) -> View:
    """All of a batch."""
    return View(batch, encoder.layout(batch))


def half_hidden(encoder: Encoder, batch: OwnBatch, seed: int = 0) -> View:
    """A batch with half of each sample's tokens hidden."""
    layout = encoder.layout(batch)
    generator = torch.Generator(layout.lengths.tensor.device).manual_seed(seed)
    view: View = RandomMask()(batch, layout, generator)[0]
    return view


@cache
def bench_of(plugin: str, folder: Path) -> Bench:
    """The bench of a plugin; one a process."""
    return Bench(Subject.of(plugin), folder)
