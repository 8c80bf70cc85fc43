"""``unclone prove`` on Debian guests: one that is well, and some that were broken on purpose.

The sanitised guests of every kind are proven in tests/unclone/test_boot_identifiers.py.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.guests import debian
from tests.support import command
from unclone.images.chain import read_chain
from unclone.images.engines.engine import Drive
from unclone.images.opening import open_guest, select_engine
from unclone.images.volumes import IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unclone.images.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.guest, pytest.mark.timeout(7200)]

KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
#: Where nothing is.
NOWHERE = "UUID=00000000-0000-4000-8000-000000000000"


def overlay(path: Path, variant: str, change: Callable[[Guest], None]) -> Path:
    """A guest on top of the one called *variant*, changed, and without cloud-init.

    Under emulation that takes a third of a boot.
    """
    golden = debian.cached(print, variant)
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(golden)]
    subprocess.run([*create, str(path)], check=True)
    drive = Drive(path, "qcow2", read_chain(golden))
    with open_guest([drive], engine=select_engine("direct")) as guest:
        guest.create("/etc/cloud/cloud-init.disabled", b"", like="/etc/fstab")
        change(guest)
    return path


def prove(*arguments: str | Path) -> dict[str, Any]:
    allowed = ("--allow-dir", debian.cache_directory())
    done = command.process("prove", "--json", *allowed, *arguments, timeout=6000)
    (result,) = json.loads(done.stdout)["results"]
    assert "boots" in result, done.stderr
    assert done.returncode == (0 if result["status"] == "proven" else 5)
    return dict(result)


def ended(result: dict[str, Any]) -> tuple[str, str, str]:
    boot = result["boots"][-1]
    return result["status"], boot["phase"], boot["reason"]


def differences(result: dict[str, Any]) -> dict[str, str]:
    return {each["what"]: each["found"] for each in result["differences"]}


def failing(guest: Guest, *names: str) -> None:
    """Units that always fail."""
    for name in names:
        unit = f"/etc/systemd/system/{name}.service"
        guest.create(unit, b"[Service]\nType=oneshot\nExecStart=/bin/false\n", like="/etc/fstab")
        guest.make_symlink(f"/etc/systemd/system/multi-user.target.wants/{name}.service", unit)


def test_a_root_that_only_got_a_new_uuid_is_not_found(tmp_path: Path) -> None:
    """As ``virt-sysprep --operations fs-uuids`` means to: nothing that refers to it followed."""

    def renew(guest: Guest) -> None:
        root = guest.layout.mounts["/"].device
        guest.set_identifiers(
            replace(each, value=str(uuid.uuid4()))
            for each in guest.identifiers()
            if (each.device, each.kind) == (root, IdentifierKind.FILE_SYSTEM_UUID)
        )

    result = prove(overlay(tmp_path / "web-01.qcow2", "uefi", renew))
    reason = "GRUB waits for a command: its configuration was not found"
    assert ended(result) == ("not-booted", "boot loader", reason)
    assert result["boots"][0]["screen"]


def test_a_missing_initrd_stops_the_boot_loader(tmp_path: Path) -> None:
    def change(guest: Guest) -> None:
        for path in guest.glob("/boot/initrd*"):
            guest.remove(path)

    result = prove(overlay(tmp_path / "web-01.qcow2", "bios", change))
    assert ended(result) == ("not-booted", "boot loader", "GRUB stopped at an error")
    assert any("/boot/initrd.img-" in line for line in result["boots"][0]["console"])


def test_a_stale_line_of_fstab_ends_in_emergency_mode(tmp_path: Path) -> None:
    def change(guest: Guest) -> None:
        table = guest.read("/etc/fstab")
        options = "x-systemd.device-timeout=10"  # the usual one is longer in this guest
        guest.write("/etc/fstab", table + f"{NOWHERE} /srv ext4 {options} 0 2\n".encode())

    result = prove(overlay(tmp_path / "web-01.qcow2", "bios", change))
    assert result["status"] == "not-booted", ended(result)
    assert differences(result)["mount /srv"] == "not mounted"
    assert differences(result)["state"] == "emergency or rescue mode"


def test_a_guest_without_systemd_reports(tmp_path: Path) -> None:
    """Busybox' init in place of systemd, with the kernel, initrd and boot loader of Debian."""

    def change(guest: Guest) -> None:
        guest.remove("/sbin/init")
        guest.make_symlink("/sbin/init", "/bin/busybox")
        start = "remount,rw /", "-a"
        lines = [f"::sysinit:/bin/mount {'-o ' * (word != '-a')}{word}\n" for word in start]
        lines += ["::sysinit:/sbin/swapon -a\n", "::sysinit:/bin/hostname -F /etc/hostname\n"]
        guest.create("/etc/inittab", "".join(lines).encode(), like="/etc/fstab")

    result = prove(overlay(tmp_path / "web-01.qcow2", "bios", change))
    assert (result["status"], result["init"]) == ("proven", "sysvinit"), result["differences"]
    assert result["boots"][0]["report"]["init"] == ["init"]


def test_what_failed_before_and_after_is_told_apart(tmp_path: Path) -> None:
    had = {}

    def change(guest: Guest) -> None:
        failing(guest, "both")
        had.update({path: guest.read(path) for path in ("/etc/machine-id", KEY)})

    golden = overlay(tmp_path / "golden.qcow2", "bios", change)
    copy = overlay(tmp_path / "web-01.qcow2", "bios", lambda guest: failing(guest, "both", "new"))
    report = tmp_path / "report.json"
    allowed = ("--allow-dir", debian.cache_directory())
    done = command.process("sanitize", "--json", *allowed, copy)
    assert done.returncode == 0, done.stderr
    report.write_text(done.stdout)
    result = prove(copy, "--report", report, "--against", golden)
    assert differences(result) == {"unit new.service": "failed"}
    assert (result["failed_before"], result["shared"]) == (["both.service"], [])
    old, new = (each["report"] for each in (result["original"], result["boots"][0]))
    assert old["machine-id"] == [had["/etc/machine-id"].decode().strip()]
    assert new["machine-id"] != old["machine-id"]
    key = had[KEY].decode().split()[1]
    assert any(key in line for line in old["host-key"])
    assert not any(key in line for line in new["host-key"])
