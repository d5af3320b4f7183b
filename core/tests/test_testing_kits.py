"""The conformance kit catches what it is there to catch: each of these parts is wrong in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.source import Source
from manyviews.testing.bench import Bench
from manyviews.testing.compare import difference, tensors
from manyviews.testing.encoder_kit import EncoderKit
from manyviews.testing.source_kit import SourceKit
from manyviews.testing.subject import Case, Subject
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToyNoise, ToySource
from manyviews.testing.views_kit import ViewsKit
from manyviews.view import View

PLUGIN = "manyviews.testing.toy_plugin"
SUBJECT = Subject.of(PLUGIN)
CASE, SHOWN = SUBJECT.cases("encoder")[0], SUBJECT.shown()[-1]
RAGGED = next(case for case in SUBJECT.cases("encoder") if case.data == "ragged")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(SUBJECT, tmp_path)


class Leaky(ToyEncoder):
    """Shows what is hidden."""

    def forward(self, view: View) -> Encoding:
        encoding = super().forward(view)
        means = view.layout.lengths.mean(view.batch.steps.to(encoding.pooled.dtype))
        return replace(encoding, pooled=encoding.pooled + means.sum(1, keepdim=True))


class Neighbourly(ToyEncoder):
    """Depends on the other samples of the batch."""

    def forward(self, view: View) -> Encoding:
        encoding = super().forward(view)
        return replace(encoding, pooled=encoding.pooled - encoding.pooled.mean(0))


class Rash(ToyEncoder):
    """Changes the batch in place."""

    def forward(self, view: View) -> Encoding:
        view.batch.steps.mul_(2)
        return super().forward(view)


class Restless(ToyEncoder):
    """Draws random numbers in eval mode."""

    def forward(self, view: View) -> Encoding:
        encoding = super().forward(view)
        return replace(encoding, pooled=encoding.pooled + torch.randn(1, dtype=encoding.pooled.dtype))


class Stiff(ToyEncoder):
    """Leaves float64."""

    def forward(self, view: View) -> Encoding:
        encoding = super().forward(view)
        return replace(encoding, pooled=encoding.pooled.float())


class Forgetful(ToyEncoder):
    """Keeps a weight out of its state."""

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self.secret = [torch.randn(1)]

    def forward(self, view: View) -> Encoding:
        encoding = super().forward(view)
        return replace(encoding, pooled=encoding.pooled * self.secret[0])


class Deaf(ToyEncoder):
    """Keeps gradients from its first layer."""

    def forward(self, view: View) -> Encoding:
        encoding = super().forward(view)
        return replace(encoding, tokens=encoding.tokens.detach(), pooled=encoding.pooled.detach() + self.mask_token.sum())


class Miscounting(ToyEncoder):
    """Says that all samples are equally long."""

    def layout(self, batch: ToyBatch) -> Layout:
        layout = super().layout(batch)
        return replace(layout, lengths=replace(layout.lengths, longest=layout.lengths.longest + 1))


class Confused(ToyEncoder):
    """Gives the targets of other tokens than those asked for."""

    def targets(self, batch: ToyBatch, tokens: Tensor) -> Tensor:
        return super().targets(batch, tokens.sort().values)


@pytest.mark.parametrize(
    ("encoder", "test", "case", "message"),
    [
        (Leaky, EncoderKit.test_what_is_hidden_does_not_reach_it, CASE, "what hidden tokens hold reaches the encoding"),
        (Neighbourly, EncoderKit.test_a_sample_is_the_same_alone_and_in_a_batch, CASE, "depends on its neighbours"),
        (Rash, EncoderKit.test_it_leaves_the_batch_as_it_was, CASE, r"in place: batch\.steps differs"),
        (Restless, EncoderKit.test_evaluation_repeats_and_draws_nothing, CASE, "gives the same twice"),
        (Stiff, EncoderKit.test_float64, CASE, "of its parameters' type"),
        (Deaf, EncoderKit.test_gradients_reach_it, CASE, "no gradient reaches inwards.weight"),
        (Miscounting, EncoderKit.test_its_layout_counts_every_token, RAGGED, "the longest sample has 8 tokens"),
        (Confused, EncoderKit.test_token_targets, CASE, "not the tokens asked for"),
    ],
)
def test_a_wrong_encoder_is_found(
    encoder: type[ToyEncoder],
    test: Callable[[EncoderKit, Case, Bench], None],
    case: Case,
    message: str,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    test(EncoderKit(), case, bench)
    monkeypatch.setattr(bench, "encoder", lambda case, seed=0: encoder(bench.source(case.data).spec))
    with pytest.raises(AssertionError, match=message):
        test(EncoderKit(), case, bench)


def test_a_weight_that_is_not_saved_is_found(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "encoder", lambda case, seed=0: Forgetful(bench.source(case.data).spec))
    with pytest.raises(AssertionError, match="is not in its state_dict"):
        EncoderKit().test_weights_are_saved_and_loaded(CASE, bench, tmp_path)


class Global(ToyNoise):
    """Draws from torch's global generator."""

    def _noisy(self, steps: Tensor, generator: torch.Generator) -> Tensor:
        return steps + torch.randn_like(steps)


