"""Xen xl.cfg: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_NAME = re.compile(rb"^[ \t]*name[ \t]*=[ \t]*[\"']", re.MULTILINE)
_OWN = re.compile(
    rb"^[ \t]*(?:vif|disk|builder|type|kernel|bootloader|memory|vcpus|on_crash|extra)[ \t]*\+?="
    rb"[ \t]*[\"'\[0-9]",
    re.MULTILINE,
)
#: The beginnings of other files, keys of VMware's, and groups of other settings files.
_NOT = re.compile(
    rb"\A\s*(?:<|\{|#!)|^[ \t]*(?:\.encoding|config\.version)"
    rb"|^[ \t]*\[[\w.-]+(?: +\"[^\"\n]*\")?\][ \t\r]*$",
    re.MULTILINE,
)


def detects(head: bytes) -> bool:
    """Whether it has a name and another setting of xl.cfg, and is no shell script."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    return not _NOT.search(text) and bool(_NAME.search(text) and _OWN.search(text))


FORMAT = Format("xen", "Xen xl.cfg", detects, __name__)
