"""QEMU command line: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_LINE = (
    rb"(?m)^[ \t]*(?:[A-Za-z_]\w*=\S*[ \t]+)*(?:(?:exec|sudo|env|nohup)[ \t]+(?:-\S+[ \t]+)*)*"
    rb"[\"']?(?:[\w./-]*/)?(?:qemu-system-\w+|qemu-kvm|kvm)(?:-[0-9.]+)?[\"']?[ \t]+[\"'\\$-]"
)
_SCRIPT = rb"#![^\r\n]{0,255}sh\b"
#: A script of more lines does more than to start a machine, unless a line of it plainly does.
_LINE_LIMIT = 1000
_MENTION = rb"\b(?:qemu-system-\w+|qemu-kvm)\b"


def detects(head: bytes) -> bool:
    """Whether a line starts QEMU, or a shell script mentions it."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    if text.lstrip()[:1] in (b"<", b"{", b"["):
        return False
    if re.search(_LINE, text):
        return True
    is_short = text.count(b"\n") < _LINE_LIMIT
    return bool(is_short and re.match(_SCRIPT, text) and re.search(_MENTION, text))


FORMAT = Format("qemu", "QEMU command line", detects, __name__)
