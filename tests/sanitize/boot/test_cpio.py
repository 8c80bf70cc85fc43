"""The real cpio reads ours, we read its own, and damage is only ever an error."""

from __future__ import annotations

import os
import random
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.initrds import archive
from unclone.sanitize.boot import cpio

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def read(*pieces: bytes) -> list[tuple[cpio.Header, bytes]]:
    reader = cpio.Reader(cpio.Pieces(pieces))
    members = []
    while header := reader.next():
        members.append((header, b"".join(reader.contents())))
    return members


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "etc").mkdir(parents=True)
    (root / "etc/fstab").write_bytes(b"UUID=1111 / ext4\n")
    (root / "etc/fstab").chmod(0o640)
    os.utime(root / "etc/fstab", (1_600_000_000, 1_600_000_000))
    (root / "etc/empty").touch()
    (root / "etc/mtab").symlink_to("../proc/mounts")
    (root / "bin-a").write_bytes(b"shared")
    os.link(root / "bin-a", root / "bin-b")
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize("form", ["newc", "crc"])
def test_an_archive_of_the_real_cpio_is_read(tree: Path, form: str) -> None:
    members = {header.name.decode(): (header, data) for header, data in read(archive(tree, form))}
    header, data = members["etc/fstab"]
    assert data == b"UUID=1111 / ext4\n"
    assert (header.mode, header.mtime, header.size) == (0o100640, 1_600_000_000, 17)
    assert (header.uid, header.gid) == (os.getuid(), os.getgid())
    assert members["etc/mtab"][1] == b"../proc/mounts"
    assert members["etc/mtab"][0].is_symlink
    assert members["etc"][0].is_directory
    # The real cpio gives the contents of hard links with the last of them.
    assert [members[name][1] for name in ("bin-a", "bin-b")] == [b"", b"shared"]
    assert members["bin-a"][0].ino == members["bin-b"][0].ino
    assert members["bin-a"][0].nlink == 2
    assert members["TRAILER!!!"][0].is_trailer


def test_the_real_cpio_reads_what_we_write(tmp_path: Path) -> None:
    written = b"".join(
        [
            cpio.member(cpio.Header(b"etc", 0o040755)),
            cpio.member(cpio.Header(b"etc/odd", 0o100600, mtime=1_600_000_000), b"12345"),
            cpio.member(cpio.Header(b"etc/link", 0o120777), b"odd"),
            cpio.trailer(),
        ]
    )
    subprocess.run(
        ["cpio", "--quiet", "-i", "-m"], input=written, cwd=tmp_path, check=True, timeout=60
    )
    assert (tmp_path / "etc/odd").read_bytes() == b"12345"
    assert (tmp_path / "etc/odd").stat().st_mode == 0o100600
    assert (tmp_path / "etc/odd").stat().st_mtime == 1_600_000_000
    assert (tmp_path / "etc/link").readlink().name == "odd"


def test_archives_one_after_the_other_and_without_a_trailer_are_read() -> None:
    one = cpio.member(cpio.Header(b"one", 0o100644), b"1")
    two = cpio.member(cpio.Header(b"two", 0o100644), b"22") + cpio.trailer()
    names = [header.name for header, _ in read(one + bytes(512) + two + bytes(12) + one)]
    assert names == [b"one", b"two", cpio.TRAILER, b"one"]


def test_contents_that_nobody_reads_are_skipped() -> None:
    data = cpio.member(cpio.Header(b"one", 0o100644), bytes(5000)) + cpio.trailer()
    reader = cpio.Reader(cpio.Pieces([data]))
    names = []
    while header := reader.next():
        names.append(header.name)
    assert names == [b"one", cpio.TRAILER]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=30), st.binary(max_size=300)), max_size=8),
    st.integers(1, 200),
)
def test_what_is_written_is_read_back_however_it_is_cut(
    content: list[tuple[bytes, bytes]], cut: int
) -> None:
    content = [(name.replace(b"\0", b"x"), data) for name, data in content]
    data = b"".join(cpio.member(cpio.Header(n, 0o100644), d) for n, d in content) + cpio.trailer()
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    assert [(h.name, d) for h, d in read(*pieces)][:-1] == content


MEMBER = cpio.member(cpio.Header(b"etc/fstab", 0o100644), b"content")


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        pytest.param(MEMBER[:60], "middle of a member", id="cut in the header"),
        pytest.param(MEMBER[:-3], "middle of a member", id="cut in the contents"),
        pytest.param(b"0707" + bytes(200), "magic", id="only half the magic"),
        pytest.param(MEMBER[:20] + b"-1 4" + MEMBER[24:], "hexadecimal", id="not hexadecimal"),
        pytest.param(
            MEMBER[:94] + b"7FFFFFFF" + MEMBER[102:], "name of a member", id="endless name"
        ),
        pytest.param(MEMBER[:94] + b"00000000" + MEMBER[102:], "name of a member", id="no name"),
        pytest.param(MEMBER[:94] + b"00000004" + MEMBER[102:], "is not terminated", id="cut name"),
        pytest.param(
            MEMBER[:54] + b"FFFFFFFF" + MEMBER[62:], "middle of a member", id="4 GiB of contents"
        ),
    ],
)
def test_damage_is_named(damaged: bytes, message: str) -> None:
    with pytest.raises(cpio.DamagedError, match=message):
        read(damaged)


def test_a_name_too_long_for_the_kernel_is_not_written() -> None:
    with pytest.raises(cpio.DamagedError, match="4097 bytes"):
        cpio.member(cpio.Header(b"x" * cpio.NAME_LIMIT, 0o100644))


@pytest.mark.slow
def test_flipped_bits_never_do_more_than_raise(tree: Path) -> None:
    pristine = archive(tree)
    chosen = random.Random(4)
    outcomes = set()
    for _ in range(2000):
        damaged = bytearray(pristine)
        for _ in range(chosen.choice([1, 3])):
            damaged[chosen.randrange(len(damaged))] ^= 1 << chosen.randrange(8)
        try:
            read(bytes(damaged))
            outcomes.add("read")
        except cpio.DamagedError:
            outcomes.add("damaged")
    assert outcomes == {"read", "damaged"}


def test_sizes_in_the_header_follow_from_the_contents() -> None:
    header = cpio.Header(b"x", 0o100644)._replace(size=99)
    assert names_and_sizes(read(cpio.member(header, b"four"))) == [(b"x", 4)]


def names_and_sizes(members: Iterable[tuple[cpio.Header, bytes]]) -> list[tuple[bytes, int]]:
    return [(header.name, header.size) for header, _ in members]
