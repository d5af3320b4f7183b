"""What the core relies on in a view generator."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import torch

from manyviews.encoder import Encoder
from manyviews.layout import Layout
from manyviews.mask import Mask
from manyviews.testing.bench import SAMPLES, Bench
from manyviews.testing.checks import check_encoding, check_layout
from manyviews.testing.compare import copied, difference, tensors
from manyviews.testing.kit import Kit
from manyviews.testing.subject import Shown
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator

SEEDS = range(5)


class ViewsKit(Kit):
    """Every view generator of a plugin, and the core's own on its encoders."""

    kind = "views"

    @classmethod
    def cases(cls) -> Sequence[Any]:
        """Views with the first encoder that they suit, on each kind of data."""
        return cls.subject().shown()

    def test_they_give_what_they_say(self, case: Shown, bench: Bench) -> None:
        generator, views = made(case, bench)
        gives = generator.gives
        assert (len(views) > 1) == (Trait.SEVERAL_VIEWS in gives), f"{len(views)} views; SEVERAL_VIEWS says two or more"
        hides = any(view.hidden is not None for view in views)
        assert hides == (Trait.HIDDEN_TOKENS in gives), "HIDDEN_TOKENS says whether a view has `hidden`"
        asks = any(view.asked is not None for view in views)
        assert hides or Trait.ASKED_TOKENS in gives or not asks, "ASKED_TOKENS says whether a view has `asked`"
        answers = [view.target for view in views if view.target is not None]
        assert bool(answers) == (Trait.PRETEXT_TARGET in gives), "PRETEXT_TARGET says whether a view has a `target`"
        if answers:
            assert generator.target is not None, "`target` names the class of the pretext target, by which it is matched"
            right = all(isinstance(answer, generator.target) for answer in answers)
            assert right, f"a view's `target` is no {generator.target.__name__}"
        if Trait.ALIGNED_TOKENS in gives:
            counts = {tuple(view.layout.lengths.tensor.tolist()) for view in views}
            assert len(counts) == 1, "ALIGNED_TOKENS says that all views have the same tokens"

    def test_layouts_and_masks_are_those_of_the_tokens(self, case: Shown, bench: Bench) -> None:
        encoder = bench.encoder(case.encoder)
        for view in made(case, bench)[1]:
            check_layout(view.layout, len(view.batch))
            own = encoder.layout(view.batch).lengths.tensor
            assert torch.equal(own, view.layout.lengths.tensor), "a view's layout is not its batch's"
            check_mask(view.hidden, view.layout)
            check_mask(view.asked, view.layout)
            assert view.hidden is None or view.hidden.sets == 1, "`hidden` is one set"

    def test_an_encoder_reads_them(self, case: Shown, bench: Bench, device: str) -> None:
        encoder = bench.encoder(case.encoder).to(device)
        for view in made(case, bench, device=device)[1]:
            check_encoding(encoder(view), view, encoder)

    def test_they_repeat_under_a_seed_and_differ_between_seeds(self, case: Shown, bench: Bench) -> None:
        views = [made(case, bench, seed=seed)[1] for seed in SEEDS]
        found = difference(views[0], made(case, bench, seed=SEEDS[0])[1], "views")
        assert found is None, f"the same seed gave other views: {found}; draw from `generator` alone"
        if draws(case, bench):
            assert any(difference(views[0], other) for other in views[1:]), "no seed gives other views"

    def test_they_draw_from_their_generator_alone(self, case: Shown, bench: Bench) -> None:
        before = torch.get_rng_state()
        made(case, bench)
        assert torch.equal(before, torch.get_rng_state()), "torch's global generator was used; draw from `generator`"

    def test_they_leave_the_batch_as_it_was(self, case: Shown, bench: Bench) -> None:
        encoder, batch = bench.encoder(case.encoder), bench.batch(case.encoder.data)
        before = copied(batch)
        with torch.no_grad():
            bound(bench, case, encoder)(batch, encoder.layout(batch), torch.Generator().manual_seed(0))
        found = difference(before, batch, "batch")
        assert found is None, f"the batch was changed in place: {found}; other views still need it"

    def test_a_single_sample(self, case: Shown, bench: Bench) -> None:
        encoder = bench.encoder(case.encoder).eval()
        for view in made(case, bench, samples=1)[1]:
            check_encoding(encoder(view), view, encoder)

    def test_they_stay_on_the_device(self, case: Shown, bench: Bench, device: str) -> None:
        for view in made(case, bench, device=device)[1]:
            places = {tensor.device.type for tensor in tensors(view)}
            assert places == {device}, f"a view of a batch on {device} has tensors on {places}"

    def test_they_travel(self, case: Shown, bench: Bench) -> None:
        encoder, batch = bench.encoder(case.encoder), bench.batch(case.encoder.data)
        generator = bound(bench, case, encoder)
        pickle.dumps(generator)
        layout = encoder.layout(batch)
        one, two = (each(batch, layout, torch.Generator().manual_seed(0)) for each in (generator, copy.deepcopy(generator)))
        assert difference(one, two) is None, "a copied generator gives other views under the same seed"


def made(
    case: Shown, bench: Bench, *, seed: int = 0, samples: int = SAMPLES, device: str = "cpu"
) -> tuple[ViewGenerator, tuple[View, ...]]:
    """A generator and its views of a batch."""
    generator = bench.views(case.views)
    batch = bench.batch(case.encoder.data, samples).to(torch.device(device))
    encoder = bench.encoder(case.encoder).to(device)
    layout = encoder.layout(batch)
    generator.bind(encoder.layout)
    with torch.no_grad():
        return generator, generator(batch, layout, torch.Generator(device).manual_seed(seed))


def bound(bench: Bench, case: Shown, encoder: Encoder) -> ViewGenerator:
    """The generator as the core uses it, bound to an encoder."""
    generator = bench.views(case.views)
    generator.bind(encoder.layout)
    return generator


def draws(case: Shown, bench: Bench) -> bool:
    """Whether a generator draws at all."""
    encoder, batch, generator = bench.encoder(case.encoder), bench.batch(case.encoder.data), torch.Generator().manual_seed(0)
    before = generator.get_state()
    with torch.no_grad():
        bound(bench, case, encoder)(batch, encoder.layout(batch), generator)
    return not torch.equal(before, generator.get_state())


def check_mask(mask: Mask | None, layout: Layout) -> None:
    """Of this layout's tokens, and its number is right."""
    if mask is None:
        return
    assert mask.where.dtype == torch.bool, f"a mask is of booleans, not {mask.where.dtype}"
    assert mask.where.shape[1] == layout.lengths.total, "a mask has a column for each token of its view's layout"
    if mask.each is not None:
        counts = torch.stack([layout.lengths.pad(one[:, None].float()).sum(1) for one in mask.where])
        assert bool((counts == mask.each).all()), f"`each` is {mask.each}, but samples have other numbers of chosen tokens"
