"""The checkpoints of a run beside one another: which is best by a score, with labels or without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from manyviews.engine import checkpoint
from manyviews.engine.device import Device
from manyviews.engine.judge import judge
from manyviews.engine.load import load_trained
from manyviews.engine.parts import build_source
from manyviews.errors import CheckpointError
from manyviews.evaluate.table import ResultTable

LABEL_FREE = ("effective_rank", "lidar", "alignment_uniformity", "spread")


def judge_checkpoints(
    place: str | Path,
    *,
    tasks: Sequence[str] = LABEL_FREE,
    data: str | Path | None = None,
    teacher: bool = False,
    max_units: int = 2000,
    device: Device = "auto",
) -> ResultTable:
    """A row for each checkpoint of a run and each task.

    Args:
        place: A run folder; it keeps `train.keep_checkpoints` of them.
        tasks: Names of tasks; those that need no labels say which checkpoint to take where there are none.
        data: Other data than the run's own, read as those were.
        teacher: The EMA teacher's weights in place of the student's.
        max_units: Units at most, from each split.
        device: Where the encoders work.

    Raises:
        CheckpointError: There is no checkpoint.
    """
    folders = checkpoint.checkpoints(Path(place) / "checkpoints")
    if not folders:
        raise CheckpointError(f"{place}: no checkpoint here; give the folder of a run that has saved some")
    trained = {folder.name: load_trained(folder, teacher=teacher, device=device) for folder in folders}
    last = trained[folders[-1].name]
    source = build_source(last.recipe, last.spec) if data is None else last.reading(data)
    return judge(
        last.recipe,
        {name: each.encoder for name, each in trained.items()},
        source,
        tasks,
        raw=False,
        forms=None if last.recipe.unit == "token" else ("pooled",),
        max_labelled=max_units,
        max_unlabelled=max_units,
    )
