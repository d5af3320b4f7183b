"""YAML as recipes use it: the core schema of YAML 1.2, with a line number for every value.

PyYAML by itself reads YAML 1.1, in which `1e-3` is text, `no` is false, `010` is eight and `12:30` is 750. Duplicate keys,
which it lets pass with the last one winning, are errors here.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from manyviews.errors import RecipeError
from manyviews.recipe.tree import MISSING, Node, Scalar

_TAG = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), list("-+0123456789")),
    (
        "float",
        re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    """Reads `{path: ???}`, too: PyYAML takes any `?` inside braces for its mark of a complex key, YAML 1.2 does not."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def check_key(self) -> bool:
        return not self._at_missing() and bool(super().check_key())

    def check_plain(self) -> bool:
        return self._at_missing() or bool(super().check_plain())

    def scan_plain(self) -> yaml.ScalarToken:
        if not self._at_missing():
            return super().scan_plain()
        start = self.get_mark()
        self.forward(len(MISSING))
        return yaml.ScalarToken(MISSING, True, start, self.get_mark())

    def _at_missing(self) -> bool:
        inside = self.flow_level > 0 and self.prefix(len(MISSING)) == MISSING
        return inside and self.peek(len(MISSING)) in "\0 \t\r\n,]}"


class _Dumper(yaml.SafeDumper):
    """Quotes what this reader, rather than PyYAML's, would take for a number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, _pattern, _first in _RESOLVERS:
    _whole = re.compile(f"(?:{_pattern.pattern})$")
    _Loader.add_implicit_resolver(_TAG + _name, _whole, _first)
    _Dumper.add_implicit_resolver(_TAG + _name, _whole, _first)


def parse(text: str, label: str, *, lines: bool = True) -> Node:
    """The value that `text` holds; each part's `where` is `label:line`, or `label` without `lines`.

    Raises:
        RecipeError: It is not YAML, a key appears twice, or it uses a tag; says the line.
    """
    return _Parser(label, lines).parse(text)


def dump(value: Any) -> str:
    """`value` as text that `parse` reads back equal."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)


class _Parser:
    def __init__(self, label: str, lines: bool) -> None:
        self.label, self.lines = label, lines

    def parse(self, text: str) -> Node:
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self.error(f"not YAML: {error.problem or error.context}", mark) from error
        except yaml.YAMLError as error:
            raise self.error(f"not YAML: {' '.join(str(error).split())}") from error
        return self.convert(node, ()) if node is not None else Node(None, self.where())

    def where(self, mark: yaml.Mark | None = None) -> str:
        return f"{self.label}:{mark.line + 1}" if self.lines and mark is not None else self.label

    def error(self, message: str, mark: yaml.Mark | None = None) -> RecipeError:
        return RecipeError(message, where=self.where(mark))

    def convert(self, node: yaml.Node, above: tuple[yaml.Node, ...]) -> Node:
        if node in above:
            raise self.error("an alias (`*name`) stands inside the value that it repeats", node.start_mark)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return Node(self.mapping(node, (*above, node)), self.where(node.start_mark))
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return Node([self.convert(child, (*above, node)) for child in node.value], self.where(node.start_mark))
        if isinstance(node, yaml.ScalarNode) and node.tag.startswith(_TAG):
            return Node(self.scalar(node), self.where(node.start_mark))
        raise self.error(f"the tag `{node.tag}` is not allowed; a recipe holds plain values only", node.start_mark)

    def mapping(self, node: yaml.MappingNode, above: tuple[yaml.Node, ...]) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.error("a key must be plain text", key.start_mark)
            if key.value in found:
                first = found[key.value].where.rpartition(":")[2]
                raise self.error(f"the key `{key.value}` is given twice, first in line {first}", key.start_mark)
            # A key's line, not its value's: a mapping starts in the line after its key.
            found[key.value] = Node(self.convert(value, above).value, self.where(key.start_mark))
        return found

    def scalar(self, node: yaml.ScalarNode) -> Scalar:
        text = node.value
        try:
            match node.tag.removeprefix(_TAG):
                case "str":
                    return str(text)
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
                case "float":
                    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
                case _:
                    raise self.error(f"the tag `{node.tag}` is not allowed; a recipe holds plain values only", node.start_mark)
        except (KeyError, ValueError) as error:
            if isinstance(error, RecipeError):
                raise
            raise self.error(f"{text!r} is not what its tag says", node.start_mark) from error
