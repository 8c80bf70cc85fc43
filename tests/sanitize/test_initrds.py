"""One look into each initrd, and what is remembered of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.initrds import archive, compress
from tests.support.tree import guest_at, plant
from unclone.sanitize import initrds
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
    assert one[:10] == other[:10]
    assert initrds.look_into(one, [OLD]).hits
    assert not initrds.look_into(other, [OLD]).hits
    assert initrds.look_into(one + bytes(512), [OLD]).hits
    assert packed == [0, 0, 0]  # a plain archive is as fast to read again


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
