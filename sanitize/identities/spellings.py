r"""The spellings one identifier has in the files of a guest.

:func:`spellings` gives them in an order that depends on the kind of identifier alone, so that the
n-th spelling of an old value and the n-th of its new value correspond and are equally long:
that is all a rewrite needs to know.

References: systemd-escape(1) and systemd.unit(5) ("-" in a path is ``\x2d``); GRUB manual,
``cryptomount -u`` (no dashes) and "GRUB internals" (``mduuid/``, ``lvmid/``); mdadm.conf(5)
(``UUID=`` in four groups) and mdadm ``util.c`` (``parse_uuid``: what may separate them);
lvmdevices(8) (``PVID=`` without dashes); Linux block/partitions/msdos.c (``PARTUUID`` of an MBR
partition is the disk id, "-", and two hex digits); UEFI 2.10, appendix A (GUIDs are stored with
their first three fields little-endian).
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from unclone.sanitize.identities import mac

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: The numbers of MBR partitions that are looked for: four primary ones, and logical ones enough.
_MBR_PARTITIONS = range(1, 17)

_LVM_GROUPS = (6, 4, 4, 4, 4, 4, 6)

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_MD = re.compile(r"[0-9a-f]{8}(?::[0-9a-f]{8}){3}", re.IGNORECASE)
_LVM = re.compile(r"[0-9a-z]{6}(?:-[0-9a-z]{4}){5}-[0-9a-z]{6}", re.IGNORECASE)
_SERIAL = re.compile(r"[0-9a-f]{4}-[0-9a-f]{4}", re.IGNORECASE)
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.IGNORECASE)
_DISK_NAME = re.compile(r"(?:virtio-|wwn-0x|scsi-3|nvme-eui\.|QEMU_|VBOX_).+")
_MBR = re.compile(r"(?:0x)?[0-9a-f]{8}", re.IGNORECASE)


def spellings(value: str) -> tuple[bytes, ...]:
    """Every way *value* may be written in a text, a unit's name or a binary structure.

    What *value* is, its own shape tells: a UUID or machine-id, an MD array's UUID (four groups of
    eight digits), an LVM UUID, a FAT serial, the id of an MBR disk, a MAC address, a disk's name
    under ``/dev/disk/by-id``. Anything else has one spelling, its own. A value without letters has
    some spellings twice: the first one counts.
    """
    for shape, spelled in _SHAPES:
        if shape.fullmatch(value):
            return tuple(spelled(value))
    return (value.encode("utf-8", "surrogateescape"),)


def core(spelled: bytes) -> bytes:
    """A part of *spelled* that many spellings share: enough to look for before looking closely."""
    longest = max(re.split(rb"[-:]|\\+x2d", spelled), key=len)
    return longest[-8:] if len(longest) >= 8 else spelled


def _uuid(value: str) -> Iterator[bytes]:
    plain = value.lower().replace("-", "").replace(":", "")
    dashed = str(uuid.UUID(plain))
    colons = ":".join(plain[n : n + 8] for n in range(0, 32, 8))
    yield from _escaped(dashed)
    yield from _both_cases(plain)
    yield from _both_cases(colons)
    for text in (dashed, dashed.upper()):
        yield text.encode("utf-16-le")
    yield uuid.UUID(plain).bytes_le
    yield uuid.UUID(plain).bytes


def _md(value: str) -> Iterator[bytes]:
    """As a UUID, and with each of the separators that mdadm takes."""
    yield from _uuid(value)
    for separator in ".-":
        yield from _both_cases(value.replace(":", separator))


def _lvm(value: str) -> Iterator[bytes]:
    plain = value.replace("-", "")
    yield plain.encode()
    yield from _escapes(dashed_lvm(plain))


def _serial(value: str) -> Iterator[bytes]:
    # Upper case first: a serial without letters is succeeded by one that blkid would print.
    yield from _escapes(value.upper())
    yield from _escapes(value.lower())


def _mbr(value: str) -> Iterator[bytes]:
    digits = value.lower().removeprefix("0x")
    yield f"0x{digits}".encode()
    yield f"0x{digits.upper()}".encode()
    for number in _MBR_PARTITIONS:
        yield from _escaped(f"{digits}-{number:02x}")


def dashed_lvm(plain: str) -> str:
    """LVM's own way of writing the 32 characters of its UUIDs."""
    groups, at = [], 0
    for length in _LVM_GROUPS:
        groups.append(plain[at : at + length])
        at += length
    return "-".join(groups)


def _escaped(dashed: str) -> Iterator[bytes]:
    yield from _escapes(dashed.lower())
    yield from _escapes(dashed.upper())


def _escapes(dashed: str) -> Iterator[bytes]:
    """As it is, as systemd escapes it, and as a shell or udev rule quotes that."""
    yield dashed.encode()
    yield dashed.replace("-", r"\x2d").encode()
    yield dashed.replace("-", r"\\x2d").encode()


def _both_cases(text: str) -> Iterator[bytes]:
    yield text.lower().encode()
    yield text.upper().encode()


_SHAPES: tuple[tuple[re.Pattern[str], Callable[[str], Iterable[bytes]]], ...] = (
    (_UUID, _uuid),
    (_MD, _md),
    (_LVM, _lvm),
    (_SERIAL, _serial),
    (_MBR, _mbr),
    (_MAC, mac.spellings),
    (_DISK_NAME, _escapes),
)
