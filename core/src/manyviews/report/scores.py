"""The scores of a run as tables: the last readings in training, and the results of `manyviews evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from manyviews.engine.judge import RESULTS
from manyviews.evaluate.table import ResultTable, columns
from manyviews.report.curves import Series, title
from manyviews.report.page import paragraph, table

STD = "_std"


def last_readings(series: Mapping[str, Series]) -> str:
    """The last reading of each score, with the deviation over draws where there were several."""
    names = [name for name in series if name.startswith("eval/") and not _is_deviation(name, series)]
    rows = [(title(name), _last(name, series), str(series[name].steps[-1])) for name in names]
    return table(("score on validation units", "last", "step"), rows) if rows else ""


def _last(name: str, series: Mapping[str, Series]) -> str:
    deviation = series.get(name + STD)
    return f"{series[name].values[-1]:.4g}" + ("" if deviation is None else f" ±{deviation.values[-1]:.2g}")


def _is_deviation(name: str, series: Mapping[str, Series]) -> bool:
    return name.endswith(STD) and name.removesuffix(STD) in series


def results(folder: Path) -> str:
    """The tables of `manyviews evaluate`, where it was run: the best of a column in bold."""
    path = folder / RESULTS
    if not path.exists():
        return ""
    found = ResultTable.from_json(path.read_text(encoding="utf-8"))
    told = "".join(_rows(task, columns(task, rows)) for task, rows in found.by_task().items())
    return told + "".join(paragraph(note, "note") for note in found.notes)


def _rows(task: str, of: list[list[str]]) -> str:
    head, *rows = (list(row) for row in zip(*of, strict=True))
    return table([task, *head[1:]], rows, best="*")
