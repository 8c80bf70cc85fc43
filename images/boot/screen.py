"""A picture of the guest's screen: QEMU's PPM as PNG, without another library.

References: ppm(5); W3C PNG specification, chunks IHDR, IDAT, IEND.
"""

from __future__ import annotations

import re
import struct
import zlib

_PPM = re.compile(rb"P6\s+(\d{1,5})\s+(\d{1,5})\s+255\s")


def png_from_ppm(ppm: bytes) -> bytes:
    """The picture in *ppm* (binary, 8 bits for each colour) as PNG. Raises ValueError."""
    head = _PPM.match(ppm)
    if head is None:
        raise ValueError("no binary PPM with 8 bits for each colour")
    width, height = int(head[1]), int(head[2])
    pixels = ppm[head.end() :]
    if not width or not height or len(pixels) != 3 * width * height:
        raise ValueError("the picture is not as large as it says")
    rows = (pixels[at : at + 3 * width] for at in range(0, len(pixels), 3 * width))
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
