"""What a doctor tells that is nothing wrong."""

from __future__ import annotations


class Note(str):
    """A line of `manyviews_doctor` that is worth knowing and no fault: it is told, and the exit status stays 0."""

    __slots__ = ()
