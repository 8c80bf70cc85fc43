"""A copied VMDK gets ids of its own, beside its new .vmx, and stays a sound VMDK."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.disk_images import tool
from tests.support.refusals import defined as make
from tests.support.refusals import refusal
from unclone.images.errors import RefusedError, UncloneError, UsageError
from unclone.images.lock import ImageLock
from unclone.runs.define import Request, pool, read, written

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.runs.define import Defined

CARD = 'ethernet0.addressType = "static"\nethernet0.address = "00:50:56:1a:2b:3c"\n'
UUID = 'uuid.bios = "56 4d 3f 6c 2a 9b 1e 07-d4 5c 88 31 fa 0b 6e 72"\n'
VMX = (
    'config.version = "8"\nvirtualHW.version = "19"\ndisplayName = "golden"\n'
    f'scsi0:0.fileName = "golden.vmdk"\n{CARD}{UUID}'
)
NAME = b"60 00 C2 9a 3b 1f 77 20-de 41 8c 9d 02 6e 5b f8"
CONTENT = b"0123456789abcdef0123456789abcdef"


def info(path: Path) -> dict[str, Any]:
    return dict(json.loads(tool("qemu-img", "info", "-f", "vmdk", "--output=json", path)))


def make_disk(path: Path, kind: str) -> None:
    """A disk with something on it, and VMware's own ids, which qemu-img does not write."""
    raw = path.with_suffix(".raw")
    raw.write_bytes(b"A" * 65536 + bytes(2**20 - 65536))
    arguments = ("-f", "raw", "-O", "vmdk", "-o", f"subformat={kind}")
    tool("qemu-img", "convert", *arguments, raw, path)
    raw.unlink()
    content = path.read_bytes()
    added = b'ddb.longContentID = "%s"\nddb.uuid = "%s"\n' % (CONTENT, NAME)
    before, start, rest = content.partition(b"ddb.adapterType")
    assert start
    if content.startswith(b"# Disk"):
        path.write_bytes(before + added + start + rest)
        return
    zeros = bytes(len(added))  # room within the sectors of an embedded descriptor
    assert zeros in rest
    path.write_bytes(before + added + start + rest.replace(zeros, b"", 1))


def ids(path: Path) -> dict[str, str]:
    found = re.findall(
        rb'^(CID|parentCID|ddb\.uuid|ddb\.longContentID)="?\s*"?([^"\n]*)',
        path.read_bytes().replace(b" = ", b"="),
        re.MULTILINE,
    )
    return {key.decode(): value.decode() for key, value in found}


def asked(folder: Path, *, overwrite: bool = False) -> Request:
    source = folder / "golden.vmx"
    source.write_text(VMX)
    output, disks = folder / "web-01.vmx", {"golden.vmdk": "web-01.vmdk"}
    return Request(source, "web-01", output=output, disks=disks, overwrite=overwrite)


def defined(folder: Path, *, overwrite: bool = False) -> Defined:
    return make(asked(folder, overwrite=overwrite), key=b"k" * 32)


@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized"])
def test_embedded_ids_are_renewed_in_place(tmp_path: Path, kind: str) -> None:
    golden, copy = tmp_path / "golden.vmdk", tmp_path / "web-01.vmdk"
    make_disk(golden, kind)
    shutil.copy(golden, copy)
    before, was = info(copy), ids(golden)
    [file] = defined(tmp_path).associated_files
    assert "CID" in file.describe()
    after, now = info(copy), ids(copy)
    assert after["format-specific"]["data"]["cid"] != before["format-specific"]["data"]["cid"]
    assert after["virtual-size"] == before["virtual-size"]
    assert copy.stat().st_size == golden.stat().st_size
    assert tool("qemu-img", "compare", "-f", "vmdk", "-F", "vmdk", golden, copy).startswith(
        "Images are"
    )
    assert was == ids(golden)
    assert now["parentCID"] == was["parentCID"] == "ffffffff"
    assert now["ddb.longContentID"] not in (was["ddb.longContentID"], "")
    assert now["ddb.longContentID"].endswith(now["CID"].zfill(8))
    assert now["ddb.uuid"][:10] == was["ddb.uuid"][:10] == "60 00 C2 9"
    assert now["ddb.uuid"] != was["ddb.uuid"]
    assert len(now["ddb.uuid"]) == len(was["ddb.uuid"])


