"""Steps of all recipes make nothing on a device of its own; on CUDA, layers and GraphMAE give what they give on the CPU."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close

from manyviews.engine.learner import Step
from manyviews.engine.model import Model
from manyviews.engine.parts import build_encoder, build_source, build_terms
from manyviews.layout import Layout
from manyviews.mask import Mask
from manyviews.recipe.load import load_recipe
from manyviews.view import View
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.features import dense_rows
from manyviews_graphs.nets.conv import Conv
from manyviews_graphs.nets.gat import GATConv
from manyviews_graphs.nets.gcn import GCNConv
from manyviews_graphs.nets.gin import GINConv, GINEConv
from manyviews_graphs.nets.hop import Hop
from manyviews_graphs.nets.rows import Rows
from manyviews_graphs.testing import OF_ONE_GRAPH, TRIAL

CUDA = torch.device("cuda", 0)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
OF_MANY = ("graphmae_graphs", "graphmae_mutag", "graphcl", "graphmae_sampled", "graphmae_transformer", "graphgpt_masked")
RECIPES = pytest.mark.parametrize("name", [f"graphs/{recipe}" for recipe in (*OF_ONE_GRAPH, *OF_MANY)])
MAKERS = {
    *(torch.arange, torch.empty, torch.eye, torch.full, torch.linspace, torch.ones, torch.tensor, torch.zeros),
    *(torch.rand, torch.randint, torch.randn, torch.randperm),
}
CONVS: dict[str, tuple[Conv, int]] = {
    "gat": (GATConv(5, 6, 3, concat=True, slope=0.2, dropout=0.0), 6),
    "gat mean": (GATConv(5, 9, 2, concat=False, slope=0.2, dropout=0.0), 9),
    "gcn": (GCNConv(5, 3), 3),
    "gin": (GINConv(5, 4, 4, activation="prelu", norm="batch"), 4),
    "gine": (GINEConv(5, 4, 4, 3, activation="relu", norm="none"), 4),
}


def model_and_batch(name: str, folder: Path, **overrides: Any) -> tuple[Model, GraphBatch]:
    """A recipe's model and a batch that it would train on, both small."""
    data = TRIAL.data[TRIAL.kinds(name)[0] if name in TRIAL.on else "graphs"](folder)
    given = {f"{section}.{key}": value for section in ("data", "train") for key, value in data.get(section, {}).items()}
    given |= {"track": None, "train.device": "cpu"}
    recipe = load_recipe(name, given)
    for part in ("encoder",) if recipe.terms else ("encoder", "objective"):
        known = getattr(recipe, part).name
        parameters = TRIAL.parts.get(known, TRIAL.parts.get(f"graphs/{known}", {}))
        given |= {f"{part}.{key}": value for key, value in parameters.items()}
    recipe = load_recipe(name, given | overrides)
    source = build_source(recipe)
    torch.manual_seed(0)
    model = Model(build_encoder(recipe, source.spec), build_terms(recipe, source.spec), recipe.unit)
    samples = torch.arange(min(len(source), 8)).numpy()
    batch = source.batch(samples)
    assert isinstance(batch, GraphBatch)
    return model, batch


