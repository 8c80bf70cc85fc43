"""QEMU -readconfig file: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_GROUP = re.compile(
    rb"^[ \t]*\[(?:device|drive|netdev|nic|net|smbios|chardev|machine|mon|memory|smp-opts|name|vnc"
    rb"|spice|object|boot-opts|rtc|fsdev|global|accel|fw_cfg|tpmdev|blockdev)"
    rb'(?: +"[^"\n]+")?\][ \t\r]*$',
    re.MULTILINE,
)
_VALUE = re.compile(rb'^[ \t]*[\w.-]+ *= *"[^"\n]*"[ \t\r]*$', re.MULTILINE)


def detects(head: bytes) -> bool:
    """Whether its first line that is no comment is a group of QEMU's, with quoted values below."""
    first = next(
        (line for line in head.splitlines() if line.strip() and line.lstrip()[:1] != b"#"), b""
    )
    return bool(_GROUP.match(first) and _VALUE.search(head))


FORMAT = Format("qemu-config", "QEMU -readconfig file", detects, __name__)
