"""Rows from YAML text; what is wrong with it is said with file, row and field.

References: JSON Schema 2020-12 (``schema.json``), YAML 1.1 as PyYAML's safe loader reads it.
"""

from __future__ import annotations

import functools
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from unclone.images.errors import UsageError
from unclone.images.text import printable
from unclone.sanitize.catalogue.row import CatalogueRow, When
from unclone.sanitize.options import Profile

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

HINT = "docs/catalogue.md describes the format."


def read_rows(text: str, name: str, *, checked: bool = False) -> tuple[CatalogueRow, ...]:
    """The rows in *text*, in its order; *name* is the file's, for messages.

    *checked* skips the checks, for text that a test has proven. They are made all the same where a
    row cannot be read.
    """
    return rows_of(parsed(text, name), name, checked=checked)


def parsed(text: str, name: str) -> Any:  # noqa: ANN401 (what YAML has)
    """What *text* has; *name* is as above."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        raise UsageError(
            f"{name} is not valid YAML: {printable(str(error), 400)}", hint=HINT
        ) from error


def rows_of(data: Any, name: str, *, checked: bool = False) -> tuple[CatalogueRow, ...]:  # noqa: ANN401 (as above)
    """The rows that *data* is; the rest as for :func:`read_rows`."""
    if not checked:
        _check(data, name)
    try:
        return tuple(_row(item) for item in data)
    except (AttributeError, KeyError, TypeError, ValueError):
        _check(data, name)  # for a row that was added and not tested yet
        raise


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time
    """A safe loader that refuses a key given twice: the second would win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 (PyYAML's)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} appears twice", key.start_mark
                )
            seen.add(str(key.value))
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def _row(item: Mapping[str, Any]) -> CatalogueRow:
    when = item.get("when", {})
    return CatalogueRow(
        id=item["id"],
        title=_folded(item["title"]),
        why=_folded(item["why"]),
        action=item["action"],
        paths=tuple(item["paths"]),
        sources=tuple(item["sources"]),
        profile=Profile(item.get("profile", Profile.IDENTITY)),
        off_because=_folded(item.get("off_because", "")),
        when=When(**{key: tuple(value) for key, value in when.items()}),
        excepts=tuple(item.get("except", ())),
        containing=tuple(item.get("containing", {}).items()),
        lines=tuple(item.get("lines", ())),
        content=item.get("content", ""),
        values=tuple(item.get("values", ())),
        remedy=_folded(item.get("remedy", "")),
    )


def _folded(text: str) -> str:
    return " ".join(text.split())


def _check(data: object, name: str) -> None:
    errors = sorted(_validator().iter_errors(data), key=lambda e: [str(p) for p in e.absolute_path])
    if errors:
        error = errors[0]
        place = _place(data, [*error.absolute_path])
        raise UsageError(f"{name}: {place}{_words(error)}", hint=HINT)
    assert isinstance(data, list)  # noqa: S101 (the schema's first word)
    ids: set[str] = set()
    for item in data:
        if item["id"] in ids:
            raise UsageError(f"{name}: row {item['id']}: id: appears twice", hint=HINT)
        ids.add(item["id"])
        for field, problem in _more_problems(item):
            raise UsageError(f"{name}: row {item['id']}: {field}: {problem}", hint=HINT)


def _more_problems(item: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What JSON Schema cannot say."""
    for number, line in enumerate(item.get("lines", ())):
        if "\n" in line:
            yield f"lines[{number}]", "contains a line break, and is matched against single lines"
        try:
            re.compile(line)
        except re.error as error:
            yield f"lines[{number}]", f"is not a regular expression: {error}"
    for number, value in enumerate(item.get("values", ())):
        try:
            groups = re.compile(value).groups
        except re.error as error:
            yield f"values[{number}]", f"is not a regular expression: {error}"
        else:
            if groups != 1:
                yield f"values[{number}]", f"has {groups} groups; the value is in its only one"
    for path, expression in item.get("containing", {}).items():
        try:
            re.compile(expression)
        except re.error as error:
            yield f"containing.{path}", f"is not a regular expression: {error}"
    for field in ("paths", "except"):
        for number, pattern in enumerate(item.get(field, ())):
            deep = [part for part in pattern.split("/") if "**" in part]
            one_deep = deep == ["**"] and re.fullmatch(r"[^~].*/\*\*/[^/]+", pattern)
            if deep and not one_deep:
                yield f"{field}[{number}]", "** stands alone and only before the last component"


@functools.cache
def _validator() -> Draft202012Validator:
    schema = json.loads(files(__package__).joinpath("schema.json").read_text("utf-8"))
    from jsonschema import Draft202012Validator  # noqa: PLC0415 (slow, for people's own rows only)

    return Draft202012Validator(schema)


def _place(data: object, path: list[str | int]) -> str:
    """``row popcon: paths[1]: `` for a path of JSON keys; a row without an id has its number."""
    if not path or not isinstance(data, list) or not isinstance(path[0], int):
        return ""
    item = data[path[0]]
    has_id = isinstance(item, dict) and isinstance(item.get("id"), str)
    row = printable(item["id"], 80) if has_id else f"number {path[0] + 1}"
    field = ""
    for key in path[1:]:
        field += f"[{key}]" if isinstance(key, int) else f".{key}" if field else str(key)
    return f"row {row}: {field}: " if field else f"row {row}: "


def _words(error: ValidationError) -> str:
    # jsonschema's own words quote whole schemas; these say what a person has to change.
    instance: Any = error.instance
    expected: Any = error.validator_value
    schema: Any = error.schema
    value = printable(str(instance), 80)
    if error.validator == "additionalProperties":
        unknown = next(key for key in instance if key not in schema["properties"])
        return f"{printable(str(unknown), 80)}: no such field"
    if error.validator == "required":
        return f"{next(key for key in expected if key not in instance)}: is missing"
    if error.validator == "enum":
        return f"{value} is not one of {', '.join(expected)}"
    if error.validator == "type":
        return f"has to be {_TYPES[expected]}"
    if error.validator == "pattern":
        about = schema.get("description", "")
        return f"{value} is not allowed here{'. ' if about else ''}{about}"
    if error.validator == "not":
        field = expected["required"][0]
        return f"{field}: does not go with this action; {_GOES_WITH[field]}"
    return printable(error.message, 200)


_TYPES = {"array": "a list", "object": "a mapping", "string": "a string"}
_GOES_WITH = {
    "content": "write takes it",
    "except": "remove FOLDER/* takes exceptions",
    "lines": "drop-lines takes it",
    "off_because": "what is told is never off",
    "profile": "what is told is told with every profile",
    "remedy": "tell takes it",
    "values": "blank and renew-uuids take it",
}
