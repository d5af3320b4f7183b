"""A run that goes on elsewhere: on other devices, as more or fewer processes, with the batches that it would have had.

All processes of a step read one batch together, `batch_size` samples each, and which samples those are is a function of the
seed and the step. So the batch of all stays, and each process reads another share of it. What views draw is a function of the
process too: on another number of processes the same samples are masked and cropped anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manyviews.errors import UserError
from manyviews.recipe.model import Recipe, Train
from manyviews.track.record import flat_params

PLACE = ("device", "devices", "nodes", "strategy", "threads", "workers")
"""What of `train` says where a run runs and changes nothing of what it gives."""


def refuse_all_but_places(train: Mapping[str, Any]) -> None:
    """What is given of `train` with a run to go on with.

    Raises:
        UserError: It is not only where to run.
    """
    if others := [key for key in train if key not in PLACE]:
        raise UserError(
            f"train.{others[0]}: a resumed run goes on by its own recipe; what can be given is where it runs: "
            f"{', '.join(f'train.{key}' for key in PLACE)}"
        )


def elsewhere(recipe: Recipe, place: Train) -> Recipe:
    """A run's recipe in another place.

    Args:
        recipe: The run's own.
        place: Of which `PLACE` is taken.

    Raises:
        UserError: The batch of all cannot be shared out among so many processes.
    """
    train = recipe.train.model_copy(update=place.model_dump(include=set(PLACE)))
    before, now = recipe.train.devices * recipe.train.nodes, train.devices * train.nodes
    if now == before:
        return recipe.model_copy(update={"train": train})
    if train.batch_total is not None:
        raise UserError(f"train.devices: batches by `train.batch_total` are packed for {before} processes; go on with as many")
    if (together := train.batch_size * before) % now:
        raise UserError(f"train.devices: the {together} samples of a step cannot be shared out among {now} processes")
    return recipe.model_copy(update={"train": train.model_copy(update={"batch_size": together // now})})


def refuse_another(recipe: Recipe, given: Recipe, folder: object) -> None:
    """Where a folder holds a run of another recipe than the one given for it; where it runs may differ.

    Raises:
        UserError: Names what differs.
    """
    here, there = _content(given), _content(recipe)
    for key in sorted({*here, *there}):
        if here.get(key) != there.get(key):
            raise UserError(
                f"{folder}: holds a run of another recipe: {key} is {there.get(key)} there and {here.get(key)} here; "
                "give another folder"
            )


def _content(recipe: Recipe) -> dict[str, str]:
    train = recipe.train
    flat = flat_params(recipe.model_dump(mode="json", exclude={"track"}))
    kept = {key: value for key, value in flat.items() if key.removeprefix("train.") not in PLACE}
    return kept | {"train.batch_size": str(train.batch_size * train.devices * train.nodes)}
