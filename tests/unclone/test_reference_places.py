"""References in the places where guests in the field have them: a dry run, a run, and the result.

What a file says afterwards is worked out here from the old text and the new identifiers alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import sanitized
from tests.support.direct import open_direct
from tests.support.disks import BARE_ROOT, ESP, Part, make_disk
from tests.support.families import grubenv
from unclone.images.process import run
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROOT = "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b"
SWAP = "0a1b2c3d-1111-4222-8333-444455556666"
SERIAL = "7C3E-A91B"
ROOT_GUID = "ecdd5980-c369-e34f-bee9-2efac3934294"
SWAP_GUID = "9f7d46dc-d0a2-4049-86d8-d0a52ca9fec2"
ESP_GUID = "2185dfc5-48ce-c046-9ff0-ff5c38360ac2"
MACHINE_ID = "0123456789abcdef0123456789abcdef"

FSTAB = (
    f"UUID={ROOT} / ext4 defaults 0 1\nUUID={SWAP} none swap sw 0 0\n"
    f"UUID={SERIAL} /boot/efi vfat umask=0077 0 1\n"
)
GRUB = f"search --no-floppy --fs-uuid --set=root {ROOT}\nlinux /boot/vmlinuz root=UUID={ROOT} ro\n"
KERNELOPTS = f"root=UUID={ROOT} ro crashkernel=auto resume=UUID={SWAP} "
LOADER = {"/EFI/BOOT/BOOTX64.EFI": b"MZ"}

Tree = dict[str, str | bytes | None]


def escaped(identifier: str) -> str:
    return identifier.replace("-", r"\x2d")


SWAP_UNIT = rf"dev-disk-by\x2duuid-{escaped(SWAP)}"


@dataclass(frozen=True)
class Case:
    """The files of a guest's root and of its EFI system partition, but for what all guests have."""

    root: Tree
    esp: Tree = field(default_factory=dict)
    #: Files that do not refer to a device, or only to another machine's.
    stay: Tree = field(default_factory=dict)


EL8 = Case(
    root={
        "/etc/fstab": FSTAB,
        "/boot/grub2/grubenv": "-> ../efi/EFI/redhat/grubenv",
        "/etc/grub2-efi.cfg": "-> ../boot/efi/EFI/redhat/grub.cfg",
        "/boot/loader/entries/x.conf": "title RHEL 8\nlinux /v\noptions $kernelopts\n",
    },
    esp={
        "/EFI/redhat/grub.cfg": f'set kernelopts="{KERNELOPTS}"\nblscfg\n',
        "/EFI/redhat/grubenv": grubenv(kernelopts=KERNELOPTS, boot_success="0"),
    },
)

