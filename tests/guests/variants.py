"""The Debian guests there are, and what the files in each say about its disk.

One tree of packages serves all of them (``base.py``); a variant differs in firmware, partition
table, file systems and containers, and so in the files below, which the guest's initrd is made from
with Debian's own tools.
"""

from __future__ import annotations

import os
import secrets
import uuid
from dataclasses import dataclass
from typing import Literal

#: As the Debian installer names them.
VOLUME_GROUP, ROOT_VOLUME, SWAP_VOLUME = "golden-vg", "root", "swap_1"
CRYPT_NAME = "vda3_crypt"
KEY_FILE = "/etc/keys/root.key"

#: The initrd goes on as soon as the root is there, and stops udevd. What that has not done by then
#: is lost, and on a busy host this may be the volume of the swap, which then never appears.
SETTLE = """\
#!/bin/sh
[ "$1" = prereqs ] || udevadm settle --timeout=600
"""


@dataclass(frozen=True)
class Identifiers:
    """The identifiers of the disk that files inside it refer to; each variant uses some of them."""

    root: str
    boot: str
    swap: str
    luks: str
    esp: str  # volume serial as /etc/fstab spells it: XXXX-XXXX
    key: str  # what opens the LUKS container

    @classmethod
    def fresh(cls) -> Identifiers:
        """Return new random identifiers."""
        serial = os.urandom(4).hex().upper()
        root, boot, swap, luks = (str(uuid.uuid4()) for _ in range(4))
        return cls(root, boot, swap, luks, f"{serial[:4]}-{serial[4:]}", secrets.token_hex(32))


@dataclass(frozen=True)
class Variant:
    """One way a Debian guest is put on its disk."""

    name: str
    firmware: Literal["uefi", "bios"]
    root_type: Literal["ext4", "xfs"] = "ext4"
    separate_boot: bool = False
    #: Root and swap are volumes of a volume group inside a LUKS container; /boot is outside.
    encrypted: bool = False

    @property
    def table(self) -> Literal["gpt", "dos"]:
        """sfdisk's word for the partition table."""
        return "gpt" if self.firmware == "uefi" else "dos"

    @property
    def title(self) -> str:
        """What is on the disk, for people."""
        start = "GPT, ESP" if self.firmware == "uefi" else "MBR, GRUB for BIOS"
        boot = ", /boot" if self.separate_boot else ""
        rest = f"{self.root_type}, swap"
        return f"{start}{boot}, {f'LUKS (LVM ({rest}))' if self.encrypted else rest}"

    def root_device(self, ids: Identifiers) -> str:
        """The root as fstab and the kernel command line name it."""
        return _mapped(ROOT_VOLUME) if self.encrypted else f"UUID={ids.root}"

    def boot_uuid(self, ids: Identifiers) -> str:
        """The UUID of the file system that GRUB reads its configuration and the kernel from."""
        return ids.boot if self.separate_boot else ids.root

    def kernel_arguments(self, ids: Identifiers) -> str:
        """What the person who installed it wrote into /etc/default/grub."""
        # The BIOS guest says on the command line what the others leave to their initrd.
        resume = f"resume=UUID={ids.swap} " if self.firmware == "bios" else ""
        return f"{resume}console=tty0 console=ttyS0,115200"

    def files(self, ids: Identifiers) -> dict[str, str]:
        """Every file that the initrd is made from, and fstab; programs begin with ``#!``."""
        files = {
            "/etc/fstab": self._fstab(ids),
            "/etc/initramfs-tools/conf.d/resume": f"RESUME=UUID={ids.swap}\n",
        }
        if self.encrypted:
            # The option "initramfs" is for roots that the tools cannot see at build time, which is
            # ours: nothing is mounted there.
            files |= {
                "/etc/crypttab": f"{CRYPT_NAME} UUID={ids.luks} {KEY_FILE} luks,initramfs\n",
                KEY_FILE: ids.key,
                "/etc/cryptsetup-initramfs/conf-hook": 'KEYFILE_PATTERN="/etc/keys/*.key"\n',
                "/etc/initramfs-tools/conf.d/umask": "UMASK=0077\n",
                "/etc/initramfs-tools/scripts/local-bottom/settle": SETTLE,
            }
        return files

    def _fstab(self, ids: Identifiers) -> str:
        options = "rw,discard,errors=remount-ro" if self.root_type == "ext4" else "defaults"
        lines = [
            "# /etc/fstab: static file system information.",
            f"{self.root_device(ids)} / {self.root_type} {options} 0 1",
        ]
        if self.separate_boot:
            lines.append(f"UUID={ids.boot} /boot ext4 defaults 0 2")
        if self.firmware == "uefi":
            lines.append(f"UUID={ids.esp} /boot/efi vfat umask=0077 0 0")
        swap = _mapped(SWAP_VOLUME) if self.encrypted else f"UUID={ids.swap}"
        return "\n".join([*lines, f"{swap} none swap sw 0 0", ""])


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("uefi", "uefi"),
        Variant("bios", "bios"),
        Variant("xfs", "uefi", root_type="xfs", separate_boot=True),
        Variant("lvm-on-luks", "uefi", separate_boot=True, encrypted=True),
    )
}


def _mapped(volume: str) -> str:
    """The path of a logical volume as device-mapper spells it: hyphens in names are doubled."""
    return f"/dev/mapper/{VOLUME_GROUP.replace('-', '--')}-{volume}"
