"""Events as lists that people read: the columns of DCASE's annotations, which sources of sound read back."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from manyviews.source import Source
from manyviews.writer import About, Rows, Writer

COLUMNS = ("filename", "onset", "offset", "event_label")
TOUCHING = 1e-3
"""Seconds between the end of a piece of a recording and the next one's beginning, at which an event goes on."""


class TsvWriter(Writer):
    """An event a row: recording, seconds from its beginning, label. A recording in which nothing happens is a row without them.

    Recordings that were cut into pieces are whole again, and what was found on both sides of a cut is one event.
    """

    suffixes = (".tsv",)
    holds = frozenset(("events",))

    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        with place.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(COLUMNS)
            for name, events in _recordings(parts, about.source):
                if not events:
                    writer.writerow((name, "", "", ""))
                writer.writerows((name, f"{on:.3f}", f"{off:.3f}", about.names[number]) for on, off, number in sorted(events))


Event = tuple[float, float, int]


def _recordings(parts: Iterator[Rows], source: Source) -> Iterator[tuple[str, list[Event]]]:
    """The events of each recording, whose pieces follow one another."""
    before: str | None = None
    events: list[Event] = []
    for name, piece in _pieces(parts, source):
        if before is not None and name != before:
            yield before, events
            events = []
        before = name
        for event in piece:
            _add(events, event)
    if before is not None:
        yield before, events


def _pieces(parts: Iterator[Rows], source: Source) -> Iterator[tuple[str, list[Event]]]:
    for rows in parts:
        ends = rows.counts.cumsum()
        for sample, start, end in zip(rows.samples.tolist(), (ends - rows.counts).tolist(), ends.tolist(), strict=True):
            name, begins = source.moment(sample)
            yield name, [(begins + on, begins + off, int(number)) for on, off, number, _ in rows.values[start:end].tolist()]


def _add(events: list[Event], event: Event) -> None:
    """At the end, or as what an event of the same class goes on as."""
    onset, offset, number = event
    for place, (on, off, kind) in enumerate(events):
        if kind == number and abs(off - onset) <= TOUCHING:
            events[place] = (on, offset, number)
            return
    events.append(event)
