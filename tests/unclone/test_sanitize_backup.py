"""Backups of Proxmox VE: whole or untouched, written and read by a second implementation."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import vma
from tests.support.archives import OLD, TREE, UUID
from tests.support.command import PROGRAM, sanitized, unclone
from tests.support.disks import Part, make_disk
from unclone.images.archives.vma import (
    clusters,
    extract,
    read_backup,
    require_written,
    write_backup,
)
from unclone.images.errors import RefusedError, UncloneError

if TYPE_CHECKING:
    from pathlib import Path

MAC, MACHINE = "08:00:27:12:34:56", "9f2d3c1b-aaaa-4bbb-8ccc-1234567890ab"
DATA = "bbbbbbbb-1111-4222-8333-cccccccccccc"
CONFIG = f"""#A web server
boot: order=scsi0
cores: 2
efidisk0: local-lvm:vm-100-disk-0,efitype=4m,size=4M
ide2: none,media=cdrom
memory: 2048
name: golden
net0: virtio={MAC},bridge=vmbr0
ostype: l26
scsi0: local-lvm:vm-100-disk-1,size=64M
scsi1: local-lvm:vm-100-disk-2,size=64M
scsihw: virtio-scsi-pci
smbios1: uuid={MACHINE}
tpmstate0: local-lvm:vm-100-disk-3,size=4M,version=v2.0
vmgenid: 0d6a2f6e-5c3b-4b7a-8f0e-6f3e9b1f2a44
#qmdump#map:efidisk0:drive-efidisk0:local-lvm:raw:
#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:
#qmdump#map:scsi1:drive-scsi1:local-lvm:raw:
#qmdump#map:tpmstate0:drive-tpmstate0-backup:local-lvm:raw:
"""
TPM = b"TPM" + bytes(9000)
EFI = random.Random(1).randbytes(5000) + bytes(535_000)
FIREWALL = b"[OPTIONS]\nenable: 1\n"


def disks(folder: Path) -> dict[str, bytes]:
    fstab = f"UUID={UUID} / ext4 defaults 0 1\nUUID={DATA} /data ext4 defaults 0 2\n"
    made = {"drive-efidisk0": EFI}
    parts = [
        Part("ext4", uuid=UUID, tree={**TREE, "/etc/fstab": fstab, "/data/.keep": ""}),
        Part("ext4", uuid=DATA, tree={"/here": "data"}),
    ]
    for number, part in enumerate(parts):
        path = make_disk(folder / "made.raw", [part])
        made[f"drive-scsi{number}"] = path.read_bytes()
        path.unlink()
    return {**made, "drive-tpmstate0-backup": TPM}


def backup(folder: Path, config: str = CONFIG) -> bytes:
    configs = {"qemu-server.conf": config.encode(), "qemu-server.fw": FIREWALL}
    return vma.written(configs, disks(folder))


@pytest.mark.slow
@pytest.mark.parametrize("packer", ["", "zstd", "gzip"])
def test_a_backup_becomes_another_machine(tmp_path: Path, packer: str) -> None:
    image = tmp_path / "vzdump-qemu-100.vma"
    image.write_bytes(backup(tmp_path))
    if packer:
        subprocess.run([packer, "-q", image], check=True)
        image.unlink(missing_ok=True)
        (image,) = tmp_path.iterdir()
    before = image.read_bytes()
    done = unclone("sanitize", image, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert (image.read_bytes(), list(tmp_path.iterdir())) == (before, [image])
    report = sanitized(image)
    assert (report["image"], report["result"], report["status"]) == (str(image), str(image), "done")
    assert "unclone-unpacked" not in json.dumps(report)
    warned = [n for n in report["definition"]["notes"] if n["level"] == "warning"]
    assert [note["row"] for note in warned] == ["tpm-state"]
    assert list(tmp_path.iterdir()) == [image]
    content = image.read_bytes()
    if packer:
        content = subprocess.check_output([packer, "-dc", image])
    configs, devices = vma.read(content)
    assert list(configs) == ["qemu-server.conf", "qemu-server.fw"]
    assert configs["qemu-server.fw"] == FIREWALL
    new = configs["qemu-server.conf"].decode()
    (mac,) = [each["new"] for each in report["definition"]["macs"]]
    assert mac.lower() in new.lower()
    for old in (MAC, MACHINE, "0d6a2f6e"):
        assert old not in new
    same = [
        line for line in CONFIG.splitlines() if not line.startswith(("net0", "smbios1", "vmgenid"))
    ]
    assert [line for line in new.splitlines() if line in same] == same
    assert list(devices) == [
        "drive-efidisk0",
        "drive-scsi0",
        "drive-scsi1",
        "drive-tpmstate0-backup",
    ]
    assert devices["drive-efidisk0"] == EFI
    assert devices["drive-tpmstate0-backup"] == TPM
    for number in range(2):
        (tmp_path / f"{number}.raw").write_bytes(devices[f"drive-scsi{number}"])
    done = unclone("inspect", tmp_path / "0.raw", "--add-disk", tmp_path / "1.raw")
    assert done.returncode == 0, done.stderr
    for old in (UUID, DATA, OLD, MAC):
        assert old not in done.stdout
    assert done.stdout.count("mounted at") == 2


@pytest.mark.slow
def test_output_leaves_the_backup(tmp_path: Path) -> None:
    image, output = tmp_path / "backup.vma", tmp_path / "new.vma"
    image.write_bytes(before := backup(tmp_path))
    assert sanitized(image, "--output", output)["result"] == str(output)
    assert image.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [image, output]
    read = vma.read(output.read_bytes())
    assert read[1]["drive-scsi0"] != vma.read(before)[1]["drive-scsi0"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("qemu-server.conf", signal.SIGKILL),
        ("new.conf", signal.SIGINT),
        ("new.conf", signal.SIGKILL),
        ("packed.vma", signal.SIGTERM),
        ("packed.vma", signal.SIGKILL),
    ],
)
def test_a_killed_run_leaves_the_backup_whole(tmp_path: Path, moment: str, number: int) -> None:
    """*moment*: the file in the run's folder at whose appearance it is killed."""
    image = tmp_path / "backup.vma"
    image.write_bytes(before := backup(tmp_path))
    folder = tmp_path / f".{image.name}.unclone-unpacked"
    with subprocess.Popen([PROGRAM, "sanitize", image], stderr=subprocess.PIPE) as run:
        while not (folder / moment).exists() and run.poll() is None:
            time.sleep(0.002)
        run.send_signal(number)
        run.communicate()
    if image.read_bytes() == before:  # else it came to its end before the signal
        assert run.returncode != 0
        assert number == signal.SIGKILL or list(tmp_path.iterdir()) == [image]
        sanitized(image)
    assert list(tmp_path.iterdir()) == [image]
    configs, devices = vma.read(image.read_bytes())
    assert MACHINE not in configs["qemu-server.conf"].decode()
    assert OLD.encode() not in devices["drive-scsi0"]
    assert devices["drive-efidisk0"] == EFI


