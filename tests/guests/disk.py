"""From two tarballs to a bootable disk image, with user-space tools only.

The one exception is LVM, whose metadata only its own tools write, and only to a block device: they
run in a libguestfs appliance, on an empty disk; what goes into the volumes is put there here.

References: mkfs.xfs(8), "prototype file"; LUKS2 On-Disk Format Specification 1.1; cryptsetup(8)
(``plain64``: the tweak of AES-XTS is the number of the 512-byte sector).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.guests import boot_loaders
from tests.guests.sparse import MIB, copy_sparse, data_ranges, fill_used_blocks, sized
from tests.guests.variants import ROOT_VOLUME, SWAP_VOLUME, VOLUME_GROUP
from unclone.images.engines.engine import Drive
from unclone.images.engines.guestfs.appliance import start
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.guests.variants import Identifiers, Variant

ESP_MIB, BOOT_MIB, ROOT_MIB, SWAP_MIB = 64, 192, 2304, 128

#: Of a LUKS2 container with the sizes cryptsetup takes by default.
LUKS_HEADER_MIB = 16

#: Bytes that are encrypted as one.
CRYPT_SECTOR = 4096

#: Everything that has to be root's: under fakeroot unless we are root. $1: path of the initrd,
#: $2: "boot" for a /boot of its own, $3: its UUID, $4: its size, $5: type, $6: UUID of the root,
#: $7: its size, $8: firmware.
UNPACK = r"""
set -e
mkdir tree
tar --extract --file base.tar --directory tree --numeric-owner --preserve-permissions \
    --exclude './dev/*'
