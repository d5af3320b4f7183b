"""Studies of many pieces of work, in processes: a line for each finished one, and the same command goes on.

A piece is anything that JSON can hold, or a dataclass of such things. `run` gives each a process of its own: this script with
words that make it do one and print what it found, as JSON, in its last line. In `conduct` processes stay and do one after the
other, for what is short beside its imports; which pieces there are may hang on what others found.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

Piece = TypeVar("Piece")
Line = dict[str, Any]
"""Of a piece: `job`, and `records` or `error`."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
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
    command = [sys.executable, sys.argv[0], *words]
    try:
        done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, timeout=limit)
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
) -> list[Line]:
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
    wanted = [plain(piece) for piece in pieces]
    began = time.monotonic()

    def one(piece: Piece, job: Any) -> Line:
        left = within - (time.monotonic() - began) if within is not None else None
        if left is not None and left <= 0:
            return {"job": job, "error": [f"not begun within {within:.0f} s"]}
        return {"job": job, **alone(words(piece), min((each for each in (limit, left) if each is not None), default=None))}

    lines = [line for line in read(out) if "records" in line and line["job"] in wanted]
    finished = [line["job"] for line in lines]
    left = [(piece, job) for piece, job in zip(pieces, wanted, strict=True) if job not in finished]
    with out.open("a", encoding="utf-8") as file, ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(one, *each) for each in left]):
            _keep(done.result(), lines, file)
    return lines


def conduct(
    wanted: Callable[[Sequence[Line]], Iterable[Piece]],
    do: Callable[[Piece], Any],
    out: Path,
    *,
    jobs: int = 1,
    within: float = 86_400.0,
    still: Callable[[Line], bool] = lambda line: True,
) -> list[Line]:
    """Do what has no line in `out` yet, in processes that stay, which have one thread and whose output is no result.

    Args:
        wanted: Of all lines so far, the pieces that could be done now, the most wanted first; asked when a process is free.
        do: Does a piece, in one of the processes (so it can be pickled), and returns its records.
        out: JSON, a line a piece, appended as pieces end.
        jobs: Processes.
        within: Seconds of all: what still runs then is ended, and has no line.
        still: Whether a line of the file still holds.

    Returns:
        Lines of the file that hold, and those that were made; a piece that failed has one that says why, and is done again.
    """
    end = time.monotonic() + within
    lines = [line for line in read(out) if "records" in line and still(line)]
    asked = [line["job"] for line in lines]
    os.environ |= ONE_THREAD
    pool, running = _processes(jobs), dict[Future[Line], Any]()
    with out.open("a", encoding="utf-8") as file:
        while True:
            for piece in wanted(lines) if len(running) < jobs else ():
                if (job := plain(piece)) not in asked:
                    asked.append(job)
                    running[pool.submit(_told, do, piece)] = job
                    if len(running) == jobs:
                        break
            left = end - time.monotonic()
            if not running or left <= 0:
                break
            ended = wait(running, timeout=left, return_when=FIRST_COMPLETED).done
            if any(isinstance(done.exception(), BrokenExecutor) for done in ended):
                ended, pool = wait(running).done, _processes(jobs)  # a process was killed: its pool ends all others with it
            for done in ended:
                error = done.exception()
                said = done.result() if error is None else {"error": [f"{type(error).__name__}: {error}"]}
                _keep({"job": running.pop(done), **said}, lines, file)
    for process in multiprocessing.active_children() if running else ():
        process.kill()  # what is over time: training would end cleanly, and late, on less
    pool.shutdown(cancel_futures=True)
    return lines


def _processes(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    import torch

    torch.set_num_threads(1)
    sys.stdout = sys.stderr


def _told(do: Callable[[Piece], Any], piece: Piece) -> Line:
    """What fails must not end the others: it is told."""
    try:
        return {"records": do(piece)}
    except Exception:
        return {"error": traceback.format_exc().strip().splitlines()[-SAID:]}


def _keep(line: Line, lines: list[Line], file: TextIO) -> None:
    lines.append(line)
    file.write(json.dumps(line) + "\n")
    file.flush()
    print(f"{line['job']}: {line.get('error', 'done')}", file=sys.stderr, flush=True)


def plain(piece: Any) -> Any:
    """As a piece reads once it was written."""
    return json.loads(json.dumps(asdict(piece) if is_dataclass(piece) and not isinstance(piece, type) else piece))


def read(out: Path) -> list[Line]:
    """The lines of a file, which need not be there."""
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
