"""The catalogue's files are in one form, so that a row is found and a diff is one row."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.catalogue import built_in_files, load
from unclone.sanitize.catalogue.row import RENEW_UUIDS, TELL
from unclone.sanitize.steps import STEPS

FILES = dict(built_in_files())
ROWS: list[dict[str, Any]] = [row for text in FILES.values() for row in yaml.safe_load(text)]
FIELDS = (
    "id",
    "title",
    "why",
    "profile",
    "off_because",
    "when",
    "action",
    "paths",
    "except",
    "containing",
    "lines",
    "content",
    "values",
    "remedy",
    "sources",
)

every_file = pytest.mark.parametrize("name", FILES)


@every_file
def test_rows_are_sorted_by_id(name: str) -> None:
    ids = [row["id"] for row in yaml.safe_load(FILES[name])]
    assert ids == sorted(ids)


@every_file
def test_lines_are_short_and_clean(name: str) -> None:
    text = FILES[name]
    # An address cannot be broken.
    long = [line for line in text.split("\n") if len(line) > 100 and "https://" not in line]
    assert long == []
    assert not [line for line in text.split("\n") if line != line.rstrip()]
    assert text.endswith("\n")
    assert "\n\n\n" not in text


def test_fields_are_in_order() -> None:
    for row in ROWS:
        assert list(row) == [field for field in FIELDS if field in row], row["id"]


def test_paths_are_sorted() -> None:
    for row in ROWS:
        for field in ("paths", "except"):
            paths = row.get(field, [])
            assert paths == sorted(paths), row["id"]


def test_reads_well() -> None:
    for row in ROWS:
        assert not row["title"].endswith("."), row["id"]
        assert len(row["title"]) <= 60, row["id"]
        for text in (
            row["why"],
            row.get("off_because", "It is off."),
            row.get("remedy", "It is told."),
        ):
            assert text.strip().endswith((".", ")")), row["id"]


@every_file
def test_a_golden_file_holds_golden_rows(name: str) -> None:
    if name.startswith("golden-"):
        assert {row.get("profile") for row in yaml.safe_load(FILES[name])} == {"golden"}


def test_off_is_said_with_a_reason_and_identity_is_not_said() -> None:
    for row in ROWS:
        assert row.get("profile") != "identity", f"{row['id']}: it is the default"
        assert len(row.get("off_because", "x" * 20)) >= 20, row["id"]


def test_ids_are_unique_among_rows_and_steps() -> None:
    ids = [step.info.id for step in (*STEPS, *load())]
    assert len(ids) == len(set(ids))


def test_loads_sorted_by_id() -> None:
    ids = [step.info.id for step in load()]
    assert ids == sorted(ids)
    assert len(ids) == len(ROWS)


def test_every_row_has_a_source_and_a_reason() -> None:
    for step in load():
        assert step.info.sources, step.info.id
        assert len(step.info.why) > 20, step.info.id


def test_every_action_of_a_row_is_one() -> None:
    assert {step.row.action for step in load()} <= {*ACTIONS, RENEW_UUIDS, TELL}
