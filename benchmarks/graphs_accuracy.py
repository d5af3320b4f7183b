"""What pretraining brings on graphs, by the probes that papers report, beside raw features and the untrained encoder.

    python benchmarks/graphs_accuracy.py --data DATA/graphs --out results.jsonl [--cases cora/graphmae cora/dgi:3] [--seeds 5]
    python benchmarks/graphs_accuracy.py --device cuda --jobs 16 --limit 200
    python benchmarks/graphs_accuracy.py --quick

DATA holds planetoid/Cora, tu/MUTAG and tu/PROTEINS, and any other of the data sets named below; cases whose data are not
there are left out; `CASE:N` runs N seeds of a case. Recipes run as they stand. Nodes: the published probe
(`graphs/node_classification`, one probe a seed) on the public split, test accuracy of the last epoch. Graphs: ten-fold SVM
(`graphs/graph_classification`), micro-F1. A line is written for each finished run, and a run that has one is not run
again; what fails or takes longer than `--limit` has a line that says so, and the others go on. `--jobs` processes share the
device; data sets of a few hundred graphs stay on the CPU. Prints a Markdown table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import _pieces
from _measure import shared_data


@dataclass(frozen=True)
class Case:
    """A recipe on a data set, and what was published: mean, standard deviation, and the least that is asked of us."""

    data: str
    recipe: str
    task: str = "node_classification"
    published: tuple[float, float] | None = None
    goal: float | None = None
    probe: tuple[tuple[str, float], ...] = ()
    """Parameters of the published probe where they are the data set's own."""
    small: bool = False
    """Too small for an accelerator to gain anything."""

    @property
    def metric(self) -> str:
        return "accuracy" if self.task == "node_classification" else "micro_f1"


GRAPHS = "graph_classification"
CITESEER, PUBMED = "planetoid/CiteSeer", "planetoid/PubMed"
WD = (("weight_decay", 0.01),)
CASES = {
    "cora/graphmae": Case("planetoid/Cora", "graphmae", published=(84.2, 0.4), goal=83.8),
    "cora/dgi": Case("planetoid/Cora", "dgi", published=(82.3, 0.6), goal=82.0),
    "cora/cca_ssg": Case("planetoid/Cora", "cca_ssg", published=(84.0, 0.4), goal=83.0),
    "cora/bgrl": Case("planetoid/Cora", "bgrl", published=(82.7, 0.6), goal=81.7),
    "cora/grace": Case("planetoid/Cora", "grace"),
    "mutag/graphmae": Case("tu/MUTAG", "graphmae_mutag", GRAPHS, published=(88.19, 1.26), goal=86.93, small=True),
    "proteins/graphmae": Case("tu/PROTEINS", "graphmae_graphs", GRAPHS, published=(75.30, 0.39), goal=74.91),
    "mutag/graphcl": Case("tu/MUTAG", "graphcl", GRAPHS, published=(86.80, 1.34), small=True),
    "proteins/graphcl": Case("tu/PROTEINS", "graphcl", GRAPHS, published=(74.39, 0.45)),
    "citeseer/graphmae": Case(CITESEER, "graphmae_citeseer", published=(73.4, 0.4), probe=WD),
    "citeseer/dgi": Case(CITESEER, "dgi", published=(71.8, 0.7)),
    "citeseer/cca_ssg": Case(CITESEER, "cca_ssg", published=(73.1, 0.3), probe=WD),
    "pubmed/graphmae": Case(PUBMED, "graphmae_pubmed", published=(81.1, 0.4)),
    "pubmed/dgi": Case(PUBMED, "dgi", published=(76.8, 0.6)),
    "pubmed/cca_ssg": Case(PUBMED, "cca_ssg", published=(81.0, 0.4)),
    "imdb-b/graphmae": Case("tu/IMDB-BINARY", "graphmae_imdb_binary", GRAPHS, published=(75.52, 0.66)),
    "imdb-m/graphmae": Case("tu/IMDB-MULTI", "graphmae_imdb_multi", GRAPHS, published=(51.63, 0.52)),
    "nci1/graphmae": Case("tu/NCI1", "graphmae_nci1", GRAPHS, published=(80.40, 0.30)),
}
QUICK = {name: Case("karate.npz", recipe) for name, recipe in (("karate/graphmae", "graphmae"), ("karate/dgi", "dgi"))}


def run_one(case: Case, seed: int, data: Path, steps: int | None, device: str) -> list[dict[str, Any]]:
    """Pretrain once; judge the encoder, the one it began as, and the raw input. One record for each number."""
    import manyviews as mv
    from manyviews.engine.parts import build_source
    from manyviews.evaluate.clustering import Clustering
    from manyviews.evaluate.effective_rank import EffectiveRank
    from manyviews.evaluate.plan import Planned
    from manyviews.evaluate.run import evaluate
    from manyviews_graphs.tasks.graph_classification import GraphClassification
    from manyviews_graphs.tasks.node_classification import NodeClassification

    probe: Any = (
        GraphClassification() if case.task == GRAPHS else NodeClassification(seeds=1, seed=seed, **dict(case.probe))  # type: ignore[arg-type]
    )
    planned = [Planned("probe", probe), Planned("clustering", Clustering()), Planned("rank", EffectiveRank())]
    with tempfile.TemporaryDirectory() as place:
        train: dict[str, Any] = {"seed": seed, "folder": place, "threads": 1, "watch_every": 1_000_000, "device": device}
        train |= {"steps": steps, "epochs": None} if steps else {}
        began, cpu = time.monotonic(), time.process_time()
        run = mv.pretrain(f"graphs/{case.recipe}", data={"path": str(data / case.data)}, train=train, evaluate=[], track=None)
        cost = {"cpu_seconds": round(time.process_time() - cpu), "seconds": round(time.monotonic() - began)}
        trained = mv.load_trained(run.folder, device=device)
        source = build_source(trained.recipe, trained.spec)
        encoders = {"untrained": trained.untrained(), "pretrained": trained.encoder}
        unit, size = trained.recipe.unit, trained.recipe.train.batch_size
        table = evaluate(encoders, source, planned, unit=unit, batch_size=size, seed=seed)
    return [{"seed": seed, **cost, **record} for record in table.records() if record["form"] != "flat"]


