"""The installed packages of the small Debian 13 guests, and what boots each of them: one tarball.

Only this part needs a network. Initrds, the unified kernel image and GRUB are made by Debian's own
tools where the packages are installed, with the identifiers that each guest is going to have.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import tarfile
import tempfile
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests import base
from tests.guests.debian import cache_directory
from tests.support.debian_root import SUITE, mirrors
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES = (
    *("linux-image-cloud-amd64", "initramfs-tools", "dracut-core", "zstd", "kmod", "udev"),
    *("systemd", "systemd-sysv", "dbus", "e2fsprogs", "mdadm"),
    *("systemd-boot-efi", "systemd-ukify", "grub-efi-amd64-bin", "grub-common"),
)

#: Where the boot files are in the tarball.
MADE = "var/lib/unclone-boot"

GUESTS = ("uki", "discovered", "esp-initrd", "links", "el8", "mirror")

#: Of every guest's command line: what makes emulation slow is left out.
ARGUMENTS = "console=ttyS0,115200 quiet lsm=capability mitigations=off audit=0"

GRUB_MODULES = (
    "part_gpt fat ext2 search search_fs_uuid normal linux configfile echo test loadenv regexp"
)

#: In every guest's initrd; the rest of the kernel's modules is not needed to find the root.
MODULES = "virtio_pci virtio_blk ext4 vfat nls_cp437 nls_ascii raid1 crc32c_generic"

#: Not in the initrd that dracut makes.
OMITTED = "lvm mdraid crypt btrfs dm multipath iscsi nfs network plymouth"


@dataclass(frozen=True)
class Identifiers:
    """What the files of one guest refer to, spelled as they spell it."""

    machine_id: str
    root: str
    swap: str
    esp: str
    array: str
    root_partition: str

    @classmethod
    def fresh(cls) -> Identifiers:
        """Return new random identifiers."""
        esp, array = os.urandom(4).hex().upper(), uuid.uuid4().hex
        return cls(
            secrets.token_hex(16),
            str(uuid.uuid4()),
            str(uuid.uuid4()),
            f"{esp[:4]}-{esp[4:]}",
            ":".join(array[at : at + 8] for at in range(0, 32, 8)),
            str(uuid.uuid4()),
        )


@dataclass(frozen=True)
class Base:
    """The tarball, the version of its kernel, and the identifiers of each guest."""

    tarball: Path
    kernel: str
    identifiers: Mapping[str, Identifiers]


def cached() -> Base:
    """Return the base, built where the cache has none of this recipe."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    tarball = cache_directory() / f"debian-13-boots-{recipe}.tar"
    told = tarball.with_suffix(".json")
    with tarball.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tarball.exists():
            _build(tarball, told)
    known = json.loads(told.read_text())
    ids = {name: Identifiers(**values) for name, values in known["identifiers"].items()}
    return Base(tarball, known["kernel"], ids)


def _build(tarball: Path, told: Path) -> None:
    ids = {name: Identifiers.fresh() for name in GUESTS}
    with tempfile.TemporaryDirectory(prefix=f".{tarball.name}.", dir=tarball.parent) as scratch:
        made = Path(scratch) / tarball.name
        # Without root, mmdebstrap works as another user id, which cannot look into a home.
        env = {
            "DEBIAN_FRONTEND": "noninteractive",
            "TMPDIR": scratch if os.geteuid() == 0 else "/var/tmp",
            "INITRD": "No",
        }
        command = [
            *("mmdebstrap", "--mode=auto", "--variant=minbase", "--format=tar"),
            f"--include={','.join(PACKAGES)}",
            *(f"--dpkgopt={option}" for option in base.UNPACKED),
            '--aptopt=Acquire::Retries "3";',
            f"--customize-hook={_boot_files(ids)}",
            *(SUITE, str(made), *mirrors()),
        ]
        run(command, timeout=1800, env=env)
        with tarfile.open(made) as members:
            (kernel,) = (m.name for m in members if m.name.startswith("./boot/vmlinuz-"))
        known = {
            "kernel": kernel.removeprefix("./boot/vmlinuz-"),
            "identifiers": {name: asdict(each) for name, each in ids.items()},
        }
        told.write_text(json.dumps(known, indent=1))
        made.rename(tarball)


def _boot_files(ids: Mapping[str, Identifiers]) -> str:
    """The shell script that makes them in the tree ``$1``."""
    uki, esp_initrd, mirror = ids["uki"], ids["esp-initrd"], ids["mirror"]
    line = f"root=UUID={uki.root} ro systemd.machine_id={uki.machine_id} {ARGUMENTS}"
    array = f"ARRAY /dev/md/root metadata=1.2 UUID={mirror.array} name=template:root"
    return f"""set -e
cd "$1"
mkdir -p {MADE}
conf=etc/initramfs-tools
initrd() {{ chroot "$1" mkinitramfs -o "/{MADE}/$2" "$(ls lib/modules)"; }}
echo MODULES=list >$conf/conf.d/modules
echo {MODULES} | tr " " "\\n" >>$conf/modules
echo RESUME=none >$conf/conf.d/resume
initrd "$1" plain
cp etc/mdadm/mdadm.conf mdadm.conf.installed
echo "{array}" >>etc/mdadm/mdadm.conf
initrd "$1" mirror
mv mdadm.conf.installed etc/mdadm/mdadm.conf
echo RESUME=UUID={esp_initrd.swap} >$conf/conf.d/resume
echo ROOT=UUID={esp_initrd.root} >$conf/conf.d/root
initrd "$1" esp-initrd
rm $conf/conf.d/resume $conf/conf.d/root
chroot "$1" dracut --no-hostonly --omit "{OMITTED}" --filesystems ext4 \\
    --add-drivers "virtio_pci virtio_blk ext4" /{MADE}/dracut "$(ls lib/modules)" >&2
chroot "$1" ukify build --linux="/$(ls boot/vmlinuz-*)" --initrd=/{MADE}/plain \\
    --cmdline="{line}" --os-release=@/usr/lib/os-release --output=/{MADE}/uki.efi
chroot "$1" grub-mkimage -O x86_64-efi -o /{MADE}/grub.efi -p /EFI/redhat {GRUB_MODULES}
"""
