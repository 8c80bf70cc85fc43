"""One appliance for the whole test session, with many small disks, because each launch is slow.

A test takes the disks it names; :meth:`Bench.volumes` shows it those and no others. Disks are
shared by everyone who names them, so a test that damages one has one of its own here.

An appliance that is lost (a test ran into its time limit, QEMU crashed) is started again for the
next test, with new disks. What a module prepares in it goes through :meth:`Bench.prepared`, so that
it is prepared again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tests.support.disks import BARE_ROOT, ESP, MIB, Part, make_disk, make_file_system, poke
from tests.support.families import DEBIAN_12
from unclone.images.engines.engine import Drive, no_keys
from unclone.images.engines.guestfs.appliance import Appliance, start
from unclone.images.engines.guestfs.containers import open_containers
from unclone.images.engines.guestfs.devices import read_devices
from unclone.images.engines.guestfs.volumes import GuestfsVolumes
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from unclone.images.engines.engine import Keys

T = TypeVar("T")

ROOT_UUID = "6a48ffc0-630b-3245-a18e-09763a83c63d"
SWAP_UUID = "7a93128d-f57d-b14b-a0cb-22d3ad84edaa"
HOME_UUID = "8f3c9d1e-1111-4a5b-9c3d-2b7e6f5a4d3c"
ESP_SERIAL = "ABCD-1234"

DEBIAN_FSTAB = f"""\
# /etc/fstab: static file system information.
UUID={ROOT_UUID} /         ext4 errors=remount-ro 0 1
UUID={ESP_SERIAL} /boot/efi vfat umask=0077        0 1
LABEL=home\\040data /home    ext4 defaults          0 2
UUID={SWAP_UUID} none      swap sw                0 0
tmpfs /tmp tmpfs defaults 0 0
/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0
"""


#: Seconds in which an appliance that has nothing to do answers, on a busy host.
ANSWER_LIMIT = 120.0
#: Starts in a row that may fail before the tests that follow are told at once.
STARTS = 3


class SharedBench:
    """The bench of one test session: :meth:`ready` starts its appliance, and again when it is lost.

    *new_folder* makes a folder for the disks of each start.
    """

    def __init__(self, new_folder: Callable[[], Path]) -> None:
        self._new_folder = new_folder
        self._bench: Bench | None = None
        self._failures = 0

    def ready(self) -> Bench:
        """The bench, with an appliance that answers. Raises EngineError when none starts."""
        if self._bench is None or not self._bench.answers():
            self.stop()
            self._bench = self._started()
        return self._bench

    def _started(self) -> Bench:
        if self._failures >= STARTS:
            raise EngineError(f"the appliance of the tests did not start {STARTS} times")
        try:
            bench = start_bench(self._new_folder())
        except EngineError:
            self._failures += 1
            raise
        self._failures = 0
        return bench

    def stop(self) -> None:
        """Stop the appliance, if there is one."""
        bench, self._bench = self._bench, None
        if bench is not None:
            bench.appliance.abandon()


@dataclass
class Bench:
    """The appliance, and the device name of each disk."""

    appliance: Appliance
    devices: Mapping[str, str]
    _prepared: dict[str, Any] = field(default_factory=dict)
    _mounted: tuple[str, GuestfsVolumes] | None = None

    @property
    def token(self) -> str:
        """What only the QEMU of this appliance has on its command line."""
        return self.appliance._token

    def answers(self) -> bool:
        """Whether the appliance is there and does what it is asked to."""
        try:
            self.appliance.call(self.appliance.binding.ping_daemon, limit=ANSWER_LIMIT)
        except EngineError:
            return False
        return True

    def prepared(self, name: str, prepare: Callable[[], T]) -> T:
        """What *prepare* returns, which is called once for each start of the appliance."""
        if name not in self._prepared:
            self._prepared[name] = prepare()
        made: T = self._prepared[name]
        return made

    def mounted(self, disk: str) -> GuestfsVolumes:
        """*disk*, mounted at ``/``; as it was left, if no other disks were asked for since."""
        if self._mounted is None or self._mounted[0] != disk:
            volumes = self.volumes(disk)
            volumes.mount(self.devices[disk], "/", subvolume="", read_only=False)
            self._mounted = (disk, volumes)
        return self._mounted[1]

    def volumes(self, *disks: str, keys: Keys = no_keys) -> GuestfsVolumes:
        """The guest on *disks*, with nothing mounted yet."""
        self._mounted = None
        self.appliance.call(lambda: self.appliance.native.status("umount_all"))
        drives = [self.devices[disk] for disk in disks]
        return GuestfsVolumes(self.appliance, open_containers(self.appliance, keys, drives), drives)

    def node(self, disk: str) -> str:
        """What the appliance's kernel calls *disk*; for preparing disks in its shell."""
        name = self.devices[disk]
        return next(d.node for d in read_devices(self.appliance, [name]) if d.name == name)

    def shell(self, script: str) -> str:
        """Run *script* in the appliance."""
        return self.appliance.shell(script).decode("utf-8", "surrogateescape")


