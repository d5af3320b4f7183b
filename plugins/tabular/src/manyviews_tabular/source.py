"""Tables as a source: read once to fit the spec on training rows, then served as arrays.

A table whose arrays fit into memory is encoded once at the start, and a batch is a slice of arrays. A larger one on
disk (Parquet, Arrow) stays there: its row groups are the source's `blocks`, decoded when asked for and kept a while.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import Field, NonNegativeInt, PositiveInt

from manyviews.errors import DataError
from manyviews.source import Labels, Source, Split
from manyviews.splits import NAMES, TRAIN, VALID_SHARE, Codes, check_shares, draw_codes
from manyviews.subset import Subset
from manyviews_tabular import cells
from manyviews_tabular.batch import TableBatch
from manyviews_tabular.encode import Encoded, check_columns, encode
from manyviews_tabular.features import one_hot
from manyviews_tabular.infer import Options, check_types, infer, unknown_column
from manyviews_tabular.reading import Rows, TablePath, open_rows
from manyviews_tabular.sample import draw_sample, read_column
from manyviews_tabular.scaling import ScalingName
from manyviews_tabular.schema import ColumnType, TableSpec, TargetKind
from manyviews_tabular.skip import Reading, sound_rows
from manyviews_tabular.splits import read_splits
from manyviews_tabular.target import read_target, strata

CELL_BYTES = 13
"""Memory of an encoded cell: two float32 numbers, an int32 code, a missing flag."""


class TableSource(Source):
    """Rows of a table: CSV, Parquet, Feather or Arrow files; in Python a DataFrame or an Arrow table too.

    Args:
        path: A file, a folder of files or a pattern such as `part-*.parquet`; in Python also a DataFrame or an Arrow table.
        target: Column that probes predict. It is never an input.
        target_kind: `auto`: text and up to 20 different whole numbers are classes, other numbers are regressed on.
        types: Types of columns where the guess is wrong, such as `{zip: categorical}`.
        ignore: Columns to leave out.
        group: Column whose rows belong together (patient, household): splits never part them. It is no input.
        splits: A CSV file with a column `split` (train, valid, test; one row for each of the table's), or shares such as
            `{valid: 0.1, test: 0.2}`. Default: these shares where there is a target, else all rows train. Where a file names
            no valid rows, a tenth of its training rows validates. Drawn evenly from the classes, or by whole groups.
        split_seed: Seed of drawn splits.
        scaling: How numbers are scaled: `quantile` (to a normal), `quantile_uniform` (to -1..1), `robust`, `standard`.
        missing: Further texts or numbers that mean "no value", beside the usual (empty, ?, NA, NaN, null, None).
        max_levels: Most levels of a category; rarer ones share a code.
        min_count: Levels that fewer training rows have share that code too.
        fit_rows: Most training rows that types and statistics are fitted on: a random sample beyond.
        memory: Gigabytes up to which a table on disk is held in memory, decoded.
        cached_groups: Row groups kept decoded where a table is larger than that.
        on_error: Raise at the first file or cell that cannot be used; or `skip`, and list, such files of several, row groups
            that cannot be read, and rows that hold an infinite number or anything but a number in a column of numbers.
        spec: A fitted spec: read as it says and fit nothing.
    """

    spec: TableSpec

    def __init__(
        self,
        *,
        path: TablePath,
        target: str | None = None,
        target_kind: TargetKind = "auto",
        types: dict[str, ColumnType] | None = None,
        ignore: list[str] | None = None,
        group: str | None = None,
        splits: str | dict[str, float] | None = None,
        split_seed: NonNegativeInt = 0,
        scaling: ScalingName = "quantile",
        missing: list[str] | None = None,
        max_levels: PositiveInt = 1000,
        min_count: PositiveInt = 1,
        fit_rows: PositiveInt = 500_000,
        memory: Annotated[float, Field(ge=0)] = 2.0,
        cached_groups: PositiveInt = 24,
        on_error: Literal["raise", "skip"] = "raise",
        spec: TableSpec | None = None,
    ) -> None:
        self.skipped: list[str] = []
        rows = open_rows(path, self.skipped if on_error == "skip" else None)
        markers = (*cells.MARKERS, *(missing or []))
        if spec is None:
            self._check_names(rows, {"target": target, "group": group}, types or {}, ignore or [])
        elif target is None:  # new data are labelled as the training data were, where they are at all
            target, target_kind = spec.target, spec.target_kind
        self._kept: Bool[np.ndarray, "stored"] | None = None
        if on_error == "skip":
            columns = [name for name in rows.names if name not in (ignore or [])]
            types_of: dict[str, ColumnType] = {name: "categorical" for name in (target, group) if name is not None}
            types_of |= {target: "numeric"} if target is not None and target_kind == "regression" else {}
            kept, reasons = sound_rows(rows, Reading(columns, types_of | (types or {}), spec, markers, fit_rows))
            rows, self._kept = kept, kept.every
            self.skipped += reasons
        self._count, self._starts = sum(rows.groups), np.cumsum([0, *rows.groups])
        self._fingerprint = {"rows": self._count, "columns": list(rows.names), "files": dict(rows.fingerprint())}
        self._labels = self._groups = None
        if target is not None and target in rows.names:
            self._labels = read_target(read_column(rows, target), target, target_kind, markers, rows.where)
        if group is not None and group in rows.names:
            self._groups = np.asarray(read_column(rows, group).to_pandas().astype(str))
        self._split_by = (splits, split_seed)
        if spec is None:
            inputs = [name for name in rows.names if name not in {*(ignore or []), target, group}]
            options = Options(types or {}, scaling, markers, max_levels, min_count)
            spec = infer(draw_sample(rows, inputs, self.subset("train"), fit_rows), options)
            spec = spec.model_copy(update={"target": target, "target_kind": target_kind})
        check_columns(rows.names, spec, rows.where)
        self.spec = spec
        self._store(rows, memory, cached_groups)

    @staticmethod
    def _check_names(
        rows: Rows, named: Mapping[str, str | None], types: Mapping[str, ColumnType], ignore: Sequence[str]
    ) -> None:
        """There are rows, and every column that the user names."""
        if sum(rows.groups) == 0:
            raise DataError(f"{rows.where}: the table has no rows")
        for key, name in named.items():
            if name is not None and name not in rows.names:
                raise unknown_column(key, name, rows.names, rows.where)
        check_types(types, ignore, rows.names, rows.where)

    @cached_property
    def _splits(self) -> Codes:
        """Drawn when asked for: a new table that is only embedded need not match a split file."""
        splits, seed = self._split_by
        own = np.full(self._count, TRAIN, np.uint8)
        shares: Mapping[str, float] = {}
        if isinstance(splits, str):
            own = read_splits(splits, self._count if self._kept is None else len(self._kept))
            own = own if self._kept is None else own[self._kept]
            shares = {} if (own == NAMES.index("valid")).any() else {"valid": VALID_SHARE}
        elif splits is not None:
            check_shares(splits)
            shares = splits
        elif self._labels is not None:
            shares = {"valid": 0.1, "test": 0.2}
        if not shares:
            return own
        train = own == TRAIN
        return np.where(train, draw_codes(train, shares, strata(self._labels, self._count), self._groups, seed), own)

    def _store(self, rows: Rows, memory: float, cached_groups: int) -> None:
        """All rows decoded where they fit, else a reader of row groups."""
        self._whole: Encoded | None = None
        self._rows, self._cached_groups = None, cached_groups
        if rows.on_disk and self._count * len(self.spec.tokens) * CELL_BYTES > memory * 1e9:
            self._rows, self.blocks = rows, rows.groups
            self._open_cache()
            return
        self._whole = Encoded.join([_group(rows, group, self.spec) for group in range(len(rows.groups))])

    def _open_cache(self) -> None:
        rows, spec = self._rows, self.spec
        assert rows is not None
        self._read = lru_cache(self._cached_groups)(lambda group: _group(rows, group, spec))

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_read"}  # each worker caches for itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._rows is not None:
            self._open_cache()

    def __len__(self) -> int:
        return self._count

    def encoded(self, index: Int[np.ndarray, "rows"]) -> Encoded:
        """These rows as arrays."""
        if self._whole is not None:
            return self._whole.take(index)
        groups = np.searchsorted(self._starts, index, side="right") - 1
        parts, places = [], []
        for group in np.unique(groups):
            chosen = np.flatnonzero(groups == group)
            parts.append(self._read(int(group)).take(index[chosen] - self._starts[group]))
            places.append(chosen)
        if not parts:
            return self._read(0).take(index)
        return Encoded.join(parts).take(np.argsort(np.concatenate(places)))

    def batch(self, index: Int[np.ndarray, "rows"]) -> TableBatch:
        rows = self.encoded(np.asarray(index))
        return TableBatch(*(torch.from_numpy(part) for part in (rows.values, rows.missing, rows.codes)))

    def splits(self) -> Shaped[np.ndarray, "rows"]:
        return np.array(NAMES)[self._splits]

    def subset(self, split: Split) -> Subset:
        return Subset(self._count, self._splits == NAMES.index(split))

    def labels(self) -> Labels | None:
        return self._labels

    def groups(self) -> Shaped[np.ndarray, "rows"] | None:
        return self._groups

    def features(self, index: Int[np.ndarray, "rows"]) -> Float[np.ndarray, "rows features"]:
        """Standardised numbers, one flag for each number that can be missing, one-hot categories."""
        return one_hot(self.encoded(np.asarray(index)), self.spec)

    def example(self) -> pd.DataFrame:
        """A row of usual values and one of missing ones, made from the spec: each type, and that each may be missing."""
        usual = {token.column: token.usual for token in self.spec.each}
        return pd.DataFrame([usual, dict.fromkeys(usual)]).astype(
            {name: type(value) for name, value in usual.items() if type(value) is float}
        )

    def fingerprint(self) -> Mapping[str, Any]:
        return self._fingerprint

    def describe(self) -> str:
        """The columns as they were understood, as a readable table."""
        return self.spec.describe()


def _group(rows: Rows, group: int, spec: TableSpec) -> Encoded:
    return encode(rows.read(group, spec.columns), spec, *rows.place(group))
