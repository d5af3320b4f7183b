"""Speed of neighbour sampling, and pretraining on a graph that does not fit into a step; the last line is a JSON object.

    python benchmarks/graphs_sampling.py [--quick] [--large [--nodes N --edges E --steps S --folder FOLDER]]

Without `--large`: edges per CPU second, one thread, batches of 512 seeds in turns: our sampler, a sampler in plain Python
(dictionaries and `random.sample`, node by node), and pyg-lib's where it is installed. PyG itself has no sampler without
compiled extensions. What ours gives in addition (nodes by seed, edges in order) is in its time.

With `--large`: a graph of 2 million nodes and 20 million undirected edges with 128 features a node is written to a folder,
and the recipe graphs/graphmae_sampled pretrains on it in a process of its own, whose peak memory is what counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from _measure import interleaved, ratio

from manyviews_graphs.csr import CSR
from manyviews_graphs.sampling import sample

GRAPHS = {
    "14 thousand nodes": (14_200, 500_000),
    "200 thousand nodes": (200_000, 2_000_000),
    "2 million nodes": (2_000_000, 20_000_000),
}
SEEDS, FAN_OUT, CHANNELS = 512, [10, 10], 128
PYG_LIB = importlib.util.find_spec("pyg_lib") is not None


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few batches, no graph of millions of nodes unless with --large")
    parser.add_argument("--large", action="store_true", help="pretrain on a large graph instead")
    parser.add_argument("--nodes", type=int, default=2_000_000)
    parser.add_argument("--edges", type=int, default=20_000_000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--folder", type=Path, help="where the graph lies or is to be written; default: a temporary folder")
    parser.add_argument("--pretrain", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.pretrain:
        print(json.dumps(_pretrain(options.pretrain, options.steps)))
    elif options.large:
        print(json.dumps(_large(options)))
    else:
        sizes = dict(list(GRAPHS.items())[:1] if options.quick else GRAPHS.items())
        print(json.dumps({name: _compare(name, *size, rounds=5 if options.quick else 20) for name, size in sizes.items()}))


def _compare(name: str, nodes: int, edges: int, rounds: int) -> dict[str, Any]:
    """Rates and ratios on a graph of random edges."""
    rng = np.random.default_rng(0)
    csr = CSR.of(rng.integers(nodes, size=edges), rng.integers(nodes, size=edges), nodes)
    works, drawn = _samplers(csr, rng.permutation(nodes))
    interleaved(works, 1)
    for counts in drawn.values():
        counts.clear()
    seconds = interleaved(works, rounds)
    rates = {work: round(sum(drawn[work]) / sum(seconds[work])) for work in works}
    print(f"{name}, {edges:,} edges, {SEEDS} seeds, fan-out {'/'.join(map(str, FAN_OUT))}")
    for work, rate in rates.items():
        print(f"  {work:<14}{median(seconds[work]) * 1e3:>9.2f} ms a batch{rate:>14,} edges per CPU second")
    others = [work for work in works if work != "ours"]
    return {"edges_per_cpu_second": rates, "times": {work: round(ratio(seconds[work], seconds["ours"]), 2) for work in others}}


def _samplers(csr: CSR, order: np.ndarray) -> tuple[dict[str, Callable[[int], None]], dict[str, list[int]]]:
    """Each draws the neighbourhoods of the round's seeds and says how many edges there were."""
    rng, drawn = np.random.default_rng(0), {name: list[int]() for name in ("ours", "plain Python", "pyg-lib")}
    pointer, source = csr.pointer.tolist(), csr.source.tolist()
    tensors = torch.from_numpy(csr.pointer), torch.from_numpy(csr.source.astype(np.int64))

    def seeds(number: int) -> np.ndarray:
        first = number * SEEDS % (len(order) - SEEDS)
        return order[first : first + SEEDS]

    def ours(number: int) -> None:
        drawn["ours"].append(len(sample(csr, seeds(number), FAN_OUT, rng).edges))

    def plain(number: int) -> None:
        drawn["plain Python"].append(_plain(pointer, source, seeds(number).tolist()))

    def pyg_lib(number: int) -> None:
        given = (*tensors, torch.from_numpy(seeds(number)), FAN_OUT)
        found = torch.ops.pyg.neighbor_sample(*given, None, None, None, None, True, False, True, False, "uniform", True)
        drawn["pyg-lib"].append(len(found[0]))

    works = {"ours": ours, "plain Python": plain}
    if PYG_LIB:
        importlib.import_module("pyg_lib")
        works["pyg-lib"] = pyg_lib
    return works, drawn