def karate(folder: Path) -> None:
    """Zachary's club as a file, from networkx: who is who is all that is known of its members."""
    import networkx
    import numpy as np

    graph = networkx.karate_club_graph()
    y = np.array([graph.nodes[node]["club"] == "Officer" for node in graph], dtype=np.int64)
    np.savez(folder / "karate.npz", edge_index=np.array(list(graph.edges)).T, x=np.eye(len(y), dtype=np.float32), y=y)


def summary(lines: Sequence[Mapping[str, Any]], cases: Mapping[str, Case]) -> dict[str, Any]:
    """For each case and representation, mean and standard deviation over the seeds of every metric, in per cent for probes."""
    values: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    seconds: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        case, _ = line["job"]
        for record in line["records"]:
            metric = record["metric"] if record["task"] == "probe" else f"{record['task']}_{record['metric']}"
            scale = 1 if record["task"] == "rank" else 100
            values[case][record["representation"]][metric].append(scale * record["value"])
        seconds[case].append(line["records"][0]["cpu_seconds"])
    found: dict[str, Any] = {}
    for name, case in cases.items():
        if name in values:
            rows = {row: {m: spread(v) for m, v in metrics.items()} for row, metrics in values[name].items()}
            ours = rows["pretrained"][case.metric]["mean"]
            reached = None if case.goal is None else ours >= case.goal
            judged = {"metric": case.metric, "published": case.published, "goal": case.goal, "reached": reached}
            found[name] = {"recipe": case.recipe, **judged, "cpu_seconds": round(mean(seconds[name])), **rows}
    return found


def spread(values: Sequence[float]) -> dict[str, float | int]:
    """Mean, standard deviation and number."""
    each = round(stdev(values), 2) if len(values) > 1 else 0.0
    return {"mean": round(mean(values), 2), "std": each, "runs": len(values)}


def markdown(found: Mapping[str, Any]) -> str:
    """A line for each case."""
    head = "| data/method | raw | untrained | pretrained | published | seeds | CPU s |\n|:--|--:|--:|--:|--:|--:|--:|"
    lines = []
    for name, case in found.items():
        metric = case["metric"]
        ours = [_cell(case.get(row, {}).get(metric)) for row in ("raw input", "untrained", "pretrained")]
        published = "–" if case["published"] is None else "{} ± {}".format(*case["published"])
        seeds = case["pretrained"][metric]["runs"]
        lines.append(f"| {name} | {' | '.join(ours)} | {published} | {seeds} | {case['cpu_seconds']} |")
    return "\n".join([head, *lines])


def _cell(value: Mapping[str, float] | None) -> str:
    return "–" if value is None else f"{value['mean']:.2f}" + (f" ± {value['std']:.2f}" if value["std"] else "")


def report(cases: Mapping[str, Case], arguments: argparse.Namespace) -> None:
    """Run what is missing, seed by seed, then print all."""
    seeds = {name: (arguments.cases or {}).get(name) or arguments.seeds for name in cases}
    wanted = [(name, seed) for seed in range(max(seeds.values(), default=0)) for name in cases if seed < seeds[name]]
    options = ["--data", str(arguments.data), "--device", arguments.device]
    options += ["--steps", str(arguments.steps)] if arguments.steps else []
    lines = _pieces.run(
        wanted, lambda job: ["--job", *map(str, job), *options], arguments.out, jobs=arguments.jobs, limit=arguments.limit
    )
    found = summary([line for line in lines if "records" in line], cases)
    print(markdown(found))
    print(json.dumps({"errors": [line for line in lines if "error" in line], "results": found}))


def a_case(word: str) -> tuple[str, int]:
    """`CASE` or `CASE:SEEDS`."""
    name, _, seeds = word.partition(":")
    if name not in CASES:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(CASES)}")
    return name, int(seeds or 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=shared_data("graphs"))
    parser.add_argument("--out", type=Path, default=Path("graphs_accuracy.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", type=a_case, metavar="CASE[:SEEDS]", help="Longest first. " + ", ".join(CASES))
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE", help="only cases of these recipes")
    parser.add_argument("--steps", type=int, help="Steps in place of each recipe's own length.")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    parser.add_argument("--jobs", type=int, default=1, help="Processes at a time.")
    parser.add_argument("--limit", type=float, help="Seconds after which a run is given up.")
    parser.add_argument("--quick", action="store_true", help="Two recipes on a small graph that comes with networkx.")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        name, seed = arguments.job
        case = (CASES | QUICK)[name]
        device = "cpu" if case.small else arguments.device
        print(json.dumps(run_one(case, int(seed), arguments.data, arguments.steps, device)))
        return
    if arguments.quick:
        with tempfile.TemporaryDirectory() as place:
            arguments.data, arguments.out, arguments.seeds, arguments.steps = Path(place), Path(place) / "out.jsonl", 1, 20
            karate(arguments.data)
            report(QUICK, arguments)
        return
    arguments.cases = dict(arguments.cases or [])
    cases = {name: CASES[name] for name in arguments.cases or CASES}
    cases = {name: case for name, case in cases.items() if case.recipe in (arguments.recipes or [case.recipe])}
    report({name: case for name, case in cases.items() if (arguments.data / case.data).exists()}, arguments)


if __name__ == "__main__":
    main()
