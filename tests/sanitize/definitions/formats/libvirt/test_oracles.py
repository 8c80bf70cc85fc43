"""Results for libvirt, judged by libvirt's own schema and parser, and beside virt-clone's."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import Golden, goldens
from unclone.sanitize.definitions.formats.libvirt import reader as libvirt
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.text.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unclone.sanitize.definitions.definition import DefinitionPlan

#: Has elements that the libvirt of Debian 12 does not know yet.
TOO_NEW = ("libvirt-newer", "libvirt-host")
GOLDENS = [golden for golden in goldens("libvirt") if str(golden) not in TOO_NEW]
DOMAINS = [g for g in GOLDENS if "snapshot" not in str(g) and "checkpoint" not in str(g)]

#: virt-clone wants the disks to be there; these are files in the test's folder instead.
DISKS = ("/var/lib/libvirt/images/golden.qcow2", "/dev/vg0/golden", "/srv/golden-data.img")

#: Without its name libvirt finds no interface that it does not make itself: the report warns.
MADE_BY_OTHERS = {"/domain/devices/interface[4]/target@dev"}

#: Rows whose fields virt-clone leaves as they are, in the fixtures it can read.
LEFT_BY_VIRT_CLONE = {
    "argument-mac",
    "argument-serial",
    "argument-uuid",
    "genid",
    "sysinfo-uuid",  # where there is a second <sysinfo>: libvirt then refuses the result
    "sysinfo-serial",
    "board-serial",
    "chassis-serial",
    "disk-serial",
    "disk-wwn",
    "interface-id",
    "interface-instance-id",
    "interface-port",
    "interface-port-id",
    "interface-socket",
    "filter-parameter",
    "file-system-socket",
    "character-path",
    "character-log",
    "character-port",
    "graphics-port",
    "graphics-socket",
    "audio-file",
    "vsock-cid",
}


def run(*argv: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, input=stdin, capture_output=True, check=False, timeout=120)


@pytest.mark.parametrize("golden", GOLDENS, ids=str)
def test_schema_accepts_the_result(golden: Golden) -> None:
    done = run("virt-xml-validate", golden.after)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("name", TOO_NEW)
def test_what_the_schema_does_not_know_is_no_more_wrong_than_before(name: str) -> None:
    golden = next(each for each in goldens("libvirt") if str(each) == name)
    before, after = (run("virt-xml-validate", path) for path in (golden.before, golden.after))
    assert after.returncode == before.returncode != 0
    assert after.stderr.replace(b".after.", b".before.") == before.stderr


@pytest.mark.parametrize("golden", DOMAINS, ids=str)
def test_libvirt_defines_the_result(golden: Golden) -> None:
    commands = f"define {golden.after}; domuuid web-01; dumpxml --inactive web-01"
    done = run("virsh", "-c", "test:///default", "--quiet", commands)
    assert done.returncode == 0, done.stderr.decode()
    assert b"<name>web-01</name>" in done.stdout
    for mac in re.findall(rb"<mac address=.([0-9a-f:]+)", golden.after.read_bytes()):
        assert mac in done.stdout


def test_libvirt_takes_the_snapshot_for_one_of_the_new_machine() -> None:
    found = {golden.before.name.split(".")[0]: golden.after for golden in goldens("libvirt")}
    commands = (
        f"define {found['virt-manager']}; "
        f"snapshot-create web-01 {found['snapshot']} --redefine; snapshot-list web-01 --name"
    )
    done = run("virsh", "-c", "test:///default", "--quiet", commands)
    assert done.returncode == 0, done.stderr.decode()
    assert b"before-upgrade" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["virt-manager", "by-hand", "openstack"], ids=["virt-manager", "by-hand", "openstack"]
)
def test_what_virt_clone_changes_is_changed(name: str, tmp_path: Path) -> None:
    before, moves = readable_by_virt_clone(name, tmp_path)
    theirs, ours = virt_clone(before, moves, tmp_path), unclone(before, moves)
    old = flat(before)
    changed_by_them = {place for place in old if old[place] != flat(theirs).get(place)}
    changed_by_us = {place for place in old if old[place] != flat(ours).get(place)}
    assert len(changed_by_them) > 3
    assert changed_by_them - changed_by_us - MADE_BY_OTHERS == set()


@pytest.mark.slow
def test_what_virt_clone_leaves_is_named(tmp_path: Path) -> None:
    left = set()
    for name in ("virt-manager", "by-hand", "openstack"):
        folder = tmp_path / name
        folder.mkdir()
        before, moves = readable_by_virt_clone(name, folder)
        theirs, old = flat(virt_clone(before, moves, folder)), flat(before)
        for each in renewal_of(before, moves).fields:
            place = re.sub(r"/@", "@", each.field.place)
            place = re.sub(r"\[1\](?=/|@|$)", "", place)
            if each.changed and theirs.get(place) == old[place]:
                left.add(each.field.rule.id)
    assert left == LEFT_BY_VIRT_CLONE


def readable_by_virt_clone(name: str, folder: Path) -> tuple[bytes, dict[str, str]]:
    """A fixture with disks that exist, without what is before its root: virt-clone stops there."""
    golden = next(each for each in goldens("libvirt") if name in str(each))
    text = golden.before.read_bytes()
    text = text[text.index(b"<domain") :].replace(b"source dev='/dev", b"source file='/dev")
    text = text.replace(b"disk type='block'", b"disk type='file'")
    # virt-clone copies no disk on the network.
    text = re.sub(rb"<disk type='network'.*?</disk>\n", b"", text, flags=re.DOTALL)
    moves = {}
    for number, disk in enumerate(DISKS):
        if disk.encode() in text:
            old, new = folder / f"old-{number}.img", folder / f"new-{number}.img"
            for path in (old, new):
                path.write_bytes(bytes(1 << 20))
            text = text.replace(disk.encode(), str(old).encode())
            moves[str(old)] = str(new)
    return text, moves


def virt_clone(before: bytes, moves: Mapping[str, str], folder: Path) -> bytes:
    original = folder / "original.xml"
    original.write_bytes(before)
    files = [argument for new in moves.values() for argument in ("--file", new)]
    argv = ["virt-clone", "--connect", "test:///default", "--original-xml", str(original)]
    files = files or ["--auto-clone"]
    done = run(*argv, "--name", "web-01", *files, "--preserve-data", "--print-xml")
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def unclone(before: bytes, moves: Mapping[str, str]) -> bytes:
    plan, output = renewal_of(before, moves), io.BytesIO()
    plan.definition.write(plan.edits, output)
    return output.getvalue()


def renewal_of(before: bytes, moves: Mapping[str, str]) -> DefinitionPlan:
    definition = libvirt.read(Source(Path("golden.xml"), before))
    return plan_definition(definition, IdentityMap(Counting(), "web-01"), disks=moves)


def flat(document: bytes) -> dict[str, str]:
    """Every attribute and every text by its place, as the report calls places."""
    return dict(_flat(ET.fromstring(document), "/domain"))


def _flat(element: ET.Element, place: str) -> Iterator[tuple[str, str]]:
    yield place, (element.text or "").strip()
    for name, value in element.attrib.items():
        yield f"{place}@{name}", value
    counts: dict[str, int] = {}
    for child in element:
        tag = child.tag.rpartition("}")[2]
        counts[tag] = counts.get(tag, 0) + 1
        number = f"[{counts[tag]}]" if counts[tag] > 1 else ""
        yield from _flat(child, f"{place}/{tag}{number}")
