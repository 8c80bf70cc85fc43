"""XFS, btrfs and logical volumes at rest, judged by their own programs and by a kernel."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import MIB, Part, make_disk, make_file_system, poke
from tests.support.lvm import GROUP_UUID, VOLUME_UUID, make_physical_volume
from tests.support.templates import copy_into
from unclone.images.crc32c import crc32c
from unclone.images.engines.direct.volumes import DirectVolumes
from unclone.images.engines.engine import Drive, no_keys
from unclone.images.engines.guestfs.engine import GuestfsEngine
from unclone.images.errors import EngineError
from unclone.images.volumes import Identifier, IdentifierKind, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.images.volumes import Member, Volumes

pytestmark = pytest.mark.slow

UUID, NEW = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb", "cccccccc-1111-4222-8333-dddddddddddd"
FSTAB = f"UUID={UUID} / auto defaults 0 1\n"
#: Over two sectors and the end of a file, and in the place of its inode or its item.
LONG = ("x" * 4080 + UUID + "\n") * 3
MANY = {f"/many/a-name-that-takes-some-room-{n:04}": str(n) for n in range(400)}
TREE = {
    "/etc/fstab": FSTAB,
    "/etc/long": LONG,
    "/etc/empty": "",
    "/etc/deep/er": None,
    **MANY,
}
CHECKERS = {"xfs": ("xfs_repair", "-n"), "btrfs": ("btrfs", "check", "--readonly")}


@pytest.fixture(params=CHECKERS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file system without a partition table; its name is that of its type."""
    form = request.param
    return make_file_system(tmp_path / form, Part(form, tree=TREE, uuid=UUID))


@contextmanager
def opened(disk: Path, *, read_only: bool = False) -> Iterator[DirectVolumes]:
    volumes = DirectVolumes([Drive(disk, "raw")], read_only=read_only, in_place=True)
    try:
        assert volumes.beyond_reach() == ""
        yield volumes
        volumes.close()
    finally:
        volumes.drop()


@contextmanager
def mounted(disk: Path, *, read_only: bool = False) -> Iterator[DirectVolumes]:
    with opened(disk, read_only=read_only) as volumes:
        volumes.mount("/dev/sda", "/", subvolume="", read_only=read_only)
        yield volumes


