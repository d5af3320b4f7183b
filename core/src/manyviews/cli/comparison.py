"""Comparisons as tables of text: groups as columns, metrics as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from string import ascii_uppercase

from manyviews.cli.table import table
from manyviews.compare.groups import Group
from manyviews.compare.records import Record


def letter(place: int) -> str:
    """A, B, …, Z, A1, B1, …"""
    turn, rest = divmod(place, len(ascii_uppercase))
    return ascii_uppercase[rest] + (str(turn) if turn else "")


def comparison(groups: Sequence[Group], metrics: Sequence[str]) -> str:
    """What each group is, then a row for each metric: mean [95% interval] over its runs."""
    named = [f"{letter(place)}  {group.text()}  ({_runs(group)})" for place, group in enumerate(groups)]
    rows = [(metric, *(_cell(group, metric) for group in groups)) for metric in metrics]
    body = table(("metric", *(letter(place) for place in range(len(groups)))), rows)
    return "\n".join([*named, "", body]) if rows else "\n".join([*named, "", "No such metrics."])


def as_records(groups: Sequence[Group], metrics: Sequence[str]) -> list[dict[str, object]]:
    """One record for each group: what it is, its runs, and each metric's mean and interval."""
    return [
        {
            "group": dict(group.label),
            "runs": [run.name for run in group.runs],
            "metrics": {name: asdict(found) for name in metrics if (found := group.interval(name)) is not None},
        }
        for group in groups
    ]


def leaderboard(records: Sequence[Record], groups: Sequence[Group], metric: str, lower: bool) -> str:
    """Groups of one domain and one data set, the best first."""
    ranked = ranked_groups(groups, metric, lower)
    rows = [
        (str(place + 1), str(group.interval(metric)), str(len(group.runs)), group.text()) for place, group in enumerate(ranked)
    ]
    first = records[0]
    head = f"{first.domain}, data {first.shown_data}: {metric} ({'lower' if lower else 'higher'} is better)"
    return f"{head}\n{table(('rank', 'mean [95%]', 'runs', 'what'), rows)}"


def ranked_groups(groups: Sequence[Group], metric: str, lower: bool) -> list[Group]:
    """Those that have the metric, the best mean first."""

    def mean(group: Group) -> float:
        interval = group.interval(metric)
        assert interval is not None
        return interval.mean

    return sorted((group for group in groups if group.interval(metric) is not None), key=mean, reverse=not lower)


def _runs(group: Group) -> str:
    return f"{len(group.runs)} run{'s' if len(group.runs) > 1 else ''}"


def _cell(group: Group, metric: str) -> str:
    interval = group.interval(metric)
    return "-" if interval is None else str(interval)
