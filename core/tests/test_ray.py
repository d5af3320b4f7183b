"""On Ray the bytes are those of one process, and a sweep's trials are all run."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from manyviews.cli.main import run
from manyviews.engine.run import Run
from manyviews.errors import UserError
from manyviews.evaluate.embed import Form
from manyviews.export.export import embeddings, export, writer_for
from manyviews.ray_cluster import connect, embeddings_on_ray
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


def test_a_cluster_that_does_not_start_is_said_in_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(**options: Any) -> None:
        raise Exception("The current node timed out\nfor a reason")

    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(UserError, match=r"cannot be reached \(The current node timed out\)\n.*ray start --head"):
        connect()


def test_a_sweep_has_the_values_of_a_local_one(cluster: None, tmp_path: Path) -> None:
    recipe = tmp_path / "toy.yaml"
    train = TOY["train"] | {"steps": 4, "log_every": 1, "device": "cpu"}  # type: ignore[operator]
    recipe.write_text(to_yaml(load_recipe({**TOY, "train": train, "evaluate": [{"task": "knn"}]})))
    found = {}
    for engine in ("local", "ray"):
        folder = tmp_path / engine
        words = [str(recipe), "train.seed=0,1", "optim.lr=0.01,0.001", "--folder", str(folder), "--workers", "2"]
        assert run(["sweep", *words, "--engine", engine]) == 0
        (sweep,) = folder.iterdir()
        found[engine] = readings(sweep)
    assert len(found["ray"]) == 4
    assert found["ray"] == found["local"]


def readings(sweep: Path) -> dict[tuple[int, float], dict[str, list[float]]]:
    """Losses and scores of each trial, by its seed and rate; nothing of how long they took."""
    read = {}
    for folder in sorted(path.parent for path in sweep.glob("*/run.json")):
        assert json.loads((folder / "run.json").read_text())["status"] == "FINISHED"
        recipe, values = load_recipe(str(folder / "recipe.yaml")), defaultdict[str, list[float]](list)
        for entry in Run.at(folder).metrics():
            for name, value in entry.metrics.items():
                if name == "train/loss" or name.startswith("eval/"):
                    values[name].append(value)
        assert len(values["train/loss"]) == 4
        assert any(name.startswith("eval/") for name in values)
        read[recipe.train.seed, recipe.optim.lr] = dict(values)
    return read