def require_sound(disk: Path) -> None:
    done = subprocess.run([*CHECKERS[disk.name], disk], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_was_made_is_read(disk: Path) -> None:
    with mounted(disk, read_only=True) as volumes:
        found = {member.path: member for member in volumes.walk("/", exclude=[], limit=1 << 20)}
        listed = volumes.scan("/many")
        assert volumes.search(["/"], [UUID.encode()], exclude=[], limit=1 << 20) == [
            "/etc/fstab",
            "/etc/long",
        ]
    assert {path: text for path, text in TREE.items() if text is not None} == {
        path: (member.content or b"").decode()
        for path, member in found.items()
        if member.stat.kind is Kind.FILE
    }
    assert {f"/many/{name}" for name in listed} == set(MANY)
    assert found["/etc/deep/er"].stat.kind is Kind.DIRECTORY


def test_overwritten_content_is_sound_and_alone_changes(disk: Path) -> None:
    with mounted(disk) as volumes:
        before = list(volumes.walk("/", exclude=[], limit=1 << 20))
        for path, text in (("/etc/fstab", FSTAB), ("/etc/long", LONG)):
            volumes.write(path, text.replace(UUID, NEW).encode())
            assert volumes.read(path, 1 << 20) == text.replace(UUID, NEW).encode()
    require_sound(disk)
    with mounted(disk, read_only=True) as volumes:
        after = list(volumes.walk("/", exclude=[], limit=1 << 20))
    swapped = [
        m._replace(content=m.content.replace(UUID.encode(), NEW.encode()) if m.content else b"")
        if m.content is not None
        else m
        for m in before
    ]
    assert sorted(after) == sorted(swapped)


def test_a_new_uuid_is_sound(disk: Path) -> None:
    with opened(disk) as volumes:
        kind = IdentifierKind.FILE_SYSTEM_UUID
        assert volumes.identifiers()[0] == Identifier(kind, "/dev/sda", UUID)
        for value in (NEW, NEW.replace("d", "e")):  # the second has the feature already
            volumes.set_identifiers([Identifier(kind, "/dev/sda", value)])
            assert Identifier(kind, "/dev/sda", value) in volumes.identifiers()
        if disk.name == "btrfs":
            device = Identifier(IdentifierKind.BTRFS_DEVICE_UUID, "/dev/sda", NEW)
            volumes.set_identifiers([device])
            assert device in volumes.identifiers()
    require_sound(disk)
    said = subprocess.run(["blkid", "-p", "-s", "UUID", disk], capture_output=True, check=True)
    assert f'UUID="{NEW.replace("d", "e")}"' in said.stdout.decode()


def test_everything_else_is_refused(disk: Path) -> None:
    before = disk.stat()
    with mounted(disk) as volumes:
        with pytest.raises(EngineError, match="the length of"):
            volumes.write("/etc/fstab", b"x")
        with pytest.raises(EngineError, match="would be made"):
            volumes.create("/etc/new", b"x", mode=0o644, uid=0, gid=0)
        with pytest.raises(EngineError, match="would be made"):
            volumes.make_directory("/etc/new", mode=0o755, uid=0, gid=0)
        with pytest.raises(EngineError, match="would be made"):
            volumes.make_symlink("/etc/new", "fstab")
        with pytest.raises(EngineError, match="would be removed"):
            volumes.remove("/etc/fstab")
        with pytest.raises(EngineError, match="would be renamed"):
            volumes.rename("/etc/fstab", "/etc/new")
        with pytest.raises(EngineError, match="the owner of"):
            volumes.set_owner("/etc/fstab", uid=1, gid=1)
        with pytest.raises(EngineError, match="the mode of"):
            volumes.set_mode("/etc/fstab", 0o600)
        with pytest.raises(EngineError, match="an extended attribute of"):
            volumes.set_xattr("/etc/fstab", "user.x", b"y")
        with pytest.raises(FileNotFoundError):
            volumes.read("/etc/none", 1)
        with pytest.raises(IsADirectoryError):
            volumes.read("/etc", 1)
        with pytest.raises(NotADirectoryError):
            volumes.scan("/etc/fstab")
    assert disk.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    ("form", "place", "content", "said"),
    [
        ("xfs", 100, b"\x94\xa4", "without checksums"),
        ("xfs", 216, b"\x80\0\0\1", "not supported here"),
        ("xfs", 212, b"\x80\0\0\1", "0x80000001, for writing"),
        ("xfs", 16, b"\0" * 7 + b"\1", "a realtime section"),
        ("btrfs", 0x100C4, b"\1", "checksums other than CRC-32C"),
        ("btrfs", 0x10088, b"\2", "on several devices"),
        ("btrfs", 0x100BC, b"\x71", "compressed with LZO or zstd"),
        ("btrfs", 0x100B4, b"\x07", "0x4, for writing"),
        ("btrfs", 0x10060, b"\1", "not unmounted"),
    ],
)
def test_what_is_not_supported_is_told(
    tmp_path: Path, form: str, place: int, content: bytes, said: str
) -> None:
    disk = make_file_system(tmp_path / "disk", Part(form))
    poke(disk, place, content)
    volumes = DirectVolumes([Drive(disk, "raw")], read_only=True, in_place=True)
    assert said in volumes.beyond_reach()
    volumes.drop()


def test_an_xfs_whose_log_ends_with_other_things_is_not_clean(tmp_path: Path) -> None:
    disk = make_file_system(tmp_path / "disk", Part("xfs"))
    with disk.open("rb") as file:
        file.seek(100 * MIB)
        at = 100 * MIB + file.read(100 * MIB).index(b"\xfe\xed\xba\xbe")
    poke(disk, at + 512 + 9, b"\0")  # the flag of the unmount record
    volumes = DirectVolumes([Drive(disk, "raw")], read_only=True, in_place=True)
    assert "not unmounted" in volumes.beyond_reach()
    assert volumes.beyond_reach(clean=False) == ""
    volumes.drop()


