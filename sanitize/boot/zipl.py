"""zipl, the boot loader of s390x: only recognised.

zipl copies the kernel's parameters and block lists into its "bootmap"; both are made by the zipl
program alone, so an identifier in there is kept.

References: zipl.conf(5) (``parameters=``, ``target=``); s390-tools zipl/include/boot.h (the magic
"zIPL" of the boot records).
"""

from __future__ import annotations

MAGIC = b"zIPL"

#: Its configuration, and where the bootmap is by default (``target=/boot``).
CONFIGURATIONS = ("/etc/zipl.conf",)
BOOTMAPS = ("/boot/bootmap", "/boot/zipl/bootmap")


def is_bootmap(head: bytes) -> bool:
    """Whether the first sectors of a file (or of a disk) are zipl's."""
    return MAGIC in head[:4096]
