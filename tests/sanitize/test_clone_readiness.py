"""Whether a copy of a guest finds its disks: names of devices, shared labels, missing drivers."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import TreeVolumes, plant
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount, OtherSystem
from unclone.images.volumes import FileSystem
from unclone.sanitize import initrds
from unclone.sanitize.boot import cpio
from unclone.sanitize.change import Level
from unclone.sanitize.clone_readiness import notes
from unclone.sanitize.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from unclone.sanitize.change import Note

Files = dict[str, str | bytes | None]

KERNEL = "6.1.0-13-amd64"
LIB = f"/usr/lib/modules/{KERNEL}"
FOLDER = f"usr/lib/modules/{KERNEL}/kernel/drivers"
ALL_MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "virtio_balloon")
UUID = "11111111-2222-3333-4444-555555555555"

#: As Debian's installer leaves a guest on a virtual machine.
READY: Files = {
    "/lib": "-> usr/lib",
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n/dev/sr0 /media/cdrom0 udf noauto 0 0\n",
    "/etc/crypttab": f"# <name> <device>\nvda5_crypt UUID={UUID} none luks\n",
    "/boot/grub/grub.cfg": f"linux /boot/vmlinuz-{KERNEL} root=UUID={UUID} ro console=ttyS0\n",
    "/etc/default/grub": 'GRUB_CMDLINE_LINUX="console=ttyS0"\n',
    "/etc/initramfs-tools/conf.d/resume": f"RESUME=UUID={UUID}\n",
    f"{LIB}/modules.builtin": "kernel/fs/binfmt_script.ko\n",
}


def dep(*names: str, suffix: str = ".ko") -> str:
    """A modules.dep with the drivers of *names*."""
    return "".join(f"kernel/drivers/virtio/{n}{suffix}: kernel/x/virtio.ko\n" for n in names)


def archive(*paths: str) -> bytes:
    """An initrd (gzip) with empty files at *paths*."""
    headers = (cpio.Header(path.encode(), 0o100644, ino=ino) for ino, path in enumerate(paths, 1))
    return gzip.compress(b"".join(map(cpio.member, headers)) + cpio.trailer())


def told(folder: Path, files: Files, labels: Sequence[str] = ()) -> tuple[Note, ...]:
    """The notes about a guest with *files*, on file systems with *labels*."""
    plant(folder, files)
    guest = Guest(_Labelled(folder, labels), Layout((Mount("tree", "/", "tree"),)))
    return notes(guest, Facts(guest), initrds.surveys(guest, ()))


class _Labelled(TreeVolumes):
    def __init__(self, folder: Path, labels: Sequence[str]) -> None:
        super().__init__(folder)
        self._labels = labels

    def file_systems(self) -> Sequence[FileSystem]:
        return [FileSystem(f"/dev/sda{n}", "ext4", label=x) for n, x in enumerate(self._labels, 1)]


def test_a_guest_as_installed_is_ready(tmp_path: Path) -> None:
    files = READY | {
        f"{LIB}/modules.dep": dep(*ALL_MODULES),
        f"/boot/initrd.img-{KERNEL}": archive(
            f"{FOLDER}/a/virtio_pci.ko", f"{FOLDER}/virtio_blk.ko"
        ),
    }
    assert told(tmp_path, files) == ()


def test_a_guest_that_says_nothing_about_its_modules_has_no_obstacle(tmp_path: Path) -> None:
    assert told(tmp_path, READY) == ()


FSTAB = "/dev/sda1 / ext4 defaults 0 1\n/dev/nvme0n1p3 none swap sw 0 0\n"
DEBCONF = (
    "Name: grub-pc/install_devices\nTemplate: grub-pc/install_devices\n"
    "Value: /dev/disk/by-id/ata-QEMU_HARDDISK_QM00001\nOwners: grub-pc\n\n"
)


@pytest.mark.parametrize(
    ("path", "content", "names", "level"),
    [
        pytest.param("/etc/fstab", FSTAB, ["/dev/sda1", "/dev/nvme0n1p3"], "warning", id="fstab"),
        pytest.param(
            "/etc/fstab",
            "/dev/disk/by-path/pci-0000:00:07.0-part1 / ext4 defaults 0 1\n",
            ["/dev/disk/by-path/pci-0000:00:07.0-part1"],
            "warning",
            id="by-path",
        ),
        pytest.param(
            "/etc/fstab",
            "/dev/disk/by-id/scsi-0QEMU_disk_1-part2 /data xfs defaults 0 0\n",
            ["/dev/disk/by-id/scsi-0QEMU_disk_1-part2"],
            "warning",
            id="by-id",
        ),
        pytest.param(
            "/etc/crypttab",
            "sda5_crypt /dev/sda5 none luks\n",
            ["/dev/sda5"],
            "warning",
            id="crypttab",
        ),
        pytest.param(
            "/etc/systemd/system/srv.mount",
            "[Mount]\nWhat=/dev/vdb1\nWhere=/srv\n",
            ["/dev/vdb1"],
            "warning",
            id="mount unit",
        ),
        pytest.param(
            "/boot/grub/grub.cfg",
            "linux /vmlinuz root=/dev/xvda1 ro resume=/dev/xvda2\n",
            ["/dev/xvda1", "/dev/xvda2"],
            "warning",
            id="command line",
        ),
        pytest.param(
            "/boot/cmdline.txt",
            "root=/dev/mmcblk0p2 rootwait\n",
            ["/dev/mmcblk0p2"],
            "warning",
            id="pi",
        ),
        pytest.param(
            "/boot/loader/entries/arch.conf",
            "title A\nlinux /vmlinuz\noptions cryptdevice=/dev/sda2:root root=/dev/mapper/root\n",
            ["/dev/sda2"],
            "warning",
            id="cryptdevice",
        ),
        pytest.param(
            "/etc/default/grub",
            'GRUB_CMDLINE_LINUX="resume=/dev/sda3"\n',
            ["/dev/sda3"],
            "info",
            id="the next grub.cfg",
        ),
        pytest.param(
            "/etc/initramfs-tools/conf.d/resume",
            "#RESUME=/dev/sdb1\nRESUME=/dev/sda5\n",
            ["/dev/sda5"],
            "info",
            id="the next initrd",
        ),
        pytest.param(
            "/boot/grub2/device.map", "(hd0)      /dev/hda\n", ["/dev/hda"], "info", id="device.map"
        ),
        pytest.param(
            "/var/cache/debconf/config.dat",
            DEBCONF,
            ["/dev/disk/by-id/ata-QEMU_HARDDISK_QM00001"],
            "info",
            id="debconf",
        ),
    ],
)
def test_names_of_devices_are_told(
    tmp_path: Path, path: str, content: str, names: list[str], level: str
) -> None:
    (note,) = told(tmp_path, READY | {path: content})
    assert note.text.startswith(f"{path} names {', '.join(names)}: ")
    assert note.level == level


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/etc/fstab", "/dev/mapper/vg-root / ext4 defaults 0 1\n/dev/md0 /srv xfs defaults 0 0\n"),
        ("/etc/fstab", "/dev/sdb1 /usb vfat nofail 0 0\n#/dev/sda1 / ext4 defaults 0 1\n"),
        ("/etc/fstab", "/dev/disk/by-id/dm-name-vg-root / ext4 defaults 0 1\n"),
        (
            "/etc/fstab",
            "/dev/disk/by-uuid/1111 / ext4 defaults 0 1\nhost:/dev/sda1 /n nfs ro 0 0\n",
        ),
        ("/etc/crypttab", "usb /dev/sdb1 none luks,noauto\n"),
        ("/boot/cmdline.txt", "root=PARTUUID=12345678-02 init=/opt/dev/sda1\n"),
    ],
)
def test_what_stays_valid_is_not_told(tmp_path: Path, path: str, content: str) -> None:
    assert told(tmp_path, READY | {path: content}) == ()


@pytest.mark.parametrize(
    ("files", "label"),
    [
        ({"/etc/fstab": "LABEL=cloudimg-rootfs / ext4 discard 0 1\n"}, "cloudimg-rootfs"),
        ({"/etc/fstab": "/dev/disk/by-label/data /data xfs defaults 0 0\n"}, "data"),
        ({"/etc/fstab": "PARTLABEL=root / xfs defaults 0 0\n"}, ""),
        ({"/boot/cmdline.txt": "ro root=LABEL=writable\n"}, "writable"),
    ],
)
def test_labels_are_told(tmp_path: Path, files: Files, label: str) -> None:
    found = told(tmp_path, READY | files, [label])
    assert [note.level for note in found] == [Level.INFO] * bool(label)
    assert all(f"({label})" in note.text for note in found)


def test_a_label_that_two_file_systems_have_is_a_warning(tmp_path: Path) -> None:
    files = READY | {"/etc/fstab": "LABEL=data /data ext4 defaults 0 1\n"}
    (note,) = told(tmp_path, files, ["data", "root", "data"])
    assert note.level is Level.WARNING
    assert "'data', which 2 of this guest's have" in note.text


@dataclass(frozen=True)
class _Drivers:
    loadable: Sequence[str]
    builtin: Sequence[str]
    missing: Sequence[str]
    level: Level | None


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(_Drivers(ALL_MODULES, (), (), None), id="all loadable"),
        pytest.param(_Drivers((), ALL_MODULES, (), None), id="all built in"),
        pytest.param(_Drivers(ALL_MODULES[:4], (), ALL_MODULES[4:], Level.INFO), id="no balloon"),
        pytest.param(
            _Drivers([m for m in ALL_MODULES if m != "virtio_blk"], (), ["virtio_blk"], Level.INFO),
            id="SCSI is enough for disks",
        ),
        pytest.param(
            _Drivers(ALL_MODULES[:3], ALL_MODULES[4:], ["virtio_net"], Level.WARNING),
            id="no network",
        ),
        pytest.param(_Drivers(("ext4",), (), ALL_MODULES, Level.WARNING), id="nothing"),
    ],
)
@pytest.mark.parametrize("suffix", [".ko", ".ko.xz", ".ko.zst", ".ko.gz"])
def test_a_kernel_without_drivers_is_told(tmp_path: Path, case: _Drivers, suffix: str) -> None:
    files = READY | {
        f"{LIB}/modules.dep": dep(*case.loadable, suffix=suffix),
        f"{LIB}/modules.builtin": "".join(
            f"kernel/d/{n.replace('_', '-')}.ko\n" for n in case.builtin
        ),
    }
    found = told(tmp_path, files)
    assert [note.level for note in found] == ([case.level] if case.level else [])
    for note in found:
        assert f"the kernel {KERNEL} has no" in note.text
        assert [m for m in ALL_MODULES if f"{m} (" in note.text] == list(case.missing)


@pytest.mark.parametrize(
    ("inside", "builtin", "ready"),
    [
        pytest.param(["virtio_pci.ko.xz", "virtio_scsi.ko.xz"], (), True, id="SCSI"),
        pytest.param(["virtio-pci.ko", "virtio_blk.ko"], (), True, id="hyphen"),
        pytest.param(["virtio_blk.ko"], ("virtio_pci",), True, id="the bus is built in"),
        pytest.param([], ("virtio_pci", "virtio_blk"), True, id="built in"),
        pytest.param(["ahci.ko", "virtio_pci.ko"], (), False, id="no disks"),
        pytest.param(["virtio_blk.ko"], (), False, id="no bus"),
        pytest.param([], (), False, id="nothing"),
    ],
)
@pytest.mark.parametrize(
    "name", ["initrd.img-{}", "initramfs-{}.img", "initrd-{}", "0123abc/{}/initrd"]
)
def test_an_initrd_without_drivers_is_told(
    tmp_path: Path, inside: Sequence[str], builtin: Sequence[str], ready: bool, name: str
) -> None:
    path = f"/boot/{name.format(KERNEL)}"
    files = READY | {
        f"{LIB}/modules.dep": dep(*ALL_MODULES),
        f"{LIB}/modules.builtin": "".join(f"kernel/d/{n}.ko\n" for n in builtin),
        path: archive("init", *(f"{FOLDER}/{each}" for each in inside)),
    }
    found = told(tmp_path, files)
    assert [note.level for note in found] == ([] if ready else [Level.WARNING])
    assert all(f"the initrd {path} has no driver" in note.text for note in found)


@pytest.mark.parametrize(
    ("version", "pkgbase", "path"),
    [
        ("6.12.1-arch1-1", "linux\n", "/boot/initramfs-linux.img"),
        ("6.6.58-0-lts", None, "/boot/initramfs-lts"),
    ],
)
def test_an_initrd_named_by_flavour_is_found(
    tmp_path: Path, version: str, pkgbase: str | None, path: str
) -> None:
    files: Files = {
        f"/lib/modules/{version}/modules.dep": dep(*ALL_MODULES),
        path: archive("init"),
    }
    if pkgbase:
        files[f"/lib/modules/{version}/pkgbase"] = pkgbase
    (note,) = told(tmp_path, files)
    assert path in note.text


def test_an_initrd_that_cannot_be_read_proves_nothing(tmp_path: Path) -> None:
    files = READY | {
        f"{LIB}/modules.dep": dep(*ALL_MODULES),
        f"/boot/initrd.img-{KERNEL}": archive("init")[:-20],
    }
    assert told(tmp_path, files) == ()


def test_the_worst_comes_first(tmp_path: Path) -> None:
    files = READY | {
        "/boot/grub/device.map": "(hd0) /dev/sda\n",
        f"{LIB}/modules.dep": dep("virtio_pci"),
    }
    assert [note.level for note in told(tmp_path, files)] == [Level.WARNING, Level.INFO]


def test_a_guest_cannot_write_into_the_report(tmp_path: Path) -> None:
    evil = "6.1\x1b[31m[*]\n"
    files: Files = {
        f"/lib/modules/{evil}/modules.dep": dep("a"),
        "/etc/fstab": "/dev/disk/by-id/\x1b[31mx / ext4 ro 0 1\nLABEL=\x1b[2Jy /b ext4 ro 0 0\n",
    }
    found = told(tmp_path, files)
    assert len(found) == 3
    assert all(note.text.isprintable() for note in found)


def test_a_hundred_names_are_not_all_listed(tmp_path: Path) -> None:
    lines = "".join(f"/dev/sda{n} /m{n} ext4 defaults 0 0\n" for n in range(100))
    (note,) = told(tmp_path, {"/etc/fstab": lines})
    assert "/dev/sda7 and 92 more:" in note.text


def test_snapshots_that_are_not_mounted_are_kept_and_named(tmp_path: Path) -> None:
    plant(tmp_path, READY)
    files = ("etc/machine-id", "etc/ssh/ssh_host_rsa_key")
    others = tuple(OtherSystem("/dev/sda2", f"@snapshots/{n}/snapshot", files) for n in range(12))
    layout = Layout((Mount("tree", "/", "btrfs", "@"),), other_systems=others)
    guest = Guest(TreeVolumes(tmp_path), layout)
    (note,) = (n for n in notes(guest, Facts(guest)) if "snapshots" in n.text)
    assert note.level is Level.KEPT  # so that --strict refuses
    assert note.text.startswith("12 snapshots or subvolumes of /dev/sda2")
    assert "@snapshots/0/snapshot: etc/machine-id, etc/ssh/ssh_host_rsa_key;" in note.text
    assert "and 4 more" in note.text


def test_snapshots_on_lvm_are_kept_and_named(tmp_path: Path) -> None:
    plant(tmp_path, READY)
    snapshots = (("/dev/vg/before", "/dev/vg/root"), ("/dev/vg/monday", "/dev/vg/thin"))
    layout = Layout((Mount("tree", "/", "ext4"),), volume_snapshots=snapshots)
    guest = Guest(TreeVolumes(tmp_path), layout)
    (note,) = (n for n in notes(guest, Facts(guest)) if "snapshots" in n.text)
    assert note.level is Level.KEPT
    assert "/dev/vg/before (of /dev/vg/root), /dev/vg/monday (of /dev/vg/thin)" in note.text
