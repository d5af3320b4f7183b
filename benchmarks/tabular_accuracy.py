"""What pretraining brings on tables: frozen linear probes beside raw columns, boosted trees and untrained encoders.

    python benchmarks/tabular_accuracy.py --data DATA/tabular --out results.jsonl [--jobs 2] [--seeds 3]
    python benchmarks/tabular_accuracy.py --quick

DATA holds adult, california_housing, covertype_20k and telco_churn as CSV, each with a `*_split.csv`. Encoders see training
rows only and never the target; each is trained as its recipe says, or for `--epochs`. A tenth of the training rows
validates: it chooses the probe's penalty and the trees' size. The test rows are read once, for the table. A line is
written for each finished job, and a job that has one is not run again. Prints a
Markdown table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import _pieces
from _measure import shared_data

RECIPES = ("t_jepa", "t_jepa_vicreg", "lejepa", "masked_values", "scarf", "vime")
FEW = 1000


@dataclass(frozen=True)
class Table:
    """A data set and what is asked of it."""

    file: str
    target: str
    metric: str
    forms: tuple[str, ...]
    few: bool = False
    batch_size: int | None = None


TABLES = {
    "adult": Table("adult", "income", "auc", ("pooled", "flat"), few=True),
    "california": Table("california_housing", "median_house_value", "rmse", ("pooled", "flat")),
    "covertype": Table("covertype_20k", "Cover_Type", "accuracy", ("pooled",)),
    "telco": Table("telco_churn", "Churn", "auc", ("pooled", "flat")),
}
QUICK = {"breast_cancer": Table("breast_cancer", "diagnosis", "auc", ("pooled",), batch_size=64)}


def data_section(table: Table, folder: Path) -> dict[str, Any]:
    """The recipe's `data`."""
    split = folder / f"{table.file}_split.csv"
    section: dict[str, Any] = {"path": str(folder / f"{table.file}.csv"), "target": table.target}
    return section | ({"splits": str(split)} if split.is_file() else {})


def probe(table: Table, recipe: str, seed: int, folder: Path, epochs: float | None, device: str) -> Iterator[dict[str, Any]]:
    """Pretrain once and judge the encoder, and the one it began as."""
    from manyviews.engine.load import load_trained
    from manyviews.engine.parts import build_source
    from manyviews.engine.pretrain import pretrain

    with tempfile.TemporaryDirectory() as place:
        train: dict[str, Any] = {"seed": seed, "folder": place, "watch_every": 1_000_000, "device": device}
        train |= {key: value for key, value in {"epochs": epochs, "batch_size": table.batch_size}.items() if value}
        began = time.process_time()
        run = pretrain(f"tabular/{recipe}", data=data_section(table, folder), train=train, evaluate=[], track=None)
        cost = time.process_time() - began
        trained = load_trained(run.folder, device=device)
        source = build_source(trained.recipe, trained.spec)
        encoders = {"untrained": trained.untrained(), "pretrained": trained.encoder}
        extra = {"recipe": recipe, "cpu_seconds": round(cost), "epochs": trained.recipe.train.epochs}
        # an MLP's tokens are its row's vector over and over: flat, they say nothing more
        forms = table.forms if trained.recipe.encoder.name.endswith("transformer") else ("pooled",)
        yield from scores(encoders, source, table, seed, forms=forms, raw=False, extra=extra)


