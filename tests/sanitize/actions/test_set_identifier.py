"""``set-identifier``: the value on the device decides, not what was said about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.identified import ESP, ROOT, IdentifiedVolumes, identified_guest, olds
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from pathlib import Path

SET = ACTIONS["set-identifier"]


def change(new: str) -> Change:
    details = {"kind": ESP.kind.value}
    return Change("s", "set-identifier", ESP.device, "why", ESP.old, new, details)


def test_set_and_read_back(tmp_path: Path) -> None:
    volumes = IdentifiedVolumes(tmp_path, olds())
    guest = identified_guest(volumes)
    assert f"is {ESP.old}, not {ESP.new}" in SET.verify(guest, change(ESP.new), "")
    SET.apply(guest, change(ESP.new))
    assert SET.verify(guest, change(ESP.new), "") == ""
    assert SET.verify(guest, change(ESP.new.lower()), "") == ""


def test_a_device_without_the_identifier_is_a_failure(tmp_path: Path) -> None:
    guest = identified_guest(IdentifiedVolumes(tmp_path, olds([ROOT])))
    assert "is none, not" in SET.verify(guest, change(ESP.new), "")
