"""What is found in initrds, however they were put together; and what damage does."""

from __future__ import annotations

import os
import random
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tests.support.initrds import COMPRESSORS, MICROCODE, archive, compress, microcode
from unclone.sanitize.boot import cpio, initrd
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.boot.initrd import BOOTCONFIG, Hit, Place, survey

if TYPE_CHECKING:
    from pathlib import Path

OLD = b"11111111-2222-3333-4444-555555555555"
OTHER = b"99999999-2222-3333-4444-555555555555"
WANTS = r"etc/systemd/system/initrd.target.wants/dev-disk-by\x2duuid-1111.device"
EVERY = pytest.mark.parametrize("compression", COMPRESSORS, ids=lambda c: c.name.lower())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "etc").mkdir(parents=True)
    (root / "etc/fstab").write_bytes(b"UUID=" + OLD + b" / ext4\n")
    (root / "etc/other").write_bytes(b"nothing\n")
    (root / "etc/disk").symlink_to(f"/dev/disk/by-uuid/{OLD.decode()}")
    (root / f"hook-{OLD.decode()}.sh").write_bytes(b"true\n")
    (root / "one").write_bytes(b"shared " + OLD)
    os.link(root / "one", root / "two")
    return root


@EVERY
def test_identifiers_are_found_behind_microcode(
    tmp_path: Path, tree: Path, compression: Compression
) -> None:
    early = microcode(tmp_path / "early")
    data = early + compress(compression, archive(tree))
    found = survey(data, [OLD, OTHER])
    assert found.unreadable == ""
    assert found.compressions == (Compression.NONE, compression)
    assert found.segments[0].offset == 0
    # GNU cpio fills up its last block of 512 bytes.
    assert len(data) - found.end < 512
    assert set(found.hits) == {
        Hit("etc/fstab", Place.CONTENT, OLD),
        Hit("etc/disk", Place.TARGET, OLD),
        Hit(f"hook-{OLD.decode()}.sh", Place.NAME, OLD),
        Hit("one", Place.CONTENT, OLD),
        Hit("two", Place.CONTENT, OLD),
    }
    assert found.contents["etc/fstab"] == b"UUID=" + OLD + b" / ext4\n"
    assert found.contents["two"] == b"shared " + OLD
    assert "etc/other" not in found.contents
    assert MICROCODE in found.members
    assert found.members["two"].shared
    assert not found.members["etc/fstab"].shared


def test_members_can_be_asked_for(tree: Path) -> None:
    found = survey(archive(tree), read=["etc/other", "etc/absent"])
    assert dict(found.contents) == {"etc/other": b"nothing\n"}


def file(name: bytes, content: bytes = b"", **fields: int) -> bytes:
    return cpio.member(cpio.Header(name, 0o100644, **fields), content)


@pytest.mark.parametrize(
    ("archives", "content"),
    [
        pytest.param([file(b"a", OLD), file(b"a", b"new")], b"new", id="a later member wins"),
        pytest.param([file(b"./a", OLD), file(b"/a", b"new")], b"new", id="names mean paths"),
        pytest.param(
            [file(b"a", OLD), cpio.member(cpio.Header(b"a", 0o120777), b"b")],
            b"b",
            id="a symlink takes its place",
        ),
        pytest.param(
            [file(b"a", OLD, ino=5, nlink=2), file(b"b", ino=5, nlink=2), file(b"b", b"new")],
            b"new",
            id="written through a hard link",
        ),
        pytest.param(
            [file(b"a", b"", ino=5, nlink=2), file(b"b", b"new", ino=5, nlink=2)],
            b"new",
            id="contents with the last hard link",
        ),
        pytest.param(
            [file(b"a", b"new", ino=5, nlink=2) + cpio.trailer() + file(b"b", OLD, ino=5, nlink=2)],
            b"new",
            id="hard links end with their archive",
        ),
    ],
)
def test_the_last_word_counts_as_for_the_kernel(archives: list[bytes], content: bytes) -> None:
    found = survey(b"".join(archives), [OLD], read=["a"])
    assert found.contents["a"] == content
    assert "a" not in {hit.path for hit in found.hits}


