"""On Ray the bytes are those of one process, and a sweep's trials are all run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manyviews.cli.main import run
from manyviews.errors import UserError
from manyviews.evaluate.embed import Form
from manyviews.export.export import embeddings, export, writer_for
from manyviews.ray_cluster import embeddings_on_ray
from manyviews.recipe.load import load_recipe, to_yaml
from manyviews.testing.fixtures import TOY
from manyviews.testing.toy import ToyEncoder, ToySource

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def cluster(toy_domain: None) -> Iterator[None]:
    """Of two CPUs, whose workers know the toy domain."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, object_store_memory=10**8)
    yield
    ray.shutdown()


@pytest.mark.parametrize("form", ["pooled", "tokens"])
def test_embedding_gives_the_same_bytes(cluster: None, tmp_path: Path, form: Form) -> None:
    source = ToySource(samples=203, length=(2, 9))
    encoder = ToyEncoder(source.spec)
    for name, made in {"local": embeddings, "ray": embeddings_on_ray}.items():
        output = tmp_path / f"{name}.npy"
        compute = made(encoder, source, form, 4)
        export(compute, source, writer_for(output, "toy", "embedding"), output, what="embedding", of={"form": form}, width=16)
    assert (tmp_path / "local.npy").read_bytes() == (tmp_path / "ray.npy").read_bytes()


def test_what_is_wrong_with_the_data_is_said_as_by_one_process(cluster: None) -> None:
    source = ToySource(samples=40)
    encoder = ToyEncoder(source.spec)
    for parameter in encoder.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(UserError, match="holds NaN or infinity"):
        list(embeddings_on_ray(encoder, source, "pooled", 8)(np.arange(40)))


def test_a_sweep_runs_all_trials(cluster: None, tmp_path: Path, capsys: Any) -> None:
    recipe = tmp_path / "toy.yaml"
    train = TOY["train"] | {"steps": 2, "device": "cpu"}  # type: ignore[operator]
    recipe.write_text(to_yaml(load_recipe({**TOY, "train": train})))
    words = [str(recipe), "train.seed=0,1", "optim.lr=0.01,0.001", "--folder", str(tmp_path / "sweeps"), "--workers", "2"]
    assert run(["sweep", *words, "--engine", "ray"]) == 0
    (sweep,) = (tmp_path / "sweeps").iterdir()
    runs = [json.loads(path.read_text()) for path in sweep.glob("*/run.json")]
    assert [run["status"] for run in runs] == ["FINISHED"] * 4
