"""From a recipe to the objects that it names, checked against one another before any data is read."""

from __future__ import annotations

from typing import cast

import torch

from manyviews.encoder import Encoder
from manyviews.engine.model import Part
from manyviews.errors import RecipeError, UserError, keyed
from manyviews.evaluate.plan import Planned, plan
from manyviews.evaluate.task import Task
from manyviews.files import local_parameters
from manyviews.look.style import require_matplotlib
from manyviews.objective import Objective
from manyviews.plugins.match import Facts, check_fit, facts_of
from manyviews.plugins.registry import registry
from manyviews.plugins.schema import build, spec_type, takes_spec
from manyviews.recipe.errors import located
from manyviews.recipe.model import Recipe
from manyviews.renderer import Renderer
from manyviews.source import Source, Spec
from manyviews.view import ViewGenerator


def source_class(recipe: Recipe) -> type[Source]:
    """The class of the recipe's source."""
    return cast(type[Source], registry().component("source", recipe.data.source, recipe.domain).load())


def read_spec(recipe: Recipe, text: str) -> Spec:
    """A spec from its JSON, of the type that the recipe's source is described by."""
    return cast(Spec, spec_type(source_class(recipe)).model_validate_json(text))


def build_source(recipe: Recipe, spec: Spec | None = None) -> Source:
    """The recipe's source; with `spec` it reads the data as that says and fits nothing."""
    with located(recipe):
        component = registry().component("source", recipe.data.source, recipe.domain)
        with keyed("data"):
            given = local_parameters(recipe.data.parameters)
        return cast(Source, build(component, given, key="data", spec=spec))


def build_sets(recipe: Recipe, source: Source) -> dict[str | None, Source]:
    """The labelled sets that the recipe's tasks are run on, by name, read as the run's own data (None) were.

    Raises:
        RecipeError: A task names a set that `sets` does not.
    """
    found: dict[str | None, Source] = {None: source}
    with located(recipe):
        for place, evaluation in enumerate(recipe.evaluate):
            name = evaluation.set
            if name not in found and name is not None:
                if name not in recipe.sets:
                    there = ", ".join(recipe.sets) or "none"
                    key = f"evaluate.{place}.set"
                    raise RecipeError(f"{key}: {name!r} is no set; `sets` has: {there}", key=key)
                component = registry().component("source", recipe.data.source, recipe.domain)
                with keyed(f"sets.{name}"):
                    given = local_parameters({**recipe.data.parameters, **recipe.sets[name]})
                found[name] = cast(Source, build(component, given, key=f"sets.{name}", spec=source.spec))
    return found


def build_encoder(recipe: Recipe, spec: Spec) -> Encoder:
    """The recipe's encoder with the initial weights of its seed; torch's global generator is left as it was."""
    with located(recipe), torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        component = registry().component("encoder", recipe.encoder.name, recipe.domain)
        return cast(Encoder, build(component, recipe.encoder.parameters, key="encoder", spec=spec))


def build_terms(recipe: Recipe, spec: Spec | None) -> list[Part]:
    """The recipe's views and objectives, each pair checked against the encoder.

    Without `spec` those view generators that need one are judged by their class alone and left out of the result: so a
    recipe whose parts do not fit is refused before any data is read.
    """
    parts = []
    with located(recipe):
        for place, term in enumerate(recipe.all_terms()):
            prefix = f"terms.{place}." if recipe.terms is not None else ""
            views = registry().component("views", term.views.name, recipe.domain)
            objective = registry().component("objective", term.objective.name, recipe.domain)
            loss = cast(Objective, build(objective, term.objective.parameters, key=f"{prefix}objective"))
            made: ViewGenerator | type[ViewGenerator] = views.load()
            if spec is not None or not takes_spec(views.load()):
                made = cast(ViewGenerator, build(views, term.views.parameters, key=f"{prefix}views", spec=spec))
                parts.append(Part(made, loss, term.weight, f"{prefix}objective"))
            for key, frozen in ((f"{prefix}objective.run", loss.frozen), (f"{prefix}views.run", made.frozen)):
                if spec is not None and frozen is not None:
                    with keyed(key):
                        frozen.check(recipe.domain, spec)
            _check_fit(recipe, facts_of(objective.name, "objective", loss), facts_of(views.name, "views", made), prefix)
    return parts


def _check_fit(recipe: Recipe, objective: Facts, views: Facts, prefix: str) -> None:
    encoder = registry().component("encoder", recipe.encoder.name, recipe.domain)
    offers = Facts(encoder.name, encoder.load().offers)
    check_fit(objective, views, offers, unit=recipe.unit, domain=recipe.domain, key=f"{prefix}objective")


def build_tasks(recipe: Recipe, *, every_form: bool = False) -> tuple[Planned, ...]:
    """The recipe's evaluation tasks (see `plan`)."""
    tasks = []
    with located(recipe):
        for place, evaluation in enumerate(recipe.evaluate):
            component = registry().component("task", evaluation.task, recipe.domain)
            tasks.append(cast(Task, build(component, evaluation.parameters, key=f"evaluate.{place}")))
    return plan(recipe.evaluate, tasks, every_form=every_form)


def build_renderer(recipe: Recipe, spec: Spec) -> Renderer:
    """What draws the recipe's data: the one that it names, else the domain's first.

    Raises:
        UserError: The domain has none, or matplotlib is not installed.
    """
    require_matplotlib()
    with located(recipe):
        if recipe.renderer is not None:
            component = registry().component("renderer", recipe.renderer.name, recipe.domain)
            return cast(Renderer, build(component, recipe.renderer.parameters, key="renderer", spec=spec))
        own = [part for part in registry().components("renderer") if part.name.startswith(f"{recipe.domain}/")]
        if not own:
            raise UserError(f"domain `{recipe.domain}` brings no renderer, so its data cannot be drawn")
        return cast(Renderer, build(own[0], {}, key="renderer", spec=spec))


def plugins_of(recipe: Recipe) -> dict[str, str]:
    """Distribution -> version of the plugins whose components the recipe names."""
    from manyviews.recipe.load import components

    with located(recipe):
        used = {registry().component(kind, name, recipe.domain).distribution for _, kind, name, _ in components(recipe)}
    return {plugin.distribution: plugin.version for plugin in registry().plugins if plugin.distribution in used}