@pytest.mark.slow
def test_an_identifier_across_the_pieces_of_a_large_member_is_found(tree: Path) -> None:
    size = initrd.KEPT_LIMIT + 5
    (tree / "large").write_bytes(b"")
    os.truncate(tree / "large", size)
    with (tree / "large").open("r+b") as large:
        large.seek(32 * 1024 * 1024 - 20)
        large.write(OLD)
    data = compress(Compression.ZSTD, archive(tree))
    tracemalloc.start()
    try:
        found = survey(data, [OLD])
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert Hit("large", Place.CONTENT, OLD) in found.hits
    assert "large" not in found.contents


def test_plain_archives_without_trailer_and_compressed_ones_in_any_number() -> None:
    plain = file(b"a", b"1") + file(b"b", b"2")
    packed = compress(Compression.GZIP, file(b"c", b"3"))
    data = plain + bytes(7) + packed + packed + bytes(-len(plain + packed * 2) % 4 + 1) + plain
    found = survey(data)
    assert list(found.members) == ["a", "b", "c"]
    assert found.compressions == (
        Compression.NONE, Compression.GZIP, Compression.GZIP, Compression.NONE,
    )  # fmt: skip


PLAIN = file(b"etc/fstab", OLD) + cpio.trailer()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"\x89LZO\0\r\n\x1a\n" + bytes(30), "lzo, which is not supported", id="lzo"),
        pytest.param(PLAIN + b"\x89LZO\0\r\n" + bytes(30), "lzo", id="lzo behind microcode"),
        pytest.param(bytes(1024) + b"\x53\xef" + bytes(900), "does not begin with", id="ext2"),
        pytest.param(
            compress(Compression.GZIP, bytes(1024) + b"\x53\xef" + bytes(900)),
            "part is not a cpio archive to its end",
            id="compressed ext2",
        ),
        pytest.param(compress(Compression.XZ, PLAIN)[:-30], "is truncated", id="cut"),
        pytest.param(PLAIN[:-30], "middle of a member", id="cut plain"),
        pytest.param(
            compress(Compression.ZSTD, PLAIN + b"junk"),
            "not a cpio archive to its end",
            id="junk inside",
        ),
        pytest.param(compress(Compression.ZSTD, file(b"f")) * 1001, "1000 archives", id="archives"),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, reason: str) -> None:
    assert reason in survey(data, [OLD]).unreadable


def test_there_is_an_end_to_members_and_to_what_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(initrd, "_MEMBER_LIMIT", 50)
    monkeypatch.setattr(initrd, "_KEPT_TOTAL_LIMIT", 500)
    assert survey(file(b"f", OLD) * 50, [OLD]).unreadable == ""
    assert "50 members" in survey(file(b"f") * 51, [OLD]).unreadable
    many = b"".join(file(f"{n}".encode(), OLD) for n in range(15))
    assert "too much" in survey(many, [OLD]).unreadable


@pytest.mark.parametrize("trailing", [b"MZ garbage", b"\x01", b"0707"], ids=repr)
def test_bytes_behind_the_archives_do_not_matter(trailing: bytes) -> None:
    # The archive ends at a multiple of four; one byte further no plain archive can begin.
    found = survey(PLAIN + b"\0" + trailing, [OLD])
    assert found.unreadable == ""
    assert found.end == len(PLAIN)
    assert found.size - found.end == len(trailing) + 1
    assert [hit.path for hit in found.hits] == ["etc/fstab"]


def test_a_boot_config_is_searched() -> None:
    text = b"kernel.root=UUID=" + OLD + b"\n\0"
    sums = len(text).to_bytes(4, "little") + sum(text).to_bytes(4, "little")
    found = survey(PLAIN + text + sums + b"#BOOTCONFIG\n" + bytes(2), [OLD])
    assert Hit(BOOTCONFIG, Place.CONTENT, OLD) in found.hits


def test_an_empty_file_is_an_initrd_without_members() -> None:
    found = survey(b"", [OLD])
    assert (found.members, found.unreadable) == ({}, "")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_never_raise(tmp_path: Path, tree: Path, seed: int) -> None:
    chosen = random.Random(seed)
    packed = archive(tree)
    pristine = packed + compress(chosen.choice(list(COMPRESSORS)), packed) + packed
    for _ in range(300):
        damaged = bytearray(pristine)
        for _ in range(chosen.choice([1, 2, 20])):
            damaged[chosen.randrange(len(damaged))] ^= 1 << chosen.randrange(8)
        found = survey(bytes(damaged), [OLD])
        assert 0 <= found.end <= len(damaged)
