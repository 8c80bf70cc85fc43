"""A result that does not say what was promised is noticed before it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import Golden, goldens, planned
from unclone.images.errors import ResidueError
from unclone.sanitize.definitions.formats.libvirt import reader as libvirt
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.verifying import verify

if TYPE_CHECKING:
    from unclone.sanitize.definitions.definition import DefinitionPlan, Field

DOMAIN = """<domain type='kvm'>
  <name>golden</name>
  <uuid>6695eb01-f6a4-4304-b9aa-97f2502e193f</uuid>
  <devices>
    <interface type='user'><mac address='52:54:00:6b:3c:58'/></interface>
  </devices>
</domain>
"""


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_every_golden_result_is_proven(golden: Golden) -> None:
    verify(planned(golden))


def wrong(rule: str, **changes: object) -> DefinitionPlan:
    """A plan whose field *rule* was understood wrongly by its format."""
    definition = libvirt.read(Source(Path("golden.xml"), DOMAIN.encode()))

    def spoilt(field: Field) -> Field:
        return replace(field, **changes) if field.rule.id == rule else field  # type: ignore[arg-type] # a test's own

    fields = tuple(spoilt(field) for field in definition.fields)
    return plan_definition(replace(definition, fields=fields), IdentityMap(Counting(), "web-01"))


@pytest.mark.parametrize(
    ("rule", "changes", "words"),
    [
        (
            "interface-mac",
            {"end": DOMAIN.index("52:54"), "start": DOMAIN.index("52:54")},
            "is not in",
        ),
        ("interface-mac", {"spell": lambda _: "52:54:00:6b:3c:58"}, "is not in the result"),
        ("uuid", {"spell": lambda _: "<"}, "cannot be read"),
        ("name", {"spell": lambda new: new + "-x"}, "the new name 'web-01' is not in the result"),
    ],
    ids=["place", "value", "malformed", "name"],
)
def test_a_mistake_is_noticed(rule: str, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ResidueError, match=words):
        verify(wrong(rule, **changes))


def test_serials_may_change_places() -> None:
    disks = "<disk><serial>0002</serial></disk><disk><serial>0001</serial></disk>"
    text = f"<domain><name>golden</name><devices>{disks}</devices></domain>"
    definition = libvirt.read(Source(Path("a.xml"), text.encode()))
    plan = plan_definition(definition, IdentityMap(Counting(), "web-01"))
    assert [each.new for each in plan.fields[1:]] == ["0001", "0002"]
    verify(plan)


def test_a_field_that_was_forgotten_is_noticed() -> None:
    """The same card twice, in a snapshot and in the machine, and one of them was left out."""
    domain = DOMAIN.replace("\n", "")
    text = f"<domainsnapshot><name>s</name>{domain}{domain.replace('domain', 'inactiveDomain')}"
    definition = libvirt.read(Source(Path("a.xml"), f"{text}</domainsnapshot>".encode()))
    cards = [field for field in definition.fields if field.rule.id == "interface-mac"]
    fields = tuple(field for field in definition.fields if field is not cards[1])
    plan = plan_definition(replace(definition, fields=fields), IdentityMap(Counting(), "web-01"))
    with pytest.raises(ResidueError, match=r"the old interface-mac .* is still in the result"):
        verify(plan)
