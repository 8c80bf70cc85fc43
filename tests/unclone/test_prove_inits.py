"""Debian 13 guests without systemd: each is sanitised, boots, and is who its report says.

They have no first-boot service: the machine-id that they get is the one that D-Bus makes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.guests.trixie import base, guests, inits
from tests.support import command

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.boot, pytest.mark.guest, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return guests.prepare(base.cached(), tmp_path_factory.mktemp("inits") / "prepared")


@pytest.mark.parametrize("init", inits.PACKAGES)
def test_a_guest_without_systemd_is_proven(tmp_path: Path, prepared: Path, init: str) -> None:
    disk, old = inits.build(init, base.cached(), prepared, tmp_path / init)
    report = tmp_path / "report.json"
    done = command.process("sanitize", "--engine", "direct", "--json", disk)
    assert done.returncode == 0, done.stderr
    report.write_text(done.stdout)
    done = command.process("prove", "--json", "--report", report, disk, timeout=2400)
    (result,) = json.loads(done.stdout)["results"]
    assert (result["status"], result["init"]) == ("proven", init), done.stdout
    said = result["boots"][0]["report"]
    assert said["init"] == ["init"]
    (machine_id,) = said["dbus-machine-id"]
    assert re.fullmatch("[0-9a-f]{32}", machine_id)
    assert machine_id != old.machine_id
    mounted = {
        place: uuid
        for line in said["mount"]
        for place, uuid in re.findall(r'TARGET="(/|/efi)" UUID="([^"]+)"', line)
    }
    new = {
        each["kind"]: each["value"]
        for each in json.loads(report.read_text())["results"][0]["identifiers"]
    }
    assert mounted == {"/": new["file-system-uuid"], "/efi": new["vfat-serial"]}
    assert [line.split()[1] for line in said["swap"]] == [new["swap-uuid"]]
    assert {line.split()[0] for line in said["host-key"]} == {
        f"/etc/ssh/ssh_host_{kind}_key.pub" for kind in ("ecdsa", "ed25519")
    }
