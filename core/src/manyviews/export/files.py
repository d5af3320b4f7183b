"""The core's writers: Parquet, npy, npz and CSV."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from manyviews.errors import UserError
from manyviews.source import Source
from manyviews.writer import About, Rows, Writer


class NpyWriter(Writer):
    """One array, a row a unit; mapped to the file, so that it may be larger than memory."""

    suffixes = (".npy",)

    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        if about.rest is None:
            raise UserError("--output: rows differ in shape, so they are no single array; name a .npz file")
        array, start = None, 0
        for rows in parts:
            if array is None:
                shape = (about.rows, *about.rest)
                array = np.lib.format.open_memmap(place, "w+", rows.values.dtype, shape)
            array[start : start + len(rows.values)] = rows.values
            start += len(rows.values)
        if array is None:
            with place.open("wb") as file:
                np.save(file, np.zeros((0, *about.rest), np.float32))


class NpzWriter(Writer):
    """One array for each sample, by its number: for label maps of samples of unlike size."""

    suffixes = (".npz",)

    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        import zipfile

        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            for rows in parts:
                ends = rows.counts.cumsum()
                for sample, start, end in zip(rows.samples, ends - rows.counts, ends, strict=True):
                    values = rows.values[start:end]
                    with archive.open(f"{sample}.npy", "w", force_zip64=True) as file:
                        np.lib.format.write_array(file, values[0] if len(values) == 1 else values, allow_pickle=False)


class ParquetWriter(Writer):
    """Columns `sample`, `name` where samples have names, and `embedding` (a fixed-size list); of answers the likeliest `class`
    and a column for each class."""

    suffixes = (".parquet",)

    def check(self, source: Source) -> None:
        if importlib.util.find_spec("pyarrow") is None:
            raise UserError("--output: a .parquet file needs pyarrow; pip install pyarrow, or name a .npy file")

    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        from pyarrow import parquet

        writer = None
        for rows in parts:
            table = self._table(rows, about)
            # A dictionary of numbers that hardly come twice is work for nothing.
            writer = writer or parquet.ParquetWriter(place, table.schema, use_dictionary=_repeating(table.schema))
            writer.write_table(table)
        if writer is None:
            empty = np.empty(0, np.int64)
            parquet.write_table(self._table(Rows(empty, empty, np.zeros((0, *(about.rest or (0,))), np.float32)), about), place)
        else:
            writer.close()

    def _table(self, rows: Rows, about: About) -> Any:
        import pyarrow

        if rows.values.ndim != 2:
            raise UserError("--output: label maps are no columns of a table; name a .npz file")
        if about.what != "embedding":
            return pyarrow.table(dict(_columns(rows, about)))
        lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.values.reshape(-1)), rows.values.shape[1])
        return pyarrow.table({**dict(_owners(rows, about)), "embedding": lists})


def _repeating(schema: Any) -> list[str]:
    """Columns whose values come again: all but those of numbers with fractions."""
    from pyarrow import types

    numbers = (types.is_floating, types.is_fixed_size_list)
    return [field.name for field in schema if not any(kind(field.type) for kind in numbers)]


class CsvWriter(Writer):
    """`sample`, `name` where samples have names, then a column for each number; of answers a column for each class, and the
    most probable `class`."""

    suffixes = (".csv",)

    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        with place.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for number, rows in enumerate(parts):
                if rows.values.ndim != 2:
                    raise UserError("--output: label maps are no columns of a table; name a .npz file")
                columns = list(_columns(rows, about))
                if number == 0:
                    writer.writerow([name for name, _ in columns])
                writer.writerows(zip(*(values.tolist() for _, values in columns), strict=True))


def _owners(rows: Rows, about: About) -> Iterator[tuple[str, np.ndarray]]:
    """Which sample each row is of: its number, and its name where it has one."""
    yield "sample", np.repeat(rows.samples, rows.counts)
    names = about.source.names(rows.samples)
    if names is not None:
        yield "name", np.repeat(np.array(names, dtype=object), rows.counts)


def _columns(rows: Rows, about: About) -> Iterator[tuple[str, np.ndarray]]:
    """The columns of a table of rows."""
    yield from _owners(rows, about)
    if about.what == "events":
        yield from zip(("onset", "offset"), rows.values.T[:2], strict=True)
        yield "class", np.array(about.names)[rows.values[:, 2].astype(np.int64)]
        yield "score", rows.values[:, 3]
        return
    if about.what == "answer" and len(about.names) > 1:
        yield "class", np.array(about.names)[rows.values.argmax(1)]
    names = about.names or tuple(f"e{number}" for number in range(rows.values.shape[1]))
    yield from zip(names, rows.values.T, strict=True)
