"""What the core relies on in a renderer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import cast

import pytest

from manyviews.encoder import Encoder
from manyviews.look.style import drawing, figure
from manyviews.look.views import draw_one
from manyviews.plugins.schema import build
from manyviews.renderer import Renderer, Shown
from manyviews.testing.bench import Bench, half_hidden, shown
from manyviews.testing.compare import copied, difference
from manyviews.testing.kit import Kit
from manyviews.testing.subject import Case, Subject
from manyviews.testing.views_kit import made
from manyviews.traits import Trait
from manyviews.view import View


class RendererKit(Kit):
    """Every renderer of a plugin, on each kind of data."""

    kind = "renderer"
    looks_at = "draw"

    @pytest.fixture(autouse=True)
    def matplotlib(self) -> None:
        """Skips where there is no matplotlib."""
        pytest.importorskip("matplotlib")

    def test_it_draws_samples_and_tokens(self, case: Case, bench: Bench) -> None:
        for view in self.whole_views(case, bench):
            blank, one, token = svg(None, None), *(svg(renderer(case, bench), Shown(view, 0, place)) for place in (None, 0))
            assert one != blank, "a sample is drawn as nothing"
            assert token != blank, "a token is drawn as nothing"

    def test_it_marks_what_is_hidden(self, case: Case, bench: Bench) -> None:
        batch = bench.batch(case.data)
        for encoder in encoders(self.subject(), bench, case.data):
            if Trait.HIDES_TOKENS not in encoder.offers:
                continue
            data = shown(encoder, batch)
            open_, covered = (
                svg(renderer(case, bench), Shown(view, 0, None, data)) for view in (data, half_hidden(encoder, batch))
            )
            assert open_ != covered, "a view with half of its tokens hidden looks as one with none"

    def test_it_draws_every_view(self, case: Case, bench: Bench) -> None:
        for shown_by in self.subject().shown():
            if shown_by.encoder.data == case.data:
                batch, encoder = bench.batch(case.data), bench.encoder(shown_by.encoder)
                data = View(batch, encoder.layout(batch))
                for view in made(shown_by, bench)[1]:
                    svg(renderer(case, bench), Shown(view, len(batch) - 1, None, data))

    def test_it_leaves_the_view_as_it_was_and_repeats(self, case: Case, bench: Bench) -> None:
        for view in self.whole_views(case, bench):
            before = copied(view)
            pictures = [svg(renderer(case, bench), Shown(view, 0)) for _ in range(2)]
            assert difference(before, view) is None, "the view was changed in place"
            assert pictures[0] == pictures[1], "one unit gives two pictures"

    def test_its_captions_are_short_texts(self, case: Case, bench: Bench) -> None:
        for token in (None, 0):
            caption = renderer(case, bench).caption(bench.source(case.data), 0, token)
            assert isinstance(caption, str)
            assert len(caption) <= 120, f"a caption of {len(caption)} characters: {caption}"

    def whole_views(self, case: Case, bench: Bench) -> Iterator[View]:
        """The data as each encoder of the plugin cuts them."""
        for encoder in encoders(self.subject(), bench, case.data):
            yield shown(encoder, bench.batch(case.data))


def renderer(case: Case, bench: Bench) -> Renderer:
    """A renderer as the core makes it."""
    return cast(Renderer, build(case.part, case.parameters, key="renderer", spec=bench.source(case.data).spec))


def encoders(subject: Subject, bench: Bench, data: str) -> Iterator[Encoder]:
    """The plugin's encoders for a kind of data."""
    return (bench.encoder(case) for case in subject.cases("encoder") if case.data == data and not case.variant)


def svg(renderer: Renderer | None, unit: Shown | None) -> str:
    """A picture as text; an empty one without a renderer."""
    import matplotlib

    with drawing(), matplotlib.rc_context({"svg.hashsalt": "same"}):
        made = figure(*(renderer.size if renderer else (1.0, 1.0)))
        axes = made.subplots()
        if renderer is not None and unit is not None:
            draw_one(renderer, axes, unit)
        else:
            axes.axis("off")
        text = io.StringIO()
        made.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
