"""EFI programs with given sections, without a compiler: only their headers are right."""

from __future__ import annotations

import struct


def program(*sections: tuple[str, bytes], overlapping: bool = False) -> bytes:
    """A PE file with *sections*; *overlapping* ones all have the place of the first."""
    head = struct.pack("<2s58xI", b"MZ", 64)
    head += struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, len(sections), 0, 0, 0, 240, 0)
    head += struct.pack("<H238x", 0x20B)
    offset = len(head) + 40 * len(sections)
    contents = b""
    for name, content in sections:
        place = (len(content), 0, len(content), offset + len(contents), 0, 0, 0, 0, 0)
        head += struct.pack("<8sIIIIIIHHI", name.encode(), *place)
        if not (overlapping and contents):
            contents += content
            offset -= len(content) if overlapping else 0
    return head + contents
