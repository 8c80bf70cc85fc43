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
EVERY_CHANGED = pytest.mark.parametrize("format_", CHANGED, ids=lambda each: str(each.id))


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


@EVERY_CHANGED
def test_has_fixtures_enough(format_: Format) -> None:
    assert len(goldens(format_.id)) >= 3


@EVERY_CHANGED
def test_every_rule_is_exercised(format_: Format) -> None:
    changed: dict[Rule, list[bool]] = {}
    for field in exercised(format_.id):
        changed.setdefault(field.field.rule, []).append(field.changed)
    assert [rule.id for rule in format_.rules if rule not in changed] == [], "no fixture has it"
    for rule in format_.rules:
        if rule.treatment is Treatment.KEEP:
            assert not any(changed[rule]), rule.id
        else:
            assert any(changed[rule]), f"no fixture changes {rule.id}"


@EVERY_CHANGED
def test_every_rule_says_why_and_from_where(format_: Format) -> None:
    ids = [rule.id for rule in format_.rules]
    assert len(set(ids)) == len(ids)
    for rule in format_.rules:
        assert rule.source.startswith("https://"), rule.id
        assert rule.why, rule.id
        assert not rule.why.endswith("."), rule.id
        assert rule.where, rule.id
