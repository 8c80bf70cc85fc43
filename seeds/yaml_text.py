"""YAML, read with the line and column of everything, and written with every value in quotes.

cloud-init reads with PyYAML's safe loader too (YAML 1.1), so what a scalar becomes here is what it
becomes there. Quotes, so that no reader of any version takes ``no`` or a MAC for something else.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.representer import RepresenterError

from unclone.seeds.errors import SeedError
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.yaml_loader import DEEPEST, documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from yaml.nodes import Node

#: What PyYAML lets out when a value does not fit the tag in front of it (``!!bool perhaps``).
CONSTRUCTION_ERRORS = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

#: A seed with more values than this came from YAML that refers to itself again and again.
_MOST_VALUES = 200_000
#: PyYAML reads them as line breaks in a literal block, and gives back a line feed.
_OTHER_LINE_BREAKS = frozenset("\x85\u2028\u2029")

#: What PyYAML quotes from the text, which may be the beginning of a password.
_NAMES = re.compile(r"\b(alias|anchor|tag|handle) (?:'[^']*'|\"[^\"]*\")")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

_TABS = "There is a tab here: YAML indents and separates with spaces."


class ParsedYaml:
    """One document: ``root`` is None when it is empty or cannot be read; then see ``problems``.

    Several checks read one text, and so do all machines of a fleet; it is read once, so nobody may
    change ``root`` or ``data``.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.root, self.data, problems = _read(text)
        self.problems: list[Finding] = [replace(problem, file=file) for problem in problems]


@lru_cache(maxsize=16)
def _read(text: str) -> tuple[Node | None, Any, tuple[Finding, ...]]:
    """The root node of *text*, its value, and problems whose file is not named yet."""
    try:
        found = documents(text)
        root = found[0] if found else None
        # Before the values are made: that moves what merge keys (<<) bring into the nodes.
        problems = tuple(_duplicate_keys(root)) if root else ()
        data = SafeConstructor().construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = _NAMES.sub(r"\1", " ".join(filter(None, (error.context, error.problem))))
        hint = _TABS if _has_tab(text, mark) else ""
        return _unreadable("yaml", f"not valid YAML: {words}", _place(mark), hint)
    except yaml.YAMLError as error:
        words = str(error).splitlines()[0]
        return _unreadable("yaml", f"not valid YAML: {words}", _place_of(error, text))
    except CONSTRUCTION_ERRORS as error:
        words = f"a value does not fit its tag ({type(error).__name__})"
        return _unreadable("yaml", f"not valid YAML: {words}", (0, 0))
    if len(found) > 1:
        return _unreadable(
            "yaml-two-documents",
            "a second YAML document begins here; cloud-init reads one, and fails on two",
            _place(found[1].start_mark),
        )
    return root, data, problems


def _unreadable(
    code: str, message: str, place: tuple[int, int], hint: str = ""
) -> tuple[None, None, tuple[Finding, ...]]:
    return None, None, (Finding("", *place, Severity.ERROR, code, message, hint),)


#: What was written last, by its representation in Python.
_DUMPED: dict[str, str] = {}
_MOST_DUMPED = 32


def dump_yaml(data: object) -> str:
    """*data* (mappings, lists and what YAML's safe loaders make of scalars) as block-style YAML.

    Keys and lists keep their order. Raises :class:`SeedError` for other types, and for what would
    never end.
    """
    _require_finite(data)
    known = repr(data)  # of machines of one fleet, most is the same
    text = _DUMPED.get(known)
    if text is None:
        if len(_DUMPED) >= _MOST_DUMPED:
            _DUMPED.clear()
        text = _DUMPED[known] = _dumped(data)
    return text


def _dumped(data: object) -> str:
    try:
        return yaml.dump(
            data,
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=False,
            width=float("inf"),
        )
    except RepresenterError as error:
        kind = type(error.args[1]).__name__
        raise SeedError(f"a {kind} cannot be written as YAML") from None