def start_bench(folder: Path) -> Bench:
    """Make every disk in :data:`DISKS` and start the appliance with them."""
    drives = []
    for name, make in DISKS.items():
        path = folder / f"{name}.img"
        make(path)
        drives.append(Drive(path, "raw"))
    appliance = start(drives, read_only=True, say=lambda _: None)
    letters = [chr(ord("a") + number) for number in range(len(drives))]
    return Bench(appliance, {n: f"/dev/sd{x}" for n, x in zip(DISKS, letters, strict=True)})


def _debian(path: Path) -> None:
    tree = {**DEBIAN_12, "/etc/fstab": DEBIAN_FSTAB, "/boot/efi": None, "/home": None}
    parts = [
        Part("vfat", {"/EFI/debian/grub.cfg": "x"}, uuid=ESP_SERIAL, gpt_type=ESP, gpt_name="esp"),
        Part("ext4", tree, uuid=ROOT_UUID, gpt_name="root"),
        Part("swap", uuid=SWAP_UUID),
        Part("ext4", {"/user/.bashrc": "alias"}, uuid=HOME_UUID, label="home data"),
    ]
    make_disk(path, parts)


def _identifiers(path: Path) -> None:
    fat12, fat16 = ("-F", "12"), ("-F", "16")
    xfs_4 = ("-m", "crc=0,finobt=0,reflink=0,rmapbt=0,bigtime=0,inobtcount=0")
    seeded = ("-O", "metadata_csum_seed,orphan_file")
    parts = [
        *(Part("ext4"), Part("xfs"), Part("btrfs"), Part("swap"), Part("vfat")),
        *(Part("vfat", size=16, options=fat16), Part("vfat", size=4, options=fat12)),
        *(Part("exfat"), Part("xfs", options=xfs_4), Part("ext4", options=seeded), Part("ext2")),
        Part("f2fs"),
    ]
    make_disk(path, parts)


def _corrupt(path: Path) -> None:
    """An ext4 whose group descriptors are nonsense; the superblock is sound."""
    make_disk(path, [Part("ext4", BARE_ROOT)])
    poke(path, MIB + 2048, b"\xa5" * 1024)


def _blank(mib: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(mib * MIB)

    return make


def _plain(form: str, size: int = 0) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        make_file_system(path, Part(form, size=size))

    return make


#: Every disk of the bench by its name, and how it is made.
DISKS: Mapping[str, Callable[[Path], None]] = {
    "ext4": _plain("ext4", 48),
    "xfs": _plain("xfs"),
    "btrfs": _plain("btrfs"),
    "vfat": _plain("vfat"),
    "small": _plain("ext4", 8),
    "debian": _debian,
    "identifiers": _identifiers,
    "mbr": lambda path: (make_disk(path, [Part("ext4", BARE_ROOT)], table="dos"), None)[1],
    "corrupt": _corrupt,
    "dirty": _blank(24),
    "subvolumes": _blank(128),
    "encrypted": _blank(96),
    "stack": _blank(82),
    "uploaded": _blank(82),
    "pair": _blank(300),
    "blank": _blank(4),
}
