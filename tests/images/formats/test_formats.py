"""Which format a file has, and which headers are refused before QEMU reads them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import (
    KINDS,
    MIB,
    SIZE,
    Kind,
    empty,
    make,
    tool,
)
from unclone.images.errors import ExitStatus, RefusedError
from unclone.images.formats.header import Extent, Format, Header
from unclone.images.formats.table import detect, read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QCOW2, RAW = KINDS[0], KINDS[4]
BY_NAME = {str(kind): kind for kind in KINDS}
STREAM = Kind("vmdk-streamOptimized", "vmdk", "subformat=streamOptimized")


def detected(path: Path) -> Format:
    with path.open("rb") as file:
        return detect(file, name=path.name, suffix=path.suffix)


def header(path: Path, fmt: str) -> Header:
    with path.open("rb") as file:
        return read_header(file, Format(fmt), name=path.name)


def patch(path: Path, offset: int, content: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
    return path


# -- detection ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, STREAM], ids=str)
def test_the_magic_says_what_an_image_is(tmp_path: Path, kind: Kind) -> None:
    assert detected(make_any(tmp_path / "disk.img", kind)) == kind.format


@pytest.mark.parametrize("name", ["disk.raw", "disk.RAW"])
@pytest.mark.parametrize("kind", ["qcow2", "vdi", "vhdx", "vmdk-monolithicSparse"])
def test_a_file_named_raw_with_another_header_is_ambiguous(
    tmp_path: Path, name: str, kind: str
) -> None:
    path = empty(tmp_path / name, BY_NAME[kind])
    with pytest.raises(RefusedError, match=f"{name} begins with a .* header") as caught:
        detected(path)
    assert "--format raw or --format" in caught.value.hint


@pytest.mark.parametrize(
    ("offset", "content"),
    [(510, b"\x55\xaa"), (512, b"EFI PART")],
    ids=["MBR signature", "GPT header"],
)
def test_a_qcow2_header_on_what_is_also_a_disk_is_ambiguous(
    tmp_path: Path, offset: int, content: bytes
) -> None:
    path = patch(empty(tmp_path / "disk.img", QCOW2), offset, content)
    with pytest.raises(RefusedError, match=r"disk\.img begins with a qcow2 header"):
        detected(path)


def test_a_raw_disk_is_raw_whatever_its_name(tmp_path: Path) -> None:
    path = patch(empty(tmp_path / "disk.qcow2", RAW), 510, b"\x55\xaa")
    assert detected(path) is Format.RAW


@pytest.mark.parametrize(
    ("fmt", "name"),
    [("vpc", "VHD"), ("qed", "QED"), ("parallels", "Parallels")],
    ids=["vhd", "qed", "parallels"],
)
def test_a_format_that_cannot_be_changed_is_not_taken_for_raw(
    tmp_path: Path, fmt: str, name: str
) -> None:
    path = empty(tmp_path / "disk.img", Kind(fmt, fmt))
    with pytest.raises(RefusedError, match=f"is a {name} image") as caught:
        detected(path)
    assert "qemu-img convert" in caught.value.hint


@pytest.mark.parametrize("fmt", ["qcow2", "vmdk", "vdi", "vhdx"])
def test_a_stated_format_needs_its_magic(tmp_path: Path, fmt: str) -> None:
    path = empty(tmp_path / "disk.img", RAW)
    with pytest.raises(RefusedError, match=f"disk.img is not a {fmt} image") as caught:
        header(path, fmt)
    assert "--format" in caught.value.hint


def test_a_stated_raw_format_is_raw(tmp_path: Path) -> None:
    path = empty(tmp_path / "disk.raw", QCOW2)
    found = header(path, "raw")
    assert found == Header(Format.RAW, virtual_size=-(-path.stat().st_size // 512) * 512)


# -- sound headers -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_virtual_size_is_the_one_of_qemu(tmp_path: Path, kind: Kind) -> None:
    found = header(make(tmp_path / "disk", kind), kind.format)
    assert (found.format, found.virtual_size, found.backing) == (kind.format, SIZE, "")
    assert found.unclean == found.unwritable == ""


def test_qcow2_facts(tmp_path: Path) -> None:
    path = make(tmp_path / "disk.qcow2", BY_NAME["qcow2-v2"])
    tool("qemu-img", "snapshot", "-c", "one", path)
    found = header(path, "qcow2")
    assert (found.variant, found.cluster_size, found.snapshots) == ("v2", 65536, 1)


def test_qcow2_names_its_backing_and_data_files(tmp_path: Path) -> None:
    make(tmp_path / "base.raw", RAW)
    path = tmp_path / "disk.qcow2"
    tool(
        "qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/disk.data",
        "-F", "raw", "-b", "base.raw", path,
    )  # fmt: skip
    found = header(path, "qcow2")
    assert (found.backing, found.backing_format) == ("base.raw", "raw")
    assert found.extents == (Extent(f"{tmp_path}/disk.data"),)


def test_vmdk_names_its_extents(tmp_path: Path) -> None:
    flat = header(make(tmp_path / "flat.vmdk", BY_NAME["vmdk-monolithicFlat"]), "vmdk")
    assert flat.variant == "monolithicFlat"
    assert flat.extents == (Extent("flat-flat.vmdk", Format.RAW, SIZE),)
    split = header(make(tmp_path / "split.vmdk", BY_NAME["vmdk-twoGbMaxExtentSparse"]), "vmdk")
    assert split.extents == (Extent("split-s001.vmdk", Format.VMDK),)


def test_vmdk_names_its_parent(tmp_path: Path) -> None:
    make(tmp_path / "base.vmdk", BY_NAME["vmdk-monolithicSparse"])
    path = tmp_path / "disk.vmdk"
    tool("qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", tmp_path / "base.vmdk", path)
    found = header(path, "vmdk")
    assert (found.backing, found.backing_format) == (f"{tmp_path}/base.vmdk", "vmdk")


def test_a_stream_optimized_vmdk_can_only_be_read(tmp_path: Path) -> None:
    found = header(make_any(tmp_path / "disk.vmdk", STREAM), "vmdk")
    assert "streamOptimized" in found.unwritable


@pytest.mark.parametrize(
    ("bit", "word"), [(1, "not closed cleanly"), (2, "corrupt")], ids=["dirty", "corrupt"]
)
def test_a_marked_qcow2_has_to_be_repaired_first(tmp_path: Path, bit: int, word: str) -> None:
    path = patch(empty(tmp_path / "disk", QCOW2), 72, struct.pack(">Q", bit))
    assert word in header(path, "qcow2").unclean


def test_a_vhdx_with_a_log_has_to_be_repaired_first(tmp_path: Path) -> None:
    path = empty(tmp_path / "disk", BY_NAME["vhdx"])
    for offset in (64 * 1024, 128 * 1024):
        with path.open("rb") as file:
            file.seek(offset)
            raw = bytearray(file.read(4096))
        raw[48:64] = b"L" * 16  # the log GUID
        raw[4:8] = bytes(4)
        patch(path, offset, bytes(raw[:4]) + crc32c(bytes(raw)) + bytes(raw[8:]))
    assert "log" in header(path, "vhdx").unclean


# -- headers that lie --------------------------------------------------------------------------

CONTRADICTORY: list[tuple[str, int, bytes, str]] = [
    ("qcow2", 4, struct.pack(">I", 1), "version 1 qcow"),
    ("qcow2", 4, struct.pack(">I", 9), "version is 9"),
    ("qcow2", 8, struct.pack(">QI", 512, 1024), "backing file name is 1024 bytes"),
    ("qcow2", 8, struct.pack(">QI", 65530, 16), "backing file name is 16 bytes"),
    ("qcow2", 20, struct.pack(">I", 60), r"cluster size is 2\^60"),
    ("qcow2", 24, struct.pack(">Q", 1 << 62), "virtual size of 4611686018427387904 bytes"),
    ("qcow2", 24, struct.pack(">Q", 0), "virtual size of 0 bytes"),
    ("qcow2", 32, struct.pack(">I", 2), "encrypted qcow2"),
    ("qcow2", 32, struct.pack(">I", 7), "encryption method is 7"),
    ("qcow2", 36, struct.pack(">I", 0xFFFFFFFF), "L1 table has 4294967295 entries"),
    ("qcow2", 40, struct.pack(">Q", 1 << 40), "L1 table is at byte 1099511627776"),
    ("qcow2", 40, struct.pack(">Q", 1000), "L1 table is at byte 1000"),
    ("qcow2", 48, struct.pack(">Q", 1 << 41), "refcount table is at byte 2199023255552"),
    ("qcow2", 48, struct.pack(">Q", 0), "refcount table is at byte 0"),
    ("qcow2", 56, struct.pack(">I", 0), "refcount table has 0 clusters"),
    ("qcow2", 56, struct.pack(">I", 0x10000), "refcount table has 65536 clusters"),
    ("qcow2", 60, struct.pack(">I", 1 << 20), "1048576 internal snapshots"),
    ("qcow2", 60, struct.pack(">IQ", 1, 1 << 50), "snapshot table lies outside"),
    ("qcow2", 72, struct.pack(">Q", 1 << 40), "features that are unknown"),
    ("qcow2", 72, struct.pack(">Q", 4), "does not say in which"),
    ("qcow2", 96, struct.pack(">I", 9), r"refcounts are 2\^9 bits"),
    ("qcow2", 100, struct.pack(">I", 8), "header is 8 bytes"),
    ("qcow2", 112, struct.pack(">II", 0xE2792ACA, 1 << 20), "header extensions is longer"),
    ("qcow2", 112, struct.pack(">II8s", 0xE2792ACA, 8, b"ra\0w"), "format holds a NUL"),
    ("qcow2", 65536, struct.pack(">Q", 1 << 50), "refcount table entry's target"),
    ("qcow2", 65536, struct.pack(">Q", 0x20200), "inside a cluster"),
    ("vmdk-monolithicSparse", 4, struct.pack("<I", 9), "version is 9"),
    ("vmdk-monolithicSparse", 12, struct.pack("<Q", 0), "virtual size is 0"),
    ("vmdk-monolithicSparse", 12, struct.pack("<Q", 1 << 50), "grain directory"),
    ("vmdk-monolithicSparse", 20, struct.pack("<Q", 100), "grains are 100"),
    ("vmdk-monolithicSparse", 28, struct.pack("<Q", 5), "descriptor is at sector 5"),
    ("vmdk-monolithicSparse", 44, struct.pack("<I", 0), "grain tables 0"),
    ("vmdk-monolithicSparse", 56, struct.pack("<Q", 1 << 40), "grain directory is at byte"),
    ("vmdk-monolithicSparse", 56, b"\xff" * 8, "grain directory is missing"),
    ("vmdk-monolithicSparse", 600, b"#parentFileNameHint=x\n", "parent in an unusual way"),
    ("vmdk-monolithicSparse", 0, b"COWD", "old ESX"),
    ("vdi", 68, struct.pack("<I", 0x00020001), r"version is 2\.1"),
    ("vdi", 76, struct.pack("<I", 4), "depends on another"),
    ("vdi", 424, b"\x01", "depends on another"),
    ("vdi", 340, struct.pack("<I", 513), "block map is at byte 513"),
    ("vdi", 340, struct.pack("<I", 1 << 31), "block map is at byte 2147483648"),
    ("vdi", 368, struct.pack("<Q", 1 << 50), "virtual size of 1125899906842624"),
    ("vdi", 376, struct.pack("<I", 4096), "blocks 4096 bytes"),
    ("vdi", 384, struct.pack("<I", 1 << 30), "does not fit its 1073741824 blocks"),
    ("vdi", 388, struct.pack("<I", 60), "last data block"),
    ("vhdx", 192 * 1024, b"XXXX", "region table is not valid"),
    ("vhdx", 192 * 1024 + 8, struct.pack("<I", 1 << 30), "region table is not valid"),
    ("vhdx", 192 * 1024 + 16, bytes(16), "no metadata or no allocation table"),
    ("vhdx", 192 * 1024 + 32, struct.pack("<Q", 1 << 50), "region is at byte"),
]


@pytest.mark.parametrize(
    ("kind", "offset", "content", "words"),
    CONTRADICTORY,
    ids=[f"{k}: {w}" for k, _, _, w in CONTRADICTORY],
)
def test_a_contradictory_header_is_refused(
    tmp_path: Path, kind: str, offset: int, content: bytes, words: str
) -> None:
    path = patch(make(tmp_path / "disk", BY_NAME[kind]), offset, content)
    with pytest.raises(RefusedError, match=words) as caught:
        header(path, BY_NAME[kind].format)
    assert "disk" in caught.value.message
    assert caught.value.hint
    assert caught.value.status is ExitStatus.REFUSED


VHDX_METADATA: list[tuple[bytes, bytes, str]] = [
    # (the GUID of the item as stored, its new value, words)
    (b"\x37\x67\xa1\xca", struct.pack("<II", MIB, 2), "differencing"),
    (b"\x37\x67\xa1\xca", struct.pack("<II", 3 * MIB, 0), "block size is 3145728"),
    (b"\x24\x42\xa5\x2f", struct.pack("<Q", 1 << 60), "virtual size is"),
    (b"\x24\x42\xa5\x2f", struct.pack("<Q", 1 << 43), "does not fit its allocation table"),
    (b"\x1d\xbf\x41\x81", struct.pack("<I", 100), "sectors are 100"),
]


@pytest.mark.parametrize(
    ("item", "value", "words"), VHDX_METADATA, ids=[w for _, _, w in VHDX_METADATA]
)
def test_lying_vhdx_metadata_is_refused(
    tmp_path: Path, item: bytes, value: bytes, words: str
) -> None:
    path = empty(tmp_path / "disk", BY_NAME["vhdx"])
    content = path.read_bytes()
    table = content.index(b"metadata")
    entry = content.index(item, table)
    (offset,) = struct.unpack_from("<I", content, entry + 16)
    patch(path, table + offset, value)
    with pytest.raises(RefusedError, match=words):
        header(path, "vhdx")


def test_a_vhdx_without_a_valid_header_is_refused(tmp_path: Path) -> None:
    path = empty(tmp_path / "disk", BY_NAME["vhdx"])
    patch(path, 64 * 1024 + 100, b"x")
    header(path, "vhdx")  # the other one still counts
    patch(path, 128 * 1024 + 100, b"x")
    with pytest.raises(RefusedError, match="neither of its two headers"):
        header(path, "vhdx")


@pytest.mark.parametrize("kind", [k for k in KINDS if k.name != "raw"], ids=str)
@pytest.mark.parametrize("size", [8, 70, 100])
def test_a_truncated_header_is_refused(tmp_path: Path, kind: Kind, size: int) -> None:
    path = make(tmp_path / "disk", kind)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(RefusedError, match="disk"):
        header(path, kind.format)


def test_a_truncated_qcow2_says_so(tmp_path: Path) -> None:
    path = make(tmp_path / "disk", QCOW2)
    path.write_bytes(path.read_bytes()[: 3 * 65536 + 100])
    with pytest.raises(RefusedError, match="disk is truncated or damaged") as caught:
        header(path, "qcow2")
    assert "backup" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "start"),
    [("qcow2", 4), ("vmdk-monolithicSparse", 4), ("vdi", 0), ("vhdx", 192 * 1024)],
)
def test_no_header_makes_the_reader_fail_in_another_way(
    tmp_path: Path, kind: str, start: int
) -> None:
    """A header with any of its bytes inverted is read or refused, never anything else."""
    path = empty(tmp_path / "disk", BY_NAME[kind])
    content = path.read_bytes()
    refused = 0
    for offset in range(start, start + 508):
        patch(path, offset, bytes([content[offset] ^ 0xFF]))
        try:
            found = header(path, BY_NAME[kind].format)
            assert found.virtual_size > 0
        except RefusedError:
            refused += 1
        patch(path, offset, content[offset : offset + 1])
    assert refused


def make_any(path: Path, kind: Kind) -> Path:
    maker: Callable[[Path, Kind], Path] = empty if kind is STREAM else make
    return maker(path, kind)


def crc32c(data: bytes) -> bytes:
    """Bit by bit, so that the reader's table is not checked against itself."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
    return struct.pack("<I", crc ^ 0xFFFFFFFF)