def _require_finite(data: object) -> None:
    """Refuse circles, and aliases of aliases that fill the memory when they are written out."""
    values = 0
    pending = [(data, 0)]
    while pending:
        value, depth = pending.pop()
        values += 1
        if values > _MOST_VALUES:
            raise SeedError("the configuration expands to more than 200,000 values")
        if depth > DEEPEST:
            raise SeedError("the configuration is nested too deeply, or refers to itself")
        if isinstance(value, dict):
            pending += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list | tuple):
            pending += [(each, depth + 1) for each in value]


class _Dumper(yaml.SafeDumper):
    """Python's emitter and not libyaml's, so that every host writes the same bytes."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        """No anchors: each value is written where it belongs."""
        return True

    def _mapping(self, mapping: Mapping[Any, Any]) -> yaml.MappingNode:
        """Keys that are words are not in quotes; the emitter still quotes ``no``."""
        node = self.represent_mapping("tag:yaml.org,2002:map", mapping)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and _WORD.fullmatch(key.value):
                key.style = None
        return node

    def _text(self, text: str) -> yaml.ScalarNode:
        """Several lines as a literal block, where that can hold them."""
        block = "\n" in text and not _OTHER_LINE_BREAKS.intersection(text)
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if block else '"')


_Dumper.add_representer(dict, _Dumper._mapping)  # noqa: SLF001
_Dumper.add_representer(str, _Dumper._text)  # noqa: SLF001


def scalars(root: Node | None) -> Iterator[tuple[tuple[str, ...], yaml.ScalarNode]]:
    """Every scalar value below *root* with the keys that lead to it (``[]`` for a list item).

    A node that is referred to several times is visited once.
    """
    pending: list[tuple[tuple[str, ...], Node]] = [((), root)] if root else []
    seen: set[int] = set()
    while pending:
        path, node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield path, node
        elif isinstance(node, yaml.MappingNode):
            pending += [((*path, str(key.value)), value) for key, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            pending += [((*path, "[]"), value) for value in reversed(node.value)]


def entries(node: Node | None) -> Iterator[tuple[str, Node, Node]]:
    """The entries of a mapping node: key text, key node, value node; nothing for other nodes."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key.value, key, value


def is_string(node: Node) -> bool:
    """Whether the loader makes a ``str`` of *node*."""
    return bool(node.tag == "tag:yaml.org,2002:str")


def is_null(node: Node) -> bool:
    """Whether *node* is empty or ``null``."""
    return bool(node.tag == "tag:yaml.org,2002:null")


def is_plain(node: Node) -> bool:
    """Whether *node* is a scalar without quotes."""
    return isinstance(node, yaml.ScalarNode) and not node.style  # libyaml says "", not None


def _nodes(root: Node) -> Iterator[Node]:
    """Every node below *root* that is not a key, in order; each once, however often referred to."""
    pending = [root]
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.SequenceNode):
            pending += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            pending += [value for _, value in reversed(node.value)]


def _duplicate_keys(root: Node) -> Iterator[Finding]:
    for node in _nodes(root):
        first: dict[str, int] = {}
        for name, key, _ in entries(node):
            if name in first and name != "<<":
                yield Finding(
                    "",
                    key.start_mark.line + 1,
                    key.start_mark.column + 1,
                    Severity.ERROR,
                    "yaml-duplicate-key",
                    f"{name!r} is here twice (first in line {first[name]}); "
                    "the first is silently dropped",
                    "Merge the two.",
                )
            first.setdefault(name, key.start_mark.line + 1)


def _has_tab(text: str, mark: yaml.Mark | None) -> bool:
    """Whether *mark* is at a tab, or in a line that is indented with one."""
    lines = text.split("\n")
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    return "\t" in indent or (mark is not None and line[mark.column : mark.column + 1] == "\t")


def _place(mark: yaml.Mark | None) -> tuple[int, int]:
    """Line and column of *mark*, counted from 1."""
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _place_of(error: yaml.YAMLError, text: str) -> tuple[int, int]:
    position = getattr(error, "position", None)
    if not isinstance(position, int):
        return (0, 0)
    before = text[:position]
    return before.count("\n") + 1, len(before) - before.rfind("\n")