class DevicesNamed(TorchFunctionMode):
    """Refuses to make a tensor whose device we do not name: it would be on the CPU beside a batch that is not."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        # torch makes some for itself, and the core draws on the host what shapes depend on
        ours = sys._getframe(1).f_globals["__name__"].startswith("manyviews_graphs")
        assert not (ours and func in MAKERS and kwargs.get("device") is None), f"{func.__name__} without a device"
        return func(*args, **kwargs)


@RECIPES
def test_a_step_makes_nothing_on_a_device_of_its_own(name: str, tmp_path: Path) -> None:
    model, batch = model_and_batch(name, tmp_path)
    generator = torch.Generator().manual_seed(0)
    with DevicesNamed():
        loss = model(Step(batch, generator, lambda _: None))
        loss.backward()
    assert loss.isfinite()


@needs_cuda
@RECIPES
def test_a_step_on_cuda(name: str, tmp_path: Path) -> None:
    model, batch = model_and_batch(name, tmp_path)
    generator = torch.Generator(CUDA).manual_seed(0)
    loss = model.to(CUDA)(Step(batch.to(CUDA), generator, lambda _: None))
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert loss.isfinite()
    assert all(grad.device == CUDA and bool(grad.isfinite().all()) for grad in gradients)


@needs_cuda
@pytest.mark.parametrize("some", [False, True], ids=["all nodes", "some nodes"])
@pytest.mark.parametrize("name", CONVS)
def test_a_layer_on_cuda_equals_the_cpu(two_graphs: GraphBatch, name: str, some: bool) -> None:
    """Values and gradients, dense features and (but for GINE, which reads none) sparse ones."""
    conv = CONVS[name][0]
    wanted = torch.tensor([0, 2, 3, 6]) if some and not any(isinstance(m, nn.BatchNorm1d) for m in conv.modules()) else None
    for sparse in (False, True) if name != "gine" else (False,):
        here, there = (_gradients(conv, two_graphs, wanted, device, sparse) for device in (torch.device("cpu"), CUDA))
        for one, two in zip(here, there, strict=True):
            assert_close(two.cpu(), one)


def _gradients(conv: Conv, batch: GraphBatch, wanted: Tensor | None, device: torch.device, sparse: bool) -> list[Tensor]:
    """What a layer gives in float64, and the gradients of all that it learned it from."""
    conv, batch = copy.deepcopy(conv).double().to(device), batch.to(device)
    hop = Hop.over(batch.edges, wanted if wanted is None else wanted.to(device), batch.edge_x)
    x = batch.x.double().requires_grad_(not sparse)
    token = torch.zeros(x.shape[1], dtype=x.dtype, device=device)
    none = torch.empty(0, dtype=torch.long, device=device)
    y = conv(Rows(x.to_sparse_csr(), token, none) if sparse else x, hop)
    learned = [*conv.parameters(), *([] if sparse else [x])]
    scale = torch.linspace(-1, 2, y.numel(), dtype=y.dtype, device=device).cos().reshape(y.shape)
    return [y.detach(), *torch.autograd.grad((y * scale).sum(), learned)]


@needs_cuda
@pytest.mark.parametrize("name", ["graphs/graphmae", "graphs/graphmae_graphs", "graphs/graphmae_sampled"])
def test_graphmae_on_cuda_equals_the_cpu(name: str, tmp_path: Path) -> None:
    """The loss and every gradient of a step in float64, without dropout, from the same masks."""
    still = {"encoder.dropout": 0.0} | ({} if name == "graphs/graphmae_graphs" else {"encoder.attention_dropout": 0.0})
    model, batch = model_and_batch(name, tmp_path, **still)
    model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    term = model.each_term[0]
    (view,) = term.views(batch, model.encoder.layout(batch), torch.Generator().manual_seed(0))
    here, there = _step(model, view, torch.device("cpu")), _step(model, view, CUDA)
    for one, two in zip(here, there, strict=True):
        assert_close(two.cpu(), one)


def _step(model: Model, view: View, device: torch.device) -> list[Tensor]:
    """The loss and the gradients on that device."""
    model = copy.deepcopy(model).to(device)
    assert view.hidden is not None
    batch = view.batch.to(device)
    hidden = Mask(view.hidden.where.to(device), view.hidden.each)
    moved = replace(view, batch=batch, layout=Layout(batch.lengths), hidden=hidden)
    branch = model._students[0]
    loss = model.each_term[0].objective((moved,), branch, None, torch.Generator(device)).value
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


@needs_cuda
def test_rows_of_sparse_features_on_cuda(sparse_ring: GraphBatch) -> None:
    index = torch.tensor([3, 0, 3])
    assert_close(dense_rows(sparse_ring.x.to(CUDA), index.to(CUDA)).cpu(), dense_rows(sparse_ring.x, index))
