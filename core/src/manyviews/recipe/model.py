"""A recipe: everything that a run is made of, as data. Its keys are checked here, before torch is imported.

What stands beside `name` (`source` in data, `task` in evaluate) are the component's own parameters. They are checked
against its constructor when it is built, still before any data is read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    field_validator,
    model_validator,
)

from manyviews.recipe.tree import nearest
from manyviews.track.schemes import complaint

MOST_WEIGHED = 12
"""Terms that `combine: mgda` can weigh: it tries every subset of them."""

Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]


def _number_as_text(value: Any) -> Any:
    """`precision: 32` needs no quotes."""
    return str(value) if type(value) is int else value


class Origins(dict[str, str]):
    """Key path -> `file:line`. Where a recipe was written does not make it another recipe: any two are equal."""

    title: str = ""
    """Of the whole: the recipe's name, or that of its file without the ending."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origins)

    __hash__ = None


class Strict(BaseModel):
    """Unknown keys are refused and types are not guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Part(Strict):
    """A component and its parameters."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str = Field(description="Component, `domain/component` or bare for the core's and the recipe's own domain's.")

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Data(Strict):
    """The source of samples and its parameters (`path`, …)."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    source: str = Field(description="Source component.")

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Term(Strict):
    """One of several (views, objective) pairs that share the encoder."""

    views: Part
    objective: Part
    weight: PositiveFloat = 1.0


class Teacher(Strict):
    """The EMA teacher, where the objective needs one: `momentum` rises to `final_momentum` over the run."""

    momentum: Share = 0.996
    final_momentum: Share = 1.0
    schedule: Literal["linear", "cosine", "constant"] = "linear"


class Optim(Strict):
    """Optimiser, learning-rate schedule and regularisation."""

    name: Literal["adamw", "adam", "sgd", "lars"] = Field(
        "adamw", description="`adam` adds `weight_decay` to the gradient (L2), `adamw` decays apart from it."
    )
    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0
    final_weight_decay: NonNegativeFloat | None = Field(None, description="Cosine from `weight_decay` to this; null: constant.")
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    momentum: BelowOne = 0.9
    decay_norms_and_biases: bool = Field(
        False, description="Let norms, biases, embeddings and tokens decay too (with `lars`: and adapt), as matrices do."
    )
    schedule: Literal["warmup_cosine", "infinite", "constant"] = "warmup_cosine"
    warmup: Share = Field(0.05, description="Share of the steps over which the rate rises linearly from 0.")
    final_lr: NonNegativeFloat = Field(0.0, description="Rate at the end of a cosine or of a decay.")
    decay: Share = Field(
        0.0, description="`infinite` only: share of the steps, at the end, over which the rate decays; 0: never."
    )
    clip: PositiveFloat | None = Field(None, description="Largest norm of the gradient; null: no clipping.")


class Train(Strict):
    """The run itself."""

    steps: PositiveInt | None = Field(None, description="Optimiser steps; or give `epochs`.")
    epochs: PositiveFloat | None = Field(None, description="Passes over the training samples; or give `steps`.")
    batch_size: PositiveInt = 256
    batch_total: PositiveFloat | None = Field(
        None,
        description="Cap on a batch's size in the source's terms (seconds of sound, nodes), padding counted; samples of like "
        "size then go together, `batch_size` of them at most. null: `batch_size` samples, whatever their size.",
    )
    accumulate: PositiveInt = Field(1, description="Batches whose gradients are added up for one step.")
    precision: Annotated[Literal["32", "tf32", "bf16-mixed", "16-mixed"], BeforeValidator(_number_as_text)] = Field(
        "32", description="`tf32`: float32, with products at 10 bits of mantissa on tensor cores (NVIDIA, from Ampere on)."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: PositiveInt = Field(
        1, description="Devices of a machine, each with a process of its own and `batch_size` samples."
    )
    nodes: PositiveInt = Field(
        1, description="Machines, which share `folder`: started by Slurm (srun) or torchrun, one process for each device."
    )
    strategy: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="How several processes hold the model: each all of it, or (`fsdp`) each a share of parameters, "
        "gradients and optimiser state, put together where they are needed.",
    )
    threads: PositiveInt | None = Field(None, description="CPU threads of torch; null: as torch chooses.")
    compile: bool = False
    workers: NonNegativeInt = Field(0, description="Processes that read data; 0: the training process reads.")
    keep: str | None = Field(
        None, description="File of `manyviews curate`: of the training samples, those that are read; null: all."
    )
    shuffle_blocks: PositiveInt = Field(
        16, description="Stored blocks (row groups, raster blocks) shuffled together at a time."
    )
    log_every: PositiveInt = Field(
        50, description="Steps between two readings of the metrics from the device; their means are logged."
    )
    checkpoint_every: PositiveInt | None = Field(None, description="Steps between two checkpoints; null: at the end only.")
    keep_checkpoints: PositiveInt = 2
    best: str | None = Field(
        None,
        description="Reading of an evaluation by which the best step's checkpoint is kept, too: `eval/lidar/lidar`, without "
        "labels; `eval/linear_probe/accuracy`. null: none.",
    )
    patience: PositiveInt | None = Field(
        None, description="Looks at `best` without a better one after which the run ends; null: it runs to its end."
    )
    watch_every: PositiveInt = Field(100, description="Steps between two looks at the embedding for signs of collapse.")
    folder: str = Field("runs", description="Where run folders are made.")

    @model_validator(mode="after")
    def one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either `steps` or `epochs`")
        if self.patience is not None and self.best is None:
            raise ValueError("`patience` counts looks at `best`: say which reading that is")
        return self


class Evaluation(Strict):
    """A task, run every `every` steps and at the end; null: at the end only."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    task: str
    name: str | None = Field(None, description="What its metrics are called; null: as the task.")
    set: str | None = Field(None, description="One of `sets`, whose labels it is about; null: the run's own data.")
    every: PositiveInt | None = None
    folds: Annotated[int, Field(ge=2)] | Literal["leave_one_group_out"] | None = Field(
        None,
        description="Cross-validate in place of the data's splits: so many folds (of whole groups, where there are groups), or "
        "each group held out once.",
    )
    form: Literal["pooled", "flat"] = Field(
        "pooled",
        description="One vector a sample, or its tokens end to end; with `unit: token` the tokens themselves, `pooled` only.",
    )

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Track(Strict):
    """MLflow. `track: null` runs without it."""

    experiment: str | None = Field(None, description="null: the domain's name.")
    uri: str | None = Field(None, description="Tracking server or store; null: $MLFLOW_TRACKING_URI, else sqlite:///mlflow.db.")
    run_name: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    log_model: bool = Field(True, description="Store the final encoder as an MLflow model.")
    report: bool = Field(
        True, description="Make a report at the end: curves, a map of embeddings, neighbours, views. Needs matplotlib."
    )

    @field_validator("uri")
    @classmethod
    def known_kind(cls, uri: str | None) -> str | None:
        if uri is not None and (wrong := complaint(uri)) is not None:
            raise ValueError(wrong)
        return uri


