"""Runs that differ in their seed alone are one group: its scores are a mean with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from manyviews.compare.records import Record
from manyviews.evaluate.interval import Interval

SEEDS = ("train.seed", "data.seed", "data.split_seed")
"""What tells the runs of a group apart."""
ELSEWHERE = (
    "data.path",
    "train.folder",
    "train.device",
    "train.threads",
    "train.workers",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.watch_every",
    "evaluate.*.every",
)
"""Patterns of what makes no other experiment of a run; the data are told apart by their fingerprint."""

HEADLINE = ("domain", "data", "objective.name", "views.name", "encoder.name")
"""What a run is, before all else."""
MOST_NAMED = 6
"""Differences that are named; the others are counted."""


@dataclass(frozen=True)
class Group:
    """Runs of one kind."""

    label: Mapping[str, str]
    """The parameters that tell it from the other groups."""
    runs: Sequence[Record]

    def interval(self, metric: str) -> Interval | None:
        """Of the runs that have the metric; None: none has."""
        values = [run.metrics[metric] for run in self.runs if np.isfinite(run.metrics.get(metric, np.nan))]
        return Interval.of(values) if values else None

    def text(self) -> str:
        """What it is, in words: what tells it from the others, the parts' names first; what it is made of where it is alone."""
        params = self.runs[0].params
        label = self.label or {"data": self.runs[0].shown_data, **{key: params[key] for key in HEADLINE if key in params}}
        first = [*(key for key in HEADLINE if key in label), *(key for key in label if key not in HEADLINE)]
        more = f" and {len(first) - MOST_NAMED} more" if len(first) > MOST_NAMED else ""
        return ", ".join(f"{key}={label[key]}" for key in first[:MOST_NAMED]) + more


def group_runs(records: Sequence[Record]) -> list[Group]:
    """Groups in the order of their first runs, each labelled by the parameters in which they differ: what they are by those of
    all groups, everything else by those of their domain, since another domain's parts have other parameters anyway."""
    kinds: dict[tuple[tuple[str, str], ...], list[Record]] = {}
    for record in records:
        kinds.setdefault(_kind(record), []).append(record)
    found = [dict(kind) for kind in kinds]
    everywhere = _differing(found)
    groups = []
    for kind, runs in zip(found, kinds.values(), strict=True):
        of_domain = _differing([one for one in found if one.get("domain") == kind.get("domain")])
        named = [key for key in everywhere if key in kind and (key in HEADLINE or key in of_domain)]
        groups.append(Group({key: runs[0].shown_data if key == "data" else kind[key] for key in named}, runs))
    return groups


def _kind(record: Record) -> tuple[tuple[str, str], ...]:
    told = {**record.params, "data": record.data}
    left_out = (*SEEDS, *ELSEWHERE)
    return tuple(sorted((key, value) for key, value in told.items() if not any(fnmatchcase(key, one) for one in left_out)))


def _differing(kinds: Sequence[Mapping[str, str]]) -> list[str]:
    """Keys that do not have one value everywhere; names of parts first, a part's parameters where its name does not say all."""
    keys = sorted({key for kind in kinds for key in kind}, key=lambda key: (not key.endswith(("name", "source")), key))
    differing = [key for key in keys if len({kind.get(key) for kind in kinds}) > 1]
    parts = {key.rpartition(".")[0] for key in differing if key.endswith(".name")}
    return [key for key in differing if key.rpartition(".")[0] not in parts or key.endswith(".name") or _everywhere(key, kinds)]


def _everywhere(key: str, kinds: Sequence[Mapping[str, str]]) -> bool:
    """Whether two groups that share the part's name differ in this parameter of it: else the name says it all."""
    part = f"{key.rpartition('.')[0]}.name"
    values: dict[str, set[str | None]] = {}
    for kind in kinds:
        values.setdefault(kind.get(part, ""), set()).add(kind.get(key))
    return any(len(found) > 1 for found in values.values())


def choose_metrics(records: Sequence[Record], wanted: Sequence[str]) -> list[str]:
    """Metrics that match one of the patterns; without any the results of the trained encoders, else the last evaluation."""
    known = sorted({name for record in records for name in record.metrics if not name.endswith("_std")})
    if wanted:
        return [name for name in known if any(fnmatchcase(name, pattern) or name == pattern for pattern in wanted)]
    for pattern in ("result/*/pretrained_encoder/*", "eval/*", "finetune/*", "train/loss"):
        if found := [name for name in known if fnmatchcase(name, pattern)]:
            return found
    return known
