"""The header of a copied VDI says the UUID that the new .vbox says, and it stays a sound VDI."""

from __future__ import annotations

import json
import shutil
import uuid
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.disk_images import tool
from tests.support.refusals import defined, refusal
from unclone.images.errors import RefusedError
from unclone.runs.define import Request

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.runs.define import Defined

NS = "{http://www.virtualbox.org/}"
MACHINE = uuid.UUID("7b2e1f9c-4c35-4a6e-9d10-a1b2c3d4e5f6")
BASE, CHILD = uuid.UUID(int=0xD << 124 | 0xA), uuid.UUID(int=0xD << 124 | 0xB)
#: Create, modify, linkage, modify of the parent.
PLACES = (392, 408, 424, 440)


def vbox(folder: Path, kind: str = "VDI") -> Path:
    source = folder / "golden.vbox"
    source.write_text(
        f'<VirtualBox xmlns="{NS[1:-1]}" version="1.19-linux">'
        f'<Machine uuid="{{{MACHINE}}}" name="golden"><MediaRegistry><HardDisks>'
        f'<HardDisk uuid="{{{BASE}}}" location="golden.vdi" format="{kind}">'
        f'<HardDisk uuid="{{{CHILD}}}" location="child.vdi" format="{kind}"/></HardDisk>'
        '</HardDisks></MediaRegistry><Hardware/><StorageControllers><StorageController name="SATA">'
        '<AttachedDevice type="HardDisk" port="0" device="0">'
        f'<Image uuid="{{{BASE}}}"/></AttachedDevice></StorageController></StorageControllers>'
        "</Machine></VirtualBox>"
    )
    return source


def make_disk(path: Path, kind: str = "vdi") -> None:
    raw = path.with_suffix(".raw")
    raw.write_bytes(b"A" * 65536 + bytes(2**20 - 65536))
    tool("qemu-img", "convert", "-f", "raw", "-O", kind, raw, path)
    raw.unlink()


def info(path: Path, kind: str = "vdi") -> dict[str, Any]:
    return dict(json.loads(tool("qemu-img", "info", "-f", kind, "--output=json", path)))


def uuids(path: Path) -> list[uuid.UUID]:
    content = path.read_bytes()
    return [uuid.UUID(bytes_le=content[at : at + 16]) for at in PLACES]


def registered(path: Path) -> dict[str, uuid.UUID]:
    disks = ET.parse(path).iter(f"{NS}HardDisk")
    return {disk.attrib["location"]: uuid.UUID(disk.attrib["uuid"]) for disk in disks}


def attached(path: Path) -> list[uuid.UUID]:
    return [uuid.UUID(image.attrib["uuid"]) for image in ET.parse(path).iter(f"{NS}Image")]


def run(source: Path, disks: dict[str, str]) -> Defined:
    request = Request(source, "web-01", output=source.with_name("web-01.vbox"), disks=disks)
    return defined(request)


def test_registry_attachment_and_header_say_the_same(tmp_path: Path) -> None:
    golden, copy = tmp_path / "golden.vdi", tmp_path / "web-01.vdi"
    make_disk(golden)
    shutil.copy(golden, copy)
    run(vbox(tmp_path), {"SATA:0:0": "web-01.vdi"})
    new = registered(tmp_path / "web-01.vbox")["web-01.vdi"]
    assert new != BASE
    assert attached(tmp_path / "web-01.vbox") == [new]
    create, modify, linkage, parent = uuids(copy)
    assert create == new
    assert modify not in (new, uuids(golden)[1])
    assert linkage == parent == uuid.UUID(int=0)
    assert info(copy)["virtual-size"] == info(golden)["virtual-size"] == 2**20
    tool("qemu-img", "check", "-f", "vdi", copy)
    assert tool("qemu-img", "compare", "-f", "vdi", "-F", "vdi", golden, copy).startswith(
        "Images are"
    )


