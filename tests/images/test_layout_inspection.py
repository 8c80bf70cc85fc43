"""Finding the root and what its fstab names, on guests whose file systems are folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import pytest

from tests.support.disks import BARE_ROOT
from tests.support.forest import ForestVolumes
from unclone.images.errors import RefusedError
from unclone.images.layout import Layout, Mount, OtherSystem
from unclone.images.layout_inspection import inspect_layout
from unclone.images.volumes import FileSystem, Identifier, IdentifierKind, Volumes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROOT = FileSystem("/dev/sda2", "ext4", "root-uuid", "root")
ESP = FileSystem("/dev/sda1", "vfat", "ABCD-1234")
HOME = FileSystem("/dev/sda3", "xfs", "home-uuid")
SWAP = FileSystem("/dev/sda4", "swap", "swap-uuid")
OTHER = FileSystem("/dev/sdb1", "ext4", "other-uuid")
BTRFS = FileSystem("/dev/sda5", "btrfs", "btrfs-uuid")
NTFS = FileSystem("/dev/sda6", "ntfs", "0123456789ABCDEF")
UNKNOWN = FileSystem("/dev/sda", "unknown")

Tree = Mapping[str, "str | bytes | None"]


@pytest.fixture
def forest(tmp_path: Path) -> ForestVolumes:
    return ForestVolumes(tmp_path)


def inspect(forest: ForestVolumes) -> Layout:
    layout = inspect_layout(cast("Volumes", forest))
    assert forest.mounted == {}, "inspection leaves nothing mounted"
    return layout


def root(fstab: str = "", **more: str | None) -> Mapping[str, str | bytes | None]:
    places = {"/boot/efi": None, "/home": None, "/var": None, "/srv/a/b": None}
    return {**BARE_ROOT, **places, "/etc/fstab": fstab, **more}


# -- the root ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "tree",
    [
        pytest.param({"/etc/os-release": "-> ../usr/lib/os-release", "/usr": None}, id="dangling"),
        pytest.param({"/etc/fstab": "", "/bin": "-> usr/bin", "/usr/bin": None}, id="merged-usr"),
        pytest.param({"/etc/fstab": "", "/bin/sh": ""}, id="/usr elsewhere"),
    ],
)
def test_a_root_is_recognised(forest: ForestVolumes, tree: Tree) -> None:
    forest.add(ESP, {"/EFI/BOOT": None})
    forest.add(ROOT, tree)
    forest.add(SWAP, {})
    assert inspect(forest).mounts_in_order == (Mount("/dev/sda2", "/", "ext4"),)


@pytest.mark.parametrize(
    ("systems", "words"),
    [
        pytest.param([(UNKNOWN, {})], "no partition table and no file system", id="blank"),
        pytest.param([], "no partition table and no file system", id="nothing"),
        pytest.param(
            [(HOME, {"/user": None}), (SWAP, {})], "no operating system was found", id="data"
        ),
        pytest.param(
            [(ROOT, {"/etc/passwd": "x"})], "no operating system was found", id="etc only"
        ),
        pytest.param(
            [(ROOT, BARE_ROOT), (OTHER, BARE_ROOT)],
            "more than one operating system: /dev/sda2, /dev/sdb1",
            id="two roots",
        ),
        pytest.param(
            [(NTFS, {"/Windows/System32": None})], "Windows guest: /dev/sda6", id="windows"
        ),
        pytest.param(
            [(ROOT, BARE_ROOT), (NTFS, {"/WINDOWS": None})],
            "more than one operating system: /dev/sda2, /dev/sda6 \\(Windows\\)",
            id="dual boot",
        ),
        pytest.param(
            [(BTRFS, {"/a/etc/fstab": "", "/a/usr": None, "/b/etc/fstab": "", "/b/usr": None})],
            "more than one .*/dev/sda5 \\(subvolume a\\), /dev/sda5 \\(subvolume b\\)",
            id="two subvolumes",
        ),
    ],
)
def test_what_is_not_one_linux_guest_is_refused(
    forest: ForestVolumes, systems: Sequence[tuple[FileSystem, Tree]], words: str
) -> None:
    for fs, tree in systems:
        forest.add(fs, tree)
    with pytest.raises(RefusedError, match=words) as refused:
        inspect(forest)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("fs", "words"),
    [
        (ROOT, "ext4 file system on /dev/sda2 cannot be mounted: is damaged: Bad magic"),
        (FileSystem("/dev/sda1", "BitLocker"), "Windows guest: /dev/sda1"),
        (NTFS, "Windows guest: /dev/sda6"),
    ],
)
def test_a_file_system_that_cannot_be_mounted_is_named(
    forest: ForestVolumes, fs: FileSystem, words: str
) -> None:
    forest.add(fs, {}, broken=True)
    with pytest.raises(RefusedError, match=words):
        inspect(forest)


def test_data_on_ntfs_beside_a_root_is_no_windows(forest: ForestVolumes) -> None:
    forest.add(ROOT, BARE_ROOT)
    forest.add(NTFS, {"/films": None})
    assert [m.device for m in inspect(forest).mounts_in_order] == ["/dev/sda2"]


# -- btrfs ---------------------------------------------------------------------------------
def subvolume(name: str, fstab: str = "") -> Mapping[str, str | bytes | None]:
    tree = root(f"UUID=btrfs-uuid / btrfs subvol=@ 0 0\n{fstab}")
    return {f"/{name}{path}": content for path, content in tree.items()}


@pytest.mark.parametrize("name", ["@", "root", "@rootfs"])
def test_the_root_can_be_a_subvolume(forest: ForestVolumes, name: str) -> None:
    forest.add(BTRFS, {**subvolume(name), "/@home/user": None})
    assert inspect(forest).mounts_in_order == (Mount("/dev/sda5", "/", "btrfs", name),)


def test_a_snapshot_is_not_another_root(forest: ForestVolumes) -> None:
    forest.add(BTRFS, {**subvolume("@"), **subvolume("@_before_upgrade"), **subvolume("old")})
    assert inspect(forest).mounts_in_order == (Mount("/dev/sda5", "/", "btrfs", "@"),)


IDENTITY = {"/etc/machine-id": "0" * 31 + "1\n", "/etc/ssh/ssh_host_rsa_key": "x"}


def identified(name: str) -> Mapping[str, str | bytes | None]:
    return {f"/{name}{path}": content for path, content in IDENTITY.items()}


@pytest.mark.parametrize(
    "place",
    [
        "@/.snapshots/1/snapshot",
        "@snapshots/7/snapshot",
        "timeshift-btrfs/snapshots/2026-01-01_00-00-01/@",
        "@_before_upgrade",
    ],
)
def test_a_snapshot_with_an_identity_is_named(forest: ForestVolumes, place: str) -> None:
    forest.listed = ("@", "@home", place)
    forest.add(BTRFS, {**subvolume("@"), **identified("@"), **identified(place), "/@home": None})
    files = ("etc/machine-id", "etc/ssh/ssh_host_rsa_key")
    assert inspect(forest).other_systems == (OtherSystem("/dev/sda5", place, files),)


def test_the_default_subvolume_is_the_system_itself(forest: ForestVolumes) -> None:
    # As openSUSE has it: the running system is a snapshot, and fstab names no subvolume for it.
    running, older = "@/.snapshots/1/snapshot", "@/.snapshots/2/snapshot"
    forest.listed, forest.default = ("@", running, older), running
    fstab = root("UUID=btrfs-uuid / btrfs defaults 0 0\n")
    forest.add(BTRFS, {**fstab, **identified(running), **identified(older)})
    assert [other.subvolume for other in inspect(forest).other_systems] == [older]


def test_a_snapshot_without_an_identity_is_not_named(forest: ForestVolumes) -> None:
    forest.listed = ("@", "@old")
    empty = {"/@old/etc/machine-id": "", "/@old/etc/ssh/ssh_host_rsa_key.pub": "x"}
    forest.add(BTRFS, {**subvolume("@"), **empty})
    assert inspect(forest).other_systems == ()


def test_other_subvolumes_are_mounted_where_fstab_says(forest: ForestVolumes) -> None:
    fstab = "UUID=btrfs-uuid /home btrfs compress=zstd,subvol=/@home 0 0\n"
    forest.add(BTRFS, {**subvolume("@", fstab), "/@home/user": None})
    layout = inspect(forest)
    assert layout.mounts["/home"] == Mount("/dev/sda5", "/home", "btrfs", "/@home")
    assert layout.checkable == ("/dev/sda5",)


# -- fstab ---------------------------------------------------------------------------------
def test_what_fstab_names_is_mounted_parents_first(forest: ForestVolumes) -> None:
    forest.add(
        ROOT,
        root(
            "UUID=other-uuid /srv/a/b ext4 defaults 0 2\n"
            "LABEL=root / ext4 defaults 0 1\n"
            "/dev/disk/by-uuid/ABCD-1234 /boot/efi vfat umask=0077 0 1\n"
            "/dev/vda3 /srv xfs defaults 0 2\n"
        ),
    )
    for fs in (ESP, OTHER):
        forest.add(fs, {})
    forest.add(HOME, {"/a/b": None})
    layout = inspect(forest)
    assert [(m.mount_point, m.device) for m in layout.mounts_in_order] == [
        ("/", "/dev/sda2"),
        ("/boot/efi", "/dev/sda1"),
        ("/srv", "/dev/sda3"),
        ("/srv/a/b", "/dev/sdb1"),
    ]
    assert layout.warnings == ()
    layout.mount(cast("Volumes", forest), read_only=True)
    assert set(forest.mounted) == {"/", "/boot/efi", "/srv", "/srv/a/b"}


@pytest.mark.parametrize(
    "line",
    [
        "proc /proc proc defaults 0 0",
        "tmpfs /tmp tmpfs size=1G 0 0",
        "UUID=swap-uuid none swap sw 0 0",
        "/swapfile none swap sw 0 0",
        "server:/export /home nfs defaults 0 0",
        "//server/share /home cifs credentials=/x 0 0",
        "user@host:/ /home fuse.sshfs defaults 0 0",
        "/home /srv none bind 0 0",
        "/images/x.iso /srv iso9660 loop 0 0",
        "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0",
        "UUID=iscsi /home ext4 _netdev 0 0",
        "a b c d e f",
    ],
)
def test_what_is_not_on_the_disks_is_passed_over(forest: ForestVolumes, line: str) -> None:
    forest.add(ROOT, root(f"{line}\n"))
    assert inspect(forest) == Layout((Mount("/dev/sda2", "/", "ext4"),))


@pytest.mark.parametrize(
    "place", ["/usr", "/var", "/var/log", "/etc", "/boot", "/boot/efi", "/home"]
)
def test_a_missing_disk_that_matters_is_refused(forest: ForestVolumes, place: str) -> None:
    forest.add(ROOT, root(f"UUID=gone {place} ext4 defaults 0 2\n"))
    with pytest.raises(
        RefusedError, match=f"mounts UUID=gone at {place}: no disk has it"
    ) as refused:
        inspect(forest)
    assert "--add-disk" in refused.value.hint


# -- volume groups that LVM does not open --------------------------------------------------
FOREIGN = "its volume group vg belongs to the host with the LVM system ID 0123"
MEMBER = FileSystem("/dev/sda7", "LVM2_member", "pv-uuid")


def add_group(forest: ForestVolumes, *volumes: str, why: str = FOREIGN) -> None:
    """A volume group that cannot be renewed, with its logical *volumes* as far as they are open."""
    forest.add(MEMBER, {})
    for name in volumes:
        forest.add(FileSystem(f"/dev/vg/{name}", "xfs", name), {})
    forest.identified[Identifier(IdentifierKind.LVM_VG_UUID, "/dev/vg", "uuid")] = why


@pytest.mark.parametrize("has_root", [False, True], ids=["the root", "a part of it"])
def test_a_volume_group_of_another_host_is_named(forest: ForestVolumes, has_root: bool) -> None:
    if has_root:
        forest.add(ROOT, root("/dev/vg/var /var xfs defaults 0 2\n"))
    add_group(forest)
    with pytest.raises(RefusedError, match=FOREIGN) as refused:
        inspect(forest)
    assert '`vgchange --systemid "" vg`' in refused.value.hint


def test_a_volume_group_that_is_open_is_not_to_blame(forest: ForestVolumes) -> None:
    add_group(forest, "data", why="its LVM metadata is damaged")
    with pytest.raises(RefusedError, match="no operating system was found; on the disk") as refused:
        inspect(forest)
    assert "vgchange" not in refused.value.hint


def test_a_sound_volume_group_is_not_to_blame(forest: ForestVolumes) -> None:
    add_group(forest, why="")
    with pytest.raises(RefusedError, match="no operating system was found; on the disk"):
        inspect(forest)


@pytest.mark.parametrize(
    "line",
    [
        "UUID=gone /home ext4 nofail 0 2",
        "UUID=gone /boot ext4 noauto 0 2",
        "UUID=gone /mnt/usb ext4 defaults 0 2",
        "UUID=gone /data ext4 defaults 0 2",
    ],
)
def test_a_missing_disk_that_does_not_matter_is_mentioned(forest: ForestVolumes, line: str) -> None:
    forest.add(ROOT, root(f"{line}\n"))
    layout = inspect(forest)
    assert set(layout.mounts) == {"/"}
    (warning,) = layout.warnings
    assert warning.startswith("the guest's fstab mounts UUID=gone")


def test_of_two_with_one_uuid_the_one_beside_the_root_is_taken(forest: ForestVolumes) -> None:
    forest.add(FileSystem("/dev/sdb7", "ext4", "twin"), {})
    forest.add(FileSystem("/dev/sda7", "ext4", "twin"), {})
    forest.add(ROOT, root("UUID=twin /home ext4 defaults 0 2\n"))
    layout = inspect(forest)
    assert layout.mounts["/home"].device == "/dev/sda7"
    assert any("/dev/sdb7, /dev/sda7" in warning for warning in layout.warnings)


def test_what_no_line_mounts_is_mentioned(forest: ForestVolumes) -> None:
    forest.add(ESP, {"/EFI": None})
    forest.add(ROOT, root())
    (warning,) = inspect(forest).warnings
    assert warning.startswith("the vfat file system on /dev/sda1 is in no fstab entry")


# -- hostile fstabs ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("place", "physical"),
    [
        ("/../../../home", "/home"),
        ("/srv/../home/.", "/home"),
        ("//home//", "/home"),
        ("/link", "/home"),
        ("/up", "/home"),
    ],
)
def test_mount_points_resolve_inside_the_guest(
    forest: ForestVolumes, place: str, physical: str
) -> None:
    links = {"/link": "-> /home", "/up": "-> ../../../../../home"}
    forest.add(ROOT, root(f"UUID=home-uuid {place} xfs defaults 0 2\n", **links))
    forest.add(HOME, {})
    assert inspect(forest).mounts[physical].device == "/dev/sda3"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        pytest.param("/home/..", "root directory itself", id="the root"),
        pytest.param("/home/loop/x", "no place to mount", id="loop"),
        pytest.param("/home/file/x", "no place to mount", id="below a file"),
        pytest.param("/home/no/../../etc", "no place to mount", id="dots after nothing"),
        pytest.param(r"/home/\000etc", "no place to mount", id="null byte"),
    ],
)
def test_nonsense_mount_points_are_refused(forest: ForestVolumes, place: str, words: str) -> None:
    tree = {"/home/loop": "-> loop", "/home/file": "x"}
    forest.add(ROOT, {**root(f"UUID=home-uuid {place} xfs defaults 0 2\n"), **tree})
    forest.add(HOME, {})
    with pytest.raises(RefusedError, match=words) as refused:
        inspect(forest)
    assert "\n" not in refused.value.message


def test_a_mount_point_that_another_disk_makes_a_symlink_is_refused(forest: ForestVolumes) -> None:
    fstab = "UUID=home-uuid /srv xfs defaults 0 2\nUUID=other-uuid /srv/a/b ext4 defaults 0 2\n"
    forest.add(ROOT, root(fstab))
    forest.add(HOME, {"/a": "-> /etc"})
    forest.add(OTHER, {})
    layout = inspect(forest)
    with pytest.raises(RefusedError, match="/srv/a is a symlink, not a directory"):
        layout.mount(cast("Volumes", forest), read_only=True)


def test_names_from_the_guest_are_shown_harmless(forest: ForestVolumes) -> None:
    forest.add(ROOT, root("LABEL=x\\012\\033]0;y /home ext4 defaults 0 2\n"))
    with pytest.raises(RefusedError) as refused:
        inspect(forest)
    assert refused.value.message.isprintable()


def test_an_fstab_of_too_many_lines_is_refused(forest: ForestVolumes) -> None:
    forest.add(ROOT, root("".join(f"/dev/x{n} /x{n} ext4 nofail 0 0\n" for n in range(5001))))
    with pytest.raises(RefusedError, match=r"/etc/fstab mounts 500[12] file systems"):
        inspect(forest)


def test_only_some_of_many_lines_that_are_left_out_are_named(forest: ForestVolumes) -> None:
    forest.add(ROOT, root("".join(f"/dev/x{n} /x{n} ext4 nofail 0 0\n" for n in range(30))))
    warnings = inspect(forest).warnings
    assert "at /x19: no disk has it; left out" in warnings[19]
    assert warnings[20:] == ("10 more lines of the guest's fstab are left out",)


@pytest.mark.parametrize("fstab", ["-> /etc/fstab", "-> /etc/passwd", None, b"\xff\x00\n" * 1000])
def test_an_fstab_that_is_none_mounts_nothing(
    forest: ForestVolumes, fstab: str | bytes | None
) -> None:
    forest.add(ROOT, {**BARE_ROOT, "/etc/fstab": fstab})
    assert set(inspect(forest).mounts) == {"/"}
