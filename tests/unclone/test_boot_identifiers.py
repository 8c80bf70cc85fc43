"""A sanitised copy of each kind of guest boots with every new identifier, and with none of the old.

Firmware, GRUB, initrd, kernel and systemd each find the disk's file systems by identifiers. All of
them have changed, in the disk and in what refers to them; the running guest says what it sees.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.guests import debian
from tests.guests.variants import VARIANTS
from tests.support import command
from tests.support.qemu import Machine
from unclone.sanitize.identities.spellings import spellings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

pytestmark = [
    pytest.mark.boot,
    pytest.mark.guest,
    pytest.mark.appliance,
    pytest.mark.timeout(7200),
]

BOOT_LIMIT = 2400  # seconds; a guest alone on two processors takes about 100
AT_ONCE = 2

#: Kinds that blkid shows as the UUID of a device.
UUIDS = {"file-system-uuid", "swap-uuid", "vfat-serial", "luks-uuid", "lvm-pv-uuid"}


@dataclass(frozen=True)
class Booted:
    """One guest: what it had, what the report promises, and what it says when it runs."""

    variant: str
    before: Sequence[Mapping[str, str]]
    report: Mapping[str, Any]
    facts: Mapping[str, str]
    console: str

    def promised(self, *kinds: str) -> set[str]:
        """The new values of *kinds*."""
        return {each["value"] for each in self.report["identifiers"] if each["kind"] in kinds}

    def seen(self, tag: str) -> set[str]:
        """Every value that blkid shows for *tag* in the running guest."""
        lines = [value for key, value in self.facts.items() if key.startswith("blkid-")]
        return {value for line in lines for value in re.findall(rf'\b{tag}="([^"]*)"', line)}


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Booted]:
    """Every variant, sanitised and booted, :data:`AT_ONCE` at a time."""
    folder = tmp_path_factory.mktemp("identifiers")
    names = list(VARIANTS)
    done: dict[str, Booted] = {}
    for start in range(0, len(names), AT_ONCE):
        done |= dict(_boot_together(folder, names[start : start + AT_ONCE]))
    return done


def _boot_together(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, Booted]]:
    with ExitStack() as stack:
        started = []
        for name in names:
            image, before, report = _sanitised(folder, name)
            machine = Machine(image, folder / name, firmware=VARIANTS[name].firmware)
            started.append((name, before, report, stack.enter_context(machine)))
        for name, before, report, machine in started:
            facts = machine.facts(BOOT_LIMIT)
            console = machine.console.read_text(errors="replace")
            yield name, Booted(name, before, report, facts, console)


def _sanitised(folder: Path, name: str) -> tuple[Path, Any, Any]:
    image = folder / f"{name}.qcow2"
    shutil.copyfile(debian.cached(print, name), image)
    keys: list[str | Path] = []
    if VARIANTS[name].encrypted:
        keys = ["--key-file", debian.key_file(name, folder / "key")]
    before = _result("inspect", "--json", *keys, image)["identifiers"]
    return image, before, _result("sanitize", "--json", *keys, image)


def _result(*arguments: str | Path) -> Any:
    done = command.process(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["results"][0]


every_variant = pytest.mark.parametrize("variant", VARIANTS)


@every_variant
def test_everything_has_changed(booted: Mapping[str, Booted], variant: str) -> None:
    guest = booted[variant]
    places = {(each["kind"], each["device"]) for each in guest.before}
    assert {(each["kind"], each["device"]) for each in guest.report["identifiers"]} == places
    old = {each["value"] for each in guest.before}
    assert old.isdisjoint(each["value"] for each in guest.report["identifiers"])
    assert guest.report["residue"] == []


@every_variant
def test_the_running_guest_sees_every_new_identifier(
    booted: Mapping[str, Booted], variant: str
) -> None:
    guest = booted[variant]
    assert guest.seen("UUID") == guest.promised(*UUIDS)
    if VARIANTS[variant].table == "gpt":
        assert {guest.facts["disk"]} == lowered(guest.promised("disk-guid"))
        assert guest.seen("PARTUUID") == lowered(guest.promised("partition-guid"))
    else:
        assert {guest.facts["disk"]} == guest.promised("mbr-disk-id")
        assert guest.seen("PARTUUID") == {f"{guest.facts['disk']}-{n:02d}" for n in (1, 2)}
    volumes = set(guest.facts["volumes"].split())
    assert volumes == guest.promised("lvm-pv-uuid", "lvm-vg-uuid")


@every_variant
def test_what_refers_to_them_followed(booted: Mapping[str, Booted], variant: str) -> None:
    guest, kind = booted[variant], VARIANTS[variant]
    mounted = {key: guest.facts[f"mount-{key}"].split() for key in ("/", "/boot", "/boot/efi")}
    assert {key for key, value in mounted.items() if value} == {
        "/",
        *(["/boot"] if kind.separate_boot else []),
        *(["/boot/efi"] if kind.firmware == "uefi" else []),
    }
    file_systems = guest.promised("file-system-uuid", "vfat-serial")
    assert {value[0] for value in mounted.values() if value} == file_systems
    assert {guest.facts["swap"].split()[0]} == guest.promised("swap-uuid")
    root = mounted["/"][0]
    named = "root=/dev/mapper/golden--vg-root" if kind.encrypted else f"root=UUID={root}"
    assert named in guest.facts["cmdline"].split()
    # The initrd's own copies, of RESUME= and of the crypttab, led to what is there.
    assert {guest.facts["resume"]} == guest.promised("swap-uuid")
    assert ("vda3_crypt: set up successfully" in guest.console) == kind.encrypted


@every_variant
def test_nothing_old_is_left_in_the_running_guest(
    booted: Mapping[str, Booted], variant: str
) -> None:
    guest = booted[variant]
    told = "\n".join([*guest.facts.values(), guest.console]).encode()
    old = [each["value"] for each in guest.before]
    assert [value for value in old for spelled in spellings(value) if spelled in told] == []


@every_variant
def test_the_guest_works(booted: Mapping[str, Booted], variant: str) -> None:
    facts = booted[variant].facts
    assert facts["failed-units"] == ""
    assert facts["sshd"] == "active"
    assert facts["root-options"].startswith("rw")


def lowered(values: set[str]) -> set[str]:
    """GUIDs as blkid prints them."""
    return {value.lower() for value in values}
