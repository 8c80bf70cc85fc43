"""Set every date in an ISO 9660 image to one time stamp, in UTC.

pycdlib takes each date from the clock and the local time zone when it writes, and has no parameter
for it (clalancette/pycdlib issues 55, 113, 128). Replacing its clock would mean changing modules
that other threads may be using, and would break with the next release that reads the time somewhere
else. The image it writes is a published format, so the dates are set afterwards, where the
specification says they are; whichever version wrote the image, and however many threads do.

References: ECMA-119 4th ed. 8.4.26.1 (dates in a descriptor), 9.1.5 (date of a record); IEEE P1282
draft 1.12 4.1.6 (Rock Ridge ``TF``).
"""

from __future__ import annotations

import time

from unclone.seeds.errors import SeedError
from unclone.seeds.iso_layout import descriptors, entries, tree

#: Offsets in a descriptor: creation, modification and effective date; the seed never expires.
_SET_DATES = (813, 830, 864)
_UNSET_DATE = 847
_NO_DATE = b"0" * 16 + b"\0"
_RECORD_DATE = 18
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
    for _, at in descriptors(image):
        for date in _SET_DATES:
            image[at + date : at + date + 17] = long_form
        image[at + _UNSET_DATE : at + _UNSET_DATE + 17] = _NO_DATE
        for record in tree(image, at):
            image[record.at + _RECORD_DATE : record.at + _RECORD_DATE + 7] = short_form
            for start, end in record.system_use():
                _set_time_stamps(image, start, end, short_form, long_form)


def _set_time_stamps(
    image: bytearray, start: int, end: int, short_form: bytes, long_form: bytes
) -> None:
    for at in entries(image, start, end):
        if image[at : at + 2] == b"TF":
            flags = image[at + 4]
            date = long_form if flags & _TF_LONG_FORM else short_form
            count = (flags & ~_TF_LONG_FORM).bit_count()
            image[at + 5 : at + 5 + count * len(date)] = date * count
