"""What a source left out (`data.on_error: skip`): counted, said and listed with the run, so that nobody takes less for all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

NAME = "skipped.txt"


def list_skipped(skipped: Sequence[str], folder: Path) -> Path | None:
    """Write the list into the run's folder and say so in a line; None where nothing was left out."""
    if not skipped:
        return None
    path = folder / NAME
    path.write_text("".join(f"{' '.join(reason.split())}\n" for reason in skipped), encoding="utf-8")
    first = " ".join(skipped[0].split())
    count = f"{len(skipped):,} item{'s' * (len(skipped) > 1)}"
    print(f"Left out of the data: {count} that cannot be used, listed in {path}; the first: {first}", file=sys.stderr)
    return path
