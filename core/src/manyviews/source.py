"""Where samples come from: read on demand, described, fingerprinted.

A source is asked for whole batches by index. That makes shuffling, sharding and exact resume the core's work (an
epoch is a permutation, a position in it is a number), and lets a source read many samples at once: row groups,
block-aligned windows, slices. Nothing assumes that the data fit in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import BaseModel, ConfigDict

from manyviews.batch import Batch, Labelled
from manyviews.errors import DataError
from manyviews.events import Events
from manyviews.subset import Subset

Split = Literal["train", "valid", "test"]
FILE, NAME = "file", "name"
"""Columns of what a served encoder is sent, where samples are files: a file's bytes, and its name where that says its kind."""


class Spec(BaseModel):
    """What encoders and views must know of the data: columns, bands and statistics, sample rate.

    Fitted on training samples only, stored with the checkpoint as JSON, and handed back to the source at embed time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    alike: ClassVar[Sequence[str]] = ()
    """Fields and properties in which two specs must agree for an encoder of the one to read batches of the other as its own;
    none named: all fields. Others are what labels are called, how large a crop is, what an encoder does by its own spec."""

    def unlike(self, other: Spec) -> list[str]:
        """What of `alike` differs, of two specs of one class."""
        return [name for name in self.alike or type(self).model_fields if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True)
class Labels:
    """What probes are to predict, for every sample, or for every token: then in recipes whose unit is the token alone."""

    name: str
    kind: Literal["classification", "regression"]
    values: Shaped[np.ndarray, "units"]
    """Class indices (int64, -1 unlabelled) or numbers (float64, NaN unlabelled)."""
    classes: tuple[str, ...] = ()
    splits: Shaped[np.ndarray, "units"] | None = None
    """Split of every unit for probes, where it is not its sample's: the nodes of one graph; "" where a unit is in none (public
    splits name few nodes). None: `Source.splits`."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of units that belong together or not: links of a graph, recordings of one speaker, one place at two times.

    What tells them (the edges asked for) is kept out of the batches, or the answer would be in the question.
    """

    name: str
    left: Int[np.ndarray, "pairs"]
    right: Int[np.ndarray, "pairs"]
    """Numbers of units: samples, or tokens counted through all samples where the unit is a token (as `Labels.values`)."""
    same: Bool[np.ndarray, "pairs"]
    """True where the two belong together."""
    splits: Shaped[np.ndarray, "pairs"]
    """`train` (a task may fit its score on these), `valid` or `test`."""


@dataclass(frozen=True)
class DenseLabels:
    """What is known of the parts of samples: a class for every voxel or pixel, read with the sample (`Source.labelled`)."""

    name: str
    classes: tuple[str, ...]
    """Class c of a label map is `classes[c]`; -1 is not labelled."""
    known: Bool[np.ndarray, "samples"]
    """Samples that have a label map."""
    splits: Shaped[np.ndarray, "samples"] | None = None
    """Where tasks go by other splits than pretraining; None: `Source.splits`."""


class Source(ABC):
    """Samples of one data set. Constructor: `(self, *, path=…, spec: … | None = None, …)`.

    With `spec` (at embed and evaluation time) nothing is fitted: the data are read as that spec says, and what does
    not fit it is refused in words.
    """

    spec: Spec
    blocks: Sequence[int] | None = None
    """Sizes of the stored blocks in which consecutive samples lie (row groups), for shuffles that read each block once."""
    skipped: Sequence[str] = ()
    """Items left out (`on_error: skip`), a line each with its reason: counted and listed in the run. A source that can leave
    items out has the parameter `on_error: Literal["raise", "skip"] = "raise"`."""

    remarks: Sequence[str] = ()
    """What its user may not have meant, and how to have it otherwise: a sentence each, told when a run begins."""

    served: ClassVar[str | None] = None
    """Where a sample is a file (sound, a volume, a scene): the usual end of its name (`.wav`). A served encoder is then sent
    files, which are written down and read by `reading`, one by one. None: samples are sent as rows of a table (`example`)."""
    served_also: ClassVar[frozenset[str]] = frozenset()
    """Other ends that the name of a sent file may have. None of a kind that names further files (lists, headers beside their
    data, catalogues): a server would open those for whoever asks."""

    @classmethod
    def reading(cls, data: Any, spec: Spec) -> Source:
        """New data (a path, or what the domain holds in memory) read as `spec` says: how a trained encoder gets its input."""
        return cls(path=data, spec=spec)  # type: ignore[call-arg]  # every source names its data `path`

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples, all splits together."""

    @abstractmethod
    def batch(self, index: Int[np.ndarray, "samples"]) -> Batch:
        """The samples of these indices, collated, on the CPU, in native dtypes. May be called in a worker process."""

    def sizes(self) -> Float[np.ndarray, "samples"] | None:
        """How large each sample is (seconds, nodes), for batches capped by `train.batch_total`; None: all are alike."""
        return None

    def splits(self) -> Shaped[np.ndarray, "samples"]:
        """`train`, `valid` or `test` for every sample. Pretraining reads `train` alone."""
        return np.full(len(self), "train")

    def subset(self, split: Split) -> Subset:
        """The samples of a split, which is what runs read by. A source of very many samples overrides it, so that no text
        of each of them need be there; it says the same as `splits`."""
        return Subset(len(self), self.splits() == split)

    def labels(self) -> Labels | None:
        """What probes predict; None for unlabelled data. Never seen in pretraining."""
        return None

    def dense_labels(self) -> DenseLabels | None:
        """Which samples have a label map; None where the data have none. Never seen in pretraining."""
        return None

    def labelled(self, index: Int[np.ndarray, "samples"], generator: np.random.Generator | None) -> Labelled:
        """Samples with their label maps, "samples *size", long. For sources with `dense_labels`; may be called in a worker.

        Args:
            index: The samples.
            generator: To train on: a crop of each, of the size that the encoder is trained on, its place drawn from this.
                None: whole samples; asked for one at a time, since they may differ in size.
        """
        raise ValueError(f"{type(self).__name__} has no label maps")

    def whole(self, sample: int) -> tuple[Batch, tuple[int, ...]]:
        """A whole sample, labelled or not, and the size that a label map of it has; to predict one."""
        raise ValueError(f"{type(self).__name__} has no label maps")

    def pairs(self) -> Pairs | None:
        """Pairs that tasks are to tell apart; None where the data have none. Never seen in pretraining."""
        return None

    def events(self) -> Events | None:
        """What happens when in samples; None where nothing is known of that. Never seen in pretraining."""
        return None

    def seconds(self) -> Float[np.ndarray, "samples"]:
        """How long each sample is, where something happens in time."""
        raise ValueError(f"{type(self).__name__} does not say how long its samples are")

    def moment(self, sample: int) -> tuple[str, float]:
        """Where a sample begins: the recording that it is of, as lists of events name it, and the second in that recording."""
        return str(sample), 0.0

    def names(self, samples: Int[np.ndarray, "samples"]) -> Sequence[str] | None:
        """What samples are called where they come from: a file, and which part of it. Written beside their vectors and answers
        in tables; None: they have numbers alone."""
        return None

    def groups(self) -> Shaped[np.ndarray, "samples"] | None:
        """Patient, scene or recording of every sample, never torn apart by a split; None where each stands alone."""
        return None

    def features(self, index: Int[np.ndarray, "samples"]) -> Float[np.ndarray, "samples features"]:
        """The raw input as plain vectors, for the `raw input` row of every result table."""
        raise ValueError(f"{type(self).__name__} has no plain features")

    def sketches(self, index: Int[np.ndarray, "samples"]) -> Float[np.ndarray, "samples rows columns"]:
        """A small grey picture of each sample, all of one size, by which `manyviews curate` tells duplicates: a slice of a
        volume, a thumbnail of a tile, a spectrogram."""
        raise DataError(
            f"{type(self).__name__} has no pictures of its samples to compare; compare their vectors: --measure embedding"
        )

    def token_features(self, tokens: Int[np.ndarray, "tokens"]) -> Float[np.ndarray, "tokens features"]:
        """The same of tokens (numbered through all samples, as `Labels.values`), for recipes whose unit is the token."""
        raise ValueError(f"{type(self).__name__} has no plain features of tokens")

    def frame_features(
        self, index: Int[np.ndarray, "samples"]
    ) -> tuple[Float[np.ndarray, "frames features"], Int[np.ndarray, "samples"]]:
        """The same of the moments of samples, one sample's after another's, and how many each has; for sources with events."""
        raise ValueError(f"{type(self).__name__} has no plain features of frames")

    def example(self) -> Any:
        """A few samples as a user of the served encoder would send them: a DataFrame, where samples are files with a column
        `file` of their bytes; None: no such form. Nothing of the data themselves, since it travels with the model."""
        return None

    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """What tells this data set from another: files, sizes, times or hashes, rows. JSON-able, goes into the run."""
