"""What gives a machine-id on a kernel command line is stripped wherever that is kept."""

from __future__ import annotations

import base64
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
    "/boot/refind_linux.conf": f'"Boot" "root=/dev/a rw {X}"\n"A" "ro {X} initrd=\\i"\n',
    "/boot/efi/EFI/refind/refind.conf": f'menuentry "x" {{\n  options "rw {X}"\n}}\n',
    "/boot/limine.conf": f"/Arch\n    protocol: linux\n    cmdline: root=/dev/a {X} rw\n",
    "/boot/limine.cfg": f":Arch\nPROTOCOL=linux\nCMDLINE=root=/dev/a {X}\n",
    "/etc/default/limine": f'KERNEL_CMDLINE[default]+="rw {X}"\n',
    "/etc/grub.d/40_custom": f"#!/bin/sh\ntail -n +3 $0\nlinux /v ro {X}\n",
    "/etc/dracut.conf.d/cmdline.conf": f'kernel_cmdline="ro {X}"\n',
    "/etc/sdboot-manage.conf": f'LINUX_OPTIONS="rw {X}"\n',
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
    "/boot/refind_linux.conf": '"Boot" "root=/dev/a rw"\n"A" "ro initrd=\\i"\n',
    "/boot/efi/EFI/refind/refind.conf": 'menuentry "x" {\n  options "rw"\n}\n',
    "/boot/limine.conf": "/Arch\n    protocol: linux\n    cmdline: root=/dev/a rw\n",
    "/boot/limine.cfg": ":Arch\nPROTOCOL=linux\nCMDLINE=root=/dev/a\n",
    "/etc/default/limine": 'KERNEL_CMDLINE[default]+="rw"\n',
    "/etc/grub.d/40_custom": "#!/bin/sh\ntail -n +3 $0\nlinux /v ro\n",
    "/etc/dracut.conf.d/cmdline.conf": 'kernel_cmdline="ro"\n',
    "/etc/sdboot-manage.conf": 'LINUX_OPTIONS="rw"\n',
}

#: What else gives the id: a credential as it is, quoted, as Base64, and with dashes.
BASE64 = base64.b64encode(OLD.encode()).decode()
CREDENTIALS = (
    f"systemd.set_credential=system.machine_id:{OLD}",
    f"systemd.set-credential=system.machine_id:{OLD}",
    f"systemd.set_credential_binary=system.machine_id:{BASE64}",
    f"systemd.set_credential_binary=system.machine_id:{BASE64.rstrip('=')}",
)


def plan_for(folder: Path, tree: Tree, options: Options | None = None) -> StepPlan:
    plant(folder, tree)
    guest = guest_at(folder)
    return KernelMachineId().plan(context(guest, options))


@pytest.mark.parametrize("argument", [X, *CREDENTIALS])
def test_everywhere(tmp_path: Path, argument: str) -> None:
    places: Tree = {path: str(text).replace(X, argument) for path, text in PLACES.items()}
    places["/boot/grub2/grubenv"] = grubenv(kernelopts=f"root=/dev/a {argument} ro")
    plant(tmp_path, places)
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
        ({"/etc/kernel/cmdline": "systemd.set_credential=system.hostname:a\n"}, Options()),
        ({"/etc/kernel/cmdline": "systemd.set_credential=system.machine_id:firmware"}, Options()),
        (
            {"/etc/kernel/cmdline": "systemd.set_credential_binary=system.machine_id:ZmlybXdhcmU="},
            Options(),
        ),
        (PLACES, Options(disable=frozenset({"machine-id"}))),
    ],
    ids=["not baked in", "firmware", "another", "as credential", "in Base64", "the id stays"],
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


@pytest.mark.slow
def test_in_a_signed_image_it_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "guest"
    plant(root, {"/etc/machine-id": OLD, PLAIN: kernel(tmp_path, signed=True)})
    before = snapshot(root)
    with pytest.raises(RefusedError, match="boot with the old machine-id") as refused:
        carry_out(guest_at(root), ALL, Options())
    assert "--disable kernel-machine-id" in refused.value.hint
    assert snapshot(root) == before


@pytest.mark.slow
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


def test_every_argument_of_one_line_goes_and_each_id_is_retired(tmp_path: Path) -> None:
    line = " ".join(["ro", f"systemd.machine_id={OTHER}", *CREDENTIALS, "x"])
    plant(tmp_path, {"/etc/kernel/cmdline": f"{line} systemd.machine_id=firmware\n"})
    plan = carry_out(guest_at(tmp_path), ALL, Options())
    left = (tmp_path / "etc/kernel/cmdline").read_text()
    assert left == "ro x systemd.machine_id=firmware\n"
    assert {retired.value for retired in plan.retired} == {OLD, OTHER}


@pytest.mark.parametrize("argument", CREDENTIALS)
def test_a_credential_inside_a_unified_kernel_image(tmp_path: Path, argument: str) -> None:
    root = tmp_path / "guest"
    image = unified_kernel(tmp_path, {".cmdline": f"rw {argument} quiet\0".encode()})
    plant(root, {"/etc/machine-id": OLD, PLAIN: image})
    carry_out(guest_at(root), ALL, Options())
    (line,) = pe.contents((root / PLAIN[1:]).read_bytes(), ".cmdline")
    assert bytes(line).rstrip(b"\0") == b"rw " + b" " * len(argument) + b" quiet"


@pytest.mark.slow
def test_a_credential_inside_a_signed_image_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "guest"
    sections = {".cmdline": f"rw {CREDENTIALS[2]}\0".encode()}
    plant(root, {"/etc/machine-id": OLD, PLAIN: unified_kernel(tmp_path, sections, signed=True)})
    with pytest.raises(RefusedError, match="would get the old id back"):
        carry_out(guest_at(root), ALL, Options())


def test_a_credential_that_stays_is_named(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/machine-id": OLD, "/etc/kernel/cmdline": f"ro {CREDENTIALS[0]}\n"})
    options = Options(disable=frozenset({"kernel-machine-id"}))
    plan = carry_out(guest_at(tmp_path), (MachineId(),), options)
    (note,) = [note for note in plan.notes if note.level is Level.KEPT]
    assert "an empty or missing /etc/machine-id is filled with this id" in note.text
    assert plan.retired == ()
