"""The journal: nothing lost, nothing twice, cheap, and readable whatever happened to its end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from manyviews.errors import UserError
from manyviews.track.journal import Journal, read

Opened = Callable[[Path], Journal]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens journals that are closed after the test."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(Journal(folder))


def pairs(folder: Path) -> list[tuple[str, int]]:
    return [(name, entry.step) for entry in read(folder) for name in entry.metrics]


def test_lines_are_read_back_in_order_with_times_and_offsets(opened: Opened, tmp_path: Path) -> None:
    before = time.time_ns() // 1_000_000
    journal = opened(tmp_path)
    journal.log(1, {"loss": 0.1 + 0.2, "lr": 1e-9})
    journal.log(2, {"loss": 3})
    first, second = read(tmp_path)
    assert (first.step, first.metrics) == (1, {"loss": 0.1 + 0.2, "lr": 1e-9})  # exact: MLflow tells repeats by equality
    assert (second.step, second.metrics) == (2, {"loss": 3.0})
    assert before <= first.time <= second.time <= time.time_ns() // 1_000_000
    assert [entry.step for entry in read(tmp_path, first.end)] == [2]
    assert second.end == (tmp_path / "journal.jsonl").stat().st_size


def test_a_line_is_in_the_file_when_log_returns(opened: Opened, tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.log(1, {"loss": 1.0})
    assert pairs(tmp_path) == [("loss", 1)]


def test_nan_and_infinity_are_valid_json_and_come_back(opened: Opened, tmp_path: Path) -> None:
    opened(tmp_path).log(5, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.5})
    line = (tmp_path / "journal.jsonl").read_text()
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    (entry,) = read(tmp_path)
    assert math.isnan(entry.metrics["a"])
    assert (entry.metrics["b"], entry.metrics["c"], entry.metrics["d"]) == (math.inf, -math.inf, 1.5)


def test_a_resumed_run_writes_no_step_twice_and_loses_none(opened: Opened, tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for step in range(10, 101, 10):
        journal.log(step, {"loss": step, "lr": 0.1})
        if step % 50 == 0:
            journal.log(step, {"probe": 0.5})
    journal.close()
    resumed = opened(tmp_path)  # the last checkpoint was at 50; a metric is new since then
    for step in range(60, 151, 10):
        resumed.log(step, {"loss": -step, "lr": 0.1, "spread": 1.0})
        if step % 50 == 0:
            resumed.log(step, {"probe": 0.7})
    found = pairs(tmp_path)
    assert len(found) == len(set(found))
    expected = {(name, step) for step in range(10, 151, 10) for name in ("loss", "lr")}
    expected |= {("spread", step) for step in range(60, 151, 10)} | {("probe", step) for step in (50, 100, 150)}
    assert set(found) == expected
    assert {entry.metrics["loss"] for entry in read(tmp_path) if entry.step == 100 and "loss" in entry.metrics} == {100.0}


def test_a_late_result_for_an_earlier_step_is_kept(opened: Opened, tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for step in (10, 30, 20, 20):
        journal.log(step, {"loss": step})
    journal.close()
    opened(tmp_path).log(20, {"loss": 0})
    assert pairs(tmp_path) == [("loss", 10), ("loss", 30), ("loss", 20)]


TORN = ['{"step": 3, "ti', "\0" * 100, '{"step":3,"time":1,"metrics":{"loss":1.0}}']


@pytest.mark.parametrize("torn", TORN, ids=["in a word", "zeros", "before the line break"])
def test_a_torn_last_line_is_not_read_and_is_cut_at_opening(opened: Opened, tmp_path: Path, torn: str) -> None:
    journal = opened(tmp_path)
    journal.log(1, {"loss": 1.0})
    journal.log(2, {"loss": 2.0})
    journal.close()
    path = tmp_path / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + torn.encode())
    assert pairs(tmp_path) == [("loss", 1), ("loss", 2)]
    reopened = opened(tmp_path)
    assert path.read_bytes() == whole
    reopened.log(3, {"loss": 3.0})
    assert pairs(tmp_path) == [("loss", 1), ("loss", 2), ("loss", 3)]


def test_a_damaged_line_is_named(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text("nonsense\n")
    with pytest.raises(UserError, match=r"journal\.jsonl: the line that ends at byte 9"):
        opened(tmp_path)


def test_no_metrics_no_line_and_no_file_no_entries(opened: Opened, tmp_path: Path) -> None:
    assert list(read(tmp_path)) == []
    opened(tmp_path).log(1, {})
    assert list(read(tmp_path)) == []


def test_flush_reaches_the_disk_and_a_closed_journal_refuses(opened: Opened, tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.log(1, {"loss": 1.0})
    journal.flush()
    journal.close()
    with pytest.raises(ValueError, match="closed"):
        journal.log(2, {"loss": 1.0})


def test_logging_costs_microseconds_and_remembering_bytes(opened: Opened, tmp_path: Path) -> None:
    journal = opened(tmp_path)
    metrics = {f"train/metric_{i}": i / 7 for i in range(8)}
    start = time.thread_time()
    for step in range(5000):
        journal.log(step, metrics)
    assert (time.thread_time() - start) / 5000 < 100e-6  # some 10 us; the bound leaves room for a busy machine
    assert sum(len(steps) * steps.itemsize for steps in journal._steps.values()) == 5000 * 8
