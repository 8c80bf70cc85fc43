"""Whether what ``--json`` printed is what the published schemas say, and holds nothing besides."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from unclone import schemas

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_output(arguments: Iterable[object], stdout: str) -> None:
    """Fail when *stdout* of a command with *arguments* is a document and not a valid one.

    A command that was ended, or whose output was cut off, printed none.
    """
    if "--json" in map(str, arguments) and stdout.rstrip().endswith("}"):
        check_document(json.loads(stdout))


def check_document(document: dict[str, Any]) -> None:
    """Fail unless *document* is as its schema says, with no field that the schema does not name."""
    errors = sorted(_validator(document["schema"]).iter_errors(document), key=str)
    assert not errors, "\n".join(
        f"{document['schema']} {error.json_path}: {error.message[:500]} {_causes(error)}"
        for error in errors[:3]
    )


def closed(schema: Any) -> Any:
    """*schema* without room for fields that it does not name."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if "properties" in inner and "type" in inner:
        inner.setdefault("additionalProperties", False)
    return inner


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(closed(schemas.load(name)))


def _causes(error: Any) -> str:
    return "; ".join(f"{cause.json_path}: {cause.message[:200]}" for cause in error.context or ())
