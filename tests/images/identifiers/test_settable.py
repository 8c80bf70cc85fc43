"""Every kind that can be made without a kernel: set to a chosen value, read back by other programs.

What the direct engine sets here, the guestfs engine sets with the same modules; only where bytes
come from differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import open_direct
from tests.support.disks import Part, make_disk, make_file_system, poke
from tests.support.templates import copy_into
from unclone.images.process import run
from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from unclone.images.engines.direct.volumes import DirectVolumes

pytestmark = pytest.mark.slow

UUID = "0f0e0d0c-0b0a-4908-8706-050403020100"
SERIAL = "1A2B-3C4D"
KEY = b"of these tests"

_LUKS = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
_SMALL = ("--luks2-metadata-size", "16k", "--luks2-keyslots-size", "256k")


TREE = {"/etc/hostname": "template\n", "/usr/bin": None}


def plain(form: str, *options: str, size: int = 0) -> Callable[[Path], None]:
    tree = TREE if form in {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"} else {}
    part = Part(form, tree, options=options, size=size)
    return lambda path: (make_file_system(path, part), None)[1]


def luks(form: str, *options: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(8 << 20)
        command = ["cryptsetup", "luksFormat", "-q", "--type", form, *_LUKS, *options]
        run([*command, "--key-file", "-", path], stdin=KEY)

    return make


@dataclass(frozen=True)
class Case:
    kind: IdentifierKind
    make: Callable[[Path], None]
    value: str = UUID
    #: A command that finds nothing wrong with it.
    sound: Sequence[str] = ()


FS = IdentifierKind.FILE_SYSTEM_UUID
FAT = IdentifierKind.VFAT_SERIAL
CASES: Mapping[str, Case] = {
    "ext4": Case(
        FS, plain("ext4", "-O", "^metadata_csum_seed,^orphan_file"), sound=("e2fsck", "-fn")
    ),
    "ext4-no-checksums": Case(FS, plain("ext4", "-O", "^metadata_csum"), sound=("e2fsck", "-fn")),
    "ext4-checksum-seed": Case(
        FS, plain("ext4", "-O", "metadata_csum_seed"), sound=("e2fsck", "-fn")
    ),
    "ext4-new": Case(FS, plain("ext4", "-O", "orphan_file,inline_data"), sound=("e2fsck", "-fn")),
    "ext3": Case(FS, plain("ext3"), sound=("e2fsck", "-fn")),
    "ext2": Case(FS, plain("ext2"), sound=("e2fsck", "-fn")),
    "xfs": Case(FS, plain("xfs"), sound=("xfs_repair", "-n")),
    "xfs-4": Case(
        FS,
        plain("xfs", "-m", "crc=0,finobt=0,reflink=0,rmapbt=0,bigtime=0,inobtcount=0"),
        sound=("xfs_repair", "-n"),
    ),
    "btrfs": Case(FS, plain("btrfs"), sound=("btrfs", "check", "--readonly")),
    "f2fs": Case(FS, plain("f2fs"), sound=("fsck.f2fs", "--dry-run")),
    "f2fs-checksum": Case(
        FS,
        plain("f2fs", "-O", "extra_attr,sb_checksum"),
        sound=("fsck.f2fs", "--dry-run"),
    ),
    "fat12": Case(FAT, plain("vfat", "-F", "12", size=4), SERIAL, ("fsck.fat", "-n")),
    "fat16": Case(FAT, plain("vfat", "-F", "16", size=16), SERIAL, ("fsck.fat", "-n")),
    "fat32": Case(FAT, plain("vfat"), SERIAL, ("fsck.fat", "-n")),
    "fat32-4k": Case(FAT, plain("vfat", "-F", "32", "-S", "4096"), SERIAL, ("fsck.fat", "-n")),
    "exfat": Case(FAT, plain("exfat"), SERIAL, ("fsck.exfat", "-n")),
    "swap": Case(IdentifierKind.SWAP_UUID, plain("swap")),
    "luks1": Case(IdentifierKind.LUKS_UUID, luks("luks1")),
    "luks2": Case(IdentifierKind.LUKS_UUID, luks("luks2", *_SMALL)),
}


@dataclass(frozen=True)
class Changed:
    """A partition, cut out of the disk after everything on that was set."""

    image: Path
    before: str
    after: str
    unsettable: str


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Changed]:
    """One disk with a partition for each case, all set together by the direct engine."""
    folder = tmp_path_factory.mktemp("settable")
    images = {name: folder / name for name in CASES}
    for name, case in CASES.items():
        case.make(images[name])
    sizes = {name: image.stat().st_size >> 20 for name, image in images.items()}
    disk = make_disk(folder / "disk", [Part("", size=size) for size in sizes.values()])
    starts = dict(zip(sizes, accumulate(sizes.values(), initial=1), strict=False))
    for name, image in images.items():
        copy_into(image, disk, starts[name] << 20)
    volumes = open_direct(disk)
    try:
        places = {
            (case.kind, f"/dev/sda{n}"): name for n, (name, case) in enumerate(CASES.items(), 1)
        }
        before = {places[i.kind, i.device]: i for i in mine(volumes, places)}
        reasons = {name: volumes.unsettable(i) for name, i in before.items()}
        volumes.set_identifiers(
            [Identifier(i.kind, i.device, CASES[name].value) for name, i in before.items()]
        )
        after = {places[i.kind, i.device]: i.value for i in mine(volumes, places)}
    finally:
        volumes.close()
    for name, image in images.items():
        image.unlink()
        where = [f"skip={starts[name]}", f"count={sizes[name]}"]
        run(["dd", f"if={disk}", f"of={image}", "bs=1M", "conv=sparse", *where])
    return {n: Changed(images[n], before[n].value, after[n], reasons[n]) for n in CASES}


def mine(
    volumes: DirectVolumes, places: Mapping[tuple[IdentifierKind, str], str]
) -> Sequence[Identifier]:
    return [i for i in volumes.identifiers() if (i.kind, i.device) in places]


@pytest.mark.parametrize("name", CASES)
def test_a_chosen_value_is_read_back_by_blkid_and_nothing_is_broken(
    changed: Mapping[str, Changed], name: str
) -> None:
    case, it = CASES[name], changed[name]
    assert it.before not in {"", case.value}
    assert it.unsettable == ""
    assert it.after == case.value
    said = run(["blkid", "-p", "-o", "value", "-s", "UUID", it.image]).stdout.decode().strip()
    assert said == case.value
    if case.sound:
        run([*case.sound, it.image])


@pytest.mark.parametrize("name", ["luks1", "luks2"])
def test_luks_still_opens_with_its_key(changed: Mapping[str, Changed], name: str) -> None:
    image = changed[name].image
    run(["cryptsetup", "open", "--test-passphrase", "--key-file", "-", image], stdin=KEY)
    assert run(["cryptsetup", "luksUUID", image]).stdout.decode().strip() == UUID


def test_the_second_header_of_luks2_is_as_good_as_the_first(
    changed: Mapping[str, Changed], tmp_path: Path
) -> None:
    image = tmp_path / "image"
    image.write_bytes(changed["luks2"].image.read_bytes())
    poke(image, 0, bytes(4096))
    run(["cryptsetup", "repair", "-q", "--type", "luks2", image])
    assert run(["cryptsetup", "luksUUID", image]).stdout.decode().strip() == UUID


def test_the_second_boot_sector_of_fat32_has_the_serial_as_well(
    changed: Mapping[str, Changed],
) -> None:
    raw = changed["fat32"].image.read_bytes()
    assert raw[67:71] == raw[6 * 512 + 67 :][:4] == bytes.fromhex("4d3c2b1a")


def test_the_second_boot_region_of_exfat_is_as_good_as_the_first(
    changed: Mapping[str, Changed],
) -> None:
    image = changed["exfat"].image
    raw = image.read_bytes()
    assert raw[: 12 * 512] == raw[12 * 512 : 24 * 512]
    assert (
        f"0x{SERIAL.replace('-', '').lower()}" in run(["tune.exfat", "-i", image]).stdout.decode()
    )


def test_what_is_on_it_is_still_there(changed: Mapping[str, Changed], tmp_path: Path) -> None:
    volumes = open_direct(changed["ext4"].image, read_only=True)
    try:
        volumes.mount("/dev/sda", "/", subvolume="", read_only=True)
        assert volumes.read("/etc/hostname", 100) == b"template\n"
    finally:
        volumes.drop()
    run(["btrfs", "restore", changed["btrfs"].image, tmp_path])
    assert (tmp_path / "etc/hostname").read_text() == "template\n"


def test_the_feature_that_would_make_it_quick_is_not_switched_on(
    changed: Mapping[str, Changed],
) -> None:
    """Old GRUBs cannot read a file system with metadata_csum_seed."""
    said = run(["dumpe2fs", "-h", changed["ext4"].image]).stdout.decode()
    (features,) = [line for line in said.splitlines() if line.startswith("Filesystem features")]
    assert "metadata_csum " in f"{features} "
    assert "metadata_csum_seed" not in features


def test_an_xfs_gets_its_first_uuid_back(tmp_path: Path) -> None:
    """With that, the feature that remembers it goes away."""
    image = tmp_path / "image"
    make_file_system(image, Part("xfs", uuid=UUID))
    for value, remembers in ((UUID.replace("0f", "1f", 1), True), (UUID, False)):
        volumes = open_direct(image)
        try:
            volumes.set_identifiers([Identifier(FS, "/dev/sda", value)])
            assert [i.value for i in volumes.identifiers()] == [value]
        finally:
            volumes.close()
        said = run(["xfs_db", "-r", "-c", "version", image]).stdout.decode()
        assert ("META_UUID" in said) == remembers
