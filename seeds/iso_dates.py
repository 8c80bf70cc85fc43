"""Set every date in an ISO 9660 image to one time stamp, in UTC.

pycdlib takes each date from the clock and the local time zone when it writes, and has no parameter
for it (clalancette/pycdlib issues 55, 113, 128). Replacing its clock would mean changing modules
that other threads may be using, and would break with the next release that reads the time somewhere
else. The image it writes is a published format, so the dates are set afterwards, where the
specification says they are; whichever version wrote the image, and however many threads do.

References: ECMA-119 4th ed. 8.4 (primary descriptor; dates in 8.4.26.1), 8.5 (supplementary), 9.1
(directory record; its date in 9.1.5); IEEE P1281 draft 1.12 (SUSP: ``CE`` in 5.1); IEEE P1282 draft
1.12 4.1.6 (Rock Ridge ``TF``).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from seeds.errors import SeedError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTOR = 2048

_FIRST_DESCRIPTOR = 16  # in sectors: 8.1, the system area comes before
_PRIMARY, _SUPPLEMENTARY, _TERMINATOR = 1, 2, 255
#: Offsets in a descriptor: creation, modification and effective date; the seed never expires.
_SET_DATES = (813, 830, 864)
_UNSET_DATE = 847
_NO_DATE = b"0" * 16 + b"\0"
_ROOT_RECORD = 156
_RECORD_DATE = 18
_NAME_LENGTH, _NAME = 32, 33
_DIRECTORY = 0x02
#: Time Stamp entries: one bit per date that is present; bit 7 selects the 17-byte form.
_TF_LONG_FORM = 0x80


def set_dates(image: bytearray, timestamp: int) -> None:
    """Overwrite, in place, every date in *image* with *timestamp* (seconds since 1970, UTC).

    Raises :class:`SeedError` when the year does not fit the format (1900 to 2155).
    """
    moment = time.gmtime(timestamp)
    if not 1900 <= moment.tm_year <= 2155:
        raise SeedError(
            f"the year {moment.tm_year} cannot be written to an ISO image",
            hint="Set SOURCE_DATE_EPOCH to seconds since 1970, or unset it.",
        )
    long_form = time.strftime("%Y%m%d%H%M%S00", moment).encode("ascii") + b"\0"
    short_form = bytes([moment.tm_year - 1900, *moment[1:6], 0])
    for at in _descriptors(image):
        for date in _SET_DATES:
            image[at + date : at + date + 17] = long_form
        image[at + _UNSET_DATE : at + _UNSET_DATE + 17] = _NO_DATE
        for record in _records(image, at + _ROOT_RECORD):
            image[record + _RECORD_DATE : record + _RECORD_DATE + 7] = short_form
            for start, end in _system_use(image, record):
                _set_time_stamps(image, start, end, short_form, long_form)


def _descriptors(image: bytearray) -> Iterator[int]:
    """Offsets of the volume descriptors that have dates and a directory tree."""
    for at in range(_FIRST_DESCRIPTOR * SECTOR, len(image), SECTOR):
        if image[at + 1 : at + 6] != b"CD001" or image[at] == _TERMINATOR:
            return
        if image[at] in {_PRIMARY, _SUPPLEMENTARY}:
            yield at


def _records(image: bytearray, root: int) -> Iterator[int]:
    """Offsets of the directory record at *root* and of every record in the tree below."""
    yield root
    pending, seen = [root], set()
    while pending:
        extent, size = _extent(image, pending.pop())
        if extent in seen:  # the records "." and ".." lead back
            continue
        seen.add(extent)
        at, end = extent * SECTOR, extent * SECTOR + size
        while at < end:
            length = image[at]
            if not length:  # a record never crosses a sector: the rest of this one is empty
                at += SECTOR - at % SECTOR
                continue
            yield at
            if image[at + 25] & _DIRECTORY:
                pending.append(at)
            at += length


def _system_use(image: bytearray, record: int) -> Iterator[tuple[int, int]]:
    """Where the System Use entries of a record are: in the record, and where ``CE`` continues."""
    name_length = image[record + _NAME_LENGTH]
    start = record + _NAME + name_length + (1 - name_length % 2)
    areas = [(start, record + image[record])]
    while areas:
        start, end = areas.pop()
        yield start, end
        for at in _entries(image, start, end):
            if image[at : at + 2] == b"CE":
                block, offset, size = (
                    int.from_bytes(image[at + field : at + field + 4], "little")
                    for field in (4, 12, 20)
                )
                areas.append((block * SECTOR + offset, block * SECTOR + offset + size))


def _entries(image: bytearray, start: int, end: int) -> Iterator[int]:
    at = start
    while at + 4 <= end and image[at + 2] >= 4:
        yield at
        at += image[at + 2]


def _set_time_stamps(
    image: bytearray, start: int, end: int, short_form: bytes, long_form: bytes
) -> None:
    for at in _entries(image, start, end):
        if image[at : at + 2] == b"TF":
            flags = image[at + 4]
            date = long_form if flags & _TF_LONG_FORM else short_form
            count = (flags & ~_TF_LONG_FORM).bit_count()
            image[at + 5 : at + 5 + count * len(date)] = date * count


def _extent(image: bytearray, record: int) -> tuple[int, int]:
    """The first block and the length in bytes of what a directory record describes."""
    return (
        int.from_bytes(image[record + 2 : record + 6], "little"),
        int.from_bytes(image[record + 10 : record + 14], "little"),
    )