CASES = {
    "every form in which files name devices": Case(
        root={
            "/etc/fstab": f"# root was UUID={ROOT} at install\n"
            f'UUID="{ROOT.upper()}"\t/\text4\tx-systemd.requires=/dev/disk/by-uuid/{SWAP}\t0 1\n'
            f"/dev/disk/by-partuuid/{SWAP_GUID} none swap sw,discard=once 0 0\n"
            f"PARTUUID={ESP_GUID.upper()} /boot/efi vfat umask=0077 0 1\n"
            f"/dev/disk/by-uuid/{ROOT} /mnt/with\\040space ext4 noauto,nofail 0 0\n",
            f"/etc/systemd/system/{SWAP_UNIT}.swap": f"[Swap]\nWhat=/dev/disk/by-uuid/{SWAP}\n",
            f"/etc/systemd/system/swap.target.wants/{SWAP_UNIT}.swap": f"-> ../{SWAP_UNIT}.swap",
            f"/etc/systemd/system/{SWAP_UNIT}.device.d/t.conf": "[Unit]\nJobTimeoutSec=5\n",
            "/etc/default/grub.d/40-force-partuuid.cfg": f"GRUB_FORCE_PARTUUID={ROOT_GUID}\n",
            "/boot/grub/grub.cfg": f"{GRUB}linux /boot/vmlinuz root=PARTUUID={ROOT_GUID} ro\n",
            "/boot/grub/custom.cfg": f"menuentry x {{ search --fs-uuid --set=root {ROOT}\n }}\n",
            "/etc/grub.d/40_custom": f"#!/bin/sh\nmenuentry y {{ search --fs-uuid {ROOT} }}\n",
            "/etc/udev/rules.d/99-disk.rules": f'ENV{{ID_FS_UUID}}=="{ROOT}", SYMLINK+="r"\n'
            f'ENV{{ID_PART_ENTRY_UUID}}=="{ROOT_GUID}", SYMLINK+="p"\n',
            "/etc/initramfs-tools/conf.d/resume": f"RESUME=UUID={SWAP}\n",
            "/usr/local/bin/backup.sh": f"#!/bin/sh\nmount UUID={ROOT} /mnt\n",
            "/etc/cron.d/backup": f"0 3 * * * root mount /dev/disk/by-uuid/{ROOT} /mnt\n",
            "/usr/local/lib/systemd/system/m.service": f"[Service]\nExecStart=mount -U {ROOT}\n",
        },
        stay={
            "/etc/myapp/other": "unrelated: deadbeef-0000-4000-8000-000000000001\n",
            "/root/notes": f"{ROOT}\n",
        },
    ),
    "RHEL 8 on UEFI": EL8,
    "an environment block that is a link, without options": Case(
        root={
            "/etc/fstab": FSTAB,
            "/boot/grub2/grub.cfg": GRUB,
            "/boot/grub2/grubenv": "-> ../efi/EFI/fedora/grubenv",
        },
        esp={"/EFI/fedora/grubenv": grubenv(boot_success="0")},
    ),
    "an environment block in its own place": Case(
        root={
            "/etc/fstab": FSTAB,
            "/boot/grub2/grub.cfg": GRUB,
            "/boot/grub2/grubenv": grubenv(kernelopts=KERNELOPTS),
        },
    ),
    "configuration that is links": Case(
        root={
            "/etc/fstab": "-> fstab.prod",
            "/etc/fstab.prod": FSTAB,
            "/boot/grub/grub.cfg": "-> ../grub.real",
            "/boot/grub.real": GRUB,
            "/etc/default/grub": "-> /srv/etc/grub",
            "/srv/etc/grub": f'GRUB_CMDLINE_LINUX="resume=UUID={SWAP}"\n',
        },
        stay={
            "/etc/kubernetes/kubelet.conf": "kind: KubeletConfiguration\n",
        },
    ),
    "GRUB's configuration in parts": Case(
        root={
            "/etc/fstab": FSTAB,
            "/boot/grub/grub.cfg": f"{GRUB}set d=/srv/menu\nsource ${{d}}/extra.cfg\n"
            "configfile (hd0,gpt3)$d/more\n",
            "/srv/menu/extra.cfg": f"search --fs-uuid {ROOT}\n",
            "/srv/menu/more": f"linux /vmlinuz root=PARTUUID={ROOT_GUID}\n",
        },
    ),
    "fstab outside of /etc": Case(
        root={"/etc/fstab": "-> ../srv/conf/fstab", "/srv/conf/fstab": FSTAB}
    ),
    "units that are links": Case(
        root={
            "/etc/fstab": FSTAB,
            "/etc/systemd/system/srv-data.mount": "-> /srv/units/srv-data.mount",
            "/srv/units/srv-data.mount": f"[Mount]\nWhat=UUID={ROOT}\nWhere=/srv/data\n",
            "/usr/lib/systemd/system/c.mount": "-> /opt/c.mount",
            "/opt/c.mount": f"[Mount]\nWhat=PARTUUID={ROOT_GUID}\nWhere=/c\n",
            "/usr/lib/systemd/system/c.mount.d": "-> /opt/c.mount.d",
            "/opt/c.mount.d/x.conf": f"[Unit]\nBindsTo={SWAP_UNIT}.swap\n",
            "/usr/lib/udev/rules.d/99-c.rules": f'ENV{{ID_FS_UUID}}=="{ROOT}", SYMLINK+="c"\n',
            "/etc/systemd/system/data.service": "[Service]\nExecStart=/opt/mount-data\n",
            "/opt/mount-data": f"#!/bin/sh\nmount UUID={ROOT} /srv/data\n",
        },
    ),
    "swap with a random key": Case(
        root={
            "/etc/fstab": f"UUID={ROOT} / ext4 defaults 0 1\n"
            "/dev/mapper/cswap none swap sw,x-systemd.requires=systemd-cryptsetup@cswap.service\n"
            f"UUID={SERIAL} /boot/efi vfat umask=0077 0 1\n",
            "/etc/crypttab": "# <target> <source>\n"
            f"cswap PARTUUID={SWAP_GUID} /dev/urandom swap,plain\n"
            f"cs2 /dev/disk/by-partuuid/{SWAP_GUID} /dev/urandom swap\n",
            "/etc/kdump.conf": f"ext4 UUID={ROOT}\npath /var/crash\n",
            "/etc/veritytab": f"usr PARTUUID={ROOT_GUID} PARTUUID={SWAP_GUID} -\n",
        },
    ),
    "settings of images, of later kernels, and of what is mounted by others": Case(
        root={
            "/etc/fstab": f"UUID='{ROOT}' / ext4 defaults 0 1 # was UUID={ROOT.upper()}\n"
            f'"UUID={SWAP.upper()}" none swap sw 0 0\n# PARTUUID={ESP_GUID}\n'
            f"UUID={SERIAL.lower()} /boot/efi vfat umask=0077 0 1\n",
            "/etc/fstab.d/data": f"PARTUUID={ROOT_GUID} /data ext4 noauto 0 0\n",
            "/etc/crypttab": f"c UUID={ROOT} /key:UUID={SERIAL} luks,header=/h:UUID={SWAP}\n",
            "/etc/cloud/cloud.cfg.d/10-disk.cfg": f"mounts:\n- [UUID={ROOT}, /mnt]\n",
            "/etc/credstore/fstab.extra": f"UUID={ROOT} /x ext4 noauto 0 0\n",
            "/etc/nixos/hardware-configuration.nix": f'device = "/dev/disk/by-uuid/{ROOT}";\n',
            "/etc/u-boot-menu/conf.d/root.conf": f'U_BOOT_ROOT="root=UUID={ROOT}"\n',
            "/usr/lib/bootc/kargs.d/10-root.toml": f'kargs = ["root=UUID={ROOT}"]\n',
            "/usr/lib/modprobe.d/x.conf": f"options x device=PARTUUID={SWAP_GUID}\n",
            "/usr/lib/tmpfiles.d/x.conf": f"L /x - - - - /dev/disk/by-uuid/{ROOT}\n",
            "/usr/lib/sysctl.d/x.conf": f"kernel.core_pattern=|/usr/bin/x {ROOT}\n",
            "/usr/lib/environment.d/x.conf": f"ROOT={ROOT}\n",
            "/usr/lib/dracut/modules.d/50site/module-setup.sh": f"site_root={ROOT}\n",
            "/usr/lib/initcpio/hooks/site": f"mount UUID={ROOT} /site\n",
            "/usr/share/grub/default/grub": f'GRUB_CMDLINE_LINUX="resume=UUID={SWAP}"\n',
            "/usr/share/initramfs-tools/hooks/site": f"#!/bin/sh\nROOT={ROOT}\n",
            "/usr/share/initramfs-tools/scripts/local-top/site": f"mount UUID={SWAP} /site\n",
            "/usr/share/mkinitfs/initramfs-init": f"#!/bin/sh\nmount UUID={ROOT} /sysroot\n",
        },
        esp={"/startup.nsh": f"vmlinuz root=UUID={ROOT}\r\n"},
    ),
    "settings of updaters, of OpenWrt, Void, Gentoo and Clear Linux": Case(
        root={
            "/etc/fstab": FSTAB,
            "/etc/config/fstab": f"config mount\n\toption uuid '{ROOT}'\n",
            "/etc/rauc/system.conf": f"[slot.rootfs.0]\ndevice=/dev/disk/by-partuuid/{ROOT_GUID}\n",
            "/etc/mender/mender.conf": f'{{"RootfsPartA": "/dev/disk/by-partuuid/{ROOT_GUID}"}}\n',
            "/etc/fw_env.config": f"/dev/disk/by-partuuid/{SWAP_GUID} 0x0 0x4000\n",
            "/usr/lib/sysupdate.d/a.conf": f"Path=/dev/disk/by-partuuid/{ROOT_GUID}\n",
            "/etc/genkernel.conf": f'REAL_ROOT="UUID={ROOT}"\n',
            "/etc/ugrd/config.toml": f'uuid = "{ROOT}"\n',
            "/etc/sv/x/conf": f"DEVICE=UUID={ROOT}\n",
            "/usr/lib/kernel/cmdline-6.6": f"root=PARTUUID={ROOT_GUID} quiet\n",
        },
    ),
    "Alpine with extlinux": Case(
        root={
            "/etc/fstab": FSTAB,
            "/boot/boot": "-> .",
            "/boot/extlinux.conf": f"LABEL lts\n LINUX vmlinuz\n APPEND root=UUID={ROOT}\n",
            "/etc/update-extlinux.conf": f"default_kernel_opts=quiet\nroot=UUID={ROOT}\n",
            "/etc/conf.d/dmcrypt": f"target='c'\nsource='/dev/disk/by-uuid/{ROOT}'\n",
            "/etc/local.d/data.start": f"#!/bin/sh\nmount UUID={ROOT} /data\n",
            "/etc/dinit.d/data": f"type = scripted\ncommand = mount UUID={ROOT} /data\n",
            "/etc/s6-rc/source/data/up": f"mount UUID={ROOT} /data\n",
            "/etc/yaboot.conf": f"image=/vmlinux\nappend='root=UUID={ROOT}'\n",
            "/etc/kboot.conf": f"linux='/vmlinux root=UUID={ROOT}'\n",
            "/petitboot.conf": f"kernel /vmlinux\nboot_args root=UUID={ROOT}\n",
            "/etc/systemd/system/data.service": "[Service]\nExecStart=/usr/sbin/mount-data x\n",
            "/usr/sbin/mount-data": f"#!/bin/sh\nmount UUID={ROOT} /data\n",
        },
    ),
}  # fmt: skip


