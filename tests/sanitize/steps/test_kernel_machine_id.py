"""``systemd.machine_id=`` is stripped wherever kernel arguments are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.families import ARCH, DEBIAN_12, OLD, OTHER, Tree, carry_out, grubenv, snapshot
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.sanitize.change import Level, StepPlan
from unclone.sanitize.options import Options
from unclone.sanitize.steps.boot_entries import BootEntries
from unclone.sanitize.steps.kernel_machine_id import KernelMachineId
from unclone.sanitize.steps.machine_id import MachineId

if TYPE_CHECKING:
    from pathlib import Path

X = f"systemd.machine_id={OLD}"
ALL = (MachineId(), KernelMachineId(), BootEntries())

PLACES: Tree = {
    "/etc/machine-id": f"{OLD}\n",
    "/boot/grub/grub.cfg": f"linux /vmlinuz root=/dev/a rw {X} quiet\n",
    "/boot/grub2/grubenv": grubenv(kernelopts=f"root=/dev/a {X} ro"),
    "/boot/loader/entries/x.conf": f"linux /vmlinuz\r\noptions {X} rw\r\n",
    "/etc/kernel/cmdline": f"root=/dev/a rw {X}\n",
    "/etc/cmdline.d/id.conf": f"{X}\n",
    "/etc/default/grub": f'GRUB_CMDLINE_LINUX="{X}"\n',
    "/etc/default/grub.d/50-id.cfg": f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {X}"\n',
    "/boot/extlinux/extlinux.conf": f"  APPEND root=/dev/a {X}\n",
    "/boot/firmware/cmdline.txt": f"root=/dev/a {X} rootwait\n",
}
STRIPPED: Tree = {
    "/etc/machine-id": "",
    "/boot/grub/grub.cfg": "linux /vmlinuz root=/dev/a rw quiet\n",
    "/boot/grub2/grubenv": grubenv(kernelopts="root=/dev/a ro"),
    "/boot/loader/entries/x.conf": "linux /vmlinuz\r\noptions rw\r\n",
    "/etc/kernel/cmdline": "root=/dev/a rw\n",
    "/etc/cmdline.d/id.conf": "\n",
    "/etc/default/grub": 'GRUB_CMDLINE_LINUX=""\n',
    "/etc/default/grub.d/50-id.cfg": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX"\n',
    "/boot/extlinux/extlinux.conf": "  APPEND root=/dev/a\n",
    "/boot/firmware/cmdline.txt": "root=/dev/a rootwait\n",
}


def plan_for(folder: Path, tree: Tree, options: Options | None = None) -> StepPlan:
    plant(folder, tree)
    guest = guest_at(folder)
    return KernelMachineId().plan(context(guest, options))


def test_everywhere(tmp_path: Path) -> None:
    plant(tmp_path, PLACES)
    carry_out(guest_at(tmp_path), ALL, Options(machine_id="empty"))
    found = {p: c.decode() for p, c in snapshot(tmp_path).items() if isinstance(c, bytes)}
    assert found == STRIPPED


def test_an_entry_that_is_renamed_later_is_verified_under_its_new_name(tmp_path: Path) -> None:
    (change,) = plan_for(tmp_path, ARCH).changes
    assert change.target == f"/boot/loader/entries/{OLD}-6.12.1-arch1+3-1.conf"
    assert change.details["later"] == "/boot/loader/entries/arch-6.12.1-arch1+3-1.conf"


@pytest.mark.parametrize(
    ("tree", "options"),
    [
        (DEBIAN_12, Options()),
        ({"/etc/kernel/cmdline": "ro systemd.machine_id=firmware\n"}, Options()),
        (PLACES, Options(disable=frozenset({"machine-id"}))),
    ],
    ids=["not baked in", "firmware", "the id stays"],
)
def test_nothing_to_do(tmp_path: Path, tree: Tree, options: Options) -> None:
    assert plan_for(tmp_path, tree, options) == StepPlan()


def test_an_id_that_is_only_on_the_command_line_is_retired_too(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            **{p: c for p, c in ARCH.items() if p != "/etc/machine-id"},
            "/etc/machine-id": f"{OTHER}\n",
        },
    )
    plan = carry_out(guest_at(tmp_path), ALL, Options())
    assert {retired.value for retired in plan.retired} == {OLD, OTHER}
    assert not (tmp_path / "boot" / OLD).exists()


def test_when_the_argument_stays_its_id_stays(tmp_path: Path) -> None:
    plant(tmp_path, ARCH)
    before = snapshot(tmp_path)
    options = Options(disable=frozenset({"kernel-machine-id"}))
    plan = carry_out(guest_at(tmp_path), (MachineId(), BootEntries()), options)
    assert plan.retired == ()
    assert {p for p, c in before.items() if snapshot(tmp_path).get(p) != c} == {"/etc/machine-id"}


def uki(command_line: str) -> bytes:
    """A PE file with one section, .cmdline."""
    head = b"MZ" + bytes(0x3A) + (0x40).to_bytes(4, "little")
    coff = b"PE\0\0" + b"\x64\x86" + (1).to_bytes(2, "little") + bytes(12) + b"\x02\0" + bytes(2)
    size = len(command_line).to_bytes(4, "little")
    offset = (0x40 + 24 + 2 + 40).to_bytes(4, "little")
    section = b".cmdline" + size + bytes(4) + size + offset + bytes(16)
    return head + coff + b"\x0b\x02" + section + command_line.encode()


def test_inside_a_unified_kernel_image_it_is_kept_and_said(tmp_path: Path) -> None:
    image = "/boot/efi/EFI/Linux/arch.efi"
    plant(tmp_path, {"/etc/machine-id": OLD, image: uki(f"rw {X}")})
    plan = carry_out(guest_at(tmp_path), ALL, Options())
    (note,) = [note for note in plan.notes if note.level is Level.KEPT]
    assert note.text.startswith(f"{image} has systemd.machine_id= inside")
    assert plan.retired == ()  # it stays in the image, and so it is no residue
    assert (tmp_path / image[1:]).read_bytes() == uki(f"rw {X}")
