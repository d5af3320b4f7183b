"""Parts that fit, parts that do not, and what is suggested then."""

from __future__ import annotations

import pytest

from manyviews.errors import RecipeError
from manyviews.plugins.match import Facts, check_fit, facts_of, first_pair
from manyviews.plugins.matrix import Cell, matrix
from manyviews.plugins.registry import registry
from manyviews.testing.subject import Subject
from manyviews.testing.toy import ToyEncoder
from manyviews.traits import Trait

pytestmark = pytest.mark.usefixtures("sonar")


def facts(kind: str, name: str) -> Facts:
    part = registry().component(kind, name, "sonar")
    return facts_of(part.name, kind, part.load())


def refusal(objective: str, views: str, encoder: str, unit: str = "sample") -> list[str]:
    parts = (facts("objective", objective), facts("views", views), facts("encoder", encoder))
    with pytest.raises(RecipeError) as caught:
        check_fit(*parts, unit=unit, domain="sonar", key="terms.0.objective")  # type: ignore[arg-type]
    assert caught.value.key == "terms.0.objective"
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("objective", "views", "encoder", "unit"),
    [
        ("match", "echoes", "net", "sample"),
        ("match", "echoes", "deaf", "sample"),
        ("match", "ordered", "net", "token"),
        ("byol", "echoes", "net", "sample"),  # its teacher is the engine's
        ("jepa", "random_mask", "net", "token"),
    ],
)
def test_parts_that_fit(objective: str, views: str, encoder: str, unit: str) -> None:
    parts = (facts("objective", objective), facts("views", views), facts("encoder", encoder))
    check_fit(*parts, unit=unit, domain="sonar")  # type: ignore[arg-type]


def test_views_that_lack_something_are_named_with_those_that_fit() -> None:
    first, second = refusal("match", "random_mask", "net")
    assert first == (
        "terms.0.objective: `match` needs two or more views of each sample; not given by views `random_mask`"
    ).replace("`match`", "`sonar/match`")
    assert second == "  Views that fit: masked_views, sonar/echoes, sonar/ordered"


def test_on_tokens_the_views_must_be_aligned() -> None:
    first, second = refusal("match", "echoes", "net", "token")
    assert "needs on `unit: token` views whose tokens stand for the same things in the same order" in first
    assert second == "  Views that fit: sonar/ordered"


def test_an_encoder_that_cannot_hide_refuses_views_that_withhold() -> None:
    first, second = refusal("match", "masked_views", "deaf")
    assert "view generator `masked_views` needs an encoder that can be shown a part of the tokens" in first
    assert "not given by encoder `sonar/deaf`" in first
    assert second == "  Views that fit: sonar/echoes, sonar/ordered"


def test_where_no_views_help_an_encoder_is_named() -> None:
    first, second = refusal("jepa", "random_mask", "deaf")
    assert "not given by encoder `sonar/deaf`" in first
    assert second == "  Encoders that fit: sonar/net"


def test_where_one_change_is_not_enough_both_are_named() -> None:
    first, second = refusal("jepa", "echoes", "deaf")
    assert "not given by views `sonar/echoes` and encoder `sonar/deaf`" in first
    assert second.startswith("  Views and encoder that fit: ")
    assert second.endswith(" with sonar/net")


def test_where_nothing_helps_another_objective_is_named() -> None:
    _, second = refusal("masked_reconstruction", "echoes", "net")
    assert second.startswith("  Objectives that fit these: ")
    assert "sonar/match" in second
    assert "masked_reconstruction" not in second


def test_what_views_ask_of_an_encoder_counts() -> None:
    views = Facts("placed", frozenset({Trait.SEVERAL_VIEWS}), frozenset({Trait.PLACED_TOKENS}))
    with pytest.raises(RecipeError, match="view generator `placed` needs an encoder whose tokens lie on a grid"):
        check_fit(facts("objective", "match"), views, facts("encoder", "net"), unit="sample", domain="sonar")


class Rotation: ...


class Puzzle: ...


def test_the_answer_to_another_pretext_question_is_none() -> None:
    pretext = frozenset({Trait.PRETEXT_TARGET})
    objective, encoder = Facts("rotation", pretext, target=Rotation), facts("encoder", "deaf")
    check_fit(objective, Facts("turned", pretext, target=Rotation), encoder, unit="sample", domain="sonar")
    with pytest.raises(RecipeError, match=r"the answer to a pretext task \(Rotation\); not given by views `shuffled`"):
        check_fit(objective, Facts("shuffled", pretext, target=Puzzle), encoder, unit="sample", domain="sonar")


def test_views_that_give_least_beside_what_is_asked_come_first() -> None:
    several = frozenset({Trait.SEVERAL_VIEWS})
    views = [Facts("with an answer", several | {Trait.PRETEXT_TARGET}, target=Rotation), Facts("plain", several)]
    pair = first_pair(Facts("contrast", several), views, [facts("encoder", "deaf")], "sample")
    assert pair is not None
    assert pair[0].name == "plain"


def test_an_objective_that_needs_another_form_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Subject.of("manyviews.testing.toy_plugin").registry

    def cell() -> Cell:
        return next(cell for cell in matrix(toy) if cell.objective == "autoregression")

    assert (cell().runs, dict(cell().parameters)) == (True, {})
    monkeypatch.setattr(ToyEncoder, "offers", ToyEncoder.offers - {Trait.TOKEN_CLASSES})
    assert (cell().runs, dict(cell().parameters)) == (True, {"loss": "mse"})
    monkeypatch.setattr(ToyEncoder, "offers", ToyEncoder.offers - {Trait.CAUSAL})
    assert cell().why_not == (
        "needs an encoder that gives a class for the content of each token and an encoder whose tokens can be kept from seeing "
        "those behind them"
    )


def test_the_matrix_says_what_runs_and_why_not() -> None:
    cells = {cell.objective: cell for cell in matrix()}
    assert {cell.domain for cell in cells.values()} == {"sonar"}
    assert cells["sonar/match"].with_parts == ("sonar/echoes", "sonar/deaf")
    assert cells["jepa"].runs
    assert cells["jepa"].with_parts is not None
    assert cells["jepa"].with_parts[1] == "sonar/net"
    reconstruction = cells["masked_reconstruction"]
    assert not reconstruction.runs
    autoregression = cells["autoregression"]
    assert not autoregression.runs
    assert not autoregression.parameters
    assert reconstruction.why_not == "needs an encoder that gives the raw content of each token"
