"""Disks that boot in a second: a program of a few dozen bytes in place of a guest.

It writes a text to the first serial port, as a console, and another to the second, as a report;
then it does what :class:`Then` says. Everything around it is real: QEMU, SeaBIOS, the ports.

References: Intel SDM volume 2 (real mode code); Phoenix EDD 3.0 (INT 13h, AH=42h); PC16550D
(ports); ACPI 6.5, 4.8.3.2 (sleep).
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Sectors of text behind the first one; a partition table in a DOS label leaves room for more.
SECTORS = 32

_TEXT = 0x7E00  # where the texts are loaded
#: Until a 0: lodsb; wait in the port's LSR until it can send; out dx, al.
_DRAIN = bytes.fromhex("ac 08 c0 74 11 88 c4 52 83 c2 05 ec a8 20 74 fb 5a 88 e0 ee eb ea")
#: Until a carriage return comes on the first port: in from LSR, test, in from RBR, compare.
_WAIT = bytes.fromhex("ba fd 03 ec a8 01 74 f8 ba f8 03 ec 3c 0d 75 f0")


class Then(Enum):
    """What the program does in the end."""

    HALT = bytes.fromhex("f4 eb fd")
    OFF = bytes.fromhex("ba 04 06 b8 00 20 ef f4 eb fd")  # out 0x604, 0x2000
    RESET = bytes.fromhex("b0 fe e6 64 f4 eb fd")
    #: The console says "x" for ever.
    FLOOD = bytes.fromhex("ba f8 03 b0 78 ee eb fd")


def program(console: bytes, report: bytes, then: Then = Then.HALT, *, asks: bool = False) -> bytes:
    """The first sectors of a disk, without a partition table. *asks* waits for a line first."""
    setup = bytes.fromhex("31 c0 8e d8 8e c0 8e d0 bc 00 7c fb")
    code = setup + b"\xbe" + struct.pack("<H", 0x7DA0) + bytes.fromhex("b4 42 cd 13 fc")
    code += b"\xbe" + struct.pack("<H", _TEXT)
    code += bytes.fromhex("ba f8 03") + _DRAIN
    code += _WAIT if asks else b""
    code += bytes.fromhex("ba f8 02") + _DRAIN + then.value
    packet = struct.pack("<BBHHHQ", 16, 0, SECTORS, _TEXT, 0, 1)
    texts = console + b"\0" + report + b"\0"
    assert len(code) <= 0x1A0
    assert len(texts) <= SECTORS * 512
    return code.ljust(0x1A0, b"\0") + packet.ljust(96 - 2, b"\0") + b"\x55\xaa" + texts


def install(disk: Path, content: bytes) -> None:
    """Write *content*, from :func:`program`, to the raw image *disk*; its partitions stay."""
    with disk.open("r+b") as file:
        file.write(content[:0x1B0])
        file.seek(512)
        file.write(content[512:])


def report(lines: Sequence[str]) -> bytes:
    """A complete report of *lines*, as a guest sends it."""
    return "\n".join(["begin 1", *lines, "end 1", ""]).encode()
