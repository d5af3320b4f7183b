"""What a sweep tries: choices (`objective.name=byol,vicreg`) and ranges (`optim.lr=1e-4..1e-2:log`) on the command line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from manyviews.errors import RecipeError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RECIPE = "recipe"
"""Under this name a trial's recipe is one of its choices."""
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?")


class Range(BaseModel):
    """Numbers from `low` to `high`; whole ones where both ends are."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def distribution(self) -> BaseDistribution:
        """As Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


class Space(BaseModel):
    """What varies between the trials of a sweep, and what does not."""

    model_config = ConfigDict(frozen=True)

    fixed: tuple[str, ...] = ()
    """`key.path=value`, as for `manyviews pretrain`."""
    choices: dict[str, tuple[str, ...]] = {}
    """Key -> values as they stand on the command line."""
    ranges: dict[str, Range] = {}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Of every key that varies."""
        from optuna.distributions import CategoricalDistribution

        chosen: dict[str, Any] = {key: CategoricalDistribution(values) for key, values in self.choices.items()}
        return chosen | {key: span.distribution() for key, span in self.ranges.items()}

    def grid(self) -> list[dict[str, str]]:
        """Every combination of the choices, the last key varying fastest."""
        return [dict(zip(self.choices, values, strict=True)) for values in itertools.product(*self.choices.values())]

    def ends(self) -> list[dict[str, float]]:
        """All ranges at their low ends, and at their high ends."""
        sides = ({key: (span.low, span.high)[side] for key, span in self.ranges.items()} for side in (0, 1))
        return [{key: int(end) if self.ranges[key].whole else end for key, end in side.items()} for side in sides]

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """A trial's values as overrides; its recipe apart."""
        return [*self.fixed, *(f"{key}={value}" for key, value in params.items() if key != RECIPE)]


def parse_space(recipes: str, arguments: Sequence[str]) -> Space:
    """From the command line.

    Args:
        recipes: A recipe, or several with commas between them.
        arguments: `key=value` (fixed), `key=a,b` (choices), `key=low..high` or `key=low..high:log` (a range).

    Raises:
        RecipeError: An argument is none of these, or a range is empty.
    """
    fixed: list[str] = []
    choices: dict[str, tuple[str, ...]] = {RECIPE: tuple(split_commas(recipes))}
    ranges: dict[str, Range] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key:
            raise RecipeError(f"{argument!r}: write key=value, key=a,b (choices) or key=low..high (a range)", key=key)
        if (found := _RANGE.fullmatch(value)) is not None:
            ranges[key] = _range(key, *found.groups())
        elif len(values := split_commas(value)) > 1:
            choices[key] = tuple(values)
        else:
            fixed.append(argument)
    return Space(fixed=tuple(fixed), choices=choices, ranges=ranges)


def split_commas(text: str) -> list[str]:
    """Apart at commas, but for those within brackets, braces or quotes."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        else:
            depth += (sign in "[{(") - (sign in ")}]")
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _range(key: str, low: str, high: str, log: str | None) -> Range:
    whole = all(re.fullmatch(r"[+-]?\d+", end) for end in (low, high))
    found = Range(low=float(low), high=float(high), log=log is not None, whole=whole)
    if found.low >= found.high:
        raise RecipeError(f"{key}: the range {low}..{high} is empty; its low end must be below its high end", key=key)
    if found.log and found.low <= 0:
        raise RecipeError(f"{key}: a logarithmic range begins above 0; {low}..{high} does not", key=key)
    return found
