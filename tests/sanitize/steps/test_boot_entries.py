"""Boot entries named after the old machine-id: golden trees before and after, per family."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.families import (
    ARCH,
    DEBIAN_12,
    EL8,
    EL8_UEFI,
    EL9,
    EL9_OPTIONS,
    EMPTY_INITRD,
    OLD,
    OTHER,
    UUID,
    Tree,
    carry_out,
    difference,
    grubenv,
    snapshot,
    systemd,
)
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level, Plan
from unclone.sanitize.options import Options
from unclone.sanitize.steps.boot_entries import BootEntries
from unclone.sanitize.steps.kernel_machine_id import KernelMachineId
from unclone.sanitize.steps.machine_id import MachineId

if TYPE_CHECKING:
    from pathlib import Path

NEW = "a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5"
STEPS = (MachineId(), KernelMachineId(), BootEntries())


def run_on(folder: Path, tree: Tree, mode: str = "auto") -> tuple[dict[str, object], Plan]:
    plant(folder, tree)
    before = snapshot(folder)
    plan = carry_out(guest_at(folder), STEPS, Options(machine_id=mode))
    after = snapshot(folder)
    if mode != "random":
        again = carry_out(guest_at(folder), STEPS, Options(machine_id=mode))
        assert [c for c in again.changes if c.step != "machine-id"] == []
    return {
        path: content.decode() if isinstance(content, bytes) else content
        for path, content in difference(before, after).items()
        if "machine-id" not in path
    }, plan


def el9_after(token: str) -> dict[str, object]:
    kernel = "5.14.0-284.30.1.el9_2.x86_64"
    entries = "/boot/loader/entries"
    return {
        f"{entries}/{OLD}-{kernel}.conf": None,
        f"{entries}/{OLD}-0-rescue.conf": None,
        f"/boot/vmlinuz-0-rescue-{OLD}": None,
        f"/boot/initramfs-0-rescue-{OLD}.img": None,
        f"/boot/.vmlinuz-0-rescue-{OLD}.hmac": None,
        f"{entries}/{token}-{kernel}.conf": EL9[f"{entries}/{OLD}-{kernel}.conf"],
        f"{entries}/{token}-0-rescue.conf": (
            f"title Rocky Linux (0-rescue-{token}) 9.2 (Blue Onyx)\nversion 0-rescue-{token}\n"
            f"linux /vmlinuz-0-rescue-{token}\ninitrd /initramfs-0-rescue-{token}.img\n"
            f"options {EL9_OPTIONS}\n"
        ),
        f"/boot/vmlinuz-0-rescue-{token}": "MZ\0rescue",
        f"/boot/initramfs-0-rescue-{token}.img": EMPTY_INITRD.decode(),
        f"/boot/.vmlinuz-0-rescue-{token}.hmac": f"c0ffee  vmlinuz-0-rescue-{token}\n",
        "/boot/grub2/grubenv": grubenv(saved_entry=f"{token}-{kernel}", boot_success="1"),
    }


@pytest.mark.parametrize(("mode", "token"), [("auto", "ROCKY"), (NEW, NEW)])
def test_el9(tmp_path: Path, mode: str, token: str) -> None:
    changed, plan = run_on(tmp_path, EL9, mode)
    assert changed == el9_after(token)
    told = [n.text for n in plan.notes if n.step == "boot-entries"]
    assert told == [] if mode == NEW else "leaves their boot entries behind" in told[0]


@pytest.mark.parametrize(
    ("tree", "block"),
    [(EL8, "/boot/grub2/grubenv"), (EL8_UEFI, "/boot/efi/EFI/almalinux/grubenv")],
)
def test_el8_where_the_command_line_is_in_grubenv(tmp_path: Path, tree: Tree, block: str) -> None:
    kernel = "4.18.0-477.el8.x86_64"
    changed, _ = run_on(tmp_path, tree)
    assert changed == {
        f"/boot/loader/entries/{OLD}-{kernel}.conf": None,
        f"/boot/loader/entries/ALMALINUX-{kernel}.conf": (
            EL8[f"/boot/loader/entries/{OLD}-{kernel}.conf"]
        ),
        block: grubenv(
            kernelopts="root=/dev/mapper/al-root ro crashkernel=auto ",
            saved_entry=f"ALMALINUX-{kernel}",
        ),
    }


def arch_after(token: str, machine_id_line: str) -> dict[str, object]:
    return {
        f"/boot/loader/entries/{OLD}-6.12.1-arch1+3-1.conf": None,
        f"/boot/{OLD}/6.12.1-arch1/linux": None,
        f"/boot/{OLD}/6.12.1-arch1/initrd": None,
        f"/boot/loader/entries/{token}-6.12.1-arch1+3-1.conf": (
            "# Boot Loader Specification type#1 entry\n"
            f"title      Arch Linux\nversion    6.12.1-arch1\n{machine_id_line}sort-key   arch\n"
            f"options    root=UUID={UUID} rw quiet\n"
            f"linux      /{token}/6.12.1-arch1/linux\ninitrd     /{token}/6.12.1-arch1/initrd\n"
        ),
        f"/boot/{token}/6.12.1-arch1/linux": "MZ\0",
        f"/boot/{token}/6.12.1-arch1/initrd": EMPTY_INITRD.decode(),
        "/boot/loader/loader.conf": f"timeout 3\r\ndefault {token}-*\r\n",
    }


def test_systemd_boot_gets_a_token_that_kernel_install_follows(tmp_path: Path) -> None:
    changed, _ = run_on(tmp_path, ARCH)
    assert changed == {**arch_after("arch", ""), "/etc/kernel/entry-token": "arch\n"}


def test_systemd_boot_with_a_known_new_id_needs_no_token(tmp_path: Path) -> None:
    changed, _ = run_on(tmp_path, ARCH, NEW)
    assert changed == arch_after(NEW, f"machine-id {NEW}\n")


def test_a_machine_without_such_entries_is_left_alone(tmp_path: Path) -> None:
    changed, _ = run_on(tmp_path, {p: c for p, c in DEBIAN_12.items() if "journal" not in p})
    assert changed == {}


TOKENS: dict[str, tuple[Tree, str]] = {
    "the token in use": ({"/etc/kernel/entry-token": "mine\n"}, "mine"),
    "the old id as token": ({"/etc/kernel/entry-token": f"{OLD}\n"}, "arch"),
    "image id": ({"/etc/os-release": "ID=arch\nIMAGE_ID=kiosk\n"}, "kiosk"),
    "no os-release": ({"/etc/os-release": ""}, "linux"),
    "hostile os-release": ({"/etc/os-release": "ID=../../etc\nIMAGE_ID='a b'\n"}, "linux"),
    "taken folder": ({"/boot/arch/x": ""}, "linux"),
    "taken but for case": ({"/boot/ARCH": None}, "linux"),
}


@pytest.mark.parametrize(("files", "token"), TOKENS.values(), ids=TOKENS)
def test_the_token(tmp_path: Path, files: Tree, token: str) -> None:
    run_on(tmp_path, {**ARCH, **files})
    assert (tmp_path / "boot" / token / "6.12.1-arch1/linux").is_file()
    assert (tmp_path / "etc/kernel/entry-token").read_text() == f"{token}\n"


def test_a_kernel_install_without_tokens_is_named(tmp_path: Path) -> None:
    tree = {p: c for p, c in ARCH.items() if "libsystemd" not in p} | systemd(249)
    changed, plan = run_on(tmp_path, tree)
    assert changed == arch_after("arch", "")
    assert [n.level for n in plan.notes if "systemd 249 knows no entry token" in n.text] == [
        Level.WARNING
    ]


def test_when_every_name_is_taken_it_refuses(tmp_path: Path) -> None:
    taken: Tree = {f"/boot/{t}/x": "" for t in ("arch", "linux", "arch-2", "linux-2")}
    plant(tmp_path, {**ARCH, **taken})
    before = snapshot(tmp_path)
    guest = guest_at(tmp_path)
    with pytest.raises(RefusedError, match=r"cannot be renamed: /boot/linux-2 exists already"):
        BootEntries().plan(context(guest))
    assert snapshot(tmp_path) == before


def test_entries_of_both_old_ids_would_collide(tmp_path: Path) -> None:
    entry = "title x\nlinux /v\noptions ro\n"
    plant(
        tmp_path,
        {
            "/etc/machine-id": OLD,
            "/var/lib/dbus/machine-id": OTHER,
            f"/boot/loader/entries/{OLD}-1.conf": entry,
            f"/boot/loader/entries/{OTHER}-1.conf": entry,
        },
    )
    guest = guest_at(tmp_path)
    with pytest.raises(RefusedError, match="would get the same name"):
        BootEntries().plan(context(guest))


def test_entries_of_another_id_and_by_hand_stay(tmp_path: Path) -> None:
    foreign: Tree = {
        f"/boot/loader/entries/{OTHER}-6.1.conf": f"machine-id {OTHER}\nlinux /{OTHER}/6.1/linux\n",
        f"/boot/{OTHER}/6.1/linux": "MZ",
    }
    changed, _ = run_on(tmp_path, {**ARCH, **foreign})
    assert not set(changed) & set(foreign)


def test_boot_partition_and_esp_each_keep_their_own(tmp_path: Path) -> None:
    tree: Tree = {
        **systemd(254),
        "/etc/os-release": "ID=fedora\n",
        "/etc/machine-id": OLD,
        f"/boot/efi/{OLD}/6.5/linux": "MZ",
        f"/boot/efi/loader/entries/{OLD}-6.5+3.conf": f"linux /{OLD}/6.5/linux\noptions rw\n",
        f"/boot/efi/EFI/Linux/{OLD}-6.5.efi": b"MZ\0",
        "/efi": "-> boot/efi",
    }
    changed, _ = run_on(tmp_path, tree)
    assert changed == {
        f"/boot/efi/{OLD}/6.5/linux": None,
        f"/boot/efi/loader/entries/{OLD}-6.5+3.conf": None,
        f"/boot/efi/EFI/Linux/{OLD}-6.5.efi": None,
        "/boot/efi/fedora/6.5/linux": "MZ",
        "/boot/efi/loader/entries/fedora-6.5+3.conf": "linux /fedora/6.5/linux\noptions rw\n",
        "/boot/efi/EFI/Linux/fedora-6.5.efi": "MZ\0",
        "/etc/kernel/entry-token": "fedora\n",
    }


def test_el7_menu_entries_in_grub_cfg(tmp_path: Path) -> None:
    menu = "menuentry 'CentOS Linux (0-rescue-{0}) 7' {{\n\tlinux16 /vmlinuz-0-rescue-{0} ro\n}}\n"
    tree: Tree = {
        **systemd(219),
        "/etc/os-release": 'ID="centos"\n',
        "/etc/machine-id": OLD,
        f"/boot/vmlinuz-0-rescue-{OLD}": b"MZ\0",
        "/boot/grub2/grub.cfg": menu.format(OLD),
        "/boot/grub2/grubenv": grubenv(saved_entry=f"CentOS Linux (0-rescue-{OLD}) 7"),
    }
    changed, _ = run_on(tmp_path, tree)
    assert changed == {
        f"/boot/vmlinuz-0-rescue-{OLD}": None,
        "/boot/vmlinuz-0-rescue-CENTOS": "MZ\0",
        "/boot/grub2/grub.cfg": menu.format("CENTOS"),
        "/boot/grub2/grubenv": grubenv(saved_entry="CentOS Linux (0-rescue-CENTOS) 7"),
    }


INFO = f'PRETTY_HOSTNAME="x"\nKERNEL_INSTALL_MACHINE_ID={OLD}\nCHASSIS=vm\n'


@pytest.mark.parametrize(
    ("mode", "after"),
    [("auto", 'PRETTY_HOSTNAME="x"\nCHASSIS=vm\n'), (NEW, INFO.replace(OLD, NEW))],
)
def test_the_id_kernel_install_wrote_into_machine_info(
    tmp_path: Path, mode: str, after: str
) -> None:
    changed, _ = run_on(tmp_path, {**ARCH, "/etc/machine-info": INFO}, mode)
    assert changed["/etc/machine-info"] == after


@pytest.mark.parametrize(
    ("mode", "after"), [("auto", "layout=bls\n"), (NEW, f"layout=bls\nMACHINE_ID={NEW}\n")]
)
def test_the_id_that_kernel_install_is_told(tmp_path: Path, mode: str, after: str) -> None:
    told = {"/etc/kernel/install.conf": f"layout=bls\nMACHINE_ID={OLD}\n"}
    changed, _ = run_on(tmp_path, {**ARCH, **told}, mode)
    assert changed["/etc/kernel/install.conf"] == after


@pytest.mark.parametrize(
    "options",
    [Options(disable=frozenset({"machine-id"})), Options(machine_id=OLD)],
    ids=["machine-id disabled", "the same id again"],
)
def test_names_stay_while_the_id_stays(tmp_path: Path, options: Options) -> None:
    plant(tmp_path, ARCH)
    guest = guest_at(tmp_path)
    assert BootEntries().plan(context(guest, options)).changes == ()


def test_random_gives_files_and_entries_the_same_id(tmp_path: Path) -> None:
    _, plan = run_on(tmp_path, ARCH, "random")
    new = (tmp_path / "etc/machine-id").read_text().strip()
    assert re.fullmatch("[0-9a-f]{32}", new)
    assert (tmp_path / f"boot/{new}/6.12.1-arch1/linux").is_file()
    assert {change.new for change in plan.changes if change.action == "rename"} == {new}


def test_grub_reads_the_environment_block_that_was_edited(tmp_path: Path) -> None:
    run_on(tmp_path, EL9)
    block = tmp_path / "boot/grub2/grubenv"
    assert block.stat().st_size == 1024
    shown = subprocess.run(
        ["grub-editenv", block, "list"], capture_output=True, text=True, check=True
    ).stdout
    assert shown == "saved_entry=ROCKY-5.14.0-284.30.1.el9_2.x86_64\nboot_success=1\n"


def test_a_newer_kernel_comes_first_in_grubs_menu(tmp_path: Path) -> None:
    """The next kernel is named by an id that nobody knows yet, and has to win in any case."""
    _, plan = run_on(tmp_path, EL9)
    (token,) = {change.new for change in plan.changes if change.action == "rename"}
    assert [d for d in "0123456789abcdef" if not rpm_newer(d * 32, token)] == []


def rpm_newer(a: str, b: str) -> bool:
    """Whether blscfg puts entries named *a* above those named *b*.

    It compares names as RPM does versions, segment by segment: digits beat letters, letters
    compare by their codes.
    """
    first = re.match(r"\d+|[A-Za-z]+", a)
    second = re.match(r"\d+|[A-Za-z]+", b)
    assert first
    assert second
    if first.group().isdigit() != second.group().isdigit():
        return first.group().isdigit()
    return first.group() > second.group()
