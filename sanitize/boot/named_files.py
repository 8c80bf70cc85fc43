"""Files that the boot configuration names, wherever they are: initrds, device trees, more of it.

A path in a boot entry is relative to the file system that the loader found it on, which the
guest has mounted somewhere: each mount point is tried.

References: UAPI Group, "Boot Loader Specification" (``initrd``, ``devicetree``); GRUB manual
(``initrd``, ``devicetree``, ``configfile``, ``source``); SYSLINUX manual (``INITRD``, ``INCLUDE``,
``APPEND initrd=``); rEFInd, "manual stanzas"; Limine ``CONFIG.md`` (``module_path``); zipl.conf(5)
(``ramdisk``); Raspberry Pi ``config.txt`` (``initramfs``).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from unclone.sanitize.files import BOOT_ROOTS, TEXT_LIMIT, files_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
#: GRUB's commands, and those of SYSLINUX and rEFInd, that read another file.
_INCLUDE = re.compile(
    r"(?mi)^[ \t]*(?:configfile|source|\.|normal|legacy_configfile|extract_\w+configfile"
    r"|syslinux_configfile|load_env[ \t]+(?:-f|--file)|include)[ \t=]+(?P<words>[^ \t\r\n;]+)"
)
#: What stands before a path: ``($root)``, ``boot():``, ``$prefix``, ``${x}``, quotes.
_PREFIX = re.compile(r"""^["']?(?:\([^)]*\)|\w+\(\w*\):|\$\{?\w+\}?)?""")
#: Between names; a comma in brackets is part of a device: ``(hd0,gpt2)/grub.cfg``.
_BETWEEN = re.compile(r"[ \t]+|,(?![^()]*\))")
#: GRUB's ``set``, and where a variable is used.
_ASSIGNED = re.compile(r"(?m)^[ \t]*set[ \t]+(\w+)=[\"']?([^\s\"';]+)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
#: How deep variables are made of others, and how long a path becomes.
_DEPTH, _LONGEST = 4, 4096
#: Files that are named in all, and different names in one file that are looked for.
_MOST = 1000


def named_files(guest: Guest) -> Iterator[str]:
    """The physical path of every regular file that a boot entry names, each once."""
    seen: dict[str, None] = {}
    configs = list(files_at(guest, CONFIGURATION, TEXT_LIMIT))
    known = _assigned(guest, configs)
    for config in configs:
        for path in _named_in(guest, config, known, _LINE, _ARGUMENT):
            if len(seen) < _MOST:
                seen[path] = None
    yield from seen


def included_files(guest: Guest) -> Sequence[str]:
    """The physical path of every file that a boot loader's configuration goes on with, each once.

    Those of which the configuration itself is made are not among them.
    """
    first = list(files_at(guest, CONFIGURATION, TEXT_LIMIT))
    found = dict.fromkeys(first)
    pending = list(first)
    known = _assigned(guest, first)
    while pending and len(found) < _MOST:
        for path in _named_in(guest, pending.pop(), known, _INCLUDE):
            if path not in found:
                found[path] = None
                pending.append(path)
                known.update(_assigned(guest, [path]))
    return list(found)[len(first) :]


def _assigned(guest: Guest, configs: Iterable[str]) -> dict[str, str]:
    """What GRUB's variables are set to in *configs*, the last of each."""
    texts = (guest.text_or_empty(config, TEXT_LIMIT) for config in configs)
    return dict(pair for text in texts for pair in islice(_ASSIGNED.findall(text), _MOST))


def _named_in(
    guest: Guest, config: str, known: Mapping[str, str], *patterns: re.Pattern[str]
) -> Iterator[str]:
    """The physical path of each file in a line of *config*, on whatever file system it is."""
    tops = ["", *(m.mount_point for m in guest.layout.mounts_in_order if m.mount_point != "/")]
    tops += [root for root in BOOT_ROOTS if root not in tops]
    folder = config.rpartition("/")[0]
    names = dict.fromkeys(_names(guest.text_or_empty(config, TEXT_LIMIT), known, patterns))
    for name in islice(names, _MOST):
        for path in (*(f"{top}/{name.lstrip('/')}" for top in tops), f"{folder}/{name}"):
            if guest.is_file(path):
                yield guest.resolve(path)


def _names(
    text: str, known: Mapping[str, str], patterns: Sequence[re.Pattern[str]]
) -> Iterator[str]:
    for pattern in patterns:
        for match in pattern.finditer(text):
            for word in _BETWEEN.split(match["words"]):
                for name in dict.fromkeys((word, _expanded(word, known))):
                    path = _PREFIX.sub("", name).rstrip("\"'").replace("\\", "/")
                    if path and "$" not in path:
                        yield path


def _expanded(word: str, known: Mapping[str, str]) -> str:
    """*word* with the variables that are *known*; the others are those of GRUB itself."""
    for _ in range(_DEPTH if "$" in word else 0):
        word = _VARIABLE.sub(lambda m: known.get(m[1] or m[2], m[0]), word)[:_LONGEST]
    return word
