"""Every place that is called as identities are is on a list; what is on none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import Golden, goldens, planned
from tests.support.relaxng import Schema
from unclone.sanitize.change import Level
from unclone.sanitize.definitions.classification import (
    SHOWN,
    STEP,
    is_telling,
    unclassified,
)
from unclone.sanitize.definitions.formats.table import FORMATS, definition_in
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.text.source import Source

LISTS = Path(__file__).with_name("leaves")
BY_ID = {each.id: each for each in FORMATS}
LIBVIRT_SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")
#: Places of Debian 12's schema; a list that is empty would have nothing unclassified either.
FEWEST = {"incus": 30, "kubevirt": 30, "libvirt": 100, "ovf": 50, "proxmox": 10, "vbox": 60}


def listed(format_id: str) -> list[str]:
    lines = LISTS.joinpath(f"{format_id}.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def remarks(text: str, file: str = "golden") -> list[tuple[str, str]]:
    source = Source(Path(f"/nowhere/{file}"), text.encode())
    plan = plan_definition(definition_in(source), IdentityMap(Counting(), "web-01"))
    return [(str(note.level), note.text) for note in plan.notes if note.step == STEP]


@pytest.mark.parametrize("format_id", sorted(path.stem for path in LISTS.glob("*.txt")))
def test_what_a_format_s_schema_has_is_classified(format_id: str) -> None:
    paths = listed(format_id)
    assert sum(map(is_telling, paths)) >= FEWEST[format_id]
    assert unclassified(BY_ID[format_id], paths) == []


def test_what_the_installed_schema_of_libvirt_has_is_classified() -> None:
    if not LIBVIRT_SCHEMA.exists():
        pytest.skip("libvirt's schemas are not installed (libvirt0)")
    paths = sorted(filter(is_telling, Schema(LIBVIRT_SCHEMA).paths()))
    assert len(paths) >= FEWEST["libvirt"]
    assert unclassified(BY_ID["libvirt"], paths) == []


def test_a_new_place_is_found() -> None:
    new = [f"devices/{device}/quantum/@serial" for device in ("disk", "interface")]
    paths = ["devices/interface/mac/@address", *new, "devices/quantum/@speed"]
    assert unclassified(BY_ID["libvirt"], paths) == new


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_real_definitions_are_classified(golden: Golden) -> None:
    assert [note.text for note in planned(golden).notes if note.step == STEP] == []


STAYS = "stays: not classified, see whether it may"
DOMAIN = "<domain type='kvm'><name>golden</name>{}</domain>"
VM = "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata:\n  name: golden\n"
UUID = "6695eb01-f6a4-4304-b9aa-97f2502e193f"
SPACED = "56 4d 1a 2b 3c 4d 5e 6f-70 81 92 a3 b4 c5 d6 e7"
UNKNOWN = {
    "uuid": (
        DOMAIN.format(f"<devices><quantum id='{UUID}'/></devices>"),
        ("warning", f"devices/quantum/@id: {UUID} {STAYS}"),
    ),
    "mac": (
        DOMAIN.format("<devices><quantum peer='52:54:00:11:22:33'/></devices>"),
        (
            "warning",
            f"devices/quantum/@peer: 52:54:00:11:22:33 {STAYS}",
        ),
    ),
    "storage-name": (
        DOMAIN.format("<devices><quantum peer='iqn.2024-01.com.example:x'/></devices>"),
        (
            "warning",
            f"devices/quantum/@peer: iqn.2024-01.com.example:x {STAYS}",
        ),
    ),
    "name": (
        DOMAIN.format("<devices><quantum serial='7'/></devices>"),
        ("info", f"devices/quantum/@serial {STAYS}"),
    ),
    "vmx": (
        '.encoding = "UTF-8"\nvirtualHW.version = "14"\ndisplayName = "golden"\nnew.hostId = "7"\n',
        ("info", f"new.hostId {STAYS}"),
    ),
    "annotation": (
        VM + f"  annotations: {{x: {UUID}}}\n",
        (
            "warning",
            f"metadata/annotations/x: {UUID} {STAYS}",
        ),
    ),
    "proxmox": (
        f"name: golden\nostype: l26\nscsihw: lsi\nnew: a={UUID}\n",
        ("warning", f"new/a: {UUID} {STAYS}"),
    ),
    "below-a-device-of-one-type": (
        DOMAIN.format("<devices><interface type='user'><own uuid='7'/></interface></devices>"),
        ("info", f"devices/interface/own/@uuid {STAYS}"),
    ),
    "vmx-annotation": (
        f'virtualHW.version = "14"\ndisplayName = "golden"\nannotation = "was {UUID}"\n',
        ("warning", f"annotation: {UUID} {STAYS}"),
    ),
    "vmx-spelling": (
        f'virtualHW.version = "14"\ndisplayName = "golden"\nannotation = "was {SPACED}"\n',
        ("warning", f"annotation: {SPACED} {STAYS}"),
    ),
    "qemu": (
        f"#!/bin/sh\nqemu-system-x86_64 -name golden -nic none -device quantum,peer={UUID}\n",
        ("warning", f"-device peer: {UUID} {STAYS}"),
    ),
}


@pytest.mark.parametrize(("text", "note"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_on_no_list_is_named(text: str, note: tuple[str, str]) -> None:
    assert remarks(text) == [note]


@pytest.mark.parametrize(
    "more",
    [
        f"<uuid>{UUID}</uuid><metadata><own id='{UUID}'/></metadata>",  # left over, and said so
        "<metadata><own uuid='00000000-0000-0000-0000-000000000000'/></metadata>",
        "<devices><quantum peer='ff:ff:ff:ff:ff:ff'/></devices>",
        "<devices><interface type='user'><address type='pci' bus='0x01'/></interface></devices>",
        "<devices><quantum serial=''/></devices>",
    ],
    ids=["renewed", "null", "broadcast", "place-on-a-bus", "empty"],
)
def test_what_is_no_identity_is_not_named(more: str) -> None:
    assert remarks(DOMAIN.format(more)) == []


def test_many_are_counted() -> None:
    more = "".join(f"<q{n} serial='7'/>" for n in range(SHOWN + 5))
    found = remarks(DOMAIN.format(f"<devices>{more}</devices>"))
    assert len(found) == SHOWN + 1
    assert found[-1] == (str(Level.WARNING), "5 further values that are not classified stay")
