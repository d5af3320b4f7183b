"""From a recipe to the objects that it names, checked against one another before any training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

from manyviews.encoder import Encoder
from manyviews.engine.model import Model, Part
from manyviews.objective import Objective
from manyviews.plugins.match import check_fit
from manyviews.plugins.registry import registry
from manyviews.plugins.schema import build
from manyviews.recipe.model import Recipe
from manyviews.source import Source, Spec
from manyviews.view import ViewGenerator


@dataclass(frozen=True)
class Blueprint:
    """A recipe's terms, built and matched; they need no data."""


def build_source(recipe: Recipe, spec: Spec | None = None, **changes: Any) -> Source:
    """The recipe's source; with `spec` it reads the data as that says and fits nothing."""
    component = registry().component("source", recipe.data.source, recipe.domain)
    parameters: Mapping[str, Any] = {**recipe.data.parameters, **changes}
    return cast(Source, build(component, parameters, key="data", **({"given": {"spec": spec}} if spec else {})))


def build_encoder(recipe: Recipe, spec: Spec) -> Encoder:
    """The recipe's encoder with the initial weights of its seed; the global random state is left alone."""
    component = registry().component("encoder", recipe.encoder.name, recipe.domain)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.train.seed)
        return cast(Encoder, build(component, recipe.encoder.parameters, key="encoder", spec=spec))
