"""What the fits of a finetuning say together: for each budget and arm, mean and 95% interval of each metric."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manyviews.cli.table import table
from manyviews.evaluate.interval import Interval


@dataclass(frozen=True)
class Line:
    """All fits of one arm on one budget."""

    budget: int | float
    arm: str
    labelled: float
    """Labelled training units, on average over the draws."""
    fits: int
    metrics: Mapping[str, Interval]


@dataclass(frozen=True)
class FinetuneTable:
    """The lines, smallest budget first."""

    lines: tuple[Line, ...]
    split: str
    """`test`, or `valid` where there are no test units."""
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, results: Sequence[Mapping[str, Any]]) -> FinetuneTable:
        """From the fits' results."""
        split = "test" if any("test" in result for result in results) else "valid"
        keys = dict.fromkeys((result["budget"], result["arm"]) for result in results)
        lines = [_line(budget, arm, results, split) for budget, arm in keys]
        lines.sort(key=lambda line: (line.labelled, line.arm != "pretrained"))
        return cls(tuple(lines), split, _notes(results, split))

    def metrics(self) -> dict[int, dict[str, float]]:
        """For a tracker: labelled units (the step) -> `finetune/<arm>/<metric>`."""
        found: dict[int, dict[str, float]] = {}
        for line in self.lines:
            at = found.setdefault(round(line.labelled), {})
            at |= {f"finetune/{line.arm.replace(' ', '_')}/{name}": value.mean for name, value in line.metrics.items()}
        return found

    def records(self) -> list[dict[str, Any]]:
        """One record a number."""
        return [
            {
                "budget": line.budget,
                "arm": line.arm,
                "labelled": line.labelled,
                "fits": line.fits,
                "split": self.split,
                "metric": name,
                "value": value.mean,
                "low": value.low,
                "high": value.high,
            }
            for line in self.lines
            for name, value in line.metrics.items()
        ]

    def to_json(self) -> str:
        """`{"results": [one record a number], "notes": [...]}`."""
        return json.dumps({"results": self.records(), "notes": list(self.notes)}, indent=2)

    def text(self) -> str:
        """Aligned columns, one line for each budget and arm, then the notes."""
        if not self.lines:
            return "No fit has finished."
        names = list(dict.fromkeys(name for line in self.lines for name in line.metrics))
        rows = [
            [f"{line.labelled:g}", line.arm, str(line.fits), *(str(line.metrics.get(name, "")) for name in names)]
            for line in self.lines
        ]
        notes = "\n".join(f"- {note}" for note in self.notes)
        return table(["labelled", "encoder", "fits", *names], rows) + (f"\n\n{notes}" if notes else "")


def _line(budget: int | float, arm: str, results: Sequence[Mapping[str, Any]], split: str) -> Line:
    mine = [result for result in results if (result["budget"], result["arm"]) == (budget, arm)]
    scores = [result[split] for result in mine if split in result]
    names = list(dict.fromkeys(name for score in scores for name in score))
    values = {name: Interval.of([score[name] for score in scores if name in score]) for name in names}
    return Line(budget, arm, float(np.mean([result["labelled"] for result in mine])), len(mine), values)


def _notes(results: Sequence[Mapping[str, Any]], split: str) -> tuple[str, ...]:
    if not results:
        return ()
    valid = results[0]["validation"]
    chosen = f"the step was chosen on {valid:,} labelled validation units" if valid else "the last step was taken"
    notes = [f"{split} units; {chosen}"]
    methods = {result["arm"]: result.get("method", "full") for result in results}  # studies of old do not say
    if len(set(methods.values())) > 1:
        notes.append(f"pretrained: method {methods['pretrained']}; from scratch: the whole net is trained")
    if any(result["seed"] or result["subset"] for result in results):
        notes.append("mean [95% interval by Student's t] over draws of labels and seeds")
    return tuple(notes)
