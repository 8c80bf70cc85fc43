"""What became of many machines is kept in order, and in no more memory than a few need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unclone.runs.clone.test_batch import WEB
from unclone.runs.clone.making import Machine
from unclone.runs.clone.outcomes import Outcomes
from unclone.runs.completed import CompletedRun

if TYPE_CHECKING:
    from typing import IO


def machine(name: str) -> CompletedRun[Machine]:
    return CompletedRun(f"vms/{name}", result=Machine(WEB, Path("vms", name), "done", ("a",)))


def test_they_are_read_back_in_the_order_of_the_names() -> None:
    found = Outcomes(["a", "b", "c", "d"])
    failed: CompletedRun[Machine] = CompletedRun("vms/c", error=ValueError("no"))
    found.add("c", failed)
    found.add("b", machine("b"))
    found.add("a", machine("a"))
    assert list(found) == [machine("a"), machine("b"), failed]
    assert (found[0], found[-1], found[1:]) == (machine("a"), failed, [machine("b"), failed])
    assert (len(found), found.of("b"), found.interrupted) == (3, machine("b"), False)
    with pytest.raises(KeyError):
        found.of("d")


def test_an_interruption_is_remembered() -> None:
    found = Outcomes(["a"])
    found.add("a", CompletedRun("vms/a", error=KeyboardInterrupt()))
    assert found.interrupted


def test_a_password_goes_into_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unclone.runs.clone.outcomes._IN_MEMORY", 1)
    found = Outcomes(["a", "b"])
    secret = Machine(WEB, Path("vms/a"), "done", ("a",), password="xyzzy")
    found.add("a", CompletedRun("vms/a", result=secret))
    found.add("b", machine("b"))
    assert found.of("a").result == secret
    file = found._file
    file.seek(0)
    assert b"xyzzy" not in file.read()
    assert "xyzzy" not in repr(secret)


class Full:
    """A file on a disk without room."""

    def seek(self, *_: int) -> int:
        return 0

    def write(self, _: bytes) -> int:
        raise OSError(28, "No space left on device")


def test_without_room_they_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> IO[bytes]:
        return Full()  # type: ignore[return-value]

    monkeypatch.setattr("tempfile.SpooledTemporaryFile", full)
    found = Outcomes(["a"])
    found.add("a", machine("a"))
    assert list(found) == [machine("a")]
