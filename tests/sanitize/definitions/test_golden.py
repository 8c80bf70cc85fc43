"""Every format: before and after, byte for byte, and no row that nothing exercises."""

from __future__ import annotations

import difflib
import io
from typing import TYPE_CHECKING

import pytest

from tests.support.definitions import Golden, exercised, goldens, renewed, written
from unclone.sanitize.definitions.formats import all_formats, read_definition
from unclone.sanitize.definitions.row import Treatment
from unclone.sanitize.definitions.source import Source

if TYPE_CHECKING:
    from unclone.sanitize.definitions.definition import Format
    from unclone.sanitize.definitions.row import Row

#: Formats that only say what to run instead.
REFUSED = {"hyperv"}
FORMATS = [each for each in all_formats() if each.id not in REFUSED]
ROWS = [pytest.param(f, row, id=f"{f.id}-{row.id}") for f in all_formats() for row in f.rows]


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_becomes_what_it_should(golden: Golden) -> None:
    got, expected = written(renewed(golden)), golden.after.read_bytes()
    old, new = (text.decode("latin-1").splitlines() for text in (expected, got))
    assert got == expected, "\n".join(difflib.unified_diff(old, new, "expected", "got"))


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_is_told_by_its_content_and_by_one_format_only(golden: Golden) -> None:
    head = Source(golden.before).head
    assert [each.id for each in all_formats() if each.detects(head)] == [golden.format]


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_nothing_changes_where_nothing_is_edited(golden: Golden) -> None:
    output = io.BytesIO()
    read_definition(golden.before).write((), output)
    assert output.getvalue() == golden.before.read_bytes()


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_new_values_are_read_where_the_old_ones_were(golden: Golden) -> None:
    renewal, after = renewed(golden), read_definition(golden.after)
    expected = [
        (field.field.row.id, field.new)
        for field in renewal.fields
        if field.new is not None and field.field.row.treatment in {Treatment.RENEW, Treatment.NAME}
    ]
    found = [(field.row.id, field.value) for field in after.fields]
    assert [each for each in expected if each not in found] == []


@pytest.mark.parametrize("format_", FORMATS, ids=lambda each: str(each.id))
def test_has_fixtures_enough(format_: Format) -> None:
    assert len(goldens(format_.id)) >= 3


@pytest.mark.parametrize(("format_", "row"), ROWS)
def test_row_is_exercised(format_: Format, row: Row) -> None:
    found = [field for field in exercised(format_.id) if field.field.row == row]
    assert found, "no fixture has such a field"
    if row.treatment is Treatment.KEEP:
        assert not any(field.changed for field in found)
    else:
        assert any(field.changed for field in found), "no fixture changes it"


@pytest.mark.parametrize(("format_", "row"), ROWS)
def test_row_says_why_and_from_where(format_: Format, row: Row) -> None:
    assert sum(each.id == row.id for each in format_.rows) == 1
    assert row.source.startswith("https://")
    assert row.why
    assert not row.why.endswith(".")
    assert row.where
