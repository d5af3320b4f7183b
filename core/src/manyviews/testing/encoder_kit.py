"""What the core relies on in an encoder."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from manyviews.encoder import Encoder
from manyviews.evaluate.embed import evaluating
from manyviews.testing.bench import Bench, half_hidden, shown
from manyviews.testing.checks import check_encoding, check_gradients, check_layout, learning_inputs, need, reach, weighed
from manyviews.testing.compare import copied, difference
from manyviews.testing.kit import Kit
from manyviews.testing.subject import Case
from manyviews.traits import Trait


class EncoderKit(Kit):
    """Every encoder of a plugin, in every form, on every kind of data."""

    kind = "encoder"
    looks_elsewhere: ClassVar[Mapping[str, str]] = {
        "test_it_says_what_it_is": "__init__",
        "test_its_layout_counts_every_token": "layout",
        "test_weights_are_saved_and_loaded": "__init__",
        "test_token_targets": "targets",
        "test_moments": "moments",
        "test_token_classes": "classes",
        "test_its_decoder_fills_in_what_is_asked": "decoder",
    }

    def test_it_says_what_it_is(self, case: Case, bench: Bench) -> None:
        encoder = bench.encoder(case)
        assert isinstance(encoder, Encoder), f"{case.part.path} must inherit from manyviews.encoder.Encoder"
        assert encoder.width > 0, "an encoder sets `width`, the width of a token"
        assert all(isinstance(trait, Trait) for trait in encoder.offers), "`offers` holds members of manyviews.traits.Trait"
        assert encoder.offers == type(encoder).offers, "`offers` is the class's: recipes are matched before it is built"
        assert (encoder.target_channels > 0) == (Trait.TOKEN_TARGETS in encoder.offers), "TOKEN_TARGETS has target_channels"
        classes = encoder.target_classes > 0  # 0 where the data have none: numbers where it could read categories
        assert not classes or Trait.TOKEN_CLASSES in encoder.offers, "an encoder with target_classes offers TOKEN_CLASSES"

    def test_its_layout_counts_every_token(self, case: Case, bench: Bench) -> None:
        encoder, batch = bench.encoder(case), bench.batch(case.data)
        layout = encoder.layout(batch)
        check_layout(layout, len(batch))
        placed = layout.coordinates() is not None
        assert placed or Trait.PLACED_TOKENS not in encoder.offers, "PLACED_TOKENS are on a `grid` or have `positions`"

    def test_it_encodes_all_of_a_batch(self, case: Case, bench: Bench, device: str) -> None:
        encoder = bench.encoder(case).to(device)
        view = shown(encoder, bench.batch(case.data).to(torch.device(device)))
        encoding = encoder(view)
        check_encoding(encoding, view, encoder)
        assert encoding.lengths.total == view.layout.lengths.total, "a view that hides nothing shows every token"
        places = {encoding.tokens.device.type, encoding.pooled.device.type}
        assert places == {device}, f"an encoding of a batch on {device} is on {places}"

    def test_it_encodes_what_is_not_hidden(self, case: Case, bench: Bench, device: str) -> None:
        encoder = bench.encoder(case).to(device)
        need(encoder, Trait.HIDES_TOKENS)
        view = half_hidden(encoder, bench.batch(case.data).to(torch.device(device)))
        assert view.hidden is not None
        encoding = encoder(view)
        check_encoding(encoding, view, encoder)
        if encoding.present is not None:
            left = view.hidden.complement(view.layout.lengths).index(view.layout.lengths)
            assert_close(encoding.present, left, msg=lambda m: f"`present` is not the list of the tokens not hidden: {m}")

    def test_what_is_hidden_does_not_reach_it(self, case: Case, bench: Bench) -> None:
        """Numbers that only hidden tokens are made of have no part in the encoding."""
        encoder = bench.encoder(case).double().eval()
        need(encoder, Trait.HIDES_TOKENS, Trait.TOKEN_TARGETS)
        batch = copied(bench.batch(case.data))
        view = half_hidden(encoder, batch)
        assert view.hidden is not None
        lengths = view.layout.lengths
        hidden, left = view.hidden.index(lengths), view.hidden.complement(lengths).index(lengths)
        inputs = list(learning_inputs(batch))
        of_hidden = reach(encoder.targets(batch, hidden), inputs)
        of_shown = reach(encoder.targets(batch, left), inputs)
        alone = [mine & ~theirs for mine, theirs in zip(of_hidden, of_shown, strict=True)]
        if not any(bool(where.any()) for where in alone):
            pytest.skip("no number of the batch belongs to hidden tokens alone, or none has a gradient")
        encoding = encoder(view)
        seen = reach(torch.cat([encoding.tokens.flatten(), encoding.pooled.flatten()]), inputs)
        leaked = [mine & found for mine, found in zip(alone, seen, strict=True)]
        assert not any(bool(where.any()) for where in leaked), "what hidden tokens hold reaches the encoding"

    def test_a_sample_is_the_same_alone_and_in_a_batch(self, case: Case, bench: Bench) -> None:
        encoder, index = bench.encoder(case).double(), bench.index(case.data)
        with evaluating(encoder):
            together = encoder(shown(encoder, bench.source(case.data).batch(index))).pooled
            alone = [encoder(shown(encoder, bench.source(case.data).batch(index[i : i + 1]))).pooled for i in range(len(index))]
        assert_close(torch.cat(alone), together, msg=lambda m: f"a sample's encoding depends on its neighbours: {m}")

    def test_gradients_reach_it(self, case: Case, bench: Bench) -> None:
        encoder = bench.encoder(case).train()
        batch = bench.batch(case.data, 32)
        views = [shown(encoder, batch)]
        views += [half_hidden(encoder, batch)] if Trait.HIDES_TOKENS in encoder.offers else []
        for view in views:
            encoding = encoder(view)
            torch.autograd.backward(weighed(encoding.tokens) + weighed(encoding.pooled))
        check_gradients(encoder)

    def test_evaluation_repeats_and_draws_nothing(self, case: Case, bench: Bench) -> None:
        encoder = bench.encoder(case).eval()
        view, before = shown(encoder, bench.batch(case.data)), torch.get_rng_state()
        with torch.no_grad():
            one, two = encoder(view).pooled, encoder(view).pooled
        assert torch.equal(one, two), "in eval mode an encoder gives the same twice"
        assert torch.equal(before, torch.get_rng_state()), "in eval mode an encoder draws no random numbers"

    def test_it_leaves_the_batch_as_it_was(self, case: Case, bench: Bench) -> None:
        encoder, batch = bench.encoder(case), bench.batch(case.data)
        before = copied(batch)
        encoder(half_hidden(encoder, batch) if Trait.HIDES_TOKENS in encoder.offers else shown(encoder, batch))
        found = difference(before, batch, "batch")
        assert found is None, f"encoding changed the batch in place: {found}; other views still need it"

    def test_float64(self, case: Case, bench: Bench) -> None:
        encoder, batch = bench.encoder(case).eval(), bench.batch(case.data)
        with torch.no_grad():
            single, double = encoder(shown(encoder, batch)), encoder.double()(shown(encoder, batch))
        assert double.tokens.dtype == double.pooled.dtype == torch.float64, "an encoder's numbers are of its parameters' type"
        assert_close(single.pooled.double(), double.pooled, rtol=1e-2, atol=1e-3)

    def test_bf16_autocast(self, case: Case, bench: Bench, device: str) -> None:
        encoder = bench.encoder(case).to(device).train()
        batch = bench.batch(case.data, 32).to(torch.device(device))
        view = half_hidden(encoder, batch) if Trait.HIDES_TOKENS in encoder.offers else shown(encoder, batch)
        with torch.autocast(device, torch.bfloat16):
            encoding = encoder(view)
        assert encoding.tokens.isfinite().all(), "`tokens` holds NaN or infinity"
        assert encoding.pooled.isfinite().all(), "`pooled` holds NaN or infinity"
        torch.autograd.backward(weighed(encoding.pooled.float()))
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in encoder.parameters()), "a gradient is not finite"

    def test_weights_are_saved_and_loaded(self, case: Case, bench: Bench, tmp_path: Path) -> None:
        one, two = bench.encoder(case, seed=0).eval(), bench.encoder(case, seed=1).eval()
        save_file({name: tensor.contiguous() for name, tensor in one.state_dict().items()}, tmp_path / "weights.safetensors")
        view = shown(one, bench.batch(case.data))
        with torch.no_grad():
            wanted = one(view).pooled
            assert not torch.equal(wanted, two(view).pooled), "initial weights must come from torch's generator"
            two.load_state_dict(load_file(tmp_path / "weights.safetensors"))
            assert torch.equal(wanted, two(view).pooled), "something that the encoder has learnt is not in its state_dict"

    def test_it_is_copied_whole(self, case: Case, bench: Bench) -> None:
        """A teacher is a copy."""
        encoder = bench.encoder(case).eval()
        view = shown(encoder, bench.batch(case.data))
        encoder(view)
        with torch.no_grad():
            same = torch.equal(encoder(view).pooled, copy.deepcopy(encoder)(view).pooled)
        assert same, "a copy of the encoder, as a teacher is, encodes otherwise"

    def test_token_targets(self, case: Case, bench: Bench) -> None:
        encoder, batch = bench.encoder(case), bench.batch(case.data)
        need(encoder, Trait.TOKEN_TARGETS)
        total = encoder.layout(batch).lengths.total
        every = encoder.targets(batch, torch.arange(total))
        assert every.shape == (total, encoder.target_channels), "`targets` gives (asked tokens, target_channels)"
        assert not every.isnan().all(), "NaN marks content that is missing, and here all is"
        some = torch.randperm(total, generator=torch.Generator().manual_seed(0))[: max(total // 2, 1)]
        assert_close(encoder.targets(batch, some), every[some], equal_nan=True, msg=lambda m: f"not the tokens asked for: {m}")

    def test_moments(self, case: Case, bench: Bench) -> None:
        encoder, batch = bench.encoder(case).eval(), bench.batch(case.data)
        need(encoder, Trait.MOMENTS)
        view = shown(encoder, batch)
        with torch.no_grad():
            moments, lengths = encoder.moments(encoder(view), view.layout)
        assert moments.shape == (lengths.total, encoder.width), "`moments` gives a vector as wide as a token for each"
        assert len(lengths) == len(batch), "`moments` says how many each sample has"
        assert bool((lengths.tensor > 0).all()), "a sample has a moment at least"
        assert bool((lengths.tensor <= view.layout.lengths.tensor).all()), "there are no more moments than tokens"

    def test_token_classes(self, case: Case, bench: Bench) -> None:
        encoder, batch = bench.encoder(case), bench.batch(case.data)
        need(encoder, Trait.TOKEN_CLASSES)
        if not encoder.target_classes:
            pytest.skip("these data have no classes")
        classes = encoder.classes(batch)
        assert classes.shape == (encoder.layout(batch).lengths.total,), "`classes` gives one for each token"
        assert -1 <= int(classes.min()) <= int(classes.max()) < encoder.target_classes, "classes are -1 (none) or an index"

    @pytest.mark.parametrize("depth", [0, 1])
    def test_its_decoder_fills_in_what_is_asked(self, case: Case, bench: Bench, depth: int) -> None:
        encoder, batch = bench.encoder(case), bench.batch(case.data)
        need(encoder, Trait.HIDES_TOKENS)
        view = half_hidden(encoder, batch)
        assert view.hidden is not None
        encoding = encoder(view)
        if depth == 0 and encoding.present is not None:
            pytest.skip("a decoder without depth reads hidden tokens, and this encoder drops them")
        found = encoder.decoder(8, depth, 2, 3)(encoding, view, view.hidden)
        assert found.shape == (len(view.hidden.index(view.layout.lengths)), 3), "`decoder` gives (asked tokens, out)"
        torch.autograd.backward(weighed(found))
        assert found.isfinite().all(), "the decoder gives NaN or infinity"
        assert any(p.grad is not None and bool(p.grad.any()) for p in encoder.parameters()), "nothing comes back through it"
