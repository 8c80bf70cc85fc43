"""What cannot follow keeps what it refers to, and says what would lift that."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.identified import (
    ALL,
    DISK,
    RENEWALS,
    IdentifiedVolumes,
    identified_guest,
    olds,
)
from tests.support.planning import context
from tests.support.tree import plant
from unclone.images.errors import RefusedError
from unclone.images.layout import Mount
from unclone.images.volumes import FileSystem, IdentifierKind
from unclone.sanitize.facts import Facts
from unclone.sanitize.references import evm, firmware_boot_entries, unmounted, verity

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.references.blocking import BlockingReference
    from unclone.sanitize.renewal import Renewal

ESP_MOUNT = Mount("/dev/sda1", "/boot/efi", "vfat")


def blocked(
    folder: Path, reference: BlockingReference, *mounts: Mount, fs: tuple[FileSystem, ...] = ()
) -> set[Renewal]:
    guest = identified_guest(IdentifiedVolumes(folder, olds(), file_systems=fs), *mounts)
    found = reference.blockers(context(guest, renewals=RENEWALS))
    assert all(blocker.why and blocker.lift for blocker in found)
    return {blocker.renewal for blocker in found}


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        (["EFI/debian/shimx64.efi"], True),
        (["EFI/debian/shimx64.efi", "EFI/BOOT/fbx64.efi"], True),
        (["EFI/debian/shimx64.efi", "EFI/BOOT/BOOTX64.EFI"], False),
        (["efi/arch/grubaa64.efi", "efi/boot/bootaa64.efi"], False),
        ([], False),
    ],
    ids=["entry only", "no fallback", "fallback", "other case", "no loaders"],
)
def test_an_esp_without_a_fallback_keeps_its_partition_guid(
    tmp_path: Path, files: list[str], kept: bool
) -> None:
    plant(tmp_path, {f"/boot/efi/{name}": "MZ" for name in files} | {"/boot/efi": None})
    found = blocked(tmp_path, firmware_boot_entries.REFERENCE, ESP_MOUNT)
    partition = next(each for each in ALL if each.kind is IdentifierKind.PARTITION_GUID)
    assert found == ({partition, DISK} if kept else set())


@pytest.mark.parametrize(
    ("argument", "kept"),
    [("roothash=abcd", True), ("rd.systemd.verity_root_data=x", True), ("root=UUID=x", False)],
)
def test_verity_keeps_everything(tmp_path: Path, argument: str, kept: bool) -> None:
    plant(tmp_path, {"/boot/loader/entries/a.conf": f"options ro {argument}\n"})
    assert blocked(tmp_path, verity.REFERENCE) == (set(ALL) if kept else set())


@pytest.mark.parametrize("argument", ["usrhash", "roothash"])
def test_partitions_that_are_named_by_the_hash_are_kept_and_no_others(
    tmp_path: Path, argument: str
) -> None:
    halves = "11111111222233334444555555555555", "aaaaaaaabbbbccccddddeeeeeeeeeeee"
    plant(tmp_path, {"/boot/loader/entries/a.conf": f"options {argument}={''.join(halves)}\n"})
    systems = tuple(
        FileSystem(f"/dev/sda{number}", "x", partition_uuid=str(uuid.UUID(half)))
        for number, half in zip((2, 3), halves, strict=True)
    )
    kept = {each for each in ALL if each.device in {"/dev/sda2", "/dev/sda3"}}
    assert blocked(tmp_path, verity.REFERENCE, fs=systems) == kept
    assert blocked(tmp_path, verity.REFERENCE, fs=systems[:1]) == set(ALL)


@pytest.mark.parametrize(
    ("argument", "path", "refused"),
    [
        ("roothash=ab", "/etc/machine-id", True),
        ("roothash=ab", "/boot/efi/loader/entries/a.conf", False),
        ("usrhash=ab", "/etc/machine-id", False),
        ("root=UUID=x", "/etc/machine-id", False),
    ],
)
def test_what_is_hashed_is_not_changed(
    tmp_path: Path, argument: str, path: str, *, refused: bool
) -> None:
    plant(tmp_path, {"/boot/efi/loader/entries/a.conf": f"options ro {argument}\n"})
    guest = identified_guest(IdentifiedVolumes(tmp_path, olds()), ESP_MOUNT)
    if not refused:
        verity.require_unhashed(guest, Facts(guest), [path])
        return
    with pytest.raises(RefusedError, match=f"{path} would have to change, and dm-verity"):
        verity.require_unhashed(guest, Facts(guest), [path])


def test_evm_keeps_file_system_uuids(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/fstab": "", "/usr/lib/systemd/systemd": "ELF"})
    assert blocked(tmp_path, evm.REFERENCE) == set()


def test_evm_is_seen_in_the_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel lets nobody but itself write security.evm where EVM is off, so the label is read
    # from under another name.
    plant(tmp_path, {"/etc/fstab": ""})
    os.setxattr(tmp_path / "etc/fstab", "user.evm", b"\x02")
    volumes = IdentifiedVolumes(tmp_path, olds())
    read = volumes.get_xattrs
    renamed = {"user.evm": "security.evm"}
    monkeypatch.setattr(
        volumes, "get_xattrs", lambda path: {renamed.get(k, k): v for k, v in read(path).items()}
    )
    guest = identified_guest(volumes)
    kinds = {b.renewal.kind for b in evm.REFERENCE.blockers(context(guest, renewals=RENEWALS))}
    assert kinds == {IdentifierKind.FILE_SYSTEM_UUID}


def test_an_esp_that_is_not_mounted_keeps_what_it_may_refer_to(tmp_path: Path) -> None:
    esp = FileSystem("/dev/sda2", "vfat")
    found = blocked(tmp_path, unmounted.REFERENCE, fs=(esp,))
    assert {each.kind for each in found} >= {
        IdentifierKind.FILE_SYSTEM_UUID,
        IdentifierKind.PARTITION_GUID,
        IdentifierKind.MBR_DISK_ID,
    }
    assert IdentifierKind.VFAT_SERIAL not in {each.kind for each in found}
    mount = Mount("/dev/sda2", "/boot/efi", "vfat")
    assert blocked(tmp_path, unmounted.REFERENCE, mount, fs=(esp,)) == set()
    # An ext4 with boot files is noticed when the layout is determined; another one is data.
    assert blocked(tmp_path, unmounted.REFERENCE, fs=(FileSystem("/dev/sda2", "ext4"),)) == set()
