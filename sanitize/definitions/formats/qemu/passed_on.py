"""Arguments that another hypervisor passes to QEMU as they are: what in them identifies.

They are searched, not parsed: a format has them as a list of words, as one line, or as the text of
a configuration file. What is renewed here is renewed in rules.py; names of the fabric and numbers
of the host are named, since they have to fit what is around the machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.definition import Field
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules
from unclone.sanitize.definitions.substitution import UUID, name_pattern
from unclone.sanitize.identities import mac as addresses
from unclone.sanitize.identities.uuids import is_uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unclone.sanitize.definitions.rule import Rule

PREFIX = bytes.fromhex("525400")
_KEYS = (
    *("macaddr", "mac", "serial", "device_id", "uuid", "guid", "nguid"),
    *("port_wwn", "wwnn", "wwpn", "wwn", "eui64", "guest-cid", "sn"),
)
#: KEY=VALUE, "KEY": "VALUE", property=KEY,value=VALUE, DRIVER.KEY=VALUE, -uuid VALUE
_BEGINNING = (
    r"(?:(?:^|[\s,{.'\"])\"?(?:property=)?(?P<key>" + "|".join(_KEYS) + r")"
    r"(?:\"?[ \t]*[=:][ \t]*|,value=)|(?:^|\s)--?uuid\s+)[\"']?"
)
_IN_LINE = re.compile(_BEGINNING + r"(?P<value>[^,\"'}\s]+)")
_IN_WORD = re.compile(_BEGINNING + r"(?P<value>[^,\"'}\n]+)")
_MAC = re.compile(r"[0-9A-Fa-f]{1,2}(?:[:-][0-9A-Fa-f]{1,2}){5}")
#: What stands by itself, and may repeat the name, a UUID or an address.
_TOKEN = re.compile(r"[^\s,=\"'{}\[\]]+")


def argument_rules(where: str, source: str) -> tuple[Rule, ...]:
    """The rules of a format that has such arguments at *where*, in the order of :func:`found`."""
    return rules(
        source,
        (
            "argument-mac",
            FieldKind.MAC,
            Treatment.RENEW,
            where,
            "two cards with one address on a network lose each other's packets",
        ),
        (
            "argument-serial",
            FieldKind.SERIAL,
            Treatment.RENEW,
            where,
            "the guest knows its disks or itself by it",
        ),
        (
            "argument-uuid",
            FieldKind.UUID,
            Treatment.RENEW,
            where,
            "the guest knows itself or a device by it",
        ),
        (
            "argument-identity",
            FieldKind.OTHER,
            Treatment.KEEP,
            where,
            "it is of one machine, and only QEMU knows what it means: give the new one another",
            Level.WARNING,
        ),
    )


def found(
    passed: Sequence[Rule],
    text: str,
    place: str,
    at: Callable[[int, int], tuple[int, int]],
    *,
    is_word: bool = False,
    scope: str = "",
) -> Iterator[Field]:
    """What identifies in *text*; *at* says where in the file characters of it stand.

    *is_word*: it is one argument, which may have spaces in it.
    """
    mac, serial, uuid, other = passed
    for match in (_IN_WORD if is_word else _IN_LINE).finditer(text):
        key, start, value = match["key"] or "uuid", match.start("value"), match["value"].rstrip()
        rule = other
        if key.startswith("mac"):
            rule = mac if _MAC.fullmatch(value) else other
        elif key in ("serial", "device_id"):
            if value.startswith("drive-"):
                continue  # made of the disk's place on its bus, the same in every machine
            rule = serial
        elif key.endswith(("uuid", "guid")):
            if value == "auto":
                continue
            rule = uuid if is_uuid(value) else other
        yield Field(
            rule, place, value, *at(start, start + len(value)), str, scope=scope, prefix=PREFIX
        )
    if is_word and is_uuid(text):  # what stands before it is another word
        yield Field(uuid, place, text, *at(0, len(text)), str, scope=scope)


def mentions(
    rule: Rule,
    text: str,
    old_name: str,
    place: str,
    at: Callable[[int, int], tuple[int, int]],
    taken: Sequence[Field],
    *,
    scope: str = "",
) -> Iterator[Field]:
    """Each part that repeats the name, a UUID or an address, but for what *taken* has."""
    name = name_pattern(old_name)
    spans = [(field.start, field.end) for field in taken]
    for token in _TOKEN.finditer(text):
        start, end = at(*token.span())
        said = any(first < end and start < last for first, last in spans)
        repeats = UUID.search(token[0]) or (name and name.search(token[0]))
        if not said and (repeats or any(True for _ in addresses.find(token[0]))):
            yield Field(rule, place, token[0], start, end, str, scope=scope)
