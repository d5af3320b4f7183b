"""The settings of a finetuning: which run's encoder, which task, which labels, how much of the encoder learns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, ValidationError

from manyviews.errors import RecipeError
from manyviews.recipe.errors import known_keys, translate
from manyviews.recipe.load import read_tree
from manyviews.recipe.merge import merge
from manyviews.recipe.model import Optim, Origins, Part, Strict, Track, Train
from manyviews.recipe.overrides import override_tree
from manyviews.recipe.reader import dump
from manyviews.recipe.tree import Node, dotted, from_python, leaves, nearest, plain

Method = Literal["full", "frozen", "lora", "adapters"]


def _percent(value: Any) -> Any:
    """`5%` is a share."""
    if isinstance(value, str) and value.endswith("%"):
        try:
            return float(value[:-1]) / 100
        except ValueError:
            return value
    return value


def _listed(value: Any) -> Any:
    """One budget needs no brackets."""
    return value if isinstance(value, list | tuple) else [value]


Budget = Annotated[PositiveInt | Annotated[float, Field(gt=0, le=1)], BeforeValidator(_percent)]
"""A whole number of units or groups, or a share of them."""


class LoRA(Strict):
    """Low-rank changes of the encoder's matrices and kernels (Hu et al. 2022)."""

    rank: PositiveInt = 8
    alpha: PositiveFloat | None = Field(None, description="The change counts alpha / rank times; null: alpha = 2 rank.")
    where: str | None = Field(None, description="Regular expression on a weight's name; null: all matrices and kernels.")


class Adapters(Strict):
    """Bottlenecks behind the layers that write into the encoder's width (Houlsby et al. 2019)."""

    width: PositiveInt = 16
    where: str | None = Field(None, description="Regular expression on a layer's name; null: all linear layers and kernels.")


USUAL_RATE = 1e-3
"""Learning rate where an encoder, or more than its head, learns."""


class TunedOptim(Optim):
    """As in a recipe, but for a rate that nobody gave."""

    lr: PositiveFloat | None = Field(  # type: ignore[assignment]  # what is trained by is `given` one
        None, description="null: what is usual for the task and the method: .001, of a linear head alone .01."
    )

    def given(self, usual: float) -> TunedOptim:
        """With a rate: the usual one where there is none."""
        return self.model_copy(update={"lr": usual if self.lr is None else self.lr})


class Finetune(Strict):
    """Everything that a finetuning is made of, beside the run whose encoder it begins with."""

    run: str = Field(description="Folder of the pretraining run, or of one of its checkpoints.")
    best: bool = Field(False, description="Begin with the checkpoint that was best by the run's `train.best`, not the last.")
    teacher: bool = Field(False, description="Begin with the EMA teacher's weights in place of the student's.")
    task: Part | None = Field(
        None, description="Component of kind downstream; null: classification or regression, as labels are."
    )
    method: Method = Field("full", description="How much of the encoder learns; the head always does.")
    lora: LoRA = LoRA()
    adapters: Adapters = Adapters()
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Each layer learns so many times as fast as the one behind it; 1: all alike."
    )
    labels: Annotated[list[Budget], BeforeValidator(_listed), Field(min_length=1)] = Field(
        [1.0], description="Label budgets: numbers of units (of groups, where the data have groups), or shares of them."
    )
    subsets: PositiveInt = Field(1, description="Draws of labelled units, for each budget below all.")
    seeds: PositiveInt = Field(1, description="Repetitions of each, with other heads and orders.")
    scratch: bool = Field(True, description="Train the same encoder from its initial weights beside it, with the same labels.")
    every: PositiveInt | None = Field(None, description="Steps between two looks at the validation units; null: ten in a run.")
    choose: Literal["best", "last"] = Field(
        "best", description="Keep the step that is best on the validation units, where there are any; or the last."
    )
    patience: PositiveInt | None = Field(None, description="Looks without a better one after which a fit ends; null: none.")
    optim: TunedOptim = TunedOptim(weight_decay=0.01, warmup=0.1, clip=1.0)
    train: Train = Train(steps=500, batch_size=32)
    track: Track | None = Track(log_model=False)


DEFAULTS = {"optim": {"weight_decay": 0.01, "warmup": 0.1, "clip": 1.0}, "train": {"steps": 500, "batch_size": 32}}
OF_RECIPE = ("data", "unit")
"""Sections of the pretraining recipe that a finetuning may lay something over."""


def load_finetune(
    run: str, recipe: str | None = None, overrides: Sequence[str] | Mapping[str, Any] = ()
) -> tuple[Finetune, dict[str, Any]]:
    """The settings, checked, and what is to be laid over the pretraining's recipe (`data`, `unit`).

    Args:
        run: A run or checkpoint folder.
        recipe: Settings by name (`medical/finetune_…`) or path, laid over the defaults.
        overrides: `key.path=value` texts, or a mapping with dotted or nested keys; laid over both.

    Raises:
        RecipeError: Says the key path, the file and line, the value and what is allowed.
    """
    layers = [from_python(DEFAULTS, "the defaults"), *([read_tree(recipe)] if recipe else []), override_tree(overrides)]
    merged = reduce(merge, layers, from_python({"run": run}, "the arguments"))
    assert isinstance(merged.value, dict)
    keys = dict(merged.value)
    for_recipe = plain(Node({key: keys.pop(key) for key in OF_RECIPE if key in keys}, merged.where))
    rest = Node(keys, merged.where)
    data, origins = plain(rest), Origins({dotted(path): node.where for path, node in leaves(rest)})
    try:
        return Finetune.model_validate_json(json.dumps(data)), for_recipe
    except ValidationError as error:
        known = known_keys(Finetune, "extends", *OF_RECIPE)
        refusal: RecipeError = translate(error, data, known)
        refusal.where = nearest(origins, refusal.key)
        raise refusal from error


def finetune_yaml(settings: Finetune) -> str:
    """The whole settings as text that `read_finetune` reads back equal."""
    return dump(plain(from_python(settings.model_dump(), "")))


def read_finetune(text: str) -> Finetune:
    """The inverse of `finetune_yaml`."""
    from manyviews.recipe.reader import parse

    return Finetune.model_validate_json(json.dumps(plain(parse(text, "finetune.yaml"))))
