"""CPU time of the command line with a hundred plugins installed, one of them broken, one
incompatible, two in conflict; the last line is a JSON object.

    python benchmarks/cli.py [--quick]

The plugins are generated: a dist-info folder and a module each, in a temporary folder on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from _measure import ratio

GOAL_MS = {"plugins": 150.0, "help": 300.0}
MODULE = """
from manyviews.domain import Domain
from manyviews.hookspecs import hookimpl

@hookimpl
def manyviews_domain() -> Domain:
    return Domain(
        name="{name}", summary="A dummy.", core="~=0.1",
        components={{"source": {{"files": "{name}_parts:Files"}}, "encoder": {{"net": "{name}_parts:Net"}}}},
    )
"""
RUN = "from manyviews.cli.main import main; main()"


def install(folder: Path, plugins: int) -> None:
    """Generate `plugins` distributions: the last is broken, the one before wants another core, two before claim one name."""
    for number in range(plugins):
        name = f"dummy{number:03}"
        left = plugins - number
        (folder / f"{name}_plugin.py").write_text(
            "raise RuntimeError('broken on purpose')" if left == 1 else MODULE.format(name=name)
        )
        info = folder / f"manyviews_{name}-1.0.dist-info"
        info.mkdir()
        core = ">=99" if left == 2 else "~=0.1.0"
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: manyviews-{name}\nVersion: 1.0\nRequires-Dist: manyviews{core}\n\n"
            + "Words.\n" * 100
        )
        claimed = "twice" if left in (3, 4) else name
        (info / "entry_points.txt").write_text(f"[manyviews]\n{claimed} = {name}_plugin\n")


def run(arguments: Sequence[str], folder: Path, *python: str) -> tuple[float, str, str]:
    """(user and system CPU milliseconds, stdout, stderr) of one command."""
    unset = ("MANYVIEWS_PLUGINS", "PYTHONDONTWRITEBYTECODE")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")  # as installed packages are, whatever this machine has
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    before = _children()
    done = subprocess.run(
        [sys.executable, *python, "-c", RUN, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return _children() - before, done.stdout, done.stderr


def imported(arguments: Sequence[str], folder: Path, modules: Sequence[str]) -> list[str]:
    """Which of the modules a command imports."""
    lines = run(arguments, folder, "-X", "importtime")[2].splitlines()
    names = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    return sorted(names & set(modules))


def main() -> None:
    """Measure, print the numbers, and fail where a command imported what it should not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 runs of each in place of 20")
    parser.add_argument("--plugins", type=int, default=100)
    options = parser.parse_args()
    rounds = 3 if options.quick else 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder, options.plugins)
        commands = {"plugins": ["plugins", "--json"], "help": ["--help"]}
        heavy = {
            key: imported(words, folder, ("torch", "pydantic")) for key, words in commands.items()
        }  # compiles the modules, too
        states = [plugin["state"] for plugin in json.loads(run(commands["plugins"], folder)[1])]
        spent: dict[str, list[float]] = {"python": [], **{key: [] for key in commands}}
        for _ in range(rounds):  # in turns: machines are shared, and their speed drifts
            spent["python"].append(_bare())
            for key, words in commands.items():
                spent[key].append(run(words, folder)[0])
    result = {
        "plugins": options.plugins,
        **{state: states.count(state) for state in ("broken", "incompatible", "conflict")},
        "rounds": rounds,
        **{f"{key}_cpu_ms_median": round(median(times), 1) for key, times in spent.items()},
        **{f"{key}_cpu_ms_least": round(min(times), 1) for key, times in spent.items()},
        **{f"{key}_times_python": round(ratio(spent[key], spent["python"]), 2) for key in commands},
        **{f"{key}_goal_ms": goal for key, goal in GOAL_MS.items()},
        "torch_imported": any("torch" in found for found in heavy.values()),
        "pydantic_imported": any("pydantic" in found for found in heavy.values()),
    }
    print(json.dumps(result))
    sys.exit(int(result["torch_imported"] or result["pydantic_imported"]))


def _bare() -> float:
    """CPU milliseconds of a Python that does nothing."""
    before = _children()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return _children() - before


def _children() -> float:
    """User and system CPU milliseconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (used.ru_utime + used.ru_stime)


if __name__ == "__main__":
    main()
