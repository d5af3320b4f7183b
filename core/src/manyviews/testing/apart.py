"""Scripts in processes of their own, as tests of several processes need them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from manyviews.testing.fixtures import install_fake


def as_two(words: Sequence[str], *, seconds: float = 180) -> None:
    """Run `python WORDS… 0` and `python WORDS… 1` at once, a thread each; both must end well.

    Raises:
        AssertionError: With what they wrote.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *words]
    both = [subprocess.Popen([*command, rank], env=environment, stderr=subprocess.PIPE, text=True) for rank in "01"]
    said = [process.communicate(timeout=seconds)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n\n".join(said)


def with_toys(script: str, folder: Path, *, seconds: float) -> None:
    """Run `python SCRIPT FOLDER` with the toy domain installed, in a session of its own, which ends with it or after so long.
    What it writes is in `words`."""
    install_fake(folder / "site", "manyviews-toy", "toy", "manyviews.testing.toy_plugin")
    paths = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    with (folder / "words").open("w") as words:
        process = subprocess.Popen(
            [sys.executable, script, str(folder)], env=environment, stdout=words, stderr=words, start_new_session=True
        )
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
