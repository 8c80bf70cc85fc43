"""Opening a guest: which checks are skipped, and how a failure after that is reported."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import make_ext, open_direct
from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone.images.engines.direct import helpers
from unclone.images.engines.engine import Drive
from unclone.images.errors import EngineError, UncheckedError, UsageError
from unclone.images.opening import ENGINES, open_guest, select_engine

if TYPE_CHECKING:
    from pathlib import Path

#: Offset of ``s_state`` in an ext file system: whether it was unmounted cleanly.
_STATE = 1024 + 58

ENGINE = select_engine("direct")


def disk(folder: Path) -> Path:
    return make_disk(folder / "disk", [Part("ext4", BARE_ROOT)])


def fail(path: Path, *, force_check: bool = True, read_only: bool = False) -> None:
    drives = [Drive(path, "raw")]
    with open_guest(drives, engine=ENGINE, force_check=force_check, read_only=read_only):
        raise EngineError("something is wrong", hint="Look at it.")


def test_a_failure_after_a_skipped_check_says_so(tmp_path: Path) -> None:
    with pytest.raises(UncheckedError, match="something is wrong") as raised:
        fail(disk(tmp_path), force_check=False)
    assert raised.value.hint == "Look at it."
    assert type(raised.value.__cause__) is EngineError


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({}, id="every file system was checked"),
        pytest.param({"force_check": False, "read_only": True}, id="nothing is written"),
    ],
)
def test_another_failure_is_what_it_was(tmp_path: Path, how: dict[str, bool]) -> None:
    with pytest.raises(EngineError, match="something is wrong") as raised:
        fail(disk(tmp_path), **how)
    assert type(raised.value) is EngineError


@pytest.mark.slow
@pytest.mark.parametrize("clean", [True, False])
def test_only_a_file_system_marked_clean_is_not_checked(tmp_path: Path, *, clean: bool) -> None:
    image = make_ext(tmp_path / "image", "ext2")  # its superblock has no checksum
    with image.open("r+b") as file:
        file.seek(_STATE)
        file.write(bytes([clean, 0]))
    volumes = open_direct(image)
    try:
        assert volumes.check("/dev/sda", repair=True, force=False).skipped == clean
        assert not volumes.check("/dev/sda", repair=True).skipped
    finally:
        volumes.drop()


def test_programs_started_ahead_are_used_or_ended() -> None:
    with ENGINE.start_ahead():
        others = tuple(helpers._ahead.values())
        assert others
        assert all(other.poll() is None for other in others)
    assert all(other.poll() is not None for other in others)
    with ENGINE.start_ahead():
        used = helpers.start(helpers.WORKER)
    assert used.poll() is None
    helpers.end(used)


def test_beside_a_thread_no_process_is_forked() -> None:
    go_on = threading.Event()
    other = threading.Thread(target=go_on.wait)
    other.start()
    try:
        with ENGINE.start_ahead():
            (started,) = helpers._ahead.values()
    finally:
        go_on.set()
        other.join()
    assert isinstance(started.args, list)
    assert started.args[-len(helpers.WORKER) :] == [*helpers.WORKER]


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_has_the_name_it_is_selected_by(name: str) -> None:
    engine = select_engine(name)
    assert engine.name == name
    with engine.start_ahead():
        pass
    assert not helpers._ahead


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="no engine 'warp'"):
        select_engine("warp")
