"""What is wrong with a recipe is told in at most three lines: key path, place, value, what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from manyviews.errors import RecipeError
from manyviews.recipe.load import load_recipe
from manyviews.recipe.resolve import resolve

pytestmark = pytest.mark.usefixtures("sonar")
HERE = "\n  in the command line"


def refusal(*words: str, recipe: str = "sonar/plain") -> str:
    with pytest.raises(RecipeError) as caught:
        resolve(load_recipe(recipe, words))
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    return message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("optim.lr=fast", f"optim.lr: 'fast' is not allowed; must be a number{HERE}"),
        ("optim.lr=true", f"optim.lr: true is not allowed; must be a number{HERE}"),
        ("optim.lr=-1", f"optim.lr: -1 is not allowed; must be greater than 0{HERE}"),
        ("optim.lr=.inf", f"optim.lr: inf is not allowed; must be a finite number{HERE}"),
        ("optim.name=rmsprop", f"optim.name: 'rmsprop' is not allowed; must be 'adamw', 'adam', 'sgd' or 'lars'{HERE}"),
        ("optim.betas=[1.0, 0.9]", f"optim.betas.0: 1.0 is not allowed; must be less than 1{HERE}"),
        ("train.seed=4294967296", f"train.seed: 4294967296 is not allowed; must be less than 4294967296{HERE}"),
        ("optim.betas=[0.9]", f"optim.betas.1: missing; it must be given{HERE}"),
        ("optim=3", f"optim: 3 is not allowed; must be a mapping (key: value){HERE}"),
        ("evaluate={}", f"evaluate: a mapping is not allowed; must be a list{HERE}"),
        ("train.steps=1.5", f"train.steps: 1.5 is not allowed; must be a whole number{HERE}"),
        ("train.steps=1e3", f"train.steps: 1000.0 is not allowed; must be a whole number{HERE}"),
        ("train.steps='7'", f"train.steps: '7' is not allowed; must be a whole number{HERE}"),
        ("train.compile=yes", f"train.compile: 'yes' is not allowed; must be true or false{HERE}"),
        ("train.steps=null", f"train: give either `steps` or `epochs`{HERE}"),
        ("objective=null", f"recipe: give `views` and `objective`, or a list of `terms`{HERE}"),
        ("evaluate.7.task=knn", f"evaluate.7: there is no such element; evaluate has 2 elements, numbered from 0{HERE}"),
        ("objective.temperature=-1", f"objective.temperature: -1 is not allowed; must be greater than 0{HERE}"),
        ("objective.kind=l2", f"objective.kind: 'l2' is not allowed; must be 'cosine' or 'dot'{HERE}"),
        ("objective.margin=big", f"objective.margin: 'big' is not allowed; must be a number or 'auto'{HERE}"),
        ("views.gain=[1, 2, 3]", f"views.gain: [1, 2, 3] is not allowed; must be at most 2 long{HERE}"),
        ("evaluate.0.tries=many", f"evaluate.0.tries: 'many' is not allowed; must be a whole number{HERE}"),
        ("data.copy=1", f"data.copy: 1 is not allowed; must be true or false{HERE}"),
        (
            "track.uri=foo://bar",
            "track.uri: `foo://` is no kind of store that MLflow knows.\n"
            f"  Give sqlite:///FILE, http://HOST:PORT or postgresql://…{HERE}",
        ),
        ("optim", f"'optim' is no override; write key.path=value, as in optim.lr=1e-3{HERE}"),
        ("optim..lr=1", f"'optim..lr' is no key path; write optim.lr or evaluate.0.every{HERE}"),
    ],
)
def test_a_value_that_is_not_allowed(words: str, message: str) -> None:
    assert refusal("data.path=x", words) == message


@pytest.mark.parametrize(
    ("words", "first", "known"),
    [
        ("optim.leaning=1", "optim.leaning: unknown key.", "lr, momentum"),
        ("optim.wieght_decay=1", "optim.wieght_decay: unknown key. Did you mean `weight_decay`?", "lr, momentum"),
        ("optim.rl=1", "optim.rl: unknown key. Did you mean `lr`?", "lr, momentum"),
        ("optimizer.lr=1", "optimizer: unknown key. Did you mean `optim`?", "extends"),
        (
            "objective.temprature=1",
            "objective.temprature: unknown key. Did you mean `temperature`?",
            "kind, margin, temperature",
        ),
        ("data.rates=1", "data.rates: unknown key. Did you mean `rate`?", "copy, path, rate"),
        ("evaluate.0.trys=1", "evaluate.0.trys: unknown key. Did you mean `tries`?", "tries"),
    ],
)
def test_an_unknown_key(words: str, first: str, known: str) -> None:
    lines = refusal("data.path=x", words).splitlines()
    assert lines[0] == first
    assert lines[1].startswith("  Known here: ")
    assert known in lines[1]
    assert lines[2] == "  in the command line"


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("domain=sonr", "domain: there is no domain `sonr`. Did you mean `sonar`?"),
        ("domain=graphs", "domain: domain `graphs` is not installed; pip install manyviews-graphs"),
        (
            "domain=tabular",
            "domain: domain `tabular` is not installed; pip install manyviews-tabular",
        ),
        ("domain=potatoes", "domain: there is no domain `potatoes`."),
        ("encoder.name=nett", "encoder.name: there is no component `nett` of kind encoder. Did you mean `net`?"),
        ("encoder.name=match", "encoder.name: there is no component `match` of kind encoder. `match` is of kind objective."),
        (
            "encoder.name=sonar/nett",
            "encoder.name: there is no component `sonar/nett` of kind encoder. Did you mean `sonar/net`?",
        ),
        ("encoder.name=speech/net", "encoder.name: domain `speech` is not installed; pip install manyviews-speech"),
        ("data.source=pngs", "data.source: there is no component `pngs` of kind source. Did you mean `pings`?"),
        ("evaluate.1.task=knnn", "evaluate.1.task: there is no component `knnn` of kind task. Did you mean `knn`?"),
    ],
)
def test_a_name_that_is_not_installed(words: str, first: str) -> None:
    lines = refusal("data.path=x", words).splitlines()
    assert lines[0] == first
    assert lines[-1] == "  in the command line"


def test_a_mandatory_value_says_how_to_give_it(sonar_site: Path) -> None:
    message = refusal("encoder.width=???")
    place = sonar_site / "sonar_scratch" / "recipes" / "_base.yaml"
    assert message == (
        f"data.path: this recipe leaves it to you; give it on the command line: data.path=… encoder.width=…\n  in {place}:2"
    )


def test_several_errors_are_counted_and_unknown_keys_come_first() -> None:
    message = refusal("data.path=x", "optim.lr=-1", "train.stepps=3", "train.seed=-1")
    assert message.splitlines()[0] == "train.stepps: unknown key. Did you mean `steps`?"
    assert "(and 2 more)" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: sonar/plain\noptim:\n  lr: fast\n", "optim.lr: 'fast' is not allowed; must be a number\n  in mine.yaml:3"),
        (
            "extends: sonar/plain\nobjective:\n  name: match\n  temperature: 0\n",
            "objective.temperature: 0 is not allowed; must be greater than 0\n  in mine.yaml:4",
        ),
        ("extends: sonar/plain\noptim: {lr: 1\nx: 2\n", "not YAML: expected ',' or '}', but got ':'\n  in mine.yaml:3"),
        ("a: 1\n\tb: 2\n", "not YAML: found character '\\t' that cannot start any token\n  in mine.yaml:2"),
        ("optim:\n  lr: 1\n  clip: 2\n  lr: 3\n", "the key `lr` is given twice, first in line 2\n  in mine.yaml:4"),
        ("a: !!python/name:os.system x\n", "the tag `tag:yaml.org,2002:python/name:os.system` is not allowed"),
        ("a: !mine {b: 1}\n", "the tag `!mine` is not allowed; a recipe holds plain values only\n  in mine.yaml:1"),
        ("? [a, b]\n: 1\n", "a key must be plain text\n  in mine.yaml:1"),
        ("a: &a [*a]\n", "an alias (`*name`) stands inside the value that it repeats\n  in mine.yaml:1"),
        ("a: 1\n---\nb: 2\n", "not YAML: but found another document\n  in mine.yaml:2"),
        ("- a\n- b\n", "a recipe is a mapping (key: value)\n  in mine.yaml:1"),
        ("", "a recipe is a mapping (key: value)\n  in mine.yaml"),
        ("extends: 3\n", "extends: must be a recipe's name or path, or a list of them\n  in mine.yaml:1"),
        ("extends: [sonar/plain,\n  sonar/wdie]\n", "extends: there is no recipe `sonar/wdie`. Did you mean `sonar/wide`?"),
        ("extends: other.yaml\n", "extends: there is no recipe file other.yaml."),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_line(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(text)
    assert refusal("data.path=x", recipe="mine.yaml").startswith(message)


def test_a_file_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_bytes(b"a: \xff\xfe")
    assert refusal(recipe="mine.yaml") == "mine.yaml is no text in UTF-8: invalid start byte at byte 3"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            "sonar/plan",
            "there is no recipe `sonar/plan`. Did you mean `sonar/plain`?\n  Recipes of sonar: sonar/plain, sonar/wide",
        ),
        ("speech/hubert", "recipe speech/hubert: domain `speech` is not installed; pip install manyviews-speech"),
        ("sonr/plain", "recipe sonr/plain: there is no domain `sonr`. Did you mean `sonar`?\n  Installed: sonar"),
        ("plain", "`plain` is neither a recipe name (domain/recipe) nor a .yaml file. Did you mean `sonar/plain`?"),
        ("mine", "`mine` is no recipe name; a recipe file ends in .yaml, as in mine.yaml"),
        ("mien.yaml", "there is no recipe file mien.yaml. Did you mean `mine.yaml`?"),
    ],
)
def test_a_recipe_that_is_not_there(recipe: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("extends: sonar/plain\n")
    assert refusal(recipe=recipe).startswith(message)


def test_what_is_no_plain_value_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"data\.path: object is not allowed; a recipe holds text, numbers"):
        load_recipe("sonar/plain", {"data": {"path": object()}})


def test_an_override_that_is_no_yaml_is_named() -> None:
    assert refusal("data.path=[a").splitlines()[0].startswith("data.path: not YAML: ")
