"""The report of a run: what it was, how it went, what its encoder makes of the data. One HTML file, stored with the run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from manyviews.encoder import Encoder
from manyviews.engine.collapse import CollapseWatch, Signs
from manyviews.engine.device import Device
from manyviews.engine.load import load_trained
from manyviews.engine.parts import build_encoder, build_renderer, build_source
from manyviews.engine.run import Run
from manyviews.errors import UserError
from manyviews.evaluate.embed import evaluating
from manyviews.evaluate.threads import torch_threads
from manyviews.look.style import require_matplotlib
from manyviews.look.views import draw_columns, make_columns
from manyviews.recipe.load import to_yaml
from manyviews.recipe.model import Recipe
from manyviews.report.atlas import draw_map, legend
from manyviews.report.curves import GROUPS, Series, charts, series_of, spectrum
from manyviews.report.embedded import Embeddings, embeddings
from manyviews.report.neighbours import Drawer, captions, draw_neighbours
from manyviews.report.page import Section, cards, facts, page, paragraph
from manyviews.report.scores import last_readings, results
from manyviews.report.svg import inline
from manyviews.source import Source
from manyviews.track.run_file import RunFile, Upload, claim, write_whole
from manyviews.track.sync import sync

NAME = "report.html"
ROWS = 3
"""Units whose views are drawn."""
SPLITS = {"train": "for training", "valid": "for validation", "test": "for the test"}
SIGNS = (
    "Effective rank: how many directions an embedding uses. Spread: how far apart samples lie, unscaled. The looks are at "
    "training batches, the singular values at the units of the map."
)


def report_run(place: str | Path, *, source: Source | None = None, device: Device = "auto") -> Path:
    """Make the report of a run anew, keep it in its folder and store it with the run.

    Args:
        place: A run folder.
        source: Data in memory, in place of what the recipe names.
        device: Where the encoder works.

    Returns:
        The file.

    Raises:
        UserError: Not a pretraining run with a checkpoint, its data are not there any more, or matplotlib is not installed.
    """
    require_matplotlib()
    run = Run.open(place)
    trained = load_trained(run.folder, device=device)
    source = source or build_source(trained.recipe, trained.spec)
    lock = claim(run.folder)
    try:
        path = write_report(run, trained.recipe, source, trained.encoder)
        file = RunFile.load(run.folder)
        if file.state.uri is not None:
            file.add_upload(Upload(path=NAME, to=""))
    finally:
        lock.release()
    if file.state.uri is not None:
        sync(run.folder)
    return path


def write_report(run: Run, recipe: Recipe, source: Source, encoder: Encoder) -> Path:
    """Make the report and write it into the run's folder. The encoder may be on any device, and is left as it was."""
    require_matplotlib()
    path = run.folder / NAME
    with evaluating(encoder), torch_threads():
        write_whole(path, _html(run, recipe, source, encoder))
    return path


def _html(run: Run, recipe: Recipe, source: Source, encoder: Encoder) -> str:
    file, series = RunFile.load(run.folder), series_of(run.metrics())
    found = embeddings(encoder, source, recipe.unit, seed=recipe.train.seed)
    drawer, lack = _drawer(recipe, source)
    texts = captions(found, drawer, source)
    units = f"{len(found.units)} {recipe.unit}s"
    sections = [
        Section("What it was", facts(_facts(run, recipe, source, file, found.total))),
        Section("Result on the test split", results(run.folder)),
        Section("Training", cards(charts(series, "train"))),
        Section("Signs of collapse", _collapse(recipe, series, found)),
        Section(GROUPS["eval"], cards(charts(series, "eval")) + last_readings(series)),
        Section("Map of embeddings", _atlas(recipe, found, texts, units)),
        Section("Nearest neighbours", draw_neighbours(found, texts, drawer, recipe.train.seed) if drawer else ""),
        Section("What the encoder is shown", _views(recipe, source, drawer) if drawer else paragraph(lack, "note")),
        Section("Recipe", f"<details><summary>all of it</summary><pre>{escape(to_yaml(recipe))}</pre></details>"),
    ]
    about = f"{recipe.domain} · {_objectives(recipe)} · {recipe.encoder.name}"
    return page(file.state.run_name, about, sections)


def _drawer(recipe: Recipe, source: Source) -> tuple[Drawer | None, str]:
    """Who draws the data, or why nobody does."""
    try:
        return Drawer(build_renderer(recipe, source.spec), source, build_encoder(recipe, source.spec)), ""
    except UserError as error:
        return None, str(error)


