"""What the core relies on in a source."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
import torch

from manyviews.batch import Batch
from manyviews.engine.loader import Order, Samples, read
from manyviews.errors import DataError
from manyviews.evaluate.units import Units
from manyviews.source import FILE, NAME, Source, Split
from manyviews.testing.bench import Bench
from manyviews.testing.compare import difference
from manyviews.testing.kit import Kit


class SourceKit(Kit):
    """The sources of a plugin's trial data."""

    kind = "source"
    looks_at = "batch"
    looks_elsewhere: ClassVar[Mapping[str, str]] = {
        "test_it_says_what_it_is": "__init__",
        "test_every_sample_has_a_split_and_some_train": "splits",
        "test_groups_are_never_torn_apart": "groups",
        "test_events_lie_in_their_samples": "events",
        "test_labels_are_of_samples_or_of_tokens": "labels",
        "test_two_sources_of_one_recipe_are_equal": "__init__",
        "test_its_fingerprint_and_spec_go_into_json": "fingerprint",
        "test_data_are_read_by_a_spec": "__init__",
        "test_an_example_is_read_as_the_data_are": "example",
        "test_features_are_plain_vectors": "features",
        "test_a_path_that_is_not_there_is_said_in_words": "__init__",
    }

    @classmethod
    def cases(cls) -> Sequence[Any]:
        """Every kind of data; each names its source."""
        return list(cls.subject().trial.data)

    def test_it_says_what_it_is(self, case: str, bench: Bench) -> None:
        source = bench.source(case)
        assert isinstance(source, Source), "a source inherits from manyviews.source.Source"
        assert len(source) > 0, "the trial data have samples"
        assert not source.skipped, f"the trial data are sound, but these were skipped: {source.skipped}"
        assert source.blocks is None or sum(source.blocks) == len(source), "`blocks` add up to the samples"

    def test_every_sample_has_a_split_and_some_train(self, case: str, bench: Bench) -> None:
        source = bench.source(case)
        splits = source.splits()
        assert splits.shape == (len(source),), "`splits` has one for each sample"
        assert set(splits) <= set(get_args(Split)), f"splits are train, valid and test, not {set(splits)}"
        assert "train" in splits, "pretraining reads the samples of split `train`, and there are none"
        for split in get_args(Split):
            subset = source.subset(split)
            assert np.array_equal(subset.numbers(), np.flatnonzero(splits == split)), (
                f"`subset({split!r})` is not what `splits` says"
            )

    def test_groups_are_never_torn_apart(self, case: str, bench: Bench) -> None:
        source = bench.source(case)
        groups = source.groups()
        if groups is None:
            pytest.skip("its samples have no groups")
        assert groups.shape == (len(source),), "`groups` has one for each sample"
        splits = source.splits()
        torn = [group for group in np.unique(groups) if len(set(splits[groups == group])) > 1]
        assert not torn, f"a group stands in several splits: {torn[0]}"

    def test_labels_are_of_samples_or_of_tokens(self, case: str, bench: Bench) -> None:
        source = bench.source(case)
        labels = source.labels()
        if labels is None:
            pytest.skip("it has no labels")
        if labels.kind == "classification":
            assert labels.values.dtype.kind == "i", "classes are whole numbers"
            top = int(labels.values.max(initial=-1))
            assert -1 <= int(labels.values.min(initial=0)) <= top < max(len(labels.classes), 1), "a class is not named"
        else:
            assert labels.values.dtype == np.float64, "numbers to regress on are float64"
            assert not np.isinf(labels.values).any(), "a label is infinite"
        if len(labels.values) == len(source):
            Units.of(source)
        else:
            assert labels.splits is None or len(labels.splits) == len(labels.values), "`splits` has one for each label"

    def test_events_lie_in_their_samples(self, case: str, bench: Bench) -> None:
        source = bench.source(case)
        events = source.events()
        if events is None:
            pytest.skip("nothing is known of what happens when in its samples")
        found = events.found
        assert np.array_equal(events.seconds, source.seconds()), "`seconds` says how long samples are, and so do the events"
        assert events.known.shape == (len(source),), "`known` has one for each sample"
        assert events.known[found.samples].all(), "an event lies in a sample that was not listened to"
        assert (found.onsets >= 0).all(), "an event begins before its sample"
        assert (found.offsets > found.onsets).all(), "an event ends before it begins"
        assert (found.offsets <= events.seconds[found.samples] + 1e-6).all(), "an event ends behind its sample"
        assert set(found.classes) <= set(range(len(events.classes))), "an event's class is not named"

    def test_a_batch_holds_the_samples_asked_for(self, case: str, bench: Bench) -> None:
        source, index = bench.source(case), bench.index(case)
        batch = source.batch(index)
        assert isinstance(batch, Batch), "a batch has __len__ and to(device)"
        assert len(batch) == len(index), f"{len(index)} samples were asked for, and the batch has {len(batch)}"
        found = difference(batch, source.batch(index.copy()), "batch")
        assert found is None, f"the same samples were read twice and differ: {found}"
        found = difference(batch, batch.to(torch.device("cpu")), "batch")
        assert found is None, f"`to` the device that it is on changes the batch: {found}"

    def test_two_sources_of_one_recipe_are_equal(self, case: str, bench: Bench) -> None:
        one, two, index = bench.source(case), bench.make_source(case), bench.index(case)
        assert difference(one.batch(index), two.batch(index), "batch") is None, "reading the data anew gives other batches"
        assert list(one.splits()) == list(two.splits()), "splits are drawn from a seed of the recipe"
        assert one.spec == two.spec, "what is fitted is fitted alike"
        assert one.fingerprint() == two.fingerprint(), "the same data have one fingerprint"

    def test_its_fingerprint_and_spec_go_into_json(self, case: str, bench: Bench) -> None:
        source = bench.source(case)
        assert json.loads(json.dumps(dict(source.fingerprint()))), "a fingerprint says something, in JSON's own types"
        again = type(source.spec).model_validate_json(source.spec.model_dump_json())
        assert again == source.spec, "a spec is stored with each checkpoint and must come back equal"

    def test_data_are_read_by_a_spec(self, case: str, bench: Bench) -> None:
        """At embed time nothing is fitted: the trained encoder's spec says how to read."""
        source, data = bench.source(case), bench.settings(case)["data"]
        if "path" not in data:
            pytest.skip("its data have no path")
        index = bench.index(case)
        again = type(source).reading(data["path"], source.spec)
        assert again.spec == source.spec, "data read by a spec have another one: nothing is fitted then"
        found = difference(source.batch(index), again.batch(index), "batch")
        assert found is None, f"read by the spec that was fitted on them, the data are not the same: {found}"

    def test_an_example_is_read_as_the_data_are(self, case: str, bench: Bench, tmp_path: Path) -> None:
        source = bench.source(case)
        example = source.example()
        if example is None:
            pytest.skip("it gives no example")
        if source.served is not None:
            path = tmp_path / (example[NAME][0] if NAME in example else f"sample{source.served}")
            path.write_bytes(example[FILE][0])
            example = path
        assert len(type(source).reading(example, source.spec)) > 0, "`example` is what a user of the served encoder sends"

    def test_features_are_plain_vectors(self, case: str, bench: Bench) -> None:
        source, index = bench.source(case), bench.index(case)
        try:
            found = source.features(index)
        except ValueError:
            pytest.skip("it has no plain features")
        assert found.ndim == 2, "`features` gives one vector a sample"
        assert np.isfinite(found).all(), "raw features hold NaN or infinity"

    def test_it_travels_to_workers(self, case: str, bench: Bench) -> None:
        source, index = bench.source(case), bench.index(case)
        found = difference(source.batch(index), pickle.loads(pickle.dumps(source)).batch(index), "batch")
        assert found is None, f"a pickled source reads other batches: {found}"

    def test_a_worker_reads_what_the_process_itself_reads(self, case: str, bench: Bench) -> None:
        source = bench.source(case)
        order = Order(np.arange(len(source)), min(len(source), 4), seed=0)
        here, there = (list(read(Samples(source), order, 0, 2, workers)) for workers in (0, 1))
        assert difference(here, there, "batches") is None, "a worker process reads other batches"

    def test_a_path_that_is_not_there_is_said_in_words(self, case: str, bench: Bench) -> None:
        data = bench.settings(case)["data"]
        if "path" not in data:
            pytest.skip("its data have no path")
        with pytest.raises(DataError) as caught:
            bench.make_source(case, path=str(bench.folder / "not_there.xyz"))
        said = str(caught.value)
        assert "not_there.xyz" in said, f"the message does not name the path: {said}"
        assert len(said.splitlines()) <= 3, f"more than three lines: {said}"
