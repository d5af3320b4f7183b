"""What is said about a run: once, when it starts, all that it is made of; when it ends, how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

FinalStatus = Literal["FINISHED", "FAILED", "KILLED"]
"""How a run ended."""


@dataclass(frozen=True)
class RunRecord:
    """Everything that a tracker is told when a run starts."""

    experiment: str
    run_name: str
    recipe_yaml: str
    """The resolved recipe, reloadable; stored as `recipe.yaml`."""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: Path | None = None
    """Folder of the run that this one is a part of (a finetuning, a sweep): MLflow shows it nested."""


def flat_params(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested configuration as MLflow parameters: `{"optim": {"lr": 0.1}}` becomes `{"optim.lr": "0.1"}`.

    Lists of mappings get their place in the name (`evaluate.0.task`); other lists stay one value.
    """
    params: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            value = {str(place): item for place, item in enumerate(value)}
        if isinstance(value, Mapping):
            params |= flat_params(value, f"{name}.")
        else:
            params[name] = str(value)
    return params
