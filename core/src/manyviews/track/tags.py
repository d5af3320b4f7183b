"""Tags that say which code and which data made a run. No names of machines or users, so runs of two machines compare."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any


def run_tags(*, plugins: Mapping[str, str], fingerprint: Mapping[str, Any], folder: Path | None = None) -> dict[str, str]:
    """The tags of a run.

    Args:
        plugins: Distribution -> version of the plugins that the recipe uses.
        fingerprint: What the source says of its data (`Source.fingerprint`).
        folder: Whose git commit is meant; None: the working directory.
    """
    return {
        "mlflow.source.name": "manyviews",
        "mlflow.source.type": "LOCAL",
        "manyviews.version": version("manyviews"),
        "manyviews.torch": version("torch"),
        "manyviews.python": platform.python_version(),
        "manyviews.data": fingerprint_hash(fingerprint),
        **{f"manyviews.plugin.{name}": number for name, number in plugins.items()},
        **git_tags(folder or Path.cwd()),
    }


def fingerprint_hash(fingerprint: Mapping[str, Any]) -> str:
    """Sixteen hex digits that are equal for equal data: a hash of the fingerprint's JSON, keys in order."""
    text = json.dumps(fingerprint, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def git_tags(folder: Path) -> dict[str, str]:
    """Commit and dirty flag of a working tree; empty outside of one. MLflow notes none for a console script."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"mlflow.source.git.commit": commit, "manyviews.git.dirty": str(changes != "").lower()}


def _git(folder: Path, *words: str) -> str | None:
    """The output of a git command; None where there is no git, no working tree or no commit."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
