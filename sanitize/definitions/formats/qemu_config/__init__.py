"""QEMU -readconfig file: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_GROUP = (
    rb"(?m)^[ \t]*\[(?:device|drive|netdev|nic|net|smbios|chardev|machine|mon|memory|smp-opts|name"
    rb"|vnc|spice|object|boot-opts|rtc|fsdev|global|accel|fw_cfg|tpmdev|blockdev)"
    rb'(?: +"[^"\n]+")?\][ \t\r]*$'
)
_VALUE = rb'(?m)^[ \t]*[\w.-]+ *= *"[^"\n]*"[ \t\r]*$'


def detects(head: bytes) -> bool:
    """Whether its first line that is no comment is a group of QEMU's, with quoted values below."""
    first = next(
        (line for line in head.splitlines() if line.strip() and line.lstrip()[:1] != b"#"), b""
    )
    return bool(re.match(_GROUP, first) and re.search(_VALUE, head))


FORMAT = Format("qemu-config", "QEMU -readconfig file", detects, __name__)
