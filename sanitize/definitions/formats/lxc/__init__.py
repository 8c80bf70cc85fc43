"""LXC container configuration: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_OWN = rb"(?m)^[ \t]*lxc\.(?:uts\.?name|rootfs(?:\.path)?|net(?:work)?\.[\w.]+)[ \t]*="
#: A shell script that writes one, and other formats that have LXC's words among theirs.
_NOT = rb"(?m)\A\s*(?:#!|<|\{)|^(?:rootfs|hostname|arch|net\d+):|^[ \t]*cat[ \t]"


def detects(head: bytes) -> bool:
    """Whether it has LXC's name, root file system or network."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    return bool(re.search(_OWN, text)) and not re.search(_NOT, text)


FORMAT = Format("lxc", "LXC container configuration", detects, __name__)
