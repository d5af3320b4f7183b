"""Which way a metric is better, as its task says; and which metrics a choice may be made by."""

from __future__ import annotations

from manyviews.errors import UserError
from manyviews.plugins.registry import registry

LOWER = ("loss", "error", "rmse", "mae", "eer")
"""Ends of names that say themselves that less is better."""


def is_lower(metric: str, given: bool | None) -> bool:
    """Whether less is better.

    Raises:
        UserError: Neither the user nor a task says.
    """
    if given is not None:
        return given
    last = metric.rpartition("/")[2]
    if last.endswith(LOWER):
        return True
    for _, task in registry().loaded("task"):
        if last in task.better:
            return bool(task.better[last] == "lower")
    raise UserError(f"--metric: nobody says whether more of `{metric}` is better; say so: --higher or --lower")


def warning(metric: str, data: int = 1) -> str:
    """What must be said of a choice by this metric among runs on so many data sets; empty: nothing."""
    if data > 1:
        return f"they are of {data} data sets, whose scores do not compare"
    if metric.startswith("result/"):
        return "this chooses by the test split, so the chosen run's score is no longer a fair one; `eval/…` is of valid"
    return ""
