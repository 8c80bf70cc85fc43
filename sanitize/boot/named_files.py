"""Files that the boot configuration names: initrds and device trees, wherever they are.

A path in a boot entry is relative to the file system that the loader found it on, which the
guest has mounted somewhere: each mount point is tried.

References: UAPI Group, "Boot Loader Specification" (``initrd``, ``devicetree``); GRUB manual
(``initrd``, ``devicetree``); SYSLINUX manual (``INITRD``, ``APPEND initrd=``); rEFInd, "manual
stanzas"; Limine ``CONFIG.md`` (``module_path``); zipl.conf(5) (``ramdisk``); Raspberry Pi
``config.txt`` (``initramfs``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.files import BOOT_ROOTS, TEXT_LIMIT, files_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.guest import Guest

#: The configuration of every loader that names files.
CONFIGURATION = (
    *(f"/boot/{grub}/*.cfg" for grub in ("grub", "grub2")),
    *(
        f"{root}/{path}"
        for root in BOOT_ROOTS
        for path in (
            "loader/entries/*.conf",
            "EFI/*/*.cfg",
            "EFI/*/*.conf",
            "extlinux/extlinux.conf",
            "extlinux.conf",
            "syslinux/*.cfg",
            "syslinux.cfg",
            "limine.conf",
            "limine.cfg",
            "limine/limine.conf",
            "refind_linux.conf",
            "config.txt",
        )
    ),
    "/boot/loader.*/entries/*.conf",
    "/etc/zipl.conf",
)

_LINE = re.compile(
    r"(?mi)^[ \t]*(?:initrd(?:16|efi)?|initramfs|module2?|module_path|ramdisk|fdt|dtb|devicetree)"
    r"(?:[ \t]*[=:][ \t]*|[ \t]+)(?P<words>[^\r\n]+)"
)
_ARGUMENT = re.compile(r"(?i)(?:^|[ \t\"'])initrd=(?P<words>[^ \t\r\n\"']+)", re.MULTILINE)
#: What stands before a path: ``($root)``, ``boot():``, ``$prefix``, ``${x}``, quotes.
_PREFIX = re.compile(r"""^["']?(?:\([^)]*\)|\w+\(\w*\):|\$\{?\w+\}?)?""")
#: A hostile configuration names no more than this.
_MOST = 1000


def named_files(guest: Guest) -> Iterator[str]:
    """The physical path of every regular file that a boot entry names, each once."""
    tops = ["", *(m.mount_point for m in guest.layout.mounts_in_order if m.mount_point != "/")]
    tops += [root for root in BOOT_ROOTS if root not in tops]
    seen: set[str] = set()
    for config in files_at(guest, CONFIGURATION, TEXT_LIMIT):
        for name in _names(guest.text_or_empty(config, TEXT_LIMIT)):
            folder = config.rpartition("/")[0]
            for path in (*(f"{top}/{name.lstrip('/')}" for top in tops), f"{folder}/{name}"):
                if len(seen) < _MOST and guest.is_file(path):
                    physical = guest.resolve(path)
                    if physical not in seen:
                        seen.add(physical)
                        yield physical


def _names(text: str) -> Iterator[str]:
    for pattern in (_LINE, _ARGUMENT):
        for match in pattern.finditer(text):
            for word in re.split(r"[ \t,]+", match["words"]):
                name = _PREFIX.sub("", word).rstrip("\"'").replace("\\", "/")
                if name and "$" not in name:
                    yield name