tar --extract --file overlay.tar --directory tree --numeric-owner --preserve-permissions
kernel=$(ls tree/lib/modules)
mv "tree$1" "tree/boot/initrd.img-$kernel"
rm -r "tree$(dirname "$1")"
if [ "$8" = bios ]; then
    mkdir tree/boot/grub/i386-pc
    cp tree/usr/lib/grub/i386-pc/* tree/boot/grub/i386-pc
fi
if [ "$2" = boot ]; then
    mv tree/boot boot
    mkdir tree/boot
    mke2fs -q -F -t ext4 -O ^metadata_csum_seed,^orphan_file -L boot -U "$3" -d boot boot.img "$4"
fi
if [ "$5" = ext4 ]; then
    mke2fs -q -F -t ext4 -O ^metadata_csum_seed,^orphan_file -L root -U "$6" -d tree root.img "$7"
else
    find tree -mindepth 1 -printf '%d\0%P\0%y\0%m\0%U\0%G\0%l\0' >listing
fi
"""


@dataclass(frozen=True)
class _Part:
    image: str
    mib: int
    gpt_type: str  # sfdisk's letters
    name: str


def assemble(work: Path, variant: Variant, ids: Identifiers, initrd: str) -> None:
    """Make ``disk.raw`` in *work* from its ``overlay.tar`` and ``base.tar``, which has *initrd*."""
    as_root = [] if os.geteuid() == 0 else ["fakeroot", "--"]
    run(
        [
            *(*as_root, "sh", "-c", f"cd {_quoted(work)}\n{UNPACK}", "sh", initrd),
            *("boot" if variant.separate_boot else "", ids.boot, f"{BOOT_MIB}M"),
            *(variant.root_type, ids.root, f"{ROOT_MIB}M", variant.firmware),
        ],
        timeout=900,
    )
    if variant.root_type == "xfs":
        _make_xfs(work, ids)
    run(["mkswap", "-q", "-U", ids.swap, sized(work / "swap.img", SWAP_MIB)])
    if variant.encrypted:
        fill_used_blocks(work / "root.img")
        _make_volume_group(work)
        _encrypt(work, ids)
    if variant.firmware == "uefi":
        boot_loaders.make_esp(work, sized(work / "esp.img", ESP_MIB), variant, ids)
    parts = _parts(variant)
    raw = sized(work / "disk.raw", sum(part.mib for part in parts) + 2)
    lines, at = [f"label: {variant.table}"], 1
    for part in parts:
        lines.append(f"start={at}MiB, size={part.mib}MiB, type={part.gpt_type}")
        lines[-1] += f", name={part.name}" if variant.table == "gpt" else ""
        at += part.mib
    run(["sfdisk", "--quiet", raw], stdin="\n".join([*lines, ""]).encode())
    at = 1  # one MiB stays free at either end for the two partition tables
    for part in parts:
        copy_sparse(work / part.image, raw, at * MIB)
        (work / part.image).unlink()
        at += part.mib
    if variant.firmware == "bios":
        boot_loaders.install_bios(work, raw)


def _parts(variant: Variant) -> list[_Part]:
    root, swap = _Part("root.img", ROOT_MIB, "L", "root"), _Part("swap.img", SWAP_MIB, "S", "swap")
    parts = [_Part("esp.img", ESP_MIB, "U", "esp")] if variant.firmware == "uefi" else []
    parts += [_Part("boot.img", BOOT_MIB, "L", "boot")] if variant.separate_boot else []
    if variant.encrypted:
        size = LUKS_HEADER_MIB + _volume_group_mib()
        return [*parts, _Part("luks.img", size, "L", "crypt")]
    return [*parts, root, swap]


def _make_xfs(work: Path, ids: Identifiers) -> None:
    """An XFS with the tree in it. A prototype file knows neither hard links nor sticky folders."""
    lines = ["/nowhere", "0 0", "d--755 0 0"]
    depth = 1
    fields = (work / "listing").read_bytes().decode().split("\0")
    entries = sorted(zip(*[iter(fields)] * 7, strict=False), key=lambda e: e[1].split("/"))
    for level, path, kind, mode, uid, gid, target in entries:
        lines += ["$"] * (depth - int(level))
        depth = int(level) + (kind == "d")
        bits = int(mode, 8)
        token = f"{'u' if bits & 0o4000 else '-'}{'g' if bits & 0o2000 else '-'}{bits & 0o777:03o}"
        content = {"f": str(work / "tree" / path), "l": target, "d": ""}[kind]
        letter = {"f": "-", "l": "l", "d": "d"}[kind]
        lines.append(f"{path.rsplit('/', 1)[-1]} {letter}{token} {uid} {gid} {content}".rstrip())
    lines += ["$"] * depth
    (work / "prototype").write_text("\n".join([*lines, ""]))
    image = sized(work / "root.img", ROOT_MIB)
    options = ["-q", "-L", "root", "-m", f"uuid={ids.root}"]
    run(["mkfs.xfs", *options, "-p", work / "prototype", image])


def _volume_group_mib() -> int:
    return ROOT_MIB + SWAP_MIB + 8  # the metadata at the start, and a spare extent


def _make_volume_group(work: Path) -> None:
    """Make ``pv.img``: a physical volume with the root and the swap inside."""
    volume = sized(work / "pv.img", _volume_group_mib())
    appliance = start([Drive(volume, "raw")], read_only=False, say=lambda _: None)
    lvm = appliance.binding  # its own calls wait for udev in between, which opens what is new
    try:
        appliance.call(lambda: lvm.pvcreate("/dev/sda"))
        appliance.call(lambda: lvm.vgcreate(VOLUME_GROUP, ["/dev/sda"]))
        appliance.call(lambda: lvm.lvcreate(ROOT_VOLUME, VOLUME_GROUP, ROOT_MIB))
        appliance.call(lambda: lvm.lvcreate(SWAP_VOLUME, VOLUME_GROUP, SWAP_MIB))
        places = appliance.shell(
            "pvs --noheadings --units b --nosuffix -o pe_start,vg_extent_size\n"
            "lvs --noheadings -o lv_name,seg_pe_ranges\n"
        ).decode()
        appliance.call(lambda: lvm.vg_activate(0, [VOLUME_GROUP]))
    finally:
        appliance.close()
    # The first line is the group's; each volume is one stretch of extents: "/dev/sda:0-575".
    group, *volumes = (line.split() for line in places.splitlines() if line.strip())
    for name, extents in volumes:
        first = int(extents.rpartition(":")[2].partition("-")[0])
        image = work / {ROOT_VOLUME: "root.img", SWAP_VOLUME: "swap.img"}[name]
        copy_sparse(image, volume, int(group[0]) + first * int(group[1]))
        image.unlink()


def _encrypt(work: Path, ids: Identifiers) -> None:
    """Make ``luks.img`` from ``pv.img``: LUKS2, without a device mapper.

    What nothing was written to stays a hole, which reads as noise from inside, as the unused
    blocks of an encrypted disk do.
    """
    key, volume_key = work / "key", os.urandom(64)
    key.write_text(ids.key)
    (work / "volume-key").write_bytes(volume_key)
    luks = sized(work / "luks.img", LUKS_HEADER_MIB + _volume_group_mib())
    run(
        [
            *("cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--uuid", ids.luks),
            *("--cipher", "aes-xts-plain64", "--key-size", "512"),
            *("--sector-size", str(CRYPT_SECTOR), "--volume-key-file", work / "volume-key"),
            # A fixed and small effort: cryptsetup would measure this processor's, and the guest
            # is booted by one that is emulated.
            *("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", key, luks),
        ]
    )
    with (work / "pv.img").open("rb") as source, luks.open("r+b") as target:
        for at in _sectors(work / "pv.img"):
            plain = os.pread(source.fileno(), CRYPT_SECTOR, at)
            tweak = (at // 512).to_bytes(16, "little")
            sealing = Cipher(algorithms.AES(volume_key), modes.XTS(tweak)).encryptor()
            os.pwrite(target.fileno(), sealing.update(plain), LUKS_HEADER_MIB * MIB + at)
    for spent in (key, work / "volume-key", work / "pv.img"):
        spent.unlink()


def _sectors(image: Path) -> Iterator[int]:
    for begin, end in data_ranges(image):
        yield from range(begin - begin % CRYPT_SECTOR, end, CRYPT_SECTOR)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