def test_the_ids_in_a_descriptor_file_are_renewed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    make_disk(tmp_path / "golden.vmdk", "monolithicFlat")
    copy = tmp_path / "web-01.vmdk"
    shutil.copy(tmp_path / "golden-flat.vmdk", tmp_path / "web-01-flat.vmdk")
    text = (tmp_path / "golden.vmdk").read_bytes()
    copy.write_bytes(text.replace(b"golden-flat", b"web-01-flat"))
    defined(tmp_path)
    assert ids(copy)["CID"] != ids(tmp_path / "golden.vmdk")["CID"]
    assert info(copy)["virtual-size"] == 2**20
    changed = copy.read_bytes().replace(b"web-01-flat", b"golden-flat")
    assert len(changed) == len(text)


def test_a_copy_of_the_descriptor_alone_is_refused(tmp_path: Path) -> None:
    make_disk(tmp_path / "golden.vmdk", "monolithicFlat")
    shutil.copy(tmp_path / "golden.vmdk", tmp_path / "web-01.vmdk")
    error = refuse(tmp_path)
    assert isinstance(error, RefusedError)
    assert "golden-flat.vmdk" in error.message


def test_the_same_key_gives_the_same_ids(tmp_path: Path) -> None:
    golden, copy = tmp_path / "golden.vmdk", tmp_path / "web-01.vmdk"
    make_disk(golden, "monolithicSparse")
    shutil.copy(golden, copy)
    defined(tmp_path)
    first = copy.read_bytes()
    defined(tmp_path, overwrite=True)
    assert copy.read_bytes() == first


def test_a_child_of_the_source_does_not_take_the_copy_for_its_parent(tmp_path: Path) -> None:
    golden, copy, child = (tmp_path / f"{n}.vmdk" for n in ("golden", "web-01", "child"))
    make_disk(golden, "monolithicSparse")
    tool("qemu-img", "create", "-f", "vmdk", "-b", golden, "-F", "vmdk", child)
    shutil.copy(golden, copy)
    defined(tmp_path)
    assert ids(child)["parentCID"] == ids(golden)["CID"] != ids(copy)["CID"]


def test_a_disk_that_is_not_there_yet_is_named(tmp_path: Path) -> None:
    make_disk(tmp_path / "golden.vmdk", "monolithicSparse")
    [file] = defined(tmp_path).associated_files
    assert "is not there yet" in file.describe()
    assert not (tmp_path / "web-01.vmdk").exists()


def refuse(folder: Path, new: str = "web-01.vmdk") -> Exception:
    source = folder / "golden.vmx"
    source.write_text(VMX)
    return refusal(source, disks={"scsi0:0": new})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "ends within its header"),
        (b"QFI\xfb" + bytes(512), "is not a VMDK"),
        (b"KDMV" + bytes(512), "no descriptor that can be changed"),
        (b"KDMV" + b"\xff" * 512, "no descriptor that can be changed"),
        (b"KDMV" + bytes(24) + b"\1" + bytes(7) + b"\x14" + bytes(473), "ends within its header"),
        (b"KDMV" + bytes(24) + b"\1" + bytes(7) + b"\1" + bytes(1473), "is damaged"),
        (b"# Disk DescriptorFile\n" + b"#" * 2**20, "too long"),
        (b'# Disk DescriptorFile\nRW 1 FLAT "\0', ""),
    ],
    ids=["short", "qcow2", "none", "far", "cut", "damaged", "long", "harmless"],
)
def test_what_is_no_sound_vmdk_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "web-01.vmdk").write_bytes(content)
    if words:
        error = refuse(tmp_path)
        assert isinstance(error, RefusedError)
        assert words in str(error)
    else:
        defined(tmp_path)
        assert (tmp_path / "web-01.vmdk").read_bytes() == content


def test_the_source_s_own_disk_is_never_changed(tmp_path: Path) -> None:
    golden = tmp_path / "golden.vmdk"
    make_disk(golden, "monolithicSparse")
    (tmp_path / "web-01.vmdk").hardlink_to(golden)
    assert isinstance(refuse(tmp_path), UsageError)


def test_a_disk_in_use_is_left_alone_and_nothing_is_written(tmp_path: Path) -> None:
    make_disk(tmp_path / "web-01.vmdk", "monolithicSparse")
    with ImageLock() as lock:
        lock.exclusive([tmp_path / "web-01.vmdk"])
        assert "in use" in str(refuse(tmp_path))


def test_ids_come_back_when_something_later_fails(tmp_path: Path) -> None:
    copy = tmp_path / "web-01.vmdk"
    make_disk(copy, "monolithicSparse")
    before = copy.read_bytes()
    with pytest.raises(UncloneError, match="later"):
        define_and_fail(asked(tmp_path), copy, before)
    assert copy.read_bytes() == before
    assert not (tmp_path / "web-01.vmx").exists()


def define_and_fail(request: Request, copy: Path, before: bytes) -> None:
    with pool(request) as identities, written(request, read(request), identities):
        assert copy.read_bytes() != before
        raise UncloneError("something later failed")