each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def make(folder: Path, case: Case) -> Path:
    tree: Mapping[str, str | bytes | None] = {
        **BARE_ROOT,
        "/etc/machine-id": f"{MACHINE_ID}\n",
        "/boot/efi": None,
        **case.root,
        **case.stay,
    }
    parts = [
        Part("vfat", gpt_type=ESP, gpt_uuid=ESP_GUID, uuid=SERIAL, tree={**LOADER, **case.esp}),
        Part("swap", gpt_uuid=SWAP_GUID, uuid=SWAP),
        Part("ext4", gpt_uuid=ROOT_GUID, uuid=ROOT, tree=tree),
    ]
    return make_disk(folder / "disk.raw", parts)


def follows(text: str, changes: list[dict[str, Any]]) -> str:
    for change in changes:
        if change["action"] == "set-identifier":
            for spelled in (str.lower, str.upper):
                old, new = spelled(change["old"]), spelled(change["new"])
                text = text.replace(old, new).replace(escaped(old), escaped(new))
    return text


def files(image: Path, device: str) -> Tree:
    """Every file and link on *device*; a link is ``"-> target"``."""
    volumes = open_direct(image, read_only=True)
    try:
        volumes.mount(device, "/", subvolume="", read_only=True)
        return {
            member.path: f"-> {member.link_target}"
            if member.stat.kind is Kind.SYMLINK
            else (member.content or b"").decode("latin-1")
            for member in volumes.walk("/", exclude=(), limit=1024 * 1024)
            if member.stat.kind in {Kind.FILE, Kind.SYMLINK}
        }
    finally:
        volumes.close()


