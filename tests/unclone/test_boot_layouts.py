"""Debian 13 guests that start in less usual ways: each is sanitised, boots, and says who it is.

Nothing is handed in from outside: a reference that was missed stops the boot, and an old machine-id
that is left anywhere comes back.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.guests.trixie import base, guests
from tests.support import command
from tests.support.qemu import boot_guest
from unclone.images.discoverable import var_partition_uuid
from unclone.sanitize.identities.spellings import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.guests.trixie.base import Base, Identifiers

pytestmark = [pytest.mark.boot, pytest.mark.guest, pytest.mark.timeout(7200)]

BOOT_LIMIT = 2400  # seconds; alone on two processors a guest takes about 60

#: Kinds that blkid shows as the UUID of a device.
UUIDS = {"file-system-uuid", "swap-uuid", "vfat-serial", "md-uuid"}


@dataclass(frozen=True)
class Booted:
    """One guest: what it had, what the report promises, and what it says when it runs."""

    old: Identifiers
    report: Mapping[str, Any]
    facts: Mapping[str, str]
    console: str

    def new(self, kind: str, device: str) -> str:
        (found,) = (
            each["value"]
            for each in self.report["identifiers"]
            if (each["kind"], each["device"]) == (kind, device)
        )
        return str(found)

    def mount(self, place: str) -> list[str]:
        """UUID of the file system, and GUID of the partition, that are mounted at *place*."""
        return self.facts[f"mount-{place}"].split()

    def changed(self, action: str) -> set[str]:
        return {each["target"] for each in self.report["changes"] if each["action"] == action}


class Boot(Protocol):
    """Builds a guest, sanitises it with options, and boots it; *smbios* is of the machine."""

    def __call__(self, name: str, *options: str, smbios: str = "") -> Booted: ...


@pytest.fixture(scope="module")
def packages() -> Base:
    return base.cached()


@pytest.fixture(scope="module")
def boot(packages: Base, tmp_path_factory: pytest.TempPathFactory) -> Boot:
    folder = tmp_path_factory.mktemp("layouts")
    prepared = guests.prepare(packages, folder / "prepared")

    def booted(name: str, *options: str, smbios: str = "") -> Booted:
        work = folder / "-".join([name, *options, smbios[-8:]])
        disks = guests.build(name, prepared, packages, work)
        named: list[str | Path] = [disks[0]]
        for disk in disks[1:]:
            named += ["--add-disk", disk]
        done = command.unclone("sanitize", "--json", *options, *named)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)["results"][0]
        said = boot_guest(
            disks[0],
            work / "boot",
            BOOT_LIMIT,
            disks=disks[1:],
            memory=512,
            oem_strings=(smbios,) if smbios else (),
        )
        for disk in disks:
            disk.unlink()
        return Booted(packages.identifiers[name], report, said.facts, said.console)

    return booted


def require_new_machine(guest: Booted) -> None:
    """What holds for every guest."""
    facts = guest.facts
    assert re.fullmatch(r"[0-9a-f]{32}", facts["machine-id"])
    assert facts["machine-id"] == facts["systemd-machine-id"] == facts["journal"]
    assert facts["failed-units"] == ""
    seen = [value for key, value in facts.items() if key.startswith("blkid-")]
    uuids = {value for line in seen for value in re.findall(r'\bUUID="([^"]*)"', line)}
    new = guest.report["identifiers"]
    promised = {each["value"] for each in new if each["kind"] in UUIDS}
    assert {uuid.replace("-", "").lower() for uuid in uuids} == {
        re.sub("[-:]", "", value).lower() for value in promised
    }
    told = "\n".join([*facts.values(), guest.console]).encode()
    changed = [c for c in guest.report["changes"] if c["action"] == "set-identifier"]
    assert len(changed) == len(new)
    old = [change["old"] for change in changed] + [guest.old.machine_id]
    assert [value for value in old for spelled in spellings(value) if spelled in told] == []


def test_a_unified_kernel_image_gives_the_old_id_no_more(boot: Boot) -> None:
    guest = boot("uki")
    require_new_machine(guest)
    assert guest.facts["machine-id"] != guests.CREDENTIAL_MACHINE_ID
    assert "/boot/efi/loader/credentials/system.machine_id.cred" in guest.changed("remove")
    assert "systemd.machine_id" not in guest.facts["cmdline"]
    assert f"root=UUID={guest.new('file-system-uuid', '/dev/sda2')}" in guest.facts["cmdline"]
    (program,) = guest.changed("remove-kernel-argument")
    assert guest.old.machine_id in program
    assert guest.mount("/boot/efi")[0] == guest.new("vfat-serial", "/dev/sda1")


def test_partitions_without_fstab_are_mounted(boot: Boot) -> None:
    guest = boot("discovered")
    require_new_machine(guest)
    assert [guest.facts[f"mark-{place}"] for place in ("/", "/var", "/home", "/srv")] == [
        *("root", "var", "home", "srv")
    ]
    guid = guest.new("partition-guid", "/dev/sda3")
    assert guest.mount("/var") == [guest.new("file-system-uuid", "/dev/sda3"), guid]
    assert guid == var_partition_uuid(guest.facts["machine-id"])
    assert guid == guest.facts["var-partition"]  # as systemd computes it
    assert guest.mount("/efi")[0] == guest.new("vfat-serial", "/dev/sda1")
    assert guest.facts["swap"] == guest.new("swap-uuid", "/dev/sda6")
    (given,) = (c["new"] for c in guest.report["changes"] if c["target"] == "/etc/machine-id")
    assert guest.facts["machine-id"] == given


def test_an_initrd_that_only_a_boot_entry_names_finds_the_root(
    boot: Boot,
) -> None:
    guest = boot("esp-initrd")
    require_new_machine(guest)
    assert "root=" not in guest.facts["cmdline"]
    assert guest.mount("/")[0] == guest.new("file-system-uuid", "/dev/sda2")
    assert guest.facts["resume"] == guest.new("swap-uuid", "/dev/sda3")
    assert "/efi/debian/initrd" in guest.changed("correct-initrd")


def test_a_credential_gives_the_old_id_where_it_is_kept(boot: Boot) -> None:
    guest = boot("links", "--disable", "kernel-machine-id")
    assert guest.facts["machine-id"] == guest.old.machine_id
    (written,) = (c for c in guest.report["changes"] if c["target"] == "/etc/machine-id")
    assert written["new"] == "(empty)"


def test_a_guest_whose_configuration_is_links_boots(boot: Boot) -> None:
    guest = boot("links")
    require_new_machine(guest)
    assert guest.facts["fstab"] == "/srv/conf/fstab"
    assert guest.mount("/")[0] == guest.new("file-system-uuid", "/dev/sda2")
    assert guest.mount("/boot/efi")[0] == guest.new("vfat-serial", "/dev/sda1")
    assert guest.facts["swap"] == guest.new("swap-uuid", "/dev/sda3")


def test_kernel_arguments_in_a_grubenv_on_the_esp_follow(boot: Boot) -> None:
    """The machine has a credential in SMBIOS, which fills the emptied file: no image says it.

    It is what unclone renews in a definition.
    """
    given = "c0ffee11" * 4
    guest = boot("el8", smbios=f"io.systemd.credential:system.machine_id={given}")
    require_new_machine(guest)
    assert guest.facts["machine-id"] == given
    root, swap = guest.new("file-system-uuid", "/dev/sda2"), guest.new("swap-uuid", "/dev/sda3")
    assert {f"root=UUID={root}", f"resume=UUID={swap}"} <= set(guest.facts["cmdline"].split())
    assert guest.mount("/")[0] == root
    assert guest.facts["resume"] == swap


@pytest.mark.appliance
def test_a_mirror_over_two_disks_is_assembled(boot: Boot) -> None:
    guest = boot("mirror")
    require_new_machine(guest)
    array = guest.new("md-uuid", "/dev/sda2")
    assert f"MD_UUID={array}" in guest.facts["array"]
    assert guest.mount("/home") == [
        guest.new("file-system-uuid", "/dev/sdb2"),
        guest.new("partition-guid", "/dev/sdb2"),
    ]
