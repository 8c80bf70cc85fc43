"""What only an appliance can show: real mounts, inodes, attributes, full and stubborn disks."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from tests.support.bench import DEBIAN_FSTAB, ESP_SERIAL, HOME_UUID, ROOT_UUID, SWAP_UUID
from unclone.images.errors import EngineError
from unclone.images.volumes import FileSystem, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bench import Bench
    from unclone.images.engines.guestfs.volumes import GuestfsVolumes

pytestmark = pytest.mark.appliance


@pytest.fixture
def small(bench: Bench) -> Iterator[GuestfsVolumes]:
    """An ext4 of 8 MiB, mounted writable."""
    volumes = bench.volumes("small")
    volumes.mount(bench.devices["small"], "/", subvolume="", read_only=False)
    yield volumes
    bench.shell("chattr -R -i /sysroot; rm -rf /sysroot/*")
    volumes.unmount_all()


def test_writing_keeps_the_inode(small: GuestfsVolumes) -> None:
    small.create("/file", b"before", mode=0o640, uid=7, gid=8)
    inode = small._native.lstat("/file").st_ino
    small.write("/file", b"after")
    assert small._native.lstat("/file").st_ino == inode
    found = small.lstat("/file")
    assert (found.mode, found.uid, found.gid) == (0o640, 7, 8)


def test_labels_and_capabilities_are_carried_exactly(small: GuestfsVolumes) -> None:
    small.create("/file", b"x", mode=0o644, uid=0, gid=0)
    label = b"system_u:object_r:etc_t:s0\0"
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    small.set_xattr("/file", "security.selinux", label)
    small.set_xattr("/file", "security.capability", capability)
    found = small.get_xattrs("/file")
    assert (found["security.selinux"], found["security.capability"]) == (label, capability)
    small.make_symlink("/link", "file")
    small.set_xattr("/link", "security.selinux", b"of the link\0")
    assert small.get_xattrs("/link")["security.selinux"] == b"of the link\0"
    assert small.get_xattrs("/file")["security.selinux"] == label


def test_owners_of_links_are_their_own(small: GuestfsVolumes) -> None:
    small.create("/file", b"x", mode=0o644, uid=1, gid=2)
    small.make_symlink("/link", "file")
    small.set_owner("/link", uid=30, gid=40)
    assert (small.lstat("/link").uid, small.lstat("/link").gid) == (30, 40)
    assert (small.lstat("/file").uid, small.lstat("/file").gid) == (1, 2)


@pytest.mark.parametrize("operation", ["remove", "write", "rename", "set_mode", "set_xattr"])
def test_an_immutable_file_is_a_permission_error(
    bench: Bench, small: GuestfsVolumes, operation: str
) -> None:
    small.create("/fixed", b"x", mode=0o644, uid=0, gid=0)
    bench.shell("chattr +i /sysroot/fixed")
    arguments = {
        "write": (b"y",),
        "rename": ("/other",),
        "set_mode": (0o600,),
        "set_xattr": ("user.x", b"y"),
    }.get(operation, ())
    with pytest.raises(PermissionError) as refused:
        getattr(small, operation)("/fixed", *arguments)
    assert refused.value.filename == "/fixed"
    assert small.read("/fixed", 10) == b"x"


def test_a_tree_with_an_immutable_file_is_a_permission_error(
    bench: Bench, small: GuestfsVolumes
) -> None:
    small.make_directory("/tree", mode=0o755, uid=0, gid=0)
    small.create("/tree/fixed", b"x", mode=0o644, uid=0, gid=0)
    bench.shell("chattr +i /sysroot/tree/fixed")
    with pytest.raises(PermissionError, match="fixed"):
        small.remove("/tree")
    assert small.scan("/tree") == {"fixed": Kind.FILE}


def test_no_space_in_the_guest(bench: Bench, small: GuestfsVolumes) -> None:
    small.create("/here", b"x", mode=0o644, uid=0, gid=0)
    bench.shell("dd if=/dev/zero of=/sysroot/full bs=64k 2>/dev/null; true")
    with pytest.raises(OSError) as refused:
        small.write("/here", b"y" * 1024 * 1024)
    assert refused.value.errno == errno.ENOSPC
    with pytest.raises(OSError) as refused:
        small.create("/there", b"y" * 1024 * 1024, mode=0o644, uid=0, gid=0)
    assert refused.value.errno == errno.ENOSPC
    small.remove("/full")
    small.write("/here", b"room again")
    assert small.read("/here", 100) == b"room again"


def test_a_read_only_mount_is_read_only(bench: Bench, small: GuestfsVolumes) -> None:
    small.unmount_all()
    small.mount(bench.devices["small"], "/", subvolume="", read_only=True)
    with pytest.raises(OSError) as refused:
        small.create("/file", b"", mode=0o644, uid=0, gid=0)
    assert refused.value.errno == errno.EROFS


def test_special_files_are_seen_and_never_opened(bench: Bench, small: GuestfsVolumes) -> None:
    small.make_directory("/odd", mode=0o755, uid=0, gid=0)
    bench.shell("mkfifo /sysroot/odd/fifo; mknod /sysroot/odd/disk b 8 0")
    assert set(small.scan("/odd").values()) == {Kind.OTHER}
    walked = {m.path: (m.stat.kind, m.content) for m in small.walk("/odd", exclude=(), limit=10)}
    assert walked == {"/odd/fifo": (Kind.OTHER, None), "/odd/disk": (Kind.OTHER, None)}
    for name in ("fifo", "disk"):
        with pytest.raises(OSError) as refused:
            small.read(f"/odd/{name}", 10)
        assert refused.value.errno == errno.EINVAL
    small.remove("/odd")


def test_a_huge_sparse_file_costs_only_what_is_read(bench: Bench, small: GuestfsVolumes) -> None:
    small.make_directory("/big", mode=0o755, uid=0, gid=0)
    bench.shell(
        "truncate -s 4G /sysroot/big/huge; printf start | dd of=/sysroot/big/huge conv=notrunc"
    )
    assert small.read("/big/huge", 8) == b"start\0\0\0"
    (member,) = small.walk("/big", exclude=(), limit=8)
    assert (member.content, member.stat.size) == (b"start\0\0\0", 4 << 30)


def test_many_files_are_listed_whole(bench: Bench, small: GuestfsVolumes) -> None:
    """More than one message from the appliance could carry."""
    small.make_directory("/many", mode=0o755, uid=0, gid=0)
    bench.shell("cd /sysroot/many; n=$(printf %0220d 7); seq 1 1500 | sed s/$/$n/ | xargs touch")
    found = {member.path for member in small.walk("/many", exclude=(), limit=0)}
    assert found == {f"/many/{n}{7:0220d}" for n in range(1, 1501)}
    assert set(small.scan("/many")) == {path.removeprefix("/many/") for path in found}


# -- a whole guest -------------------------------------------------------------------------
@pytest.fixture
def debian(bench: Bench) -> GuestfsVolumes:
    """A guest with an ESP, a root, swap and a separate /home; its root mounted read-only."""
    return bench.volumes("debian")


def test_file_systems_are_described(bench: Bench, debian: GuestfsVolumes) -> None:
    disk = bench.devices["debian"]
    found = debian.file_systems()
    assert [(fs.device, fs.type, fs.uuid, fs.label) for fs in found] == [
        (f"{disk}1", "vfat", ESP_SERIAL, ""),
        (f"{disk}2", "ext4", ROOT_UUID, ""),
        (f"{disk}3", "swap", SWAP_UUID, ""),
        (f"{disk}4", "ext4", HOME_UUID, "home data"),
    ]
    assert [fs.partition_label for fs in found] == ["esp", "root", "", ""]
    assert found[0].partition_type == "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
    assert found[0].partition_attributes == 0
    assert found[0].size == 40 * 1024 * 1024
    assert all(len(fs.partition_uuid) == 36 for fs in found)


def test_other_disks_do_not_exist(bench: Bench, debian: GuestfsVolumes) -> None:
    with pytest.raises(FileNotFoundError):
        debian.mount(bench.devices["small"], "/", subvolume="", read_only=True)
    with pytest.raises(FileNotFoundError):
        debian.check("/dev/null; reboot", repair=False)


def test_a_blank_disk_is_unknown(bench: Bench) -> None:
    device = bench.devices["blank"]
    assert bench.volumes("blank").file_systems() == [
        FileSystem(device, "unknown", size=4 * 1024 * 1024)
    ]


def test_walk_and_paths_cross_mounts(bench: Bench, debian: GuestfsVolumes) -> None:
    disk = bench.devices["debian"]
    for part, place in ((2, "/"), (1, "/boot/efi"), (4, "/home")):
        debian.mount(f"{disk}{part}", place, subvolume="", read_only=True)
    walked = {m.path: m.content for m in debian.walk("/", exclude=("/usr", "/etc"), limit=99)}
    assert walked["/boot/efi/EFI/debian/grub.cfg"] == b"x"
    assert walked["/home/user/.bashrc"] == b"alias"
    assert not any(path.startswith(("/usr", "/etc")) for path in walked)
    assert debian.read("/etc/fstab", 5000).decode() == DEBIAN_FSTAB
    found = debian.search(["/boot", "/home"], [b"alias", b"efi"], exclude=(), limit=100)
    assert found == ["/boot/efi", "/home/user/.bashrc"]


@pytest.mark.parametrize("subvolume", ["a,exec", "new\nline", "back\\slash"])
def test_a_subvolume_cannot_be_a_mount_option(
    bench: Bench, debian: GuestfsVolumes, subvolume: str
) -> None:
    with pytest.raises(EngineError, match="cannot mount a subvolume"):
        debian.mount(f"{bench.devices['debian']}2", "/", subvolume=subvolume, read_only=True)