class Careless(ToyNoise):
    """Adds its noise to the batch itself."""

    def _noisy(self, steps: Tensor, generator: torch.Generator) -> Tensor:
        return steps.add_(torch.randn(steps.shape, generator=generator))


class Boastful(ToyNoise):
    """Gives one view and says two."""

    def forward(self, batch: ToyBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        return super().forward(batch, layout, generator)[:1]


@pytest.mark.parametrize(
    ("views", "test", "message"),
    [
        (Global, ViewsKit.test_they_draw_from_their_generator_alone, "global generator was used"),
        (Global, ViewsKit.test_they_repeat_under_a_seed_and_differ_between_seeds, "the same seed gave other views"),
        (Careless, ViewsKit.test_they_leave_the_batch_as_it_was, "the batch was changed in place"),
        (Boastful, ViewsKit.test_they_give_what_they_say, "1 views; SEVERAL_VIEWS says two or more"),
    ],
)
def test_wrong_views_are_found(
    views: type[ToyNoise], test: Callable[..., None], message: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    test(ViewsKit(), SHOWN, bench)
    monkeypatch.setattr(bench, "views", lambda case: views())
    with pytest.raises(AssertionError, match=message):
        test(ViewsKit(), SHOWN, bench)


class Unpicklable(ToySource):
    """Cannot be sent to a worker whole."""

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"series": [np.zeros_like(one) for one in self.series]}


class Torn(ToySource):
    """Parts a group."""

    def groups(self) -> np.ndarray:
        return np.arange(len(self)) // 8


class Moody(ToySource):
    """Another data set at each reading."""

    def batch(self, index: np.ndarray) -> ToyBatch:
        batch = super().batch(index)
        return replace(batch, steps=batch.steps + torch.rand(()))


@pytest.mark.parametrize(
    ("source", "test", "message"),
    [
        (Unpicklable, SourceKit.test_it_travels_to_workers, "a pickled source reads other batches"),
        (Torn, SourceKit.test_groups_are_never_torn_apart, "a group stands in several splits"),
        (Moody, SourceKit.test_a_batch_holds_the_samples_asked_for, "were read twice and differ"),
    ],
)
def test_a_wrong_source_is_found(source: type[Source], test: Callable[..., None], message: str, bench: Bench) -> None:
    bench._sources["equal"] = source()
    with pytest.raises(AssertionError, match=message):
        test(SourceKit(), "equal", bench)


def test_difference_names_the_first_place() -> None:
    one = View(ToyBatch(torch.zeros(3, 2), Lengths.of([1, 2])), Layout(Lengths.of([1, 2])))
    assert difference(one, replace(one)) is None
    other = replace(one, batch=replace(one.batch, steps=torch.full((3, 2), torch.nan)))
    assert difference(one, other, "view") == "view.batch.steps differs"
    assert difference(other, replace(other)) is None, "NaN equals NaN"
    assert difference(one, replace(one, role="local"), "view") == "view.role differs"
    assert difference([1, 2], [1], "list") == "list has other parts"
    assert difference(1, 1.0) == "it is a int, then a float"
    assert len(list(tensors(one))) == 3
    assert len(list(tensors([nn.Identity(), {"x": torch.zeros(1)}]))) == 1
