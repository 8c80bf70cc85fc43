"""One look into each initrd, and what is remembered of it."""

from __future__ import annotations

import random
import stat
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.initrds import COMPRESSORS, archive, compress
from tests.support.tree import guest_at, plant
from unclone.sanitize import initrds
from unclone.sanitize.boot import cpio
from unclone.sanitize.boot.budget import LIMITS, Budget, Limit, Resource
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.boot.initrd import survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from unclone.sanitize.boot.initrd import Survey

OLD, NEW = b"11111111-2222-3333-4444-555555555555", b"99999999-2222-3333-4444-555555555555"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initrds, "_known", [])


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many archives every survey was given ready, in turn."""
    given: list[int] = []

    def counted(content: bytes, needles: Sequence[bytes], **options: Any) -> Survey:
        given.append(len(options["known"]))
        return survey(content, needles, **options)

    monkeypatch.setattr(initrds, "survey", counted)
    return given


def made(folder: Path, content: bytes = OLD, compression: Compression = Compression.ZSTD) -> bytes:
    plant(folder, {"/etc/fstab": b"UUID=" + content})
    return compress(compression, archive(folder))


@pytest.mark.parametrize(
    "path",
    [
        *("/boot/initrd.img-6.1", "/boot/efi/EFI/nixos/initrd-x.efi"),
        *("/var/lib/kdump/initrd.img-6.1", "/usr/lib/modules/6.1/initramfs.img"),
    ],
)
def test_initrds_are_found_where_tools_put_them(tmp_path: Path, path: str) -> None:
    beside = path.rpartition("/")[0] + "/notes"
    plant(tmp_path / "guest", {path: made(tmp_path / "tree"), beside: "x"})
    assert list(initrds.find(guest_at(tmp_path / "guest"))) == [path]


def test_the_same_question_is_asked_once(tmp_path: Path, packed: list[int]) -> None:
    content = made(tmp_path / "tree")
    first = initrds.look_into(content, [OLD, NEW])
    assert initrds.look_into(bytes(bytearray(content)), [OLD]) is first
    assert packed == [0]


def test_another_question_needs_no_unpacking(tmp_path: Path, packed: list[int]) -> None:
    content = made(tmp_path / "tree")
    assert not initrds.look_into(content, [NEW]).hits
    assert initrds.look_into(content, [OLD]).hits
    assert packed == [0, 1]


def test_what_was_appended_is_all_that_is_read(tmp_path: Path, packed: list[int]) -> None:
    content = made(tmp_path / "tree")
    initrds.look_into(content, [OLD])
    appended = content + bytes(-len(content) % 4) + archive(tmp_path / "tree")
    found = initrds.look_into(appended, [OLD])
    assert len(found.segments) == 2
    assert packed == [0, 1]
    assert len(initrds.look_into(content, [OLD]).segments) == 1
    assert packed == [0, 1, 0]  # only the newest is kept


@pytest.mark.parametrize("compared", [0, 1 << 20])
def test_one_that_begins_alike_is_another(
    tmp_path: Path, packed: list[int], compared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initrds, "_COMPARED", compared)
    form = Compression.NONE
    one, other = made(tmp_path / "one", OLD, form), made(tmp_path / "other", NEW, form)
    assert one[:6] == other[:6]
    assert initrds.look_into(one, [OLD]).hits
    assert not initrds.look_into(other, [OLD]).hits
    assert initrds.look_into(one + bytes(512), [OLD]).hits
    assert packed == [0, 0, 0]  # a plain archive is as fast to read again


@pytest.mark.slow
def test_little_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initrds, "_REMEMBERED", 3)
    contents = [made(tmp_path / str(n), b"%d" % n) for n in range(6)]
    for content in contents:
        initrds.look_into(content, [OLD])
    assert len(initrds._known) == 3
    monkeypatch.setattr(initrds, "_KEPT", 1)
    initrds.look_into(contents[0], [OLD])
    assert len(initrds._known) == 1


def test_looking_ahead_gives_the_same_answers(tmp_path: Path, packed: list[int]) -> None:
    content = made(tmp_path / "tree")
    plant(tmp_path / "guest", {"/boot/initrd.img-1": content, "/boot/initrd.img-2": b"damaged"})
    initrds.look_ahead(guest_at(tmp_path / "guest"))
    assert initrds.look_into(content, [OLD]).hits
    assert packed == [0, 1]


def bomb(compression: Compression, size: int) -> bytes:
    """An initrd of one file of *size* zeros."""
    header = cpio.member(cpio.Header(b"zeros", stat.S_IFREG | 0o644))
    header = header[:54] + b"%08X" % size + header[62:]
    return compress(compression, header + bytes(size) + cpio.trailer(), fast=True)


def many(count: int) -> bytes:
    """A compressed initrd of *count* files without content."""
    header = cpio.Header(b"empty", stat.S_IFREG | 0o644)
    return compress(Compression.ZSTD, cpio.member(header) * count + cpio.trailer())


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> Budget:
    """A small one, of which the run can see what was spent."""
    limits = {
        Resource.BYTES: Limit(1 << 20, 8, 1 << 30),
        Resource.MEMBERS: Limit(500, 1, 10**6),
        Resource.SECONDS: Limit(60, 0, 60),
    }
    small = Budget(limits)
    monkeypatch.setattr(initrds, "_budget", small)
    return small


@pytest.mark.slow
@pytest.mark.parametrize("compression", [c for c in COMPRESSORS if c is not Compression.NONE])
def test_a_bomb_is_given_up_once_in_a_run(budget: Budget, compression: Compression) -> None:
    content = bomb(compression, 20 << 20)  # lz4 (legacy) comes in pieces of 8 MiB
    found = initrds.look_into(content, [OLD])
    assert "bytes come out of initrds" in found.unreadable
    assert len(content) < 128 << 10
    spent = budget.spent[Resource.BYTES]
    assert spent < 10 << 20
    assert initrds.look_into(content, [NEW]) is found
    assert budget.spent[Resource.BYTES] == spent


def test_a_second_bomb_gets_nothing_of_its_own(budget: Budget) -> None:
    for size in (6 << 20, 7 << 20):
        assert initrds.look_into(bomb(Compression.ZSTD, size), []).unreadable
    assert budget.spent[Resource.BYTES] < 4 << 20


def test_members_without_content_are_counted_however_often_they_are_looked_at(
    budget: Budget,
) -> None:
    assert "members" in initrds.look_into(many(2000), [OLD]).unreadable
    assert budget.spent[Resource.MEMBERS] < 1000
    assert initrds.look_into(many(2000), [NEW]).unreadable
    assert budget.spent[Resource.MEMBERS] < 1000


def test_what_is_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {**LIMITS, Resource.SECONDS: Limit(0, 0, 0)}
    monkeypatch.setattr(initrds, "_budget", Budget(limits))
    assert "seconds" in initrds.look_into(bomb(Compression.XZ, 1 << 20), [OLD]).unreadable


def test_what_is_really_there_may_unpack_to_more(budget: Budget) -> None:
    # Firmware does not shrink much, and is three times what a run may spend without it.
    firmware = random.Random(0).randbytes(3 << 20)
    header = cpio.Header(b"lib/firmware/card.bin", stat.S_IFREG | 0o644)
    content = compress(Compression.ZSTD, cpio.member(header, firmware) + cpio.trailer())
    assert not initrds.look_into(content, [OLD]).unreadable
    assert not initrds.look_into(content, [NEW]).unreadable
    assert budget.spent[Resource.BYTES] < 4 << 20  # the second look unpacked nothing


def test_a_hole_does_not_add_to_what_may_be_spent(budget: Budget) -> None:
    content = bomb(Compression.GZIP, 6 << 20) + bytes(4 << 20)
    assert initrds.look_into(content, [OLD]).unreadable
    assert budget.spent[Resource.BYTES] < 4 << 20


def test_another_run_begins_anew(budget: Budget) -> None:
    content = bomb(Compression.ZSTD, 6 << 20)
    assert initrds.look_into(content, [OLD]).unreadable
    initrds.begin_run()
    assert not initrds.look_into(content, [OLD]).unreadable
    assert budget.spent[Resource.BYTES] < 6 << 20


def test_one_that_is_too_large_is_found_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initrds, "SIZE_LIMIT", 200)
    plant(tmp_path, {"/boot/initrd.img": made(tmp_path / "tree", OLD, Compression.NONE)})
    found = initrds.surveys(guest_at(tmp_path), [OLD])
    assert "too large" in found["/boot/initrd.img"].unreadable
