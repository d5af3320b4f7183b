"""Speed of T-JEPA pretraining on a table, beside the same in plain PyTorch; the last line is a JSON object.

    python benchmarks/tabular.py [--quick] [--data TABLE]

Rows per CPU second, one thread, batches of 512. Three do the same steps in turns: plain PyTorch as one would write it
from the paper, and the engine's whole step (reading, masks, optimiser, teacher) with `predict: per_set`, which is the
published formulation, and `predict: together`. First it is checked in float64 that, given equal weights and masks, the
plain one and `per_set` have the same loss and the same gradients.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from _measure import interleaved, ratio, shared_data
from _plain_tjepa import PlainTJEPA, Size, batches
from lightning_fabric import Fabric
from torch import Tensor, nn

from manyviews.engine.learner import Step
from manyviews.engine.loader import Order, Samples
from manyviews.engine.model import Model
from manyviews.engine.parts import build_encoder, build_source, build_terms
from manyviews.engine.trainer import Trainer, mix
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.nets.positions import sincos
from manyviews.nets.transformer import Transformer
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe
from manyviews.view import ViewGenerator
from manyviews_tabular.source import TableSource

SIZES = {
    "4 layers": Size(width=64, depth=4, heads=2, ff=64, predictor_width=16, predictor_depth=4, predictor_heads=4),
    "16 layers": Size(width=64, depth=16, heads=2, ff=64, predictor_width=16, predictor_depth=16, predictor_heads=4),
}
"""`16 layers` is the configuration published for Jannis, `4 layers` the same with fewer of them."""
MASKS = {"context": [0.136, 0.368], "asked": [0.156, 0.622], "sets": 4}
LR, STEPS, BATCH, TOLERANCE = 3.66e-4, 1000, 512, 1e-10


def main() -> None:
    """Check that both compute the same, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps of each")
    parser.add_argument("--data", type=Path, help="a table; default: Adult where it lies at hand, else one drawn like it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        table = options.data or _adult() or _drawn(Path(folder) / "drawn.csv")
        print(f"{table.name}, batches of {BATCH}, one thread\n")
        results = {name: _compare(name, size, table, options.quick) for name, size in SIZES.items()}
    print(json.dumps({"table": table.name, "batch": BATCH, **results}))


def _adult() -> Path | None:
    table = shared_data("tabular", "adult.csv")
    return table if table.is_file() else None


def _drawn(path: Path) -> Path:
    """A table of Adult's shape: 6 numbers, 8 categories of as many levels."""
    rng, rows = np.random.default_rng(0), 8 * BATCH
    columns = {f"number{j}": rng.normal(size=rows) for j in range(6)}
    for j, levels in enumerate((9, 16, 7, 15, 6, 5, 2, 42)):
        columns[f"category{j}"] = np.array([f"level{level}" for level in rng.integers(levels, size=rows)])
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def _compare(name: str, size: Size, table: Path, quick: bool) -> dict[str, Any]:
    """Rates and ratios of one size."""
    recipes = {predict: _recipe(size, table, predict) for predict in ("per_set", "together")}
    source = build_source(recipes["per_set"])
    assert isinstance(source, TableSource)
    error = _disagreement(recipes["per_set"], source, size)
    if error > TOLERANCE:
        raise SystemExit(f"{name}: the plain implementation and ours disagree by {error:.1e}: the ratios would mean nothing")
    each = max((4 if quick else 16) // size.depth, 1)
    works = {"plain": _plain_work(recipes["per_set"], source, size, each)}
    works |= {predict: _engine_work(recipe, source, each) for predict, recipe in recipes.items()}
    interleaved(works, 1)  # the first steps allocate
    seconds = interleaved(works, 2 if quick else 12)
    rates = {work: round(each * BATCH / median(spent)) for work, spent in seconds.items()}
    ratios = {work: round(ratio(seconds["plain"], seconds[work]), 2) for work in recipes}
    widths = f"encoder width {size.width}, predictor width {size.predictor_width}"
    print(f"{name}, {widths}; losses and gradients agree to {error:.0e}")
    print(f"  {'plain PyTorch':<28}{rates['plain']:>8,} rows per CPU second")
    for work in recipes:
        print(f"  {'manyviews, ' + work:<28}{rates[work]:>8,} rows per CPU second{ratios[work]:>8.2f} times plain")
    return {"rows_per_cpu_second": rates, "times_plain": ratios, "disagreement": error}


def _recipe(size: Size, table: Path, predict: str) -> Recipe:
    target = "income" if "income" in pd.read_csv(table, nrows=0).columns else None
    predictor = {"width": size.predictor_width, "depth": size.predictor_depth, "heads": size.predictor_heads}
    return load_recipe(
        "tabular/t_jepa",
        {
            "data": {"path": str(table), "target": target},
            "encoder": {"width": size.width, "depth": size.depth, "heads": size.heads, "ff": size.ff, "norm": "post"},
            "views": {"name": "set_mask", **MASKS},
            "objective": {"loss": "mse", "normalize_targets": False, "predict": predict, **predictor},
            "optim": {"lr": LR, "weight_decay": 0.0, "clip": None},
            "train": {"steps": STEPS, "epochs": None, "batch_size": BATCH, "device": "cpu"},
            "track": None,
        },
    )


def _model(recipe: Recipe, source: TableSource) -> Model:
    torch.manual_seed(0)
    return Model(build_encoder(recipe, source.spec), build_terms(recipe, source.spec), recipe.unit)


def _engine_work(recipe: Recipe, source: TableSource, each: int) -> Callable[[int], None]:
    """`each` steps of the engine."""
    fabric = Fabric(accelerator="cpu", devices=1)
    order = Order(np.flatnonzero(source.splits() == "train"), BATCH, recipe.train.seed)
    trainer = Trainer(fabric, recipe, Samples(source), order, _model(recipe, source), STEPS)
    steps = trainer._steps()

    def work(_: int) -> None:
        for _ in range(each):
            trainer._step(next(steps))

    return work


def _plain_work(recipe: Recipe, source: TableSource, size: Size, each: int) -> Callable[[int], None]:
    """`each` steps of the plain implementation, on the same rows with masks of the same sizes."""
    rows = source.batch(np.flatnonzero(source.splits() == "train"))
    plain = _plain(source, size)
    views = build_terms(recipe, source.spec)[0].views
    sizes = _mask_sizes(views, len(source.spec.tokens), recipe.train.seed)
    loader = batches(rows.values, rows.codes, BATCH, MASKS["sets"], sizes)

    def work(_: int) -> None:
        for _ in range(each):
            plain.step(*next(loader))

    return work


def _plain(source: TableSource, size: Size) -> PlainTJEPA:
    torch.manual_seed(0)
    levels = [column.size for column in source.spec.categorical]
    return PlainTJEPA(len(source.spec.numeric), levels, size, LR, round(0.1 * STEPS), STEPS)


def _mask_sizes(views: ViewGenerator, columns: int, seed: int) -> Iterator[tuple[int, int]]:
    """Columns in the context and in a target set, of each of the engine's steps."""
    row = Layout(Lengths.equal(1, columns))
    for step in range(STEPS):
        (view,) = views(None, row, torch.Generator().manual_seed(mix(seed, step, 0)))
        yield columns - view.hidden.each, view.asked.each


def _disagreement(recipe: Recipe, source: TableSource, size: Size) -> float:
    """Largest relative difference of loss and gradients between ours and the plain one, in float64, with one set of weights."""
    ours, plain = _model(recipe, source).double(), _plain(source, size)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    for part in (plain.student, plain.teacher, plain.predictor):
        part.double()
    # what stands for a missing number, which the plain one does not know
    for encoder in (ours.encoder, ours.teacher[0]):
        encoder.embedding.missing_embeddings.data.zero_()
    copy_encoder(ours.encoder, plain.student)
    copy_encoder(ours.teacher[0], plain.teacher)
    copy_predictor(ours.each_term[0].predictor, plain.predictor)
    batch = source.batch(np.arange(64))
    seed = 1
    loss = ours(Step(batch, torch.Generator().manual_seed(seed), lambda metrics: None))
    (view,) = ours.each_term[0].views(batch, ours.encoder.layout(batch), torch.Generator().manual_seed(seed))
    context = _numbers(~view.hidden.where, len(batch))[0]
    other = plain.loss(batch.values.double(), batch.codes, context, list(_numbers(view.asked.where, len(batch))))
    loss.backward()
    other.backward()
    pairs = [
        (ours.encoder.transformer.blocks[0].attention.qkv.weight, plain.student.transformer.layers[0].self_attn.in_proj_weight),
        (ours.encoder.reg, plain.student.reg),
        (ours.each_term[0].predictor.mask_token, plain.predictor.mask_token),
    ]
    compared = [(loss.detach(), other.detach()), *((one.grad, two.grad) for one, two in pairs)]
    return max(float((one - two).abs().max() / two.abs().max()) for one, two in compared)


def _numbers(where: Tensor, rows: int) -> Tensor:
    """(sets, rows, chosen) numbers of the columns chosen."""
    return where.reshape(len(where), rows, -1).nonzero()[:, 2].reshape(len(where), rows, -1)


@torch.no_grad()
def copy_encoder(ours: nn.Module, plain: nn.Module) -> None:
    """Our weights into the plain encoder."""
    embedding = ours.embedding
    for j, number in enumerate(plain.numbers):
        number.weight.copy_(embedding.number_embeddings[j][:, None])
        number.bias.copy_(embedding.bias[j])
    for j, category in enumerate(plain.categories):
        levels = embedding.level_embeddings[embedding.offsets[j] :][: category.num_embeddings]
        category.weight.copy_(levels + embedding.bias[len(plain.numbers) + j])
    plain.reg.copy_(ours.reg)
    copy_blocks(ours.transformer, plain.transformer)


@torch.no_grad()
def copy_predictor(ours: nn.Module, plain: nn.Module) -> None:
    """Our weights into the plain predictor, and our positions, which are computed in float32 in another order."""
    for name in ("inwards", "outwards"):
        getattr(plain, name).load_state_dict(getattr(ours, name).state_dict())
    plain.mask_token.copy_(ours.mask_token)
    numbers = torch.arange(len(plain.positions), dtype=torch.float32)[:, None]
    torch.testing.assert_close(plain.positions.float(), sincos(numbers, plain.positions.shape[1]))
    plain.positions.copy_(sincos(numbers, plain.positions.shape[1]))
    copy_blocks(ours.transformer, plain.transformer)
    plain.transformer.norm.load_state_dict(ours.transformer.last.state_dict())


def copy_blocks(ours: Transformer, plain: nn.TransformerEncoder) -> None:
    """Attention, feed-forward nets and norms of each layer."""
    for block, layer in zip(ours.blocks, plain.layers, strict=True):
        layer.self_attn.in_proj_weight.copy_(block.attention.qkv.weight)
        layer.self_attn.in_proj_bias.copy_(block.attention.qkv.bias)
        layer.self_attn.out_proj.load_state_dict(block.attention.out.state_dict())
        layer.linear1.load_state_dict(block.feed[0].state_dict())
        layer.linear2.load_state_dict(block.feed[3].state_dict())
        layer.norm1.load_state_dict(block.norm1.state_dict())
        layer.norm2.load_state_dict(block.norm2.state_dict())


if __name__ == "__main__":
    main()
