"""Every format: before and after, byte for byte, and no rule that nothing exercises."""

from __future__ import annotations

import difflib
import io
from typing import TYPE_CHECKING

import pytest

from tests.support.definitions import Golden, exercised, goldens, planned, written
from unclone.sanitize.definitions.formats.table import FORMATS, read_definition
from unclone.sanitize.definitions.rule import Treatment
from unclone.sanitize.definitions.text.source import Source

if TYPE_CHECKING:
    from unclone.sanitize.definitions.definition import Format
    from unclone.sanitize.definitions.rule import Rule

#: Formats that only say what to run instead.
REFUSED = {"hyperv"}
CHANGED = [each for each in FORMATS if each.id not in REFUSED]
RULES = [pytest.param(f, rule, id=f"{f.id}-{rule.id}") for f in CHANGED for rule in f.rules]


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_becomes_what_it_should(golden: Golden) -> None:
    got, expected = written(planned(golden)), golden.after.read_bytes()
    old, new = (text.decode("latin-1").splitlines() for text in (expected, got))
    assert got == expected, "\n".join(difflib.unified_diff(old, new, "expected", "got"))


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_is_told_by_its_content_and_by_one_format_only(golden: Golden) -> None:
    head = Source(golden.before).head
    assert [each.id for each in FORMATS if each.detects(head)] == [golden.format]


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_nothing_changes_where_nothing_is_edited(golden: Golden) -> None:
    output = io.BytesIO()
    read_definition(golden.before).write((), output)
    assert output.getvalue() == golden.before.read_bytes()


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_new_values_are_read_where_the_old_ones_were(golden: Golden) -> None:
    plan, after = planned(golden), read_definition(golden.after)
    expected = [
        (field.field.rule.id, field.new)
        for field in plan.fields
        if field.new is not None and field.field.rule.treatment in {Treatment.RENEW, Treatment.NAME}
    ]
    found = [(field.rule.id, field.value) for field in after.fields]
    assert [each for each in expected if each not in found] == []


@pytest.mark.parametrize("format_", CHANGED, ids=lambda each: str(each.id))
def test_has_fixtures_enough(format_: Format) -> None:
    assert len(goldens(format_.id)) >= 3


@pytest.mark.parametrize(("format_", "rule"), RULES)
def test_rule_is_exercised(format_: Format, rule: Rule) -> None:
    found = [field for field in exercised(format_.id) if field.field.rule == rule]
    assert found, "no fixture has such a field"
    if rule.treatment is Treatment.KEEP:
        assert not any(field.changed for field in found)
    else:
        assert any(field.changed for field in found), "no fixture changes it"


@pytest.mark.parametrize(("format_", "rule"), RULES)
def test_rule_says_why_and_from_where(format_: Format, rule: Rule) -> None:
    assert sum(each.id == rule.id for each in format_.rules) == 1
    assert rule.source.startswith("https://")
    assert rule.why
    assert not rule.why.endswith(".")
    assert rule.where