def check(folder: Path, case: Case, engine: str) -> None:
    image = make(folder, case)
    dry = sanitized(image, "--dry-run", "--engine", engine)
    found = sanitized(image, "--engine", engine)
    assert [(c["action"], c["step"]) for c in dry["changes"]] == [
        (c["action"], c["step"]) for c in found["changes"]
    ]
    assert dry["residue"] == found["residue"]
    for device, before in (("/dev/sda3", case.root), ("/dev/sda1", case.esp)):
        after = files(image, device)
        for path, text in before.items():
            assert isinstance(text, str)
            assert after[follows(path, found["changes"])] == follows(text, found["changes"]), path
    root = files(image, "/dev/sda3")
    for path, text in case.stay.items():
        assert root[path] == text
    left = {each["path"] for each in found["residue"]}
    assert left <= set(case.stay)


@pytest.mark.slow
@each_case
def test_references_follow(tmp_path: Path, case: Case) -> None:
    check(tmp_path, case, "direct")


@pytest.mark.slow
def test_a_file_with_two_names_follows_under_both(tmp_path: Path) -> None:
    names = {"/etc/fstab": "/srv/fstab", "/boot/grub/grub.cfg": "/boot/grub/old.cfg"}
    root: Tree = {"/etc/fstab": FSTAB, "/boot/grub/grub.cfg": GRUB}
    image = make(tmp_path, Case({**root, "/srv": None}))
    (start,) = (
        part["start"] * 512
        for part in json.loads(run(["sfdisk", "--json", image]).stdout)["partitiontable"][
            "partitions"
        ]
        if part["uuid"].lower() == ROOT_GUID
    )
    place = f"{image}?offset={start}"
    script = "".join(f"ln {old} {new}\nsif {old} links_count 2\n" for old, new in names.items())
    run(["debugfs", "-w", "-f", "-", place], stdin=script.encode())
    run(["e2fsck", "-fn", place])
    found = sanitized(image, "--engine", "direct")
    after = files(image, "/dev/sda3")
    for old, new in names.items():
        text = root[old]
        assert isinstance(text, str)
        assert after[old] == after[new] == follows(text, found["changes"])
    run(["e2fsck", "-fn", place])