def test_only_the_uuids_change(tmp_path: Path) -> None:
    golden, copy = tmp_path / "golden.vdi", tmp_path / "web-01.vdi"
    make_disk(golden)
    shutil.copy(golden, copy)
    run(vbox(tmp_path), {"golden.vdi": "web-01.vdi"})
    old, new = golden.read_bytes(), copy.read_bytes()
    assert len(old) == len(new)
    assert {i for i in range(len(old)) if old[i] != new[i]} <= set(range(392, 424))


def test_a_child_follows_its_parent(tmp_path: Path) -> None:
    make_disk(tmp_path / "a.vdi")
    make_disk(tmp_path / "b.vdi")
    run(vbox(tmp_path), {"golden.vdi": "a.vdi", "child.vdi": "b.vdi"})
    parent, child = uuids(tmp_path / "a.vdi"), uuids(tmp_path / "b.vdi")
    known = registered(tmp_path / "web-01.vbox")
    assert [parent[0], child[0]] == [known["a.vdi"], known["b.vdi"]]
    assert child[2:] == parent[:2]


def test_a_child_alone_keeps_its_parent(tmp_path: Path) -> None:
    make_disk(tmp_path / "b.vdi")
    before = uuids(tmp_path / "b.vdi")
    run(vbox(tmp_path), {"child.vdi": "b.vdi"})
    after, known = uuids(tmp_path / "b.vdi"), registered(tmp_path / "web-01.vbox")
    assert after[2:] == before[2:]
    assert known["golden.vdi"] == BASE  # still the source's disk
    assert after[0] == known["b.vdi"] != CHILD


def test_a_disk_that_stays_keeps_its_uuid(tmp_path: Path) -> None:
    done = run(vbox(tmp_path), {})
    assert registered(tmp_path / "web-01.vbox") == {"golden.vdi": BASE, "child.vdi": CHILD}
    assert attached(tmp_path / "web-01.vbox") == [BASE]
    assert done.associated_files == ()
    assert any("golden.vdi" in note.text for note in done.notes)


@pytest.mark.parametrize(("kind", "there"), [("VDI", False), ("VHD", True)])
def test_what_a_person_has_to_do_is_said(tmp_path: Path, kind: str, there: bool) -> None:
    if there:
        make_disk(tmp_path / "a.vhd", "vpc")
    done = run(vbox(tmp_path, kind), {"golden.vdi": "a.vhd"})
    [file] = done.associated_files
    new = registered(tmp_path / "web-01.vbox")["a.vhd"]
    assert f"VBoxManage internalcommands sethduuid {tmp_path / 'a.vhd'} {new}" in (file.describe())


def test_a_vmdk_gets_virtualbox_s_ids(tmp_path: Path) -> None:
    copy = tmp_path / "web-01.vmdk"
    make_disk(copy, "vmdk")
    content = copy.read_bytes()
    added = b'ddb.uuid.image="%s"\n' % str(BASE).encode()
    before, start, rest = content.partition(b"ddb.adapterType")
    copy.write_bytes(before + added + start + rest.replace(bytes(len(added)), b"", 1))
    run(vbox(tmp_path, "VMDK"), {"golden.vdi": "web-01.vmdk"})
    new = registered(tmp_path / "web-01.vbox")["web-01.vmdk"]
    assert b'ddb.uuid.image="%s"' % str(new).encode() in copy.read_bytes()
    assert info(copy, "vmdk")["virtual-size"] == 2**20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"short", "ends within its header"),
        (bytes(512), "is not a VDI"),
        (bytes(64) + b"\x7f\x10\xda\xbe" + bytes(512), "is not a VDI"),
        (bytes(64) + b"\x7f\x10\xda\xbe\1\0\1\0\x90\1\0\0", "ends within its header"),
    ],
    ids=["short", "other", "version-0", "cut"],
)
def test_what_is_no_vdi_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "web-01.vdi").write_bytes(content)
    error = refusal(vbox(tmp_path), disks={"SATA:0:0": "web-01.vdi"})
    assert isinstance(error, RefusedError)
    assert words in error.message


def test_a_folder_is_no_disk(tmp_path: Path) -> None:
    (tmp_path / "web-01.vdi").mkdir()
    assert "directory" in refusal(vbox(tmp_path), disks={"SATA:0:0": "web-01.vdi"}).message
