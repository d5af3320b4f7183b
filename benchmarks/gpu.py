"""Pretraining on a GPU: how fast, how near to what the chip can do, and how far from the same step written by hand.

    python benchmarks/gpu.py [--cases tables graphs] [--steps 60] [--precision bf16-mixed]
    python benchmarks/gpu.py --quick                 # toy sizes, on the CPU where there is no GPU

For each domain's recipe: samples and tokens a second in `manyviews.pretrain` itself (reading, views, schedules, metrics), the
share of time that it waits for data, peak memory, the step's floating-point operations (PyTorch's counter: matrix products,
convolutions and attention, forwards and backwards) against a measured bf16 matrix product, and a bare loop that calls the same
parts on batches that lie on the device already, before and after it. Of masked autoencoders also the step as one would
write it with PyTorch's own layers. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from _gpu_cases import CASES, Case
from _plain_mae import PlainMAE
from filelock import FileLock
from torch.utils.flop_counter import FlopCounterMode

from manyviews.engine.learner import Step
from manyviews.engine.model import Model
from manyviews.engine.optim import make_optimizer
from manyviews.engine.parts import build_source
from manyviews.engine.pretrain import model_of, order_of, prepare, pretrain
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe
from manyviews.recipe.resolve import resolve

LOADED = 4
"""Batches that the bare loop goes round."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="Toy sizes, a few steps.")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument(
        "--steps", type=int, default=60, help="Measured steps of the engine, and of each round of the bare loop."
    )
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--compile", action="store_true", help="With `train.compile`.")
    parser.add_argument(
        "--lock", help="Hold this file while measuring: several cases then prepare at once and measure in turn."
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps, precision = (4, "32") if options.quick else (options.steps, options.precision)
    train = {"precision": precision, "compile": options.compile, "device": device.type}
    chip = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{chip}, torch {torch.__version__}, {precision}", flush=True)
    results: dict[str, Any] = {}
    for name in options.cases:
        if not CASES[name].there():
            print(f"{name}: left out, {CASES[name].needs} or the domain is not installed")
            continue
        try:
            results[name] = measure(CASES[name], device, steps, train, options.quick, options.lock)
        except Exception as error:  # one case that fails does not take the others' figures with it
            results[name] = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(name, json.dumps(results[name]), flush=True)
    print(json.dumps({"chip": chip, "torch": torch.__version__, "cases": results}))
    if any("error" in figures for figures in results.values()):
        sys.exit(1)


def matmul_flops(device: torch.device, size: int) -> float:
    """FLOP a second of a large bf16 matrix product."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = timed(device, lambda: a @ b, 10)
    return 2 * size**3 / seconds


def timed(device: torch.device, work: Callable[[], object], times: int) -> float:
    """Seconds of one of so many, after three to warm up."""
    for _ in range(3):
        work()
    wait(device)
    begun = time.perf_counter()
    for _ in range(times):
        work()
    wait(device)
    return (time.perf_counter() - begun) / times


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(
    case: Case, device: torch.device, steps: int, given: Mapping[str, Any], toy: bool, lock: str | None
) -> dict[str, Any]:
    """All figures of a case."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "data").mkdir()
        recipe = recipe_of(case, folder, steps, given, toy)
        with FileLock(lock) if lock else nullcontext():
            peak = matmul_flops(device, 256 if toy else 8192)
            bare = Bare(recipe, device)
            before = bare.seconds(steps)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            windows = engine_windows(recipe)
            after = bare.seconds(steps)
            memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
            plain = plain_seconds(bare, recipe, steps) if case.plain else None
            flops = 0.0 if case.sparse else bare.flops()
    engine, by_hand = median(window["seconds"] for window in windows), (before + after) / 2
    figures = {
        "step_ms": 1e3 * engine,
        "bare_step_ms": 1e3 * by_hand,
        "engine_over_bare": engine / by_hand,
        "samples_per_s": bare.samples / engine,
        "tokens_per_s": bare.tokens / engine,
        "data_wait": median(window["wait"] for window in windows),
        "peak_gb": memory / 1e9,
        "bf16_tflops": peak / 1e12,
    }
    if flops:
        figures |= {"tflop_a_step": flops / 1e12, "flop_utilisation": flops / engine / peak}
    if plain is not None:
        figures |= {"plain_step_ms": 1e3 * plain, "plain_over_engine": plain / engine}
    return {key: round(value, 4) for key, value in figures.items()}


def recipe_of(case: Case, folder: Path, steps: int, given: Mapping[str, Any], toy: bool) -> Recipe:
    """As it stands, but for the sizes and the length of the run: three windows to warm up, three that count."""
    sections = dict(case.toy if toy else case.real)
    train = {"steps": 6 * steps, "epochs": None, "log_every": steps, "watch_every": 10**9, "folder": str(folder / "runs")}
    train |= {**given, **sections.pop("train", {})}
    data = {**case.data(folder / "data", toy), **sections.pop("data", {})}
    fixed = {"data": data, "train": train, "evaluate": [], "track": None}
    return resolve(load_recipe(case.recipe, {**sections, **fixed}))


def engine_windows(recipe: Recipe) -> list[dict[str, float]]:
    """Of each measured window: seconds a step, and the share of them that the loop waited for data."""
    read = [entry for entry in pretrain(recipe).metrics() if "train/data_wait" in entry.metrics]
    return [
        {"seconds": (now.time - last.time) / 1e3 / (now.step - last.step), "wait": now.metrics["train/data_wait"]}
        for last, now in pairwise(read[2:])
    ]


class Bare:
    """The same parts in a loop of nothing else, on batches that are on the device."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.device, self.half = device, recipe.train.precision == "bf16-mixed"
        source = build_source(recipe)
        order = order_of(recipe, source)
        self.model: Model = model_of(recipe, source)
        prepare(source, order, self.model)
        self.model.to(device)
        self.optimizer = make_optimizer(self.model, recipe.optim)
        self.generator = torch.Generator(device)
        self.batches = [source.batch(index).to(device) for index in order.batches(0, LOADED)]
        self.samples = sum(len(batch) for batch in self.batches) / LOADED
        self.tokens = sum(self.model.encoder.layout(batch).lengths.total for batch in self.batches) / LOADED
        self.clip = recipe.optim.clip
        self.at = 0

    def loss(self) -> torch.Tensor:
        batch = self.batches[self.at % LOADED]
        self.at += 1
        self.generator.manual_seed(self.at)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return self.model(Step(batch, self.generator, lambda metrics: None))

    def step(self) -> None:
        self.loss().backward()
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.model.follow(0.99)

    def seconds(self, steps: int) -> float:
        return timed(self.device, self.step, steps)

    def flops(self) -> float:
        """Of a step, over the batches that there are."""
        with FlopCounterMode(display=False) as counter:
            for _ in range(LOADED):
                self.loss().backward()
        self.optimizer.zero_grad(set_to_none=True)
        return counter.get_total_flops() / LOADED


def plain_seconds(bare: Bare, recipe: Recipe, steps: int) -> float:
    """A step of the autoencoder written by hand, on patches of the same number and size."""
    encoder, objective, views = (part.parameters for part in (recipe.encoder, recipe.objective, recipe.views) if part)
    layout = bare.model.encoder.layout(bare.batches[0])
    each, samples = layout.lengths.total // len(layout.lengths), len(layout.lengths)
    channels = bare.model.encoder.target_channels
    decoder = (objective["width"], objective["depth"], objective["heads"])
    model = PlainMAE(channels, each, encoder["width"], encoder["depth"], encoder["heads"], decoder=decoder).to(bare.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    x = torch.randn(samples, each, channels, device=bare.device)

    def step() -> None:
        with torch.autocast(bare.device.type, torch.bfloat16, enabled=bare.half):
            loss = model(x, views["share"])
        loss.backward()
        if bare.clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), bare.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return timed(bare.device, step, steps)


if __name__ == "__main__":
    main()