def test_a_directory_that_ends_too_early_is_an_error_of_the_engine(tmp_path: Path) -> None:
    disk = make_file_system(tmp_path / "xfs", Part("xfs", tree={"/some": "file"}))
    with disk.open("rb") as file:
        content = file.read(MIB)
    inode = content.index(content[56:64], MIB // 16) - 152  # the root's own number
    raw = bytearray(content[inode : inode + 512])
    raw[176], raw[100:104] = 0xFF, bytes(4)  # the number of its entries; the checksum
    raw[100:104] = (crc32c(0xFFFFFFFF, raw) ^ 0xFFFFFFFF).to_bytes(4, "little")
    poke(disk, inode, bytes(raw))
    with (
        mounted(disk, read_only=True) as volumes,
        pytest.raises(EngineError, match="not understood"),
    ):
        volumes.scan("/")


def volume_group(folder: Path) -> Path:
    volumes = {
        name: make_file_system(folder / f"{name}.img", Part(form, uuid=UUID, tree=TREE))
        for name, form in (("root", "ext4"), ("home", "xfs"))
    }
    member = make_physical_volume(folder / "member", "my-vg", volumes)
    size = member.stat().st_size // MIB
    disk = make_disk(folder / "disk", [Part("", size=size, gpt_type="lvm")])
    copy_into(member, disk, MIB)
    return disk


def test_logical_volumes_are_devices(tmp_path: Path) -> None:
    with opened(volume_group(tmp_path)) as volumes:
        found = {each.device: each for each in volumes.file_systems()}
        assert found["/dev/my-vg/root"].type == "ext4"
        assert found["/dev/my-vg/home"].type == "xfs"
        mapper = f"{GROUP_UUID}{VOLUME_UUID.format(1)}".replace("-", "")
        assert found["/dev/my-vg/home"].mapper_uuid == f"LVM-{mapper}"
        volumes.mount("/dev/my-vg/root", "/", subvolume="", read_only=True)
        assert volumes.read("/etc/fstab", 1000).decode() == FSTAB
        volumes.unmount_all()
        volumes.mount("/dev/my-vg/home", "/", subvolume="", read_only=True)
        assert volumes.read("/etc/long", 1 << 20).decode() == LONG


def test_a_volume_that_is_not_linear_is_told(tmp_path: Path) -> None:
    content = make_file_system(tmp_path / "root.img", Part("ext4", tree=TREE))
    disk = make_physical_volume(tmp_path / "disk", "my-vg", {"root": content}, kind="raid1")
    volumes = DirectVolumes([Drive(disk, "raw")], read_only=True, in_place=True)
    assert volumes.beyond_reach() == (
        "/dev/sda holds LVM: the logical volume /dev/my-vg/root is of a kind that only LVM opens "
        "(raid1)"
    )
    volumes.drop()


#: Each third block has a line; what makes a sparse file of it starts no program for each.
DENSE = b"".join(f"piece {n}\n".encode().ljust(3 * 4096, b"\0") for n in range(60)).rstrip(b"\0")
CREATE = """
set -e
cd /sysroot
mkdir names
i=0; while [ $i -lt 3000 ]; do : >names/a-name-that-takes-some-room-$i; i=$((i+1)); done
i=0; gone=; while [ $i -lt 600 ]; do
  gone="$gone names/a-name-that-takes-some-room-$((i*4))"; i=$((i+1))
done
rm $gone
cp --reflink=never --sparse=always dense pieces
rm dense
ln -s $(printf '%0900d' 7) far
ln -s near-by near
mknod device c 1 3
EXTRA
"""
EXTRA = {
    "xfs": "",
    "btrfs": "btrfs subvolume create sub >/dev/null; echo inside >sub/file; mkdir sub/dir",
}


@pytest.mark.appliance
def test_what_a_kernel_wrote_is_read(tmp_path: Path) -> None:
    """Large directories, extents in trees, long symlinks, many attributes, subvolumes."""
    disks = [
        make_file_system(tmp_path / form, Part(form, tree=TREE, uuid=UUID)) for form in CHECKERS
    ]
    drives = [Drive(disk, "raw") for disk in disks]
    seen = {}
    with GuestfsEngine().open(drives, keys=no_keys, read_only=False, say=print) as volumes:
        appliance = volumes._appliance  # type: ignore[attr-defined]
        for name, form in zip("ab", CHECKERS, strict=True):
            volumes.mount(f"/dev/sd{name}", "/", subvolume="", read_only=False)
            volumes.create("/dense", DENSE, mode=0o644, uid=0, gid=0)
            appliance.shell(CREATE.replace("EXTRA", EXTRA[form]))
            for count in range(12):
                volumes.set_xattr("/pieces", f"user.{count}", b"v" * 100)
            seen[form] = _all(volumes), volumes.subvolumes("/") if form == "btrfs" else ((), "")
            volumes.unmount_all()
    for disk in disks:
        with mounted(disk) as volumes:
            found = _all(volumes)
            assert found == seen[disk.name][0]
            listed, default = volumes.subvolumes("/")
            assert (tuple(listed), default) == seen[disk.name][1]
            pieces = found["/pieces"].content
            assert pieces is not None
            assert volumes.get_xattrs("/pieces") == {f"user.{n}": b"v" * 100 for n in range(12)}
            volumes.write("/pieces", pieces.replace(b"piece", b"place"))
            with pytest.raises(EngineError, match="no blocks"):
                volumes.write("/pieces", b"x" * len(pieces))
        require_sound(disk)
        with mounted(disk, read_only=True) as volumes:
            assert volumes.read("/pieces", 1 << 20) == pieces.replace(b"piece", b"place")


def _all(volumes: Volumes) -> dict[str, Member]:
    """What is there; the size of a directory is a matter of the format."""
    return {
        member.path: member._replace(stat=member.stat._replace(size=0, links=0))
        if member.stat.kind is Kind.DIRECTORY
        else member
        for member in volumes.walk("/", exclude=[], limit=1 << 20)
    }
