"""The interface of an engine: the volumes of one guest, and primitive operations on them.

:class:`Volumes` is between the engines (``images/engines/``) and everything above. Each call is
about one inode or one device. Symlink resolution, globbing and caching are in ``guest``, on top of
it, so that every engine gives the same answers.

Paths are absolute guest paths as ``str`` (undecodable bytes as PEP 383 surrogates), and
*physical*: no component before the last is a symlink, and no operation follows a symlink in the
last one. Failures of a path operation are the built-in ``OSError`` subclasses a local file system
would raise (``FileNotFoundError``, ``NotADirectoryError``, ``OSError(ENOSPC)`` ...); failures of
the engine itself are :class:`unclone.images.errors.EngineError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


class Kind(StrEnum):
    """What an inode is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"  # device node, socket, fifo


class Stat(NamedTuple):
    """The result of ``lstat``. ``mode`` is the permission bits only (07777), ``size`` bytes."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    links: int = 1


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A file system, a swap area or a container, and the identifiers that can refer to it.

    ``device`` is the engine's name for it (``/dev/sda1``, ``/dev/vg/root``), valid in the engine
    session only. ``type`` is the name that blkid has for it (``ext4``, ``vfat``, ``swap``,
    ``crypto_LUKS``), or ``unknown``. Text fields are "" where there is no such value.
    """

    device: str
    type: str
    uuid: str = ""
    label: str = ""
    partition_uuid: str = ""
    partition_label: str = ""
    size: int = 0  # bytes
    #: Of a GPT partition: its type, a GUID in lower case, and its 64 attribute bits.
    partition_type: str = ""
    partition_attributes: int = 0
    #: Its device-mapper UUID: ``LVM-<group><volume>``, without dashes; ``CRYPT-LUKS2-...``.
    mapper_uuid: str = ""


class IdentifierKind(StrEnum):
    """The kinds of identifiers on devices rather than in files.

    Their values are spelled ``xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx``, with these exceptions: a
    VFAT_SERIAL is ``XXXX-XXXX`` (exFAT has one, too), an MBR_DISK_ID eight hexadecimal digits, an
    LVM UUID 32 letters and digits grouped 6-4-4-4-4-4-6, an MD_UUID four groups of eight
    hexadecimal digits with colons between them.
    """

    FILE_SYSTEM_UUID = "file-system-uuid"
    BTRFS_DEVICE_UUID = "btrfs-device-uuid"
    SWAP_UUID = "swap-uuid"
    VFAT_SERIAL = "vfat-serial"
    PARTITION_GUID = "partition-guid"
    DISK_GUID = "disk-guid"
    MBR_DISK_ID = "mbr-disk-id"
    LUKS_UUID = "luks-uuid"
    LVM_PV_UUID = "lvm-pv-uuid"
    LVM_VG_UUID = "lvm-vg-uuid"
    MD_UUID = "md-uuid"


@dataclass(frozen=True, slots=True)
class Identifier:
    """One identifier on one device, spelled as :class:`IdentifierKind` says."""

    kind: IdentifierKind
    device: str
    value: str


