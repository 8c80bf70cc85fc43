"""Who has an account on the machine, and whether with a password. No hash is kept.

References: passwd(5), shadow(5), login.defs(5) ``UID_MIN``; systemd "Users, Groups, UIDs and GIDs
on systemd Systems" (what the numbers from 60001 to 65535 are for).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unclone.images.guest import Guest

#: Bytes read of passwd and of shadow.
FILE_LIMIT = 1024 * 1024

#: Accounts that are named.
USERS_LIMIT = 200

#: The first number of a person, and those that systemd and others take for their own.
_FIRST = 1000
_RESERVED = range(60001, 65536)

#: Characters; useradd(8) allows 32.
_NAME_LIMIT = 64


class Password(StrEnum):
    """Whether an account can be logged in to with a password."""

    SET = "set"
    EMPTY = "empty"  # nothing has to be typed
    LOCKED = "locked"  # no password fits
    UNKNOWN = "unknown"  # shadow has no line for the account


@dataclass(frozen=True, slots=True)
class User:
    """A local account of a person, or root."""

    name: str
    uid: int
    password: Password


def users(guest: Guest) -> tuple[User, ...]:
    """Root and the accounts of people, in the order of passwd; at most ``USERS_LIMIT``."""
    hashes = dict(_shadow(guest.text_or_empty("/etc/shadow", FILE_LIMIT)))
    found: dict[str, User] = {}
    for line in guest.text_or_empty("/etc/passwd", FILE_LIMIT).splitlines():
        fields = line.split(":")
        if len(fields) < 7 or not fields[2].isascii() or not fields[2].isdigit():
            continue
        name, uid = fields[0], int(fields[2][:10])
        person = uid >= _FIRST and uid not in _RESERVED
        if name not in found and (person or uid == 0):
            found[name] = User(name[:_NAME_LIMIT], uid, _password(fields[1], hashes, name))
        if len(found) >= USERS_LIMIT:
            break
    return tuple(found.values())


def _shadow(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            yield fields[0], fields[1]


def _password(field: str, hashes: Mapping[str, str], name: str) -> Password:
    if field == "x":
        if name not in hashes:
            return Password.UNKNOWN
        field = hashes[name]
    if not field:
        return Password.EMPTY
    return Password.LOCKED if field[0] in "!*" else Password.SET
