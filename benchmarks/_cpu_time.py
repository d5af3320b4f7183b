"""CPU time of a command and of all processes that it starts, those that outlive their parents among them."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
EVERY = 0.2
PR_SET_CHILD_SUBREAPER = 36


def timed(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Seconds of wall clock and of CPU time, read from /proc five times a second.

    Raises:
        SystemExit: The command failed.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # a daemon's new parent is this process, so it stems from it still
    begun, spent = time.monotonic(), dict[tuple[int, int], float]()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        spent |= seconds_of(os.getpid())
        time.sleep(EVERY)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[-6:])} ended with {process.returncode}")
    return {"wall": time.monotonic() - begun, "cpu": sum(spent.values())}


def seconds_of(root: int) -> Mapping[tuple[int, int], float]:
    """CPU seconds of each process that stems from `root`, by its number and its start, since numbers come again."""
    parents, spent, starts = {}, {}, {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = place.read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has ended
            continue
        number, fields = int(place.parent.name), text.rpartition(")")[2].split()
        parents[number], starts[number] = int(fields[1]), int(fields[19])
        spent[number] = (int(fields[11]) + int(fields[12])) / TICKS
    ours: set[int] = set()
    while more := {number for number, parent in parents.items() if (parent == root or parent in ours) and number not in ours}:
        ours |= more
    return {(number, starts[number]): spent[number] for number in ours}
