"""What a domain gives so that it can be tried: small data, and what makes its parts small.

A plugin names one of these in its description (`Domain.trial`), and the conformance kit, the tests of its recipes and
the objective x domain matrix all run on it. Imports nothing heavy: what makes the data imports what it needs itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Overrides = Mapping[str, Any]
"""Sections of a recipe, or parameters of a component."""

_NET = {"width": 16, "depth": 1, "heads": 2}
CORE_PARTS: Mapping[str, Overrides] = {
    "dino": {"hidden": 32, "bottleneck": 16, "out": 64},
    "jepa": _NET,
    "masked_codes": {**_NET, "codes": 6, "out": 8},
    "masked_reconstruction": _NET,
    "pseudo_labels": {"classes": 4, "window": 32, "warmup_batches": 2},
    "random_codes": {**_NET, "codes": 12, "code_width": 4},
}
"""The core's own components, made small for every domain."""


@dataclass(frozen=True)
class Trial:
    """Small data of a domain. Names of components are full for the domain's own, bare for the core's."""

    data: Mapping[str, Callable[[Path], Overrides]]
    """Kind of data -> puts some into an empty folder, in a second or two, and returns the recipe sections that read them:
    `data`, and what else of a recipe these data want (`train`: {batch_size: 1}). Some tens of samples, a few of each class,
    tokens in the tens. As many kinds as encoders must cope with: samples of one length, of several, one big sample."""
    parts: Mapping[str, Overrides] = field(default_factory=dict)
    """Component -> parameters that make it small; the core's are small already (`CORE_PARTS`), unless named here."""
    variants: Mapping[str, Mapping[str, Overrides]] = field(default_factory=dict)
    """Component -> name -> parameters, laid over those of `parts`: other forms of it that the kit is to try, too."""
    on: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Component or recipe (`graphs/dgi`) -> the kinds of data that it is for. Not named: a component is for all kinds, a
    recipe for the first."""

    single: Sequence[str] = ()
    """Kinds of data that are one big sample (a graph): what objectives compare there are its tokens."""
    exceptions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Component -> check of the kit that cannot hold for it (`what_is_hidden_does_not_reach_it`) -> the reason, in the nature
    of the data or of a published design. There is no other way around a check."""

    def small(self, name: str) -> Overrides:
        """The parameters that make a component small."""
        return {**CORE_PARTS.get(name, {}), **self.parts.get(name, {})}

    def kinds(self, name: str) -> Sequence[str]:
        """The kinds of data that a component or a recipe is for."""
        return self.on.get(name, tuple(self.data))
