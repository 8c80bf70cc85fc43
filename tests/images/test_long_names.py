"""Names and paths as long as a file system allows, and names that a program may misread."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import digests, make
from tests.support.transactions import change, changed, interrupt, is_new, is_old, names, run
from unclone.images.errors import RefusedError
from unclone.images.output import ToOutput
from unclone.images.overlay import claim_path, overlay_path, run_files
from unclone.images.recovery import Action, recover
from unclone.images.transaction import Disk, InPlace, ReadOnly

if TYPE_CHECKING:
    from pathlib import Path

#: The length of a name in bytes, and what it is made of.
LENGTHS = [(101, "x"), (230, "x"), (254, "ü")]


def of(length: int, letter: str = "x") -> str:
    return letter * (length // len(letter.encode()))


@pytest.mark.parametrize(("length", "letter"), LENGTHS)
@pytest.mark.parametrize("committed", [False, True])
def test_an_interrupted_run_is_found_by_recover(
    tmp_path: Path, length: int, letter: str, *, committed: bool
) -> None:
    image = make(tmp_path / of(length, letter))
    interrupt([image], committed=committed)
    assert len(names(tmp_path)) == 2 + committed
    found = recover(image)
    assert found.action is (Action.FINISHED if committed else Action.DISCARDED)
    assert is_new(image) if committed else is_old(image)
    assert names(tmp_path) == [image.name]


@pytest.mark.slow
def test_an_image_of_the_longest_name_is_changed_in_place_and_copied(tmp_path: Path) -> None:
    image = make(tmp_path / of(255))
    run(image, change)
    assert changed(image)
    output = tmp_path / of(255, "y")
    with ToOutput([Disk(image)], [output]) as transaction:
        transaction.commit()
    assert changed(output)
    assert names(tmp_path) == [image.name, output.name]


@pytest.mark.slow
def test_two_long_names_that_begin_alike_do_not_meet(tmp_path: Path) -> None:
    first, second = (tmp_path / f"{of(240)}{end}" for end in "ab")
    assert {*run_files(first)}.isdisjoint(run_files(second))
    assert all(len(path.name.encode()) <= 143 for path in (*run_files(first), claim_path(second)))
    assert overlay_path(first) == overlay_path(first)
    make(first)
    make(second)
    interrupt([first], committed=False)
    run(second, change)  # the other's left-overs are none of this run's
    assert overlay_path(first).exists()
    assert recover(first).action is Action.DISCARDED


def test_a_renamed_image_is_known_by_its_long_old_name(tmp_path: Path) -> None:
    image = make(tmp_path / of(240))
    interrupt([image], committed=True)
    renamed = image.rename(tmp_path / of(241))
    with pytest.raises(RefusedError, match="renamed"), InPlace([Disk(renamed)]):
        pass


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """Beyond what a qcow2 header holds, and beyond what the host's kernel takes."""
    image = make(tmp_path / "disk.qcow2")
    at_first = os.getcwd()
    here = os.open(tmp_path, os.O_RDONLY)
    folder = tmp_path
    try:
        os.chdir(tmp_path)
        for length in (1100, 4080):
            while (missing := length - len(str(folder)) - 12) > 0:
                folder /= of(min(missing, 200))
                os.mkdir(folder.name)
                os.chdir(folder.name)
            os.link("disk.qcow2", "disk.qcow2", src_dir_fd=here)
            before = digests([image])
            deep = folder / "disk.qcow2"
            with pytest.raises(RefusedError, match=r"the path of .* is too long"):
                InPlace([Disk(deep)]).__enter__()
            assert os.listdir() == ["disk.qcow2"]
            assert digests([image]) == before
            if length < 4080:
                os.unlink("disk.qcow2")
        for use in (lambda: ReadOnly([Disk(deep)]).__enter__(), lambda: recover(deep)):
            with pytest.raises(RefusedError, match="too long"):
                use()
    finally:
        os.chdir(at_first)
        os.close(here)


ODD = [
    "-rf --help\n\x1b[31m",
    "a,b=c'\"\\$(id)`id`%s*?[a]~ü",
    "nbd:localhost:1",
    "json:{}",
    "fat:rw:x",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_a_name_is_only_a_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = make(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    run(type(image)(name), change)
    assert changed(image)
    assert recover(type(image)(name)).action is Action.NOTHING
    assert names(tmp_path) == [name]
