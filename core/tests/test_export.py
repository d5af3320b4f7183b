"""Export: every format says the same, a killed one goes on, another encoder begins anew."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Int
from pyarrow import parquet

from manyviews.errors import UserError
from manyviews.evaluate.embed import Form, embed
from manyviews.export import parts as stretches
from manyviews.export.export import Compute, embeddings, export, writer_for
from manyviews.testing.toy import ToyEncoder, ToySource
from manyviews.writer import About, Rows, Writer

RAGGED = ToySource(samples=23, length=(2, 9))
torch.manual_seed(0)
ENCODER = ToyEncoder(RAGGED.spec)


def write(output: Path, compute: Compute | None = None, form: Form = "pooled", source: ToySource = RAGGED, **of: Any) -> About:
    return export(
        compute or embeddings(ENCODER, source, form, 4),
        source,
        writer_for(output, "toy", "embedding"),
        output,
        what="embedding",
        of={"form": form, **of},
        width=16,
    )


@pytest.mark.parametrize("form", ["pooled", "tokens"])
def test_every_format_holds_the_same_rows(tmp_path: Path, form: Form) -> None:
    unit = "token" if form == "tokens" else "sample"
    expected = embed(ENCODER, RAGGED, np.arange(23), unit=unit, batch_size=4)
    owners = np.repeat(np.arange(23), RAGGED.lengths if form == "tokens" else 1)
    for name in ("e.npy", "e.parquet", "e.csv", "e.npz"):
        assert write(tmp_path / name, form=form).rows == len(expected)
    np.testing.assert_array_equal(np.load(tmp_path / "e.npy"), expected)
    table = parquet.read_table(tmp_path / "e.parquet")
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), dtype=np.float32), expected)
    assert table["sample"].to_pylist() == owners.tolist()
    cells = np.loadtxt(tmp_path / "e.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(cells[:, 1:], expected, rtol=1e-6)
    assert cells[:, 0].tolist() == owners.tolist()
    with np.load(tmp_path / "e.npz") as arrays:
        rows = np.concatenate([np.atleast_2d(arrays[str(sample)]) for sample in range(23)])
    np.testing.assert_array_equal(rows, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.csv", "e.npy", "e.npz", "e.parquet"]


class Named(ToySource):
    def names(self, samples: np.ndarray) -> list[str]:
        return [f'day {number}, "in"' for number in samples]


@pytest.mark.parametrize("form", ["pooled", "tokens"])
def test_names_stand_beside_the_rows_where_samples_have_them(tmp_path: Path, form: Form) -> None:
    source = Named(samples=9, length=(2, 5))
    rows = np.repeat(np.arange(9), source.lengths if form == "tokens" else 1).tolist()
    for name in ("e.parquet", "e.csv"):
        write(tmp_path / name, form=form, source=source)
    table = parquet.read_table(tmp_path / "e.parquet")
    lines = list(csv.DictReader((tmp_path / "e.csv").read_text(encoding="utf-8").splitlines()))
    assert table["name"].to_pylist() == [line["name"] for line in lines] == [f'day {number}, "in"' for number in rows]
    assert table["sample"].to_pylist() == [int(line["sample"]) for line in lines] == rows
    assert "name" not in parquet.read_table(write_plain(tmp_path)).column_names


def write_plain(folder: Path) -> Path:
    write(folder / "plain.parquet")
    return folder / "plain.parquet"


class Killed(BaseException):
    """As a signal would."""


def dying(after: int, asked: list[int]) -> Compute:
    """Dies in the middle; notes which samples it was asked for."""

    def compute(samples: Int[np.ndarray, "samples"]) -> Iterator[Rows]:
        for rows in embeddings(ENCODER, RAGGED, "pooled", 4)(samples):
            if len(asked) >= after:
                raise Killed
            asked.append(int(rows.samples[0]))
            yield rows

    return compute


def test_a_killed_export_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "BYTES", 1)  # a stretch a batch
    asked: list[int] = []
    with pytest.raises(Killed):
        write(tmp_path / "e.npy", dying(3, asked))
    assert not (tmp_path / "e.npy").exists()
    write(tmp_path / "e.npy", dying(99, asked))
    assert asked == [0, 4, 8, 12, 16, 20], "each batch once"
    np.testing.assert_array_equal(np.load(tmp_path / "e.npy"), embed(ENCODER, RAGGED, np.arange(23), batch_size=4))
    assert [path.name for path in tmp_path.iterdir()] == ["e.npy"]


def test_another_encoder_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "BYTES", 1)
    asked: list[int] = []
    with pytest.raises(Killed):
        write(tmp_path / "e.npy", dying(3, asked), weights="one")
    write(tmp_path / "e.npy", dying(99, asked), weights="two")
    assert asked == [0, 4, 8, 0, 4, 8, 12, 16, 20]


@pytest.mark.parametrize("name", ["e.npy", "e.parquet", "e.csv"])
def test_no_samples_give_no_rows(tmp_path: Path, name: str) -> None:
    empty = ToySource(samples=1)
    monkey = Rows(np.empty(0, np.int64), np.empty(0, np.int64), np.zeros((0, 16), np.float32))
    about = export(
        lambda samples: iter([monkey][:0]), empty, writer_for(tmp_path / name, "toy", "embedding"), tmp_path / name,
        what="embedding", of={}, width=16,
    )  # fmt: skip
    assert (about.rows, about.rest) == (0, (16,))
    assert (tmp_path / name).exists()
    if name == "e.npy":
        assert np.load(tmp_path / name).shape == (0, 16)


def test_label_maps_of_unlike_size_go_into_an_npz_and_nowhere_else(tmp_path: Path) -> None:
    maps = [np.full((1, 3 + n, 4), n) for n in range(3)]

    def compute(samples: Int[np.ndarray, "samples"]) -> Iterator[Rows]:
        for sample in samples:
            yield Rows(np.array([sample]), np.array([1]), maps[sample])

    source = ToySource(samples=3)
    write(tmp_path / "m.npz", compute, source=source)
    with np.load(tmp_path / "m.npz") as arrays:
        assert [arrays[str(n)].shape for n in range(3)] == [(3, 4), (4, 4), (5, 4)]
    for name in ("m.npy", "m.csv", "m.parquet"):
        with pytest.raises(UserError, match=r"name a \.npz file"):
            write(tmp_path / name, compute, source=source)


def test_a_domains_writer_is_found_by_its_ending_and_knows_the_source(tmp_path: Path, toy_domain: None) -> None:
    class Names(Writer):
        suffixes = (".names.txt",)

        def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
            place.write_text(f"{about.source.fingerprint()} {sum(len(rows.values) for rows in parts)}")

    output = tmp_path / "e.names.txt"
    export(embeddings(ENCODER, RAGGED, "pooled", 4), RAGGED, Names(), output, what="embedding", of={}, width=16)
    assert output.read_text().endswith(" 23")
    with pytest.raises(UserError, match=r"ends in \.txt; name a \.csv or \.npy"):
        writer_for(output, "toy", "embedding")
    with pytest.raises(UserError, match=r"ends in \.tsv; name a \.csv or"):  # which holds events alone
        writer_for(tmp_path / "e.tsv", "toy", "embedding")
    assert writer_for(tmp_path / "e.tsv", "toy", "events").suffixes == (".tsv",)
    with pytest.raises(UserError, match="there is no folder"):
        writer_for(tmp_path / "no" / "e.npy", "toy", "embedding")
