"""The root element of an XML file, told from its beginning."""

from __future__ import annotations

import re

_ROOT = re.compile(rb"<(?:[\w.-]+:)?([\w.-]+)[\s/>]")
_BEFORE_ROOT = re.compile(
    rb"\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>\s*)*", re.DOTALL
)


def root_of(head: bytes) -> str:
    """The name of the first element without its prefix; "" when there is none in *head*."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = text.replace(b"\0", b"")[2:]  # UTF-16: its ASCII is enough to tell
    before = _BEFORE_ROOT.match(text)
    found = _ROOT.match(text, before.end() if before else 0)
    return found[1].decode("ascii") if found else ""
