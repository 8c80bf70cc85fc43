"""``systemd.machine_id=`` is stripped wherever kernel arguments are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.boot_images import unified_kernel
from tests.support.families import ARCH, DEBIAN_12, OLD, OTHER, Tree, carry_out, grubenv, snapshot
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError
from unclone.sanitize.boot import pe
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


IMAGE = f"/boot/efi/EFI/Linux/{OLD}-6.1.efi"
PLAIN = "/boot/efi/EFI/Linux/arch.efi"


def kernel(folder: Path, *, signed: bool = False) -> bytes:
    return unified_kernel(folder, {".cmdline": f"rw {X} quiet\0".encode()}, signed=signed)


def test_inside_a_unified_kernel_image_it_is_blanked(tmp_path: Path) -> None:
    before = kernel(tmp_path)
    root = tmp_path / "guest"
    plant(root, {"/etc/machine-id": OLD, PLAIN: before})
    plan = carry_out(guest_at(root), ALL, Options())
    after = (root / PLAIN[1:]).read_bytes()
    (line,) = pe.contents(after, ".cmdline")
    assert bytes(line).rstrip(b"\0") == b"rw " + b" " * len(X) + b" quiet"
    assert (len(after), OLD.encode() in after) == (len(before), False)
    assert [retired.value for retired in plan.retired] == [OLD]


def test_an_image_called_by_the_id_its_add_ons_and_profiles_too(tmp_path: Path) -> None:
    root = tmp_path / "guest"
    addon = kernel(tmp_path)
    plant(
        root,
        {
            "/etc/machine-id": OLD,
            "/etc/kernel/entry-token": f"{OLD}\n",
            IMAGE: addon,
            f"{IMAGE}.extra.d/id.addon.efi": addon,
            "/boot/efi/loader/addons/id.addon.efi": addon,
        },
    )
    carry_out(guest_at(root), ALL, Options())
    left = {path: content for path, content in snapshot(root).items() if OLD in path}
    assert left == {}
    assert not [path for path, content in snapshot(root).items() if OLD.encode() in _bytes(content)]


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def test_in_a_signed_image_it_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "guest"
    plant(root, {"/etc/machine-id": OLD, PLAIN: kernel(tmp_path, signed=True)})
    before = snapshot(root)
    with pytest.raises(RefusedError, match="boot with the old machine-id") as refused:
        carry_out(guest_at(root), ALL, Options())
    assert "--disable kernel-machine-id" in refused.value.hint
    assert snapshot(root) == before


def test_in_a_signed_image_it_stays_when_asked_and_is_named(tmp_path: Path) -> None:
    root = tmp_path / "guest"
    signed = kernel(tmp_path, signed=True)
    plant(root, {"/etc/machine-id": OLD, PLAIN: signed})
    options = Options(disable=frozenset({"kernel-machine-id"}))
    plan = carry_out(guest_at(root), (MachineId(), BootEntries()), options)
    (note,) = [note for note in plan.notes if note.level is Level.KEPT]
    assert f"{PLAIN} has systemd.machine_id={OLD}, and the machine boots with this id" in note.text
    assert plan.retired == ()  # it stays in force, and so it is no residue
    assert (root / PLAIN[1:]).read_bytes() == signed
