"""The published schemas: there is one for each document, and it can be failed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.support.documents import check_document, check_output
from unclone import schemas

NAMES = sorted(
    f"unclone.{file.name.removesuffix('-1.json')}/1"
    for file in files(schemas).iterdir()
    if file.name.endswith(".json")
)
JSON_MD = (Path(__file__).parents[2] / "docs/json.md").read_text()

FAILURE: dict[str, Any] = {
    "image": "a",
    "status": "in-use",
    "error": {"message": "m", "hint": "", "exit_status": 3},
}


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_is_one_and_says_which_document_it_is_for(name: str) -> None:
    schema = schemas.load(name)
    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"] == {"const": name}
    assert f"`{name}`" in JSON_MD


#: Not printed by a command: a file beside a machine, and one that a person writes.
RECORDS = {"unclone.machine/1", "unclone.fleet/1"}


@pytest.mark.parametrize("name", sorted({*NAMES} - RECORDS))
def test_every_document_may_hold_failures_and_later_fields(name: str) -> None:
    document = {"schema": name, "results": [FAILURE], "later": 1}
    Draft202012Validator(schemas.load(name)).validate(document)


@pytest.mark.parametrize("name", ["unclone.nothing/1", "unclone.sanitize/2", "../x/1", ""])
def test_a_document_that_does_not_exist_has_no_schema(name: str) -> None:
    with pytest.raises(KeyError):
        schemas.load(name)


@pytest.mark.parametrize(
    "document",
    [
        {"schema": "unclone.sanitize/1", "results": [{**FAILURE, "new": 1}]},
        {"schema": "unclone.sanitize/1", "results": [{**FAILURE, "status": "odd"}]},
        {"schema": "unclone.sanitize/1", "results": [{"image": "a"}]},
        {"schema": "unclone.inspect/1", "results": {}},
    ],
    ids=["an unknown field", "an unknown status", "fields are missing", "no list"],
)
def test_the_tests_do_fail_for_a_document_that_is_not_as_described(
    document: dict[str, Any],
) -> None:
    with pytest.raises(AssertionError, match="unclone"):
        check_document(document)


def test_only_documents_are_checked() -> None:
    check_output(["sanitize", "a"], "text }")
    check_output(["sanitize", "--json"], "")
    with pytest.raises(AssertionError):
        check_output(["inspect", "--json"], '{"schema": "unclone.inspect/1", "results": [{}]}\n')