class Recipe(Strict):
    """Everything that a run is made of."""

    domain: str
    unit: Literal["sample", "token"] = Field("sample", description="What joint embeddings compare and probes classify.")
    data: Data
    encoder: Part
    views: Part | None = None
    objective: Part | None = None
    terms: list[Term] | None = Field(
        None, description="Several (views, objective, weight) in place of one `views` and `objective`."
    )
    combine: Literal["sum", "mgda"] = Field(
        "sum",
        description="How terms become one step: their weighted `sum`, or `mgda`: weights are found that make none worse.",
    )
    teacher: Teacher = Teacher()
    optim: Optim = Optim()
    train: Train
    evaluate: list[Evaluation] = Field(default_factory=list)
    sets: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Further labelled sets, by name, each what is laid over `data`: `{speaker: {target: speaker}}`.",
    )
    renderer: Part | None = Field(
        None, description="How samples are drawn in pictures and reports; null: the domain's own way."
    )
    track: Track | None = Track()
    _origins: Origins = PrivateAttr(default_factory=Origins)

    @model_validator(mode="after")
    def one_or_several(self) -> Self:
        single = self.views is not None and self.objective is not None
        if single == (self.terms is not None) or (self.terms is not None and (self.views or self.objective)):
            raise ValueError("give `views` and `objective`, or a list of `terms`")
        return self

    @model_validator(mode="after")
    def weighs_several(self) -> Self:
        if self.combine == "mgda":
            if not 2 <= len(self.terms or []) <= MOST_WEIGHED:
                raise ValueError(f"`combine: mgda` weighs 2 to {MOST_WEIGHED} `terms`")
            if any(term.weight != 1.0 for term in self.terms or []):
                raise ValueError("`combine: mgda` finds the weights of the terms; leave their `weight` out")
        return self

    def all_terms(self) -> list[Term]:
        """The terms, one or several."""
        if self.terms is not None:
            return self.terms
        assert self.views is not None
        assert self.objective is not None
        return [Term(views=self.views, objective=self.objective)]

    def where(self, key: str) -> str:
        """`file:line` of the key path (`objective.temperature`), or of the nearest key above it; empty where not known."""
        return nearest(self._origins, key)

    @property
    def origins(self) -> Origins:
        """Key path -> where it was written."""
        return self._origins

    @property
    def title(self) -> str:
        """The recipe's name (`tabular/t_jepa`), or that of its file without the ending; the domain where it has neither."""
        return self._origins.title or self.domain

    def written(self, origins: Origins) -> Self:
        """The same recipe, knowing where each key was written."""
        copy = self.model_copy()
        copy._origins = origins
        return copy
