"""What becomes of a field, whatever the format: one map, spellings, labels, what is left over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.allocator import Counting
from unclone.images.errors import UsageError
from unclone.sanitize.definitions.definition import Definition, DefinitionPlan, Field, Format
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import is_label, plan_definition
from unclone.sanitize.definitions.rule import FieldKind, Rule, Treatment
from unclone.sanitize.definitions.substitution import Substitution
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import Edit, splice

UUID = "6695eb01-f6a4-4304-b9aa-97f2502e193f"
MAC = "52:54:00:6b:3c:58"


def rule(kind: FieldKind, treatment: Treatment = Treatment.RENEW) -> Rule:
    return Rule(str(kind), kind, treatment, "here", "because", "https://example.org")


def identities() -> IdentityMap:
    return IdentityMap(Counting(), "web-01")


def planned(
    text: str, *fields: tuple[FieldKind, Treatment, str], name: str = "golden"
) -> DefinitionPlan:
    """The plan of *text*, in which each field is the first place of its value."""
    found = []
    for kind, treatment, value in fields:
        start = text.index(value)
        field = Field(rule(kind, treatment), "here", value, start, start + len(value), str, "it")
        found.append(field)
    found.sort(key=lambda field: field.start)
    format_ = Format("test", "a test", lambda _: True, __name__)
    definition = Definition(format_, Source(Path("a"), text.encode()), name, tuple(found))
    return plan_definition(definition, identities())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (UUID, UUID.upper()),
        (UUID, UUID.replace("-", "")),
        (UUID, f"{{{UUID}}}"),
        (UUID, "66 95 eb 01 f6 a4 43 04-b9 aa 97 f2 50 2e 19 3f"),
    ],
    ids=["case", "dashes", "braces", "vmware"],
)
def test_one_uuid_stays_one_in_every_spelling(one: str, other: str) -> None:
    map_ = identities()
    new = [map_.uuid(each, field="uuid") for each in (one, other)]
    assert len({"".join(c for c in each.lower() if c.isalnum()) for each in new}) == 1
    for old, each in zip((one, other), new, strict=True):
        shape = ["x" if c.isalnum() else c for c in old]
        assert ["x" if c.isalnum() else c for c in each] == shape
        assert each.isupper() == old.isupper()


def test_a_serial_that_is_the_uuid_stays_so() -> None:
    map_ = identities()
    new = map_.machine_uuid(UUID, field="uuid")
    assert map_.serial(UUID, field="serial") == new
    assert map_.machine_uuid("00000000-1111-2222-3333-444444444444", field="other") == new


def test_one_mac_stays_one_in_every_spelling() -> None:
    map_ = identities()
    new = [
        map_.mac(old, prefix=b"\2\0\0", place="") for old in (MAC, MAC.upper(), "52-54-00-6B-3C-58")
    ]
    assert new == ["52:54:00:00:00:01", "52:54:00:00:00:01", "52-54-00-00-00-01"]
    assert map_.macs == {MAC: "52:54:00:00:00:01"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WD-WMAP9A966149", "WD-000000000001"),
        ("ACME-0042-7731", "ACME-0000-0001"),
        ("0042", "0001"),
        ("VB1a2b3c4d-5e6f7a8b", "VB00000000-00000001"),
        ("AB12", "0001"),
    ],
)
def test_serials_keep_their_shape(old: str, new: str) -> None:
    assert identities().serial(old, field="serial") == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("5000c50015ea71aa", "5000c50000000001"),
        ("0x5000c50015ea71aa", "0x5000c50000000001"),
        ("5000C50015EA71AA", "5000C50000000001"),
        ("20000025b5000001", "2000000000000001"),
    ],
)
def test_world_wide_names_keep_their_maker(old: str, new: str) -> None:
    assert identities().wwn(old, field="wwn") == new


@pytest.mark.parametrize(
    ("serial", "label"),
    [
        ("root", True),
        ("data01", True),
        ("os-disk", True),
        ("7", True),
        ("ds=nocloud;s=http://192.0.2.1/", True),
        ("0001", False),
        ("WD-WMAP9A966149", False),
        ("deadbeefcafe", True),  # letters only: nothing tells it from a word
        (UUID, False),
    ],
)
def test_labels_are_no_numbers(serial: str, label: bool) -> None:
    assert is_label(Field(rule(FieldKind.SERIAL), "here", serial, 0, 0, str)) is label


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/srv/golden.sock", "/srv/web-01.sock"),
        ("/srv/golden/console.sock", "/srv/web-01/console.sock"),
        ("/srv/golden/golden.sock", "/srv/golden/web-01.sock"),
        ("/srv/goldenrod/x.sock", "/srv/goldenrod/x-web-01.sock"),
        ("/srv/domain-7-golden/agent.0", "/srv/domain-7-web-01/agent.0"),
        ("/srv/console", "/srv/console-web-01"),
        ("/srv/.console", "/srv/.console-web-01"),
        (f"/srv/{UUID}/x", "/srv/c10e0000-0000-4000-8000-000000000001/x"),
        (f"/srv/{MAC}.log", "/srv/52:54:00:00:00:01.log"),
    ],
)
def test_paths_follow(old: str, new: str) -> None:
    map_ = identities()
    map_.machine_uuid(UUID, field="uuid")
    map_.mac(MAC, prefix=b"", place="")
    assert Substitution("golden", map_).text(old, must_differ=True) == new


def test_what_may_be_shared_stays_when_nothing_followed() -> None:
    assert Substitution("golden", identities()).text("/srv/x") == "/srv/x"
    assert Substitution("", identities()).text("/srv/x", must_differ=True) == "/srv/x-web-01"


def test_paths_follow_what_comes_after_them() -> None:
    text = f"socket=/run/{UUID}\nuuid={UUID}\n"
    plan = planned(
        text.replace("uuid=", "id: "),
        (FieldKind.SOCKET, Treatment.FOLLOW, f"/run/{UUID}"),
    )
    assert plan.fields[0].new == f"/run/{UUID}-web-01"  # nobody planned the UUID


@pytest.mark.parametrize("port", [5900, 64535, 65534, 65535])
def test_ports_stay_ports(port: int) -> None:
    new = planned(f"port={port}", (FieldKind.PORT, Treatment.RENEW, str(port))).fields[0].new
    assert new is not None
    assert int(new) != port
    assert 1024 <= int(new) <= 65535


def test_what_is_left_over_is_named_with_its_lines() -> None:
    text = f"mac={MAC}\n# was {MAC.upper()}\nname=golden\n\n# golden, or goldenrod\n"
    plan = planned(
        text, (FieldKind.MAC, Treatment.RENEW, MAC), (FieldKind.NAME, Treatment.NAME, "golden")
    )
    assert [(note.level, note.text) for note in plan.notes] == [
        (
            "warning",
            f"the old MAC address {MAC} is still on line 2 of the result: see what reads it there",
        ),
        ("info", "the old name golden is still on line 5 of the result: see what reads it there"),
    ]


def test_one_machine_of_the_old_name_is_no_news() -> None:
    plan = planned(
        "name=web-01 # web-01", (FieldKind.NAME, Treatment.NAME, "web-01"), name="web-01"
    )
    assert plan.notes == ()


@pytest.mark.parametrize(
    "name", ["", " ", "-a", ".a", "a b", "a/b", "a\n", "ä", "x" * 64, "--help"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError):
        IdentityMap(Counting(), name)


def test_edits_must_not_overlap() -> None:
    assert splice("abc", [Edit(2, 3, "C"), Edit(0, 1, "A"), Edit(1, 1, "-")]) == "A-bC"
    with pytest.raises(ValueError, match="overlap"):
        splice("abc", [Edit(0, 2, ""), Edit(1, 3, "")])
    with pytest.raises(ValueError, match="outside"):
        splice("abc", [Edit(2, 4, "")])
