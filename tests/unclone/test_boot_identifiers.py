"""A sanitised copy of each kind of guest is proven: every new identifier, and none of the old.

Firmware, GRUB, initrd, kernel and systemd each find the disk's file systems by identifiers. All of
them have changed, in the disk and in what refers to them; the running guest says what it sees.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.guests import debian
from tests.guests.variants import VARIANTS
from tests.support import command
from unclone.sanitize.identities.spellings import spellings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from pathlib import Path

pytestmark = [
    pytest.mark.boot,
    pytest.mark.guest,
    pytest.mark.appliance,
    pytest.mark.timeout(7200),
]

BOOT_LIMIT = 2400  # seconds; a guest alone on two processors takes about 100

#: Kinds that blkid shows as the UUID of a device.
UUIDS = {"file-system-uuid", "swap-uuid", "vfat-serial", "luks-uuid", "lvm-pv-uuid"}


@dataclass(frozen=True)
class Proven:
    """One guest: what it had, what the report promises, and what it says when it runs."""

    before: Sequence[Mapping[str, str]]
    report: Mapping[str, Any]
    proof: Mapping[str, Any]
    console: str

    def promised(self, *kinds: str) -> set[str]:
        """The new values of *kinds*."""
        return {each["value"] for each in self.report["identifiers"] if each["kind"] in kinds}

    def said(self, key: str) -> Sequence[str]:
        """The lines that the running guest reported under *key*."""
        lines: Sequence[str] = self.proof["boots"][0]["report"].get(key, [])
        return lines

    def first(self, key: str) -> str:
        return "".join(self.said(key)[:1])

    def seen(self, tag: str) -> set[str]:
        """Every value that blkid shows for *tag* in the running guest."""
        return {v for line in self.said("device") for v in re.findall(rf'\b{tag}="([^"]*)"', line)}

    def mounts(self, field: str) -> dict[str, str]:
        """*field* of findmnt for each place where a file system of the disk should be mounted."""
        pairs = [dict(re.findall(r'([A-Z]+)="([^"]*)"', line)) for line in self.said("mount")]
        found = {each["TARGET"]: each[field] for each in pairs}
        return {place: found[place] for place in ("/", "/boot", "/boot/efi") if place in found}


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Proven]:
    """Every variant, sanitised and proven."""
    folder = tmp_path_factory.mktemp("identifiers")
    return {name: _proven(folder, name) for name in VARIANTS}


def _proven(folder: Path, name: str) -> Proven:
    image, report, console = (folder / f"{name}.{each}" for each in ("qcow2", "json", "console"))
    shutil.copyfile(debian.cached(print, name), image)
    keys: list[str | Path] = []
    if VARIANTS[name].encrypted:
        keys = ["--key-file", debian.key_file(name, folder / "key")]
    before = _result(command.process("inspect", "--json", *keys, image))
    done = command.process("sanitize", "--json", *keys, image)
    report.write_text(done.stdout)
    options = ("--timeout", str(BOOT_LIMIT), "--report", report, "--console", console)
    proof = command.process("prove", "--json", *options, *keys, image, timeout=2 * BOOT_LIMIT)
    image.unlink()
    return Proven(before["identifiers"], _result(done), _result(proof), console.read_text())


def _result(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    return json.loads(done.stdout)["results"][0]


every_variant = pytest.mark.parametrize("variant", VARIANTS)


@every_variant
def test_everything_has_changed(proven: Mapping[str, Proven], variant: str) -> None:
    guest = proven[variant]
    places = {(each["kind"], each["device"]) for each in guest.before}
    assert {(each["kind"], each["device"]) for each in guest.report["identifiers"]} == places
    old = {each["value"] for each in guest.before}
    assert old.isdisjoint(each["value"] for each in guest.report["identifiers"])
    assert guest.report["residue"] == []


@every_variant
def test_the_running_guest_sees_every_new_identifier(
    proven: Mapping[str, Proven], variant: str
) -> None:
    guest = proven[variant]
    assert guest.seen("UUID") == guest.promised(*UUIDS)
    if VARIANTS[variant].table == "gpt":
        assert guest.seen("PTUUID") == lowered(guest.promised("disk-guid"))
        assert guest.seen("PARTUUID") == lowered(guest.promised("partition-guid"))
    else:
        assert guest.seen("PTUUID") == guest.promised("mbr-disk-id")
        (disk,) = guest.seen("PTUUID")
        assert guest.seen("PARTUUID") == {f"{disk}-{n:02d}" for n in (1, 2)}
    volumes = {word for line in guest.said("volume") for word in line.split()}
    assert volumes == guest.promised("lvm-pv-uuid", "lvm-vg-uuid")


@every_variant
def test_what_refers_to_them_followed(proven: Mapping[str, Proven], variant: str) -> None:
    guest, kind = proven[variant], VARIANTS[variant]
    mounted = guest.mounts("UUID")
    assert set(mounted) == {
        "/",
        *(["/boot"] if kind.separate_boot else []),
        *(["/boot/efi"] if kind.firmware == "uefi" else []),
    }
    file_systems = guest.promised("file-system-uuid", "vfat-serial")
    assert set(mounted.values()) == file_systems
    (swap,) = guest.said("swap")
    assert {swap.split()[1]} == guest.promised("swap-uuid")
    root = mounted["/"]
    named = "root=/dev/mapper/golden--vg-root" if kind.encrypted else f"root=UUID={root}"
    assert named in guest.first("cmdline").split()
    # The initrd's own copies, of RESUME= and of the crypttab, led to what is there.
    assert {guest.first("resume")} == guest.promised("swap-uuid")
    assert ("vda3_crypt: set up successfully" in guest.console) == kind.encrypted


@every_variant
def test_nothing_old_is_left_in_the_running_guest(
    proven: Mapping[str, Proven], variant: str
) -> None:
    guest = proven[variant]
    reported = guest.proof["boots"][0]["report"].values()
    told = "\n".join([*(line for lines in reported for line in lines), guest.console]).encode()
    old = [each["value"] for each in guest.before]
    assert [value for value in old for spelled in spellings(value) if spelled in told] == []


@every_variant
def test_the_guest_works(proven: Mapping[str, Proven], variant: str) -> None:
    guest = proven[variant]
    assert guest.said("failed") == []
    assert "ssh.service" in guest.said("active")
    assert guest.mounts("OPTIONS")["/"].startswith("rw")


@every_variant
def test_the_guest_is_who_its_report_says(proven: Mapping[str, Proven], variant: str) -> None:
    guest = proven[variant]
    assert (guest.proof["status"], guest.proof["differences"]) == ("proven", [])
    assert (guest.proof["init"], guest.proof["firmware"]) == ("systemd", VARIANTS[variant].firmware)
    assert {guest.first("machine-id")} == set(guest.said("told-machine-id"))
    assert guest.said("journal") == guest.said("machine-id")


def lowered(values: set[str]) -> set[str]:
    """GUIDs as blkid prints them."""
    return {value.lower() for value in values}
