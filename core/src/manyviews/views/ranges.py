"""Ranges that a sampler draws a share from."""

from __future__ import annotations

from manyviews.errors import UserError


def refuse_descending(**ranges: tuple[float, float]) -> None:
    """Raises UserError where a range of that name begins above its end."""
    for name, (low, high) in ranges.items():
        if low > high:
            raise UserError(f"{name}: the low end {low} is above the high end {high}; write it as [{high}, {low}]")
