"""Studies of many pieces of work: a process for each, a line for each finished one, and the same command goes on.

A study names its pieces (anything that JSON can hold), in the order in which they are to begin, and the words after its own
name that make a process do one and print what it found, as JSON, in its last line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

Piece = TypeVar("Piece")
SAID = 15
"""Lines of what a failed process said last that are kept."""


def alone(words: Sequence[str], limit: float | None = None) -> dict[str, Any]:
    """This script once more, in a process with one thread.

    Args:
        words: What stands after the script's name.
        limit: Seconds after which it is ended.

    Returns:
        `records`: what its last line holds; or `error`: what it said last, or that it took too long.
    """
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, sys.argv[0], *words]
    try:
        done = subprocess.run(command, env=os.environ | one, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": [f"not finished after {limit:.0f} s"]}
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-SAID:] or [f"exit status {done.returncode}"]}
    return {"records": json.loads(done.stdout.splitlines()[-1])}


def run(
    pieces: Sequence[Piece],
    words: Callable[[Piece], Sequence[str]],
    out: Path,
    *,
    jobs: int = 1,
    limit: float | None = None,
    within: float | None = None,
) -> list[dict[str, Any]]:
    """Do what has no line in `out` yet; a piece that failed has one that says why, and is done again.

    Args:
        pieces: Of this study; lines about others stay in the file and are left out.
        words: Of a piece's process.
        out: JSON, a line a piece, appended as pieces end.
        jobs: Processes at a time.
        limit: Seconds of a piece.
        within: Seconds of all: what still runs then is ended.

    Returns:
        Of each piece `job` and `records`, or `error`.
    """
    wanted = [json.loads(json.dumps(piece)) for piece in pieces]  # as they read once they were written
    began = time.monotonic()

    def one(piece: Piece, job: Any) -> dict[str, Any]:
        left = within - (time.monotonic() - began) if within is not None else None
        if left is not None and left <= 0:
            return {"job": job, "error": [f"not begun within {within:.0f} s"]}
        return {"job": job, **alone(words(piece), min((each for each in (limit, left) if each is not None), default=None))}

    lines = [line for line in read(out) if "records" in line and line["job"] in wanted]
    finished = [line["job"] for line in lines]
    left = [(piece, job) for piece, job in zip(pieces, wanted, strict=True) if job not in finished]
    with out.open("a", encoding="utf-8") as file, ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(one, *each) for each in left]):
            lines.append(line := done.result())
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(f"{line['job']}: {line.get('error', 'done')}", file=sys.stderr, flush=True)
    return lines


def read(out: Path) -> list[dict[str, Any]]:
    """The lines of a file, which need not be there."""
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
