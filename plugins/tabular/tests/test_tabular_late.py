"""What is wrong with a table on disk may show only when its rows are read: late, and in a worker process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from manyviews.cli.main import run
from manyviews.engine.loader import Order, Samples, read
from manyviews.errors import DataError
from manyviews_tabular.source import TableSource

ROWS, GROUP, BAD = 200, 20, 150


def stored(folder: Path, suffix: str, bad: object = "oops") -> Path:
    """Two files; the second one's row 150, in its group 7, is no number, and no sample of ten rows sees it."""
    random = np.random.default_rng(0)
    for number in range(2):
        frame = pd.DataFrame({"x": random.normal(size=ROWS).round(3), "kind": random.choice(["a", "b"], ROWS)})
        if isinstance(bad, str):
            frame["x"] = frame["x"].astype(str)
        if number:
            frame.loc[BAD, "x"] = bad
        path = folder / f"part-{number}{suffix}"
        if suffix == ".parquet":
            frame.to_parquet(path, index=False, row_group_size=GROUP)
        else:
            frame.to_feather(path, chunksize=GROUP, compression="uncompressed")
    return folder


def streamed(folder: Path) -> TableSource:
    return TableSource(path=str(folder), memory=0.0, fit_rows=10)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("suffix", "part"), [(".parquet", "row group"), (".feather", "record batch")])
@pytest.mark.parametrize(
    ("bad", "said"), [("oops", "column 'x' holds numbers, but row 150 (the first is 0) holds 'oops'"), (np.inf, "in row 150 ")]
)
def test_a_late_bad_cell_is_one_error_wherever_it_is_read(
    workers: int, suffix: str, part: str, bad: object, said: str, tmp_path: Path
) -> None:
    source = streamed(stored(tmp_path, suffix, bad))
    assert source.spec.numeric, "the bad row is in nobody's sample"
    with pytest.raises(DataError) as caught:
        list(read(Samples(source), Order(np.arange(2 * ROWS), 16, seed=0), 0, 25, workers))
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    assert message.startswith(f"data: part-1{suffix}, {part} 7: column 'x'")
    assert said in message
    assert "Traceback" not in message


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_cut_short_while_a_run_goes_on(workers: int, tmp_path: Path) -> None:
    stored(tmp_path, ".parquet", 0.5)
    source = streamed(tmp_path)
    whole = (tmp_path / "part-1.parquet").read_bytes()
    (tmp_path / "part-1.parquet").unlink()  # a file of the old name: the mapped one stays readable
    (tmp_path / "part-1.parquet").write_bytes(b"\0" * len(whole))
    again = TableSource.__new__(TableSource)
    again.__setstate__(source.__getstate__())
    for rows in again._rows.parts:  # as a worker that opens its own file
        rows.__dict__.pop("_file")
    with pytest.raises(DataError, match=r"^data: .*part-1\.parquet: .*(no readable Parquet file|cannot be read)"):
        list(read(Samples(again), Order(np.arange(2 * ROWS), 16, seed=0), 0, 25, workers))


def test_a_damaged_row_group_is_named(tmp_path: Path) -> None:
    stored(tmp_path, ".parquet", 0.5)
    path = tmp_path / "part-0.parquet"
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56  # the first row group's first page
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"part-0\.parquet: row group 0 cannot be read \(.+\); restore the file") as caught:
        TableSource(path=str(tmp_path), memory=0.0)
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_ends_with_one_error(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    stored(tmp_path / "data", ".parquet")
    words = ["data.path=data", "data.memory=0.0", "data.fit_rows=10", "track=null", "evaluate=[]", f"train.workers={workers}"]
    words += ["train.steps=40", "train.epochs=null", "train.batch_size=16", "train.device=cpu", "encoder.width=8"]
    assert run(["pretrain", "tabular/masked_values", *words, "encoder.depth=1"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "Error" in line or line.startswith(" ")]
    assert said[0].startswith("Error: data: part-1.parquet, row group 7: column 'x' holds numbers, but row 150")
    assert len(said) <= 3