def scores(
    encoders: Mapping[str, Any],
    source: Any,
    table: Table,
    seed: int,
    *,
    forms: Any,
    raw: bool,
    extra: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """One record for each number."""
    from manyviews.evaluate.effective_rank import EffectiveRank
    from manyviews.evaluate.linear_probe import LinearProbe
    from manyviews.evaluate.plan import Planned
    from manyviews.evaluate.run import evaluate
    from manyviews.evaluate.spread import Spread

    planned = [Planned("probe", LinearProbe()), Planned("rank", EffectiveRank()), Planned("spread", Spread())]
    if table.few:
        planned.append(Planned("probe_1000", LinearProbe(labels=FEW, draws=5, draw=seed)))
    for record in evaluate(encoders, source, planned, forms=forms, raw=raw, seed=seed).records():
        yield {**extra, "seed": seed, **record}


def baselines(table: Table, folder: Path) -> Iterator[dict[str, Any]]:
    """Raw columns: a linear probe, one on numbers in pieces, and boosted trees whose size the validation rows choose."""
    import numpy as np

    from manyviews_tabular.source import TableSource

    source = TableSource(**data_section(table, folder))
    cut = {"raw input, numbers in pieces": in_pieces(source.spec)}
    yield from scores(cut, source, table, 0, forms=("pooled",), raw=True, extra={"recipe": "raw"})
    x, splits, labels = source.features(np.arange(len(source))), source.splits(), source.labels()
    rows = {split: np.flatnonzero(splits == split) for split in ("train", "valid", "test")}
    assert labels is not None
    yield {"recipe": "trees", "task": "probe", "seed": 0, **trees(x, labels, rows["train"], rows)}
    for draw in range(5 if table.few else 0):
        few = np.random.default_rng(draw).choice(rows["train"], FEW, replace=False)
        yield {"recipe": "trees", "task": "probe_1000", "seed": draw, **trees(x, labels, few, rows)}


def in_pieces(spec: Any) -> Any:
    """Numbers in pieces and one-hot categories, with nothing learnt or drawn at random: an encoder without weights.

    What the encoders that read numbers in pieces must beat, trained or not.
    """
    import torch
    from torch.nn import functional as F

    from manyviews.encoding import Encoding
    from manyviews_tabular.encoder import TableEncoder
    from manyviews_tabular.piecewise import pieces

    class Raw(TableEncoder):
        width = 1

        def forward(self, view: Any) -> Encoding:
            batch, lengths = view.batch, view.layout.lengths
            low, slope = pieces(self.spec)
            passed = ((batch.values[..., None] - low) * slope).clamp(0, 1).flatten(1)
            sizes = [column.size for column in self.spec.categorical]
            levels = [F.one_hot(codes.long(), size) for codes, size in zip(batch.codes.T, sizes, strict=True)]
            row = torch.cat([passed, batch.missing, *levels], dim=1).float()
            return Encoding(row.new_zeros(lengths.total, 1), None, lengths, row)

    return Raw(spec)


def trees(x: Any, labels: Any, train: Any, rows: Mapping[str, Any]) -> dict[str, Any]:
    """scikit-learn's HistGradientBoosting; its rate and number of trees are chosen on the validation rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import accuracy_score, roc_auc_score, root_mean_squared_error

    y, regression = labels.values, labels.kind == "regression"
    best: tuple[float, float, str] | None = None
    for rate, count in ((0.05, 100), (0.05, 300), (0.1, 100), (0.1, 300)):
        kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
        model = kind(learning_rate=rate, max_iter=count, early_stopping=False, random_state=0).fit(x[train], y[train])

        def judge(split: str, model: Any = model) -> tuple[str, float]:
            true = y[rows[split]]
            if regression:
                return "rmse", -float(root_mean_squared_error(true, model.predict(x[rows[split]])))
            if len(labels.classes) == 2:
                return "auc", float(roc_auc_score(true, model.predict_proba(x[rows[split]])[:, 1]))
            return "accuracy", float(accuracy_score(true, model.predict(x[rows[split]])))

        metric, value = judge("valid")
        if best is None or value > best[0]:
            best = (value, judge("test")[1], metric)
    assert best is not None
    return {"representation": "raw input", "form": "features", "metric": best[2], "value": abs(best[1])}


def jobs(tables: Mapping[str, Table], recipes: Sequence[str], seeds: int) -> Iterator[tuple[str, str, int]]:
    """Seed by seed, so that an early stop leaves every table and recipe with as many seeds."""
    yield from ((name, "baselines", 0) for name in tables)
    for seed in range(seeds):
        for name in tables:
            yield from ((name, recipe, seed) for recipe in recipes)


def one_job(name: str, recipe: str, seed: int, arguments: argparse.Namespace) -> None:
    """Print the records of one job."""
    import torch

    torch.set_num_threads(1)
    table = (TABLES | QUICK)[name]
    found = (
        baselines(table, arguments.data)
        if recipe == "baselines"
        else probe(table, recipe, seed, arguments.data, arguments.epochs, arguments.device)
    )
    print(json.dumps([{"table": name, **record} for record in found]))


def summary(records: Sequence[Mapping[str, Any]], tables: Mapping[str, Table]) -> dict[str, dict[str, Any]]:
    """Mean and standard deviation over seeds of each table's own metric, and the embedding's spread and rank."""
    wanted = {"rank": "effective_rank", "spread": "std_mean"}
    values: dict[str, list[float]] = defaultdict(list)
    for r in records:
        if r["metric"] == wanted.get(r["task"], tables[r["table"]].metric):
            values["|".join(str(r[key]) for key in ("table", "task", "recipe", "representation", "form"))].append(r["value"])
    return {
        key: {"mean": round(mean(v), 4), "std": round(stdev(v), 4) if len(v) > 1 else None, "runs": len(v)}
        for key, v in values.items()
    }


def markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A table for each data set and task."""
    blocks: dict[str, list[str]] = defaultdict(list)
    for key, value in found.items():
        table, task, recipe, representation, form = key.split("|")
        spread = "" if value["std"] is None else f" ± {value['std']:.4f}"
        blocks[f"{table}, {task}"].append(
            f"| {recipe} | {representation} | {form} | {value['mean']:.4f}{spread} | {value['runs']} |"
        )
    head = "| recipe | representation | form | value | runs |\n|---|---|---|---|---|\n"
    return "\n\n".join(f"**{name}**\n\n{head}" + "\n".join(sorted(lines)) for name, lines in blocks.items())


def quick_data(folder: Path) -> Path:
    """scikit-learn's breast-cancer table as a file."""
    from manyviews_tabular.demo import prepare

    prepare(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=shared_data("tabular"))
    parser.add_argument("--out", type=Path, default=Path("tabular_accuracy.jsonl"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--epochs", type=float, help="Passes over the training rows in place of each recipe's own number.")
    parser.add_argument("--device", default="cpu", help="Where encoders are trained; several jobs share one GPU.")
    parser.add_argument("--limit", type=float, help="Seconds after which a job is given up.")
    parser.add_argument("--quick", action="store_true", help="Two recipes on a bundled table, under a minute.")
    parser.add_argument("--job", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        return one_job(arguments.job[0], arguments.job[1], int(arguments.job[2]), arguments)
    with tempfile.TemporaryDirectory() as place:
        tables = {name: table for name, table in TABLES.items() if name in arguments.tables}
        if arguments.quick:
            os.environ.pop("MANYVIEWS_DATA", None)
            tables, arguments.data, arguments.out = QUICK, quick_data(Path(place)), Path(place) / "out.jsonl"
            arguments.recipes, arguments.seeds, arguments.epochs = ["masked_values", "scarf"], 1, 3
        report(tables, arguments)
    return None


def report(tables: Mapping[str, Table], arguments: argparse.Namespace) -> None:
    """Run what is missing, then print all."""
    options = ["--data", str(arguments.data), "--device", arguments.device]
    options += ["--epochs", str(arguments.epochs)] if arguments.epochs else []
    todo = list(jobs(tables, arguments.recipes, arguments.seeds))
    lines = _pieces.run(
        todo, lambda job: ["--job", *map(str, job), *options], arguments.out, jobs=arguments.jobs, limit=arguments.limit
    )
    records = [record for line in lines for record in line.get("records", [])]
    found = summary(records, tables)
    print(markdown(found))
    print(json.dumps({"errors": [line for line in lines if "error" in line], "results": found}))


if __name__ == "__main__":
    main()
