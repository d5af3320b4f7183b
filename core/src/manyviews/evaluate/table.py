"""The results of an evaluation: one row for each (representation, form, task), readable and machine-readable."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manyviews.evaluate.task import Better, Scores

ARROW: Mapping[Better | None, str] = {"higher": " ↑", "lower": " ↓", None: ""}


@dataclass(frozen=True)
class Row:
    """The scores of one representation in one form on one task."""

    representation: str
    """`raw input`, `untrained encoder`, `pretrained encoder`, …"""
    form: str
    """`features` (of the raw input), `pooled`, `flat` or `tokens`."""
    task: str
    scores: Scores
    better: Mapping[str, Better]


@dataclass(frozen=True)
class ResultTable:
    """Results, in the order in which they were made."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def metrics(self, prefix: str = "") -> dict[str, float]:
        """Flat, for a tracker: `<prefix><task>/<representation>/<form>/<metric>`, blanks as underscores."""
        return {
            f"{prefix}{row.task}/{row.representation}/{row.form}/{name}".replace(" ", "_"): value
            for row in self.rows
            for name, value in row.scores.flat().items()
        }

    def records(self) -> list[dict[str, str | float]]:
        """One record for each number; `better` says which way it is better, where one way is."""
        records: list[dict[str, str | float]] = []
        for row in self.rows:
            which = {"task": row.task, "representation": row.representation, "form": row.form}
            for name, value in row.scores.metrics.items():
                std = {"std": row.scores.std[name]} if name in row.scores.std else {}
                better = {"better": row.better[name]} if name in row.better else {}
                records.append({**which, "metric": name, "value": value, **std, **better})
        return records

    def to_json(self) -> str:
        """`{"results": [one record a number], "notes": [...]}`."""
        return json.dumps({"results": self.records(), "notes": self._notes()}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> ResultTable:
        """What `to_json` gave."""
        told = json.loads(text)
        found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for one in told["results"]:
            found.setdefault((one["task"], one["representation"], one["form"]), []).append(one)
        rows = [
            Row(
                representation,
                form,
                task,
                Scores(
                    {one["metric"]: one["value"] for one in numbers},
                    {one["metric"]: one["std"] for one in numbers if "std" in one},
                ),
                {one["metric"]: one["better"] for one in numbers if "better" in one},
            )
            for (task, representation, form), numbers in found.items()
        ]
        return cls(tuple(rows), tuple(told["notes"]))

    def to_csv(self) -> str:
        """One line a number, without the notes."""
        out = io.StringIO()
        columns = ("task", "representation", "form", "metric", "value", "std", "better")
        writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.records())
        return out.getvalue()

    def text(self) -> str:
        """One aligned block for each task, an arrow for the better direction, * at the best; then the notes."""
        blocks = [_block(task, rows) for task, rows in self.by_task().items()]
        notes = "\n".join(f"- {note}" for note in self._notes())
        return "\n\n".join([*blocks, notes] if notes else blocks)

    def by_task(self) -> dict[str, list[Row]]:
        """The rows of each task."""
        return {task: [row for row in self.rows if row.task == task] for task in self._tasks()}

    def _tasks(self) -> list[str]:
        return list(dict.fromkeys(row.task for row in self.rows))

    def _notes(self) -> list[str]:
        """Those of the table; and those of the tasks, with the rows that they speak of unless it is all of a task's."""
        notes = list(self.notes)
        for task in self._tasks():
            rows = [row for row in self.rows if row.task == task]
            for note in dict.fromkeys(note for row in rows for note in row.scores.notes):
                of = [f"{row.representation} {row.form}" for row in rows if note in row.scores.notes]
                notes.append(f"{task}: {note}" if len(of) == len(rows) else f"{task} ({', '.join(of)}): {note}")
        return notes


def columns(task: str, rows: Sequence[Row]) -> list[list[str]]:
    """The rows of a task as columns of text, heads first: representation, form, then a metric each, * at the best."""
    names = list(dict.fromkeys(name for row in rows for name in row.scores.metrics))
    better = rows[0].better
    found = [[task, *(row.representation for row in rows)], ["", *(row.form for row in rows)]]
    return found + [[name + ARROW[better.get(name)], *_cells(name, rows, better.get(name))] for name in names]


def _block(task: str, rows: Sequence[Row]) -> str:
    aligned = columns(task, rows)
    widths = [max(map(len, column)) for column in aligned]
    lines = []
    for number, line in enumerate(zip(*aligned, strict=True)):
        left = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
        if number == 0:
            lines.append("-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(lines)


def _cells(name: str, rows: Sequence[Row], better: Better | None) -> list[str]:
    """The numbers of a column, the decimal points and the stars aligned; what prints equal is equally best."""
    printed = [_number(row.scores.metrics[name]) if name in row.scores.metrics else "" for row in rows]
    values = [float(cell.replace(",", "")) for cell in printed if cell]
    best = None if better is None or len(set(values)) < 2 else max(values) if better == "higher" else min(values)
    cells = []
    for row, cell in zip(rows, printed, strict=True):
        star = "*" if cell and best is not None and float(cell.replace(",", "")) == best else " "
        std = f" ±{_number(row.scores.std[name])}" if name in row.scores.std else ""
        cells.append(cell + std + star)
    return cells


def _number(value: float) -> str:
    """Three or four figures after the point for shares, fewer for large numbers: 0.8533, 12.45, 68,769."""
    size = abs(value)
    if 0 < size < 1e-3:
        return f"{value:.1e}"
    return f"{value:.4f}" if size < 1 else f"{value:.3f}" if size < 10 else f"{value:.2f}" if size < 1000 else f"{value:,.0f}"