def _objectives(recipe: Recipe) -> str:
    return " + ".join(term.objective.name for term in recipe.all_terms())


def _facts(run: Run, recipe: Recipe, source: Source, file: RunFile, units: int | None) -> dict[str, str]:
    tags = file.state.tags
    plugins = [f"{name.removeprefix('manyviews.plugin.')} {version}" for name, version in tags.items() if ".plugin." in name]
    dirty = " (with uncommitted changes)" if tags.get("manyviews.git.dirty") == "true" else ""
    return {
        "run": file.state.run_name,
        "started": time.strftime("%Y-%m-%d %H:%M", time.localtime(file.state.started / 1000)),
        "checkpoint": run.checkpoint.name,
        "experiment": file.state.experiment,
        "domain": recipe.domain,
        "objective": _objectives(recipe),
        "encoder": f"{recipe.encoder.name} ({_parameters(recipe.encoder.parameters)})",
        "samples": _samples(source),
        "units": _units(recipe, units),
        "data": tags.get("manyviews.data", ""),
        "manyviews": ", ".join([tags.get("manyviews.version", ""), *plugins]),
        "code": tags.get("mlflow.source.git.commit", "")[:12] + dirty,
    }


def _units(recipe: Recipe, total: int | None) -> str:
    """What is compared, where it is not the sample."""
    if recipe.unit == "sample":
        return ""
    return f"{'' if total is None else f'{total:,} '}tokens are what is compared and judged"


def _samples(source: Source) -> str:
    names, counts = np.unique(source.splits(), return_counts=True)
    there = dict(zip(names.tolist(), counts.tolist(), strict=True))
    told = [f"{there[name]:,} {what}" for name, what in SPLITS.items() if name in there]
    return f"{len(source):,}" + (f": {', '.join(told)}" if len(source) > 1 else "")


def _parameters(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _collapse(recipe: Recipe, series: Mapping[str, Series], found: Embeddings) -> str:
    """The watch's curves, the spectrum of what varies, and the verdict in words."""
    drawn = cards([*charts(series, "watch"), ("singular values, centred", spectrum(found.x))])
    verdict = verdict_of(series, units=min(recipe.train.batch_size, len(found.units)), width=found.x.shape[1])
    if verdict is None:
        return (
            paragraph("Looked at fewer than two times, so there is nothing to compare (`train.watch_every`).", "note") + drawn
        )
    said = (verdict, "warn") if verdict else ("No sign of collapse.", "")
    return paragraph(*said) + drawn + paragraph(SIGNS, "note")


def verdict_of(series: Mapping[str, Series], *, units: int, width: int) -> str | None:
    """The sentence of the collapse watch on its last look against its first; empty: all is well; None: it has no two looks."""
    names = ("watch/effective_rank", "watch/centred_rank", "watch/spread")
    if any(name not in series or len(series[name].values) < 2 for name in names):
        return None
    watch, judged = CollapseWatch(), ""
    for place in (0, -1):
        rank, centred, spread = (series[name].values[place] for name in names)
        seen = Signs(rank, centred, spread, max(units, 2), width)
        judged = watch.judge(seen) or ""
    return judged[:1].upper() + judged[1:]


def _atlas(recipe: Recipe, found: Embeddings, texts: Sequence[str], units: str) -> str:
    if not len(found.units):
        return paragraph("There are no training or validation units to lay out.", "note")
    drawn = draw_map(found, texts, recipe.train.seed)
    about = f"{units} of the training and validation splits by t-SNE; near means alike, distances across the map mean little."
    return f'<div class="side">{drawn}<div><p>{legend(found.known)}</p>{paragraph(about, "note")}</div></div>'


def _views(recipe: Recipe, source: Source, drawer: Drawer) -> str:
    columns = make_columns(recipe, source, drawer.encoder, samples=ROWS, seed=recipe.train.seed)
    shown = [unit for column in columns for unit in column.units]
    said = {
        "Orange covers what is withheld.": any(unit.hidden.any() for unit in shown),
        "Green outlines what is asked for.": any(unit.asked.any() for unit in shown),
        drawer.renderer.legend: len(columns) > 1,
    }
    about = " ".join(sentence for sentence, holds in said.items() if holds)
    return f'<div class="scroll">{inline(draw_columns(drawer.renderer, columns), "views")}</div>{paragraph(about, "note")}'