def _plain(pointer: list[int], source: list[int], seeds: list[int]) -> int:
    """Node by node, as one would write it: the number of edges drawn."""
    place = {node: number for number, node in enumerate(seeds)}
    frontier, edges = seeds, list[tuple[int, int]]()
    for fan_out in FAN_OUT:
        reached = []
        for node in frontier:
            row = range(pointer[node], pointer[node + 1])
            for edge in row if len(row) <= fan_out else random.sample(row, fan_out):
                other = source[edge]
                if other not in place:
                    place[other] = len(place)
                    reached.append(other)
                edges.append((place[other], place[node]))
        frontier = reached
    return len(edges)


def _large(options: argparse.Namespace) -> dict[str, Any]:
    """Write the graph, pretrain in another process, tell."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if not (folder / "edge_index.npy").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder, options.nodes, options.edges)
        words = [sys.executable, __file__, "--pretrain", str(folder), "--steps", str(options.steps)]
        told = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(told.splitlines()[-1])
    print(f"{result['nodes']:,} nodes, {result['edges']:,} undirected edges, {result['channels']} features")
    print(f"  read in {result['reading_s']} s, {result['steps']} steps in {result['training_s']} s, loss {result['loss']}")
    print(f"  peak memory {result['peak_gb']} GB ({result['peak_reading_gb']} GB while reading)")
    return result


def _write(folder: Path, nodes: int, edges: int) -> None:
    """Communities of a hundred nodes, four fifths of the edges within them; features around the mean of the community."""
    rng = np.random.default_rng(0)
    ends = np.lib.format.open_memmap(folder / "edge_index.npy", "w+", np.int32, (2, edges))
    ends[0] = rng.integers(nodes, size=edges, dtype=np.int32)
    near = ends[0] - ends[0] % 100 + rng.integers(100, size=edges, dtype=np.int32)
    ends[1] = np.where(rng.random(edges, dtype=np.float32) < 0.8, np.minimum(near, nodes - 1), rng.integers(nodes, size=edges))
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (nodes, CHANNELS))
    for first in range(0, nodes, 100_000):
        rows = np.arange(first, min(first + 100_000, nodes))
        centres = np.random.default_rng(1).normal(size=(64, CHANNELS)).astype(np.float32)[rows // 100 % 64]
        x[rows] = centres + rng.standard_normal((len(rows), CHANNELS), dtype=np.float32)


def _pretrain(folder: Path, steps: int) -> dict[str, Any]:
    """In this process: read, train, look at the memory."""
    from manyviews import pretrain
    from manyviews_graphs.source import GraphSource

    begun = time.perf_counter()
    source = GraphSource(path=str(folder), neighbours=FAN_OUT)
    read, peak = time.perf_counter() - begun, _peak()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as runs:
        train = {"steps": steps, "epochs": None, "batch_size": SEEDS, "log_every": steps, "device": "cpu", "threads": 1}
        run = pretrain(
            "graphs/graphmae_sampled",
            source=source,
            data={"path": str(folder)},
            train={**train, "folder": runs},
            evaluate=[],
            track=None,
        )
        loss = [entry.metrics["train/loss"] for entry in run.metrics() if "train/loss" in entry.metrics]
    return {
        "nodes": len(source),
        "edges": int(np.load(folder / "edge_index.npy", mmap_mode="r").shape[1]),
        "channels": source.spec.channels,
        "steps": steps,
        "reading_s": round(read, 1),
        "training_s": round(time.perf_counter() - begun, 1),
        "loss": round(loss[-1], 4),
        "peak_reading_gb": peak,
        "peak_gb": _peak(),
    }


def _peak() -> float:
    """The most memory this process ever held, in GB; mapped pages that were read are in it."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 2)


if __name__ == "__main__":
    main()