SMALL = {"drive-scsi0": bytes(70_000) + b"x" * 5000}
CONFIGS = {"qemu-server.conf": CONFIG.replace("scsi1:", "#").encode()}


@pytest.mark.parametrize(
    ("configs", "devices", "said"),
    [
        ({}, SMALL, "has 0 files qemu-server.conf"),
        (CONFIGS, {**SMALL, "vmstate": b"x" * 512}, "the memory of a running machine"),
        (CONFIGS, {"drive-scsi7": b"x" * 512}, "does not have the disk scsi0"),
        (CONFIGS, {**SMALL, "drive-scsi7": b"x" * 512}, "no disk of its machine is drive-scsi7"),
        (CONFIGS, SMALL, "backup.vma: the disk has no partition table"),
    ],
)
def test_a_backup_that_is_no_machine_is_refused(
    tmp_path: Path, configs: dict[str, bytes], devices: dict[str, bytes], said: str
) -> None:
    image = tmp_path / "backup.vma"
    image.write_bytes(before := vma.written(configs, devices))
    done = unclone("sanitize", image)
    assert done.returncode == 4, done.stderr
    assert said in " ".join(done.stderr.split())
    assert "unclone-unpacked" not in done.stderr
    assert (image.read_bytes(), list(tmp_path.iterdir())) == (before, [image])


