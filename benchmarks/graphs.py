"""Speed and memory of GraphMAE, beside the same in PyG's layers; the last line is a JSON object.

    python benchmarks/graphs.py [--quick] [--data FOLDER]

Cora (a Planetoid folder; where it is not at hand, a graph drawn like it), one thread, the published hyper-parameters.
An epoch of the engine, with recipe `graphs/graphmae` as it stands, in float32 and with products in bfloat16 (`precision:
bf16-mixed`), and an epoch of PyG's `GATConv` on the same masks, in turns: CPU seconds, and their median ratio. Memory is
what a process needs above what it held with everything imported and the graph read, each in a process of its own. First
it is checked, without dropout, that both have the same losses over five epochs, and in float64 the same gradients.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from _measure import interleaved, ratio, shared_data
from torch import Tensor

from manyviews.engine.learner import Step
from manyviews.engine.loader import Order, Samples
from manyviews.engine.model import Model
from manyviews.engine.parts import build_encoder, build_source, build_terms
from manyviews.engine.processes import make_fabric
from manyviews.engine.trainer import Trainer, mix
from manyviews.layout import Layout
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe
from manyviews.source import Source
from manyviews.view import View
from manyviews_graphs.batch import GraphBatch

with warnings.catch_warnings():  # of PyTorch's, about what PyG uses of it
    warnings.simplefilter("ignore", DeprecationWarning)
    from _plain_graphmae import PlainGraphMAE, Settings

PLAIN, FLOAT, HALF = "plain", "32", "bf16-mixed"
NAMES = {PLAIN: "PyG's GATConv", FLOAT: "manyviews, precision 32", HALF: "manyviews, bf16-mixed"}
NO_DROPOUT = {"encoder.dropout": 0.0, "encoder.attention_dropout": 0.0}
STEPS, WARM, CHECKED = 1500, 2, 5
LOSSES, GRADIENTS = 1e-5, 1e-9
"""Largest relative difference of losses in float32, of gradients in float64."""
TINY = 1e-12


def main() -> None:
    """Check that both compute the same, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few epochs of each")
    parser.add_argument(
        "--data", type=Path, help="a Planetoid folder; default: Cora where it lies at hand, else one drawn like it"
    )
    parser.add_argument("--peak", choices=list(NAMES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        graph = options.data or _cora() or _drawn(Path(folder) / "drawn.npz")
        if options.peak:
            print(_peak(options.peak, graph))
            return
        print(json.dumps(_compare(graph, options.quick)))


def _cora() -> Path | None:
    folder = shared_data("graphs", "planetoid", "Cora")
    return folder if folder.is_dir() else None


def _drawn(path: Path) -> Path:
    """A graph of Cora's size: 2,708 nodes, as many edges in proportion to a node's popularity, 18 of 1,433 words each."""
    rng, nodes, words = np.random.default_rng(0), 2708, 1433
    popular = rng.pareto(2.0, nodes) + 1
    source, target = (rng.choice(nodes, 5278, p=popular / popular.sum()) for _ in range(2))
    x = np.zeros((nodes, words), dtype=np.float32)
    x[np.arange(nodes)[:, None], rng.integers(words, size=(nodes, 18))] = 1
    np.savez(path, edge_index=np.stack([source, target]), x=x, y=rng.integers(7, size=nodes))
    return path


def _compare(graph: Path, quick: bool) -> dict[str, Any]:
    recipe = _recipe(graph)
    source = build_source(recipe)
    losses, gradients = _losses_apart(graph, source), _gradients_apart(graph, source)
    if not (losses <= LOSSES and gradients <= GRADIENTS):
        raise SystemExit(f"the two disagree (losses {losses:.1e}, gradients {gradients:.1e}): the ratios would mean nothing")
    print(f"{graph.name}, one thread; without dropout losses agree to {losses:.0e}, gradients in float64 to {gradients:.0e}\n")
    epochs = {name: _epochs(name, graph, source) for name in NAMES}
    works = {name: partial(_next, each) for name, each in epochs.items()}
    interleaved(works, WARM)  # the first epochs allocate
    seconds = interleaved(works, 3 if quick else 15)
    peaks = {name: _peak_of(name, graph) for name in NAMES}
    print(f"{'':<28}{'s an epoch':>12}{'of plain':>10}{'MB':>8}{'of plain':>10}")
    result: dict[str, Any] = {}
    for name, words in NAMES.items():
        share, space = 1 / ratio(seconds[PLAIN], seconds[name]), peaks[name] / peaks[PLAIN]
        result[name] = {"seconds": round(median(seconds[name]), 4), "of_plain": round(share, 3)}
        result[name] |= {"megabytes": round(peaks[name]), "megabytes_of_plain": round(space, 3)}
        print(f"{words:<28}{median(seconds[name]):>12.3f}{share:>10.3f}{peaks[name]:>8.0f}{space:>10.3f}")
    return {"graph": graph.name, "losses_agree_to": losses, "gradients_agree_to": gradients, "epoch": result}


def _next(epochs: Iterator[float], _: int) -> None:
    next(epochs)


def _recipe(graph: Path, precision: str = FLOAT, **overrides: Any) -> Recipe:
    train = {"train.steps": STEPS, "train.precision": precision, "train.device": "cpu"}
    return load_recipe("graphs/graphmae", {"data.path": str(graph), "track": None, **train, **overrides})


def _model(recipe: Recipe, source: Source) -> Model:
    """The same at each call."""
    torch.manual_seed(0)
    return Model(build_encoder(recipe, source.spec), build_terms(recipe, source.spec), recipe.unit)


def _epochs(name: str, graph: Path, source: Source) -> Iterator[float]:
    """An endless training run; the loss of each epoch."""
    if name != PLAIN:
        return _engine_epochs(_recipe(graph, name), source)
    return _plain_epochs(_recipe(graph), source, PlainGraphMAE(source.spec.channels, Settings()))


def _engine_epochs(recipe: Recipe, source: Source) -> Iterator[float]:
    """Steps of the engine, whole: reading, masks, loss, optimiser."""
    order = Order(np.zeros(1, dtype=np.int64), 1, recipe.train.seed)
    trainer = Trainer(make_fabric(recipe.train), recipe, Samples(source), order, _model(recipe, source), STEPS)
    for batches in trainer._steps():
        trainer._step(batches)
        yield trainer.window.read()["loss"]


def _plain_epochs(recipe: Recipe, source: Source, plain: PlainGraphMAE) -> Iterator[float]:
    """The same of the plain implementation, on the engine's masks."""
    x, edges = _plain_graph(source)
    optimizer = plain.optimizer()
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        loss = plain(x, edges, **_numbers(_view(recipe, source, step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        yield loss.item()


def _plain_graph(source: Source) -> tuple[Tensor, Tensor]:
    """Dense features, and edges with the self-loops that GraphMAE adds beforehand."""
    batch = _batch(source)
    edges = batch.edges.looped
    return batch.x.to_dense(), torch.stack([edges.source, edges.target])


def _batch(source: Source) -> GraphBatch:
    batch = source.batch(np.zeros(1, dtype=np.int64))
    assert isinstance(batch, GraphBatch)
    return batch


def _view(recipe: Recipe, source: Source, step: int) -> View:
    """What the engine shows at that step."""
    batch = _batch(source)
    generator = torch.Generator().manual_seed(mix(recipe.train.seed, step, 0))
    (view,) = build_terms(recipe, source.spec)[0].views(batch, Layout(batch.lengths), generator)
    return view


def _numbers(view: View) -> dict[str, Tensor]:
    """Which nodes are masked, in the words of the plain implementation."""
    masked, stand_ins = view.hidden.where[0], view.batch.stand_ins
    replaced = (masked & (stand_ins >= 0)).nonzero().squeeze(1)
    token = (masked & (stand_ins < 0)).nonzero().squeeze(1)
    return {"masked": masked.nonzero().squeeze(1), "token": token, "replaced": replaced, "stand_ins": stand_ins[replaced]}


def _losses_apart(graph: Path, source: Source) -> float:
    """Largest relative difference over some epochs of training from the same weights, without dropout, in float32."""
    recipe = _recipe(graph, **NO_DROPOUT)
    plain = PlainGraphMAE(source.spec.channels, Settings(dropout=0.0, attention_dropout=0.0))
    _copy(_model(recipe, source), plain)
    both = zip(_engine_epochs(recipe, source), _plain_epochs(recipe, source, plain), strict=True)
    return max(abs(ours - theirs) / abs(theirs) for ours, theirs in islice(both, CHECKED))


def _gradients_apart(graph: Path, source: Source) -> float:
    """Largest difference of a gradient, in parts of that parameter's largest, in float64, no parameter being zero."""
    recipe = _recipe(graph, **NO_DROPOUT)
    model = _model(recipe, source).double()
    plain = PlainGraphMAE(source.spec.channels, Settings(dropout=0.0, attention_dropout=0.0)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    pairs = _copy(model, plain)
    model(Step(_batch(source), torch.Generator().manual_seed(mix(recipe.train.seed, 0, 0)), lambda _: None)).backward()
    x, edges = _plain_graph(source)
    plain(x.double(), edges, **_numbers(_view(recipe, source, 0))).backward()
    apart = [(become(mine.grad) - other.grad).abs().max() for mine, other, become in pairs]
    # the decoder asks nothing of a masked node, which is zero: that gradient is 0 in both
    return float(max(gap / other.grad.abs().max().clamp(min=TINY) for gap, (_, other, _) in zip(apart, pairs, strict=True)))


Become = Callable[[Tensor], Tensor]


@torch.no_grad()
def _copy(model: Model, plain: PlainGraphMAE) -> list[tuple[Tensor, Tensor, Become]]:
    """Our weights into the plain implementation; (ours, its own, how ours becomes that)."""
    ours, decoder = model.encoder.trunk.stack.layers, model.each_term[0].predictor
    pairs: list[tuple[Tensor, Tensor, Become]] = [
        (model.encoder.mask_token, plain.mask_token, _row),
        (decoder.inwards.weight, plain.between.weight, torch.clone),
        *((layer.activation.slope, one.weight, torch.clone) for layer, one in zip(ours, plain.activations, strict=True)),
    ]
    convs = [*(layer.conv for layer in ours), decoder.trunk.stack.layers[0].conv]
    for mine, other in zip(convs, [*plain.encoder, plain.decoder], strict=True):
        pairs += [(mine.weight, other.lin.weight, torch.t), (mine.bias, other.bias, torch.clone)]
        pairs += [(mine.send, other.att_src, _row), (mine.take, other.att_dst, _row)]
    for mine, other, become in pairs:
        other.copy_(become(mine))
    return pairs


def _row(x: Tensor) -> Tensor:
    return x[None]


def _peak_of(name: str, graph: Path) -> float:
    """Megabytes, measured in a process of its own."""
    command = [sys.executable, __file__, "--data", str(graph), "--peak", name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _peak(name: str, graph: Path) -> float:
    """Megabytes that this process needed for three epochs, above what it holds with everything imported and the graph read."""
    source = build_source(_recipe(graph))
    _batch(source)
    before = _megabytes("VmRSS")
    for _ in islice(_epochs(name, graph, source), 3):
        pass
    return _megabytes("VmHWM") - before


def _megabytes(what: str) -> float:
    """Of this process: VmRSS now, VmHWM at most. (`getrusage` begins with what the parent process held.)"""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
