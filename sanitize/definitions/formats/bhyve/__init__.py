"""bhyve command line: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_LINE = (
    rb"(?m)^[ \t]*(?:[A-Za-z_]\w*=\S*[ \t]+)*(?:(?:exec|sudo|doas|env|nohup)[ \t]+)*"
    rb"[\"']?(?:[\w./-]*/)?bhyve[\"']?[ \t]+[\"'\\$-]"
)


def detects(head: bytes) -> bool:
    """Whether a line starts bhyve."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    return text.lstrip()[:1] not in (b"<", b"{", b"[") and bool(re.search(_LINE, text))


FORMAT = Format("bhyve", "bhyve command line", detects, __name__)