def parsed(path: Path) -> list[tuple[int, int, bytes]]:
    with path.open("rb") as file:
        return list(clusters(file, read_backup(file, path), path))


def changed(content: bytes, at: int, new: bytes, md5: int = -1) -> bytes:
    """*content* with *new* at a byte; with *md5*, the sum of the extent's header is made again."""
    content = content[:at] + new + content[at + len(new) :]
    if md5 >= 0:
        content = content[:md5] + vma.summed(content[md5 : md5 + 512], 24) + content[md5 + 512 :]
    return content


def test_a_damaged_backup_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "backup.vma"
    whole = vma.written(CONFIGS, {**SMALL, "drive-scsi1": b"y" * 200_000})
    start = len(whole) - len(vma.extents([SMALL["drive-scsi0"], b"y" * 200_000]))
    path.write_bytes(whole)
    assert len(parsed(path)) == 2 + 4
    first = start + 40
    for content, said in (
        (whole[:5000], "ends within its header"),
        (changed(whole, 7, b"\2"), "its version is 2"),
        (changed(whole, 56, b"\xff"), "contradicts itself"),
        (changed(whole, 4100, b"\1"), "another checksum"),
        (whole[:start], "clusters are missing"),
        (whole[: start + 100], "ends within an extent"),
        (whole[:-1], "ends within an extent"),
        (changed(whole, first, b"\xff\xff"), "an extent has another checksum"),
        (changed(whole, start + 8, b"\xff", start), "an extent has another checksum"),
        (changed(whole, first + 3, b"\x09", start), "is there twice, or is none"),
        (changed(whole, first, whole[first + 8 : first + 16], start), "is there twice, or is none"),
        (changed(whole, first + 4, b"\xff", start), "is there twice, or is none"),
        (changed(whole, start + 6, b"\0\0", start), "another number of blocks"),
        (whole + whole[start:], "is there twice, or is none"),
    ):
        path.write_bytes(content)
        with pytest.raises(RefusedError, match=said):
            parsed(path)


def test_what_is_written_is_read_by_the_other_reader(tmp_path: Path) -> None:
    """Sizes that are no multiple of a cluster or block, an empty disk, more than one extent."""
    dice = random.Random(2)
    sparse = b"".join(dice.choice([bytes(4096), dice.randbytes(4096)]) for _ in range(2000))
    devices = {"drive-scsi0": sparse[:-1536], "drive-a": bytes(1 << 20), "drive-b": b"z" * 512}
    path, packed = tmp_path / "backup.vma", tmp_path / "packed.vma"
    path.write_bytes(vma.written(CONFIGS, devices))
    with path.open("rb") as file:
        made = read_backup(file, path)
        disks = {number: tmp_path / str(number) for number in made.devices}
        outputs = {number: each.open("wb") for number, each in disks.items()}
        extract(file, made, outputs, path)
    for each in outputs.values():
        each.close()
    assert [disks[number].read_bytes() for number in disks] == list(devices.values())
    assert disks[2].stat().st_blocks == 0
    with packed.open("wb") as file:
        write_backup(made, disks, file)
    assert vma.read(packed.read_bytes()) == (CONFIGS, devices)
    assert abs(packed.stat().st_size - path.stat().st_size) < 2048
    assert packed.read_bytes()[24:32] == path.read_bytes()[24:32]
    assert packed.read_bytes()[8:24] != vma.UUID
    require_written(packed, made, disks)
    with disks[3].open("r+b") as file:
        file.write(b"Z")
    with pytest.raises(UncloneError, match="does not have what was put into it"):
        require_written(packed, made, disks)


def test_a_backup_packed_with_lzop_is_refused_with_the_way(tmp_path: Path) -> None:
    image = tmp_path / "backup.vma.lzo"
    image.write_bytes(b"\x89LZO\0\r\n\x1a\n" + bytes(600))
    done = unclone("sanitize", image)
    assert done.returncode == 4
    assert "lzop -d" in done.stderr