DISK_GUID = "a076c80d-a8b8-294e-a9ba-c992b40029b2"
RULES = "/etc/udev/rules.d/99-disk.rules"
NOTED = "/opt/app/config.json"


@pytest.mark.slow
@pytest.mark.parametrize("spelled", [DISK_GUID, DISK_GUID.upper(), "no-such-guid"])
def test_the_guid_of_the_disk_in_a_rule_follows(tmp_path: Path, spelled: str) -> None:
    """And what an application keeps of a UUID, in a file that no rule knows, is named."""
    rule = f'ENV{{ID_PART_TABLE_UUID}}=="{spelled}", SYMLINK+="d"\n'
    more: Tree = {RULES: rule, NOTED: f'{{"rootfs_uuid": "{ROOT}", "disk": "{spelled}"}}\n'}
    image = make(tmp_path, Case({"/etc/fstab": FSTAB, "/boot/grub/grub.cfg": GRUB, **more}))
    run(["sfdisk", "-q", "--no-reread", "--disk-id", image, DISK_GUID])
    dry = sanitized(image, "--dry-run", "--engine", "direct")
    found = sanitized(image, "--engine", "direct")
    new = json.loads(run(["sfdisk", "--json", image]).stdout)["partitiontable"]["id"].lower()
    assert new != DISK_GUID
    after = files(image, "/dev/sda3")
    assert after[RULES] == rule.replace(DISK_GUID, new).replace(DISK_GUID.upper(), new.upper())
    assert after[NOTED] == more[NOTED]
    assert dry["residue"] == found["residue"]
    noted = {(each["path"], each["value"], each["read_at_boot"]) for each in found["residue"]}
    wanted = {ROOT, DISK_GUID} if spelled.lower() == DISK_GUID else {ROOT}
    assert noted == {(NOTED, value, False) for value in wanted}


@pytest.mark.appliance
@pytest.mark.timeout(600)
def test_the_other_engine_sees_the_same(tmp_path: Path) -> None:
    check(tmp_path, CASES["units that are links"], "guestfs")
