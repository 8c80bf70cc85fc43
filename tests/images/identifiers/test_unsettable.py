"""What must not be changed is known beforehand, by name, and nothing is written to it."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import open_direct
from tests.support.disks import Part, make_file_system, poke
from unclone.images.errors import EngineError
from unclone.images.process import run
from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from unclone.images.engines.direct.volumes import DirectVolumes

UUID = "0f0e0d0c-0b0a-4908-8706-050403020100"
FS, SWAP = IdentifierKind.FILE_SYSTEM_UUID, IdentifierKind.SWAP_UUID


def made(part: Part, *changes: tuple[int, bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        make_file_system(path, part)
        for offset, data in changes:
            poke(path, offset, data)

    return make


def external_journal(path: Path) -> None:
    journal = path.with_suffix(".journal")
    with journal.open("wb") as file:
        file.truncate(8 << 20)
    run(["mke2fs", "-q", "-F", "-O", "journal_dev", "-b", "4096", journal])
    make_file_system(path, Part("ext4", options=("-O", "^has_journal")))
    raw = path.read_bytes()[1024:2048]
    poke(path, 1024 + 0x5C, bytes([raw[0x5C] | 4]))  # has_journal, and no inode for it
    journal.unlink()


def journal_device(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 << 20)
    run(["mke2fs", "-q", "-F", "-O", "journal_dev", "-b", "4096", path])


def luks2(*changes: tuple[int, bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(8 << 20)
        small = ["--luks2-metadata-size", "16k", "--luks2-keyslots-size", "256k"]
        quick = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", "-"]
        run(["cryptsetup", "luksFormat", "-q", *small, *quick, path], stdin=b"key")
        for offset, data in changes:
            poke(path, offset, data)

    return make


def ntfs(path: Path) -> None:
    boot = bytearray(512)
    boot[3:11] = b"NTFS    "
    boot[510:] = b"\x55\xaa"
    path.write_bytes(bytes(boot) + bytes(1 << 20))


#: What is on it, and why its identifier has to stay.
CASES: Mapping[str, tuple[IdentifierKind, Callable[[Path], None], str]] = {
    "stable-inodes": (
        FS,
        made(Part("ext4", options=("-O", "encrypt,stable_inodes"))),
        "encrypted files on it depend on the UUID",
    ),
    "external-journal": (FS, external_journal, "its journal is on another device"),
    "journal-device": (FS, journal_device, "it is the journal of another file system"),
    "hibernated": (
        SWAP,
        made(Part("swap"), (4086, b"S1SUSPEND\0")),
        "it holds a hibernated system",
    ),
    "hibernated-uswsusp": (
        SWAP,
        made(Part("swap"), (4086, b"ULSUSPEND\0")),
        "it holds a hibernated system",
    ),
    "xfs-external-log": (FS, made(Part("xfs"), (48, bytes(8))), "its log is on another device"),
    "xfs-damaged": (FS, made(Part("xfs"), (219, b"\x13")), "it has to be repaired first"),
    "xfs-of-the-future": (FS, made(Part("xfs"), (216, b"\x10")), "features that are not known"),
    "btrfs-seed": (FS, made(Part("btrfs"), (0x1003C, b"\x01")), "it is a seed"),
    "btrfs-changing": (FS, made(Part("btrfs"), (0x1003C, b"\x08")), "was interrupted"),
    "btrfs-half": (FS, made(Part("btrfs"), (0x10088, b"\x02")), "only 1 of its 2 devices"),
    "f2fs-inode-checksum": (
        FS,
        made(Part("f2fs", options=("-O", "extra_attr,inode_checksum"))),
        "the checksums of its inodes start from the UUID",
    ),
    "f2fs-encrypt": (FS, made(Part("f2fs", options=("-O", "encrypt"))), "feature encrypt"),
    "f2fs-copy": (
        FS,
        # 16 bytes, because a random UUID can begin with any one of them.
        made(Part("f2fs"), (0x1400 + 0x6C, b"not the same: 1.")),
        "superblocks are not the same",
    ),
    "f2fs-damaged": (
        FS,
        made(
            Part("f2fs", options=("-O", "extra_attr,sb_checksum")),
            (0x400 + 0x7C, b"x"),
            (0x1400 + 0x7C, b"x"),
        ),
        "or damaged",
    ),
    "f2fs-of-the-future": (
        FS,
        made(Part("f2fs"), (0x400 + 0x887, b"\x01"), (0x1400 + 0x887, b"\x01")),
        "features that are not known",
    ),
    "exfat-damaged": (
        IdentifierKind.VFAT_SERIAL,
        made(Part("exfat"), (12 * 512 + 200, b"x")),
        "the copy of its boot region is damaged",
    ),
    "luks2-half": (
        IdentifierKind.LUKS_UUID,
        luks2((16384 + 5000, b"x")),
        "the second of its two LUKS2 headers is damaged",
    ),
    "luks2-damaged": (
        IdentifierKind.LUKS_UUID,
        luks2((8, b"\xff")),
        "its LUKS2 header is damaged",
    ),
    "ntfs": (FS, ntfs, "the boot configuration of Windows"),
}


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DirectVolumes]:
    """Every case as a disk of its own, in one guest; nothing of it has changed afterwards."""
    folder = tmp_path_factory.mktemp("unsettable")
    images = [folder / name for name in CASES]
    for image, (_, make, _) in zip(images, CASES.values(), strict=True):
        make(image)
    before = [digest(image) for image in images]
    volumes = open_direct(*images)
    try:
        yield volumes
    finally:
        volumes.close()
    assert [digest(image) for image in images] == before


def digest(image: Path) -> str:
    """Of what is in it, and where; not of its holes."""
    found = hashlib.sha256()
    with image.open("rb") as file:
        end = 0
        while end < image.stat().st_size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            for at in range(start, end, 4096):
                if block := file.read(min(4096, end - at)).rstrip(b"\0"):
                    found.update(b"%d:" % at + block)
    return found.hexdigest()


@pytest.mark.parametrize("name", CASES)
def test_the_reason_is_given_and_nothing_is_written(disks: DirectVolumes, name: str) -> None:
    kind, _, why = CASES[name]
    device = f"/dev/sd{chr(ord('a') + list(CASES).index(name))}"
    wanted = Identifier(kind, device, "1234-ABCD" if kind == "vfat-serial" else UUID)
    assert why in disks.unsettable(wanted)
    with pytest.raises(EngineError, match=why):
        disks.set_identifiers([wanted])


@pytest.mark.slow
def test_luks2_that_is_being_encrypted_anew_is_left_alone(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(40 << 20)
    quick = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", "-"]
    run(["cryptsetup", "luksFormat", "-q", *quick, image], stdin=b"key")
    begin = ["cryptsetup", "reencrypt", "-q", "--init-only", *quick, "--resilience", "checksum"]
    run([*begin, image], stdin=b"key")
    volumes = open_direct(image)
    try:
        (luks,) = volumes.identifiers()
        assert "its reencryption is not finished (online-reencrypt" in volumes.unsettable(luks)
    finally:
        volumes.close()


@pytest.mark.slow
def test_what_is_not_there_has_a_reason_as_well(tmp_path: Path) -> None:
    image = tmp_path / "image"
    make_file_system(image, Part("ext4"))
    volumes = open_direct(image)
    try:
        for kind in IdentifierKind:
            why = volumes.unsettable(Identifier(kind, "/dev/sda", ""))
            assert bool(why) == (kind is not FS), kind
    finally:
        volumes.close()
