"""The schema of the cloud-init inside a guest, which is another's file: applied with limits.

Its references must stay inside it, regular expressions are used only where the shipped schema has
the same, and following references ends after a number that no honest schema comes near.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unclone.seeds.schema import DRAFT_4, Schema, extended, shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes; that of 26.2 has 157,248.
LIMIT = 1024 * 1024
_MOST_REFERENCES = 20_000
_DEEPEST = 60


class _TooMuchError(Exception):
    """The schema leads in circles, or nearly so."""


def guest_schema(text: str, release: str) -> Schema | None:
    """The schema for cloud-config in *text*; None where it is none, or not one to be trusted.

    Where checking with it comes to no end, a finding ``check-failed`` says so.
    """
    try:
        given = json.loads(text)
        if not isinstance(given, dict) or not isinstance(given.get("allOf", []), list):
            return None
        known = set(_patterns(shipped("schema-cloud-config-v1.json"), 0))
        return Schema(_harmless(given, known, 0), release, _limited())
    except (ValueError, TypeError, RecursionError, _TooMuchError):
        return None


def _limited() -> Any:  # noqa: ANN401 (jsonschema's validators have no common type)
    follow = DRAFT_4.VALIDATORS["$ref"]
    count = 0

    def reference(validator: Any, ref: Any, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ANN401
        nonlocal count
        count += 1
        if count > _MOST_REFERENCES:
            raise _TooMuchError
        yield from follow(validator, ref, instance, schema) or ()

    return extended(DRAFT_4, {"$ref": reference})


def _harmless(value: Any, known: set[str], depth: int) -> Any:  # noqa: ANN401 (JSON)
    if depth > _DEEPEST:
        raise _TooMuchError
    if isinstance(value, list):
        return [_harmless(each, known, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    out = {key: _harmless(each, known, depth + 1) for key, each in value.items()}
    ref = out.get("$ref")
    if isinstance(ref, str) and not ref.startswith("#/"):
        raise _TooMuchError
    for name in ("id", "$id"):
        if isinstance(out.get(name), str):
            del out[name]  # it would change what references are relative to
    if isinstance(out.get("pattern"), str) and out["pattern"] not in known:
        del out["pattern"]
    patterns = out.get("patternProperties")
    if isinstance(patterns, dict) and not patterns.keys() <= known:
        del out["patternProperties"]
        out.pop("additionalProperties", None)
    return out


def _patterns(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _patterns(each, depth + 1)
    elif isinstance(value, dict):
        if isinstance(value.get("pattern"), str):
            yield value["pattern"]
        if isinstance(value.get("patternProperties"), dict):
            yield from value["patternProperties"]
        for each in value.values():
            yield from _patterns(each, depth + 1)
