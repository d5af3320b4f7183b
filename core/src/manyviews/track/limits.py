"""What MLflow accepts (3.17, `mlflow/utils/validation.py`), and how values are fitted into it visibly."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

METRICS_PER_CALL = 1000
PARAM_LENGTH = 6000
TAG_LENGTH = 8000
_NAME_LENGTH = 250

T = TypeVar("T")


@lru_cache(maxsize=10_000)
def clean_name(name: str) -> str:
    """A name that MLflow takes: other characters become `_`, and as a path it means itself (no `..`, no `//`)."""
    path = posixpath.normpath(re.sub(r"[^/\w.\- ]", "_", name))
    return path.lstrip("./")[:_NAME_LENGTH] or "_"


def cut(value: str, length: int) -> str:
    """The value, or its beginning with a note that it was cut: MLflow would cut it silently."""
    note = f" … (cut, {len(value)} characters)"
    return value if len(value) <= length else value[: length - len(note)] + note


def in_hundreds(items: Sequence[T]) -> list[Sequence[T]]:
    """MLflow takes 100 parameters or tags at a time."""
    return [items[start : start + 100] for start in range(0, len(items), 100)]