class CheckState(StrEnum):
    """The result of a file system check."""

    CLEAN = "clean"
    DAMAGED = "damaged"
    #: There is no checker for its type, or the checker is not installed.
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A file system check: ``output`` is what the checker printed, or why there was no check.

    ``skipped`` says that there is a checker, but the file system is marked as clean.
    """

    device: str
    type: str  # of the file system, as in :class:`FileSystem`
    state: CheckState
    output: str
    skipped: bool = False


class Member(NamedTuple):
    """One inode from :meth:`Volumes.walk`; ``content`` is None unless it is a regular file."""

    path: str
    stat: Stat
    content: bytes | None = None
    link_target: str = ""


class Subvolume(NamedTuple):
    """A subvolume of a btrfs. *parent* is the UUID of the original of a snapshot, else "".

    *path* is relative to the top of the file system, which is "".
    """

    path: str
    uuid: str = ""
    parent: str = ""
    number: int = 0


class Volumes(Protocol):
    """One opened guest. Closing it writes everything to the overlay."""

    #: The engine's name, for reports.
    engine: str

    # -- devices ---------------------------------------------------------------------------
    def file_systems(self) -> Sequence[FileSystem]:
        """Everything with a file system signature, in disk and partition order."""

    def identifiers(self) -> Sequence[Identifier]:
        """Every device-level identifier, read now from the device."""

    def volume_snapshots(self) -> Mapping[str, str]:
        """The logical volumes that are snapshots, and their origins, by device names.

        Where both are active, the snapshot is not among the file systems and identifiers.
        """

    def unsettable(self, identifier: Identifier) -> str:
        """Why *identifier* cannot be set to another value, as text; "" when it can.

        Only reads; file systems may be mounted. The value is ignored.
        """

    def set_identifiers(self, identifiers: Sequence[Identifier]) -> None:
        """Set each of *identifiers* to its value, in an order that works; nothing is mounted.

        An identifier that several devices share (the UUID of an array, of a volume group, of a
        btrfs on several devices) is set on all of them. Device names stay the same until the
        volumes are closed. The caller reads the values back, because a tool's exit status proves
        nothing. Raises EngineError, with the tool's output, when something cannot be set.
        """

    def check(self, device: str, *, repair: bool, force: bool = True) -> CheckResult:
        """Check the unmounted file system on *device*; *repair* replays the journal and fixes it.

        Without *force* the check may be skipped when the file system says that it is clean.
        """

    def begin_check(self, device: str) -> Callable[[], CheckResult]:
        """Begin a check that changes nothing; the function returned waits for its result.

        *device* is unmounted, and may be mounted read-only meanwhile. An engine that cannot do
        both at once checks before it returns.
        """

    # -- mounting --------------------------------------------------------------------------
    def mount(self, device: str, mount_point: str, *, subvolume: str, read_only: bool) -> None:
        """Mount *device* at *mount_point* of the guest root ("/" first). May replay a journal.

        *subvolume* is a path on btrfs, "" for the default one. Raises EngineError.
        """

    def subvolumes(self, mount_point: str) -> tuple[Sequence[Subvolume], str]:
        """The subvolumes of the btrfs mounted at *mount_point*, and the path of the default one.

        Paths are correct only where the top of the file system is mounted.
        """

    def delete_subvolumes(self, paths: Sequence[str]) -> None:
        """Delete *paths*, in this order, of the btrfs whose top is mounted writable at "/"."""

    def unmount_all(self) -> None:
        """Unmount everything and write it to the devices: later reads come from them."""

    # -- reading ---------------------------------------------------------------------------
    def lstat(self, path: str) -> Stat:
        """The inode at *path*."""

    def scan(self, path: str) -> Mapping[str, Kind]:
        """The names in directory *path* (without ``.`` and ``..``) and what each is."""

    def readlink(self, path: str) -> str:
        """The target text of the symlink at *path*."""

    def read(self, path: str, limit: int) -> bytes:
        """The first *limit* bytes of the regular file at *path*."""

    def prefetch(self, directories: Sequence[str], files: Sequence[str]) -> None:
        """Say what will be scanned and read next, so that it may be read at once.

        An engine may ignore it. What cannot be read is an error only when it is asked for.
        """

    def get_xattrs(self, path: str) -> Mapping[str, bytes]:
        """The extended attributes of *path* (``security.selinux``, ACLs ...)."""

    def walk(self, path: str, *, exclude: Sequence[str], limit: int) -> Iterator[Member]:
        """Every inode below directory *path*, also on file systems that are mounted below it.

        Directories in *exclude* (physical paths) are left out. The content of a regular file is cut
        to *limit* bytes. The order is unspecified.
        """

    def search(
        self, paths: Sequence[str], needles: Sequence[bytes], *, exclude: Sequence[str], limit: int
    ) -> Sequence[str]:
        """The sorted paths of everything below the directories *paths* with one of *needles*.

        It may be in the name, in the text of a symlink, or in the content of a regular file of at
        most *limit* bytes. Directories in *exclude* are left out.
        """

    # -- writing ---------------------------------------------------------------------------
    def write(self, path: str, content: bytes, *, keep: int = 0) -> None:
        """Replace the content of the regular file at *path*: same inode, owner, mode, xattrs.

        The first *keep* bytes, which the file must have, stay, and *content* follows them.
        """

    def create(self, path: str, content: bytes, *, mode: int, uid: int, gid: int) -> None:
        """Make a regular file; ``FileExistsError`` when the name is taken."""

    def remove(self, path: str) -> None:
        """Remove the file, symlink or whole tree at *path*."""

    def rename(self, old: str, new: str) -> None:
        """Rename within one file system, replacing a file at *new*."""

    def make_directory(self, path: str, *, mode: int, uid: int, gid: int) -> None:
        """Make one directory."""

    def make_symlink(self, path: str, target: str) -> None:
        """Make a symlink at *path* that holds *target* as its text."""

    def set_owner(self, path: str, *, uid: int, gid: int) -> None:
        """Change owner and group."""

    def set_mode(self, path: str, mode: int) -> None:
        """Change the permission bits."""

    def set_xattr(self, path: str, name: str, value: bytes) -> None:
        """Set one extended attribute."""

    # -- the end ---------------------------------------------------------------------------
    def close(self) -> None:
        """Write everything out and close the disks. Safe to call twice."""
