"""Small trees with the files around the machine-id that each distribution family really has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.planning import context
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.change import Plan
from unclone.sanitize.residue import find_residue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.sanitize.options import Options
    from unclone.sanitize.step import Step

OLD = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
UUID = "11111111-2222-3333-4444-555555555555"

Tree = dict[str, str | bytes | None]

#: An archive of no members: its trailer (cpio(5), "new ASCII format").
EMPTY_INITRD = b"070701" + b"%08x" * 13 % (*[0] * 4, 1, *[0] * 6, 11, 0) + b"TRAILER!!!\0\0\0\0"


def grubenv(**variables: str) -> str:
    """A block as grub-editenv writes it: 1024 bytes."""
    text = "# GRUB Environment Block\n" + "".join(f"{k}={v}\n" for k, v in variables.items())
    return text + "#" * (1024 - len(text))


def systemd(version: int, library: str = "/usr/lib/systemd") -> Tree:
    return {
        "/usr/lib/systemd/systemd": "ELF",
        "/usr/sbin/init": "-> ../lib/systemd/systemd",
        "/sbin": "-> usr/sbin",
        f"{library}/libsystemd-shared-{version}.so": "ELF",
    }


DEBIAN_12: Tree = {
    **systemd(252, "/usr/lib/x86_64-linux-gnu/systemd"),
    "/etc/os-release": "-> ../usr/lib/os-release",
    "/usr/lib/os-release": (
        'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian\n'
    ),
    "/etc/hostname": "template\n",
    "/etc/machine-id": f"{OLD}\n",
    "/var/lib/dbus/machine-id": f"{OLD}\n",
    f"/var/log/journal/{OLD}/system.journal": b"LPKSHHRH",
    "/boot/vmlinuz-6.1.0-13-amd64": b"MZ kernel",
    "/boot/grub/grub.cfg": (
        "set timeout=5\nmenuentry 'Debian GNU/Linux' {\n"
        f"\tlinux\t/boot/vmlinuz-6.1.0-13-amd64 root=UUID={UUID} ro  quiet\n"
        "\tinitrd\t/boot/initrd.img-6.1.0-13-amd64\n}\n"
    ),
    "/etc/default/grub": 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
}

EL9_OPTIONS = f"root=UUID={UUID} ro crashkernel=1G-4G:192M console=ttyS0"
EL9: Tree = {
    **systemd(252),
    "/etc/os-release": 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\n',
    "/etc/machine-id": f"{OLD}\n",
    "/var/lib/dbus/machine-id": "-> /etc/machine-id",
    f"/boot/loader/entries/{OLD}-5.14.0-284.30.1.el9_2.x86_64.conf": (
        "title Rocky Linux (5.14.0-284.30.1.el9_2.x86_64) 9.2 (Blue Onyx)\n"
        "version 5.14.0-284.30.1.el9_2.x86_64\n"
        "linux /vmlinuz-5.14.0-284.30.1.el9_2.x86_64\n"
        "initrd /initramfs-5.14.0-284.30.1.el9_2.x86_64.img $tuned_initrd\n"
        f"options {EL9_OPTIONS}\ngrub_users $grub_users\ngrub_class rocky\n"
    ),
    f"/boot/loader/entries/{OLD}-0-rescue.conf": (
        f"title Rocky Linux (0-rescue-{OLD}) 9.2 (Blue Onyx)\nversion 0-rescue-{OLD}\n"
        f"linux /vmlinuz-0-rescue-{OLD}\ninitrd /initramfs-0-rescue-{OLD}.img\n"
        f"options {EL9_OPTIONS}\n"
    ),
    f"/boot/vmlinuz-0-rescue-{OLD}": b"MZ\0rescue",
    f"/boot/initramfs-0-rescue-{OLD}.img": EMPTY_INITRD,
    f"/boot/.vmlinuz-0-rescue-{OLD}.hmac": f"c0ffee  vmlinuz-0-rescue-{OLD}\n",
    "/boot/vmlinuz-5.14.0-284.30.1.el9_2.x86_64": b"MZ\0",
    "/boot/grub2/grub.cfg": "insmod blscfg\nblscfg\n",
    "/boot/grub2/grubenv": grubenv(
        saved_entry=f"{OLD}-5.14.0-284.30.1.el9_2.x86_64", boot_success="1"
    ),
    "/etc/kernel/cmdline": f"{EL9_OPTIONS}\n",
}

EL8: Tree = {
    **systemd(239),
    "/etc/os-release": 'NAME="AlmaLinux"\nID="almalinux"\nID_LIKE="rhel centos fedora"\n',
    "/etc/machine-id": f"{OLD}\n",
    "/var/lib/dbus/machine-id": "-> /etc/machine-id",
    f"/boot/loader/entries/{OLD}-4.18.0-477.el8.x86_64.conf": (
        "title AlmaLinux (4.18.0-477.el8.x86_64) 8.8\nversion 4.18.0-477.el8.x86_64\n"
        "linux /vmlinuz-4.18.0-477.el8.x86_64\n"
        "initrd /initramfs-4.18.0-477.el8.x86_64.img\n"
        "options $kernelopts $tuned_params\n"
        "id almalinux-20230517000000-4.18.0-477.el8.x86_64\n"
    ),
    "/boot/grub2/grub.cfg": 'set default_kernelopts="root=/dev/sda1 ro "\nblscfg\n',
    "/boot/grub2/grubenv": grubenv(
        kernelopts="root=/dev/mapper/al-root ro crashkernel=auto ",
        saved_entry=f"{OLD}-4.18.0-477.el8.x86_64",
    ),
}

#: On UEFI, GRUB's configuration and environment block are on the EFI system partition.
EL8_UEFI: Tree = {
    **{path: text for path, text in EL8.items() if not path.startswith("/boot/grub2/")},
    "/boot/grub2/grubenv": "-> ../efi/EFI/almalinux/grubenv",
    "/boot/efi/EFI/almalinux/grubenv": EL8["/boot/grub2/grubenv"],
    "/boot/efi/EFI/almalinux/grub.cfg": EL8["/boot/grub2/grub.cfg"],
    "/etc/grub2-efi.cfg": "-> ../boot/efi/EFI/almalinux/grub.cfg",
}

ARCH: Tree = {
    **systemd(257),
    "/etc/os-release": 'NAME="Arch Linux"\nPRETTY_NAME="Arch Linux"\nID=arch\n',
    "/etc/machine-id": f"{OLD}\n",
    f"/boot/loader/entries/{OLD}-6.12.1-arch1+3-1.conf": (
        "# Boot Loader Specification type#1 entry\n"
        "title      Arch Linux\nversion    6.12.1-arch1\n"
        f"machine-id {OLD}\nsort-key   arch\n"
        f"options    root=UUID={UUID} rw quiet systemd.machine_id={OLD}\n"
        f"linux      /{OLD}/6.12.1-arch1/linux\ninitrd     /{OLD}/6.12.1-arch1/initrd\n"
    ),
    f"/boot/{OLD}/6.12.1-arch1/linux": b"MZ\0",
    f"/boot/{OLD}/6.12.1-arch1/initrd": EMPTY_INITRD,
    "/boot/loader/loader.conf": f"timeout 3\r\ndefault {OLD}-*\r\n",
    "/boot/loader/entries.srel": "type1\n",
    "/boot/loader/entries/by-hand.conf": (
        f"title By hand\nlinux /vmlinuz-linux\noptions root=UUID={UUID} rw\n"
    ),
    "/usr/lib/kernel/install.conf": "layout=bls\n",
}

ALPINE: Tree = {
    "/bin/busybox": "ELF",
    "/sbin/init": "-> /bin/busybox",
    "/sbin/openrc": "ELF",
    "/etc/inittab": "::sysinit:/sbin/openrc sysinit\n",
    "/etc/os-release": 'NAME="Alpine Linux"\nID=alpine\nPRETTY_NAME="Alpine Linux v3.19"\n',
    "/etc/machine-id": f"{OLD}\n",
    "/var/lib/dbus/machine-id": f"{OTHER}\n",
    "/boot/extlinux.conf": (
        f"DEFAULT lts\nLABEL lts\n  LINUX vmlinuz-lts\n  APPEND root=UUID={UUID} quiet\n"
    ),
}

FAMILIES: Mapping[str, Tree] = {
    "debian-12": DEBIAN_12,
    "el9": EL9,
    "el8": EL8,
    "el8-uefi": EL8_UEFI,
    "arch": ARCH,
    "alpine": ALPINE,
}


def carry_out(guest: Guest, steps: Sequence[Step], options: Options) -> Plan:
    """Plan, apply and verify *steps*, as a run does; nothing may be left over."""
    decided = context(guest, options)
    parts = [step.plan(decided) for step in steps]
    plan = Plan(
        profile=options.profile.value,
        changes=tuple(change for part in parts for change in part.changes),
        notes=tuple(note for part in parts for note in part.notes),
        retired=tuple(retired for part in parts for retired in part.retired),
    )
    for change in plan.changes:
        ACTIONS[change.action].apply(guest, change)
    for change in plan.changes:
        assert ACTIONS[change.action].verify(guest, change, "") == "", change
    assert not find_residue(guest, plan.retired)
    return plan


def snapshot(folder: Path) -> dict[str, str | bytes]:
    """Every file and link below *folder*: content, or ``"-> target"``."""
    return {
        f"/{path.relative_to(folder)}": (
            f"-> {path.readlink()}" if path.is_symlink() else path.read_bytes()
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def difference(
    before: Mapping[str, str | bytes], after: Mapping[str, str | bytes]
) -> dict[str, str | bytes | None]:
    """What changed: new content by path, None for what is gone."""
    changed = {p: c for p, c in after.items() if before.get(p) != c}
    return {**{p: None for p in before if p not in after}, **changed}
