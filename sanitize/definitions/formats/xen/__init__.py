"""Xen xl.cfg: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_NAME = rb"(?m)^[ \t]*name[ \t]*=[ \t]*[\"']"
_OWN = (
    rb"(?m)^[ \t]*(?:vif|disk|builder|type|kernel|bootloader|memory|vcpus|on_crash|extra)[ \t]*\+?="
    rb"[ \t]*[\"'\[0-9]"
)
#: The beginnings of other files, keys of VMware's, and groups of other settings files.
_NOT = (
    rb"(?m)\A\s*(?:<|\{|#!)|^[ \t]*(?:\.encoding|config\.version)"
    rb"|^[ \t]*\[[\w.-]+(?: +\"[^\"\n]*\")?\][ \t\r]*$"
)


def detects(head: bytes) -> bool:
    """Whether it has a name and another setting of xl.cfg, and is no shell script."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    return not re.search(_NOT, text) and bool(re.search(_NAME, text) and re.search(_OWN, text))


FORMAT = Format("xen", "Xen xl.cfg", detects, __name__)
