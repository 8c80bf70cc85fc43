"""The metadata text of an LVM2 volume group: what identifies the group, and its snapshots.

References: lvm.conf(5) "SYNTAX" (the same grammar); LVM2 2.03 ``lib/format_text/export.c``
(``_print_vg``, ``_print_pvs``), ``flags.c`` (names of the flags); ``lib/snapshot/snapshot.c``,
``lib/thin/thin.c`` (what a snapshot says of its origin).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: A quotation mark alone begins a string that does not end.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|#[^\n]*|[{}\[\]=,]|[^\s{}\[\]=,"#]+|"')
#: Nested sections; LVM writes four (group, volumes, volume, segment).
_DEPTH = 8

_NUMBER = re.compile(r"[0-9]{1,10}")
_NAME = re.compile(r"[0-9A-Za-z+_.-]{1,127}")
_UUID = re.compile(r"[0-9A-Za-z!#]{6}(-[0-9A-Za-z!#]{4}){5}-[0-9A-Za-z!#]{6}")


@dataclass(frozen=True, slots=True)
class Group:
    """A volume group: ``number`` counts its changes, ``members`` are the UUIDs of its devices."""

    name: str
    uuid: str
    number: int
    members: frozenset[str]
    is_shared: bool
    is_exported: bool
    #: The one host that may open the group (lvmsystemid(7)); "" when any may.
    system_id: str = ""
    #: The names of its snapshots, classic and thin, and of their origins.
    snapshots: Mapping[str, str] = field(default_factory=dict)


class _DamagedError(Exception):
    """The text does not follow the grammar."""


def parse_group(text: bytes) -> Group | None:
    """The group that *text* describes; None when it is damaged."""
    try:
        tree = _section(_tokens(text.rstrip(b"\0\n")), 0)
    except (_DamagedError, StopIteration):
        return None
    for name, group in tree.items():
        if isinstance(group, dict):
            return _group(name, group)
    return None


def _group(name: str, group: Mapping[str, object]) -> Group | None:
    volumes = group.get("physical_volumes")
    if not isinstance(volumes, dict):
        return None
    members = {_word(volume.get("id")) for volume in volumes.values() if isinstance(volume, dict)}
    uuid, seqno = _word(group.get("id")), _word(group.get("seqno"))
    if not all(_UUID.fullmatch(one) for one in {uuid, *members}) or not _NUMBER.fullmatch(seqno):
        return None
    if not _NAME.fullmatch(name):
        return None
    status = {*_words(group.get("status")), *_words(group.get("flags"))}
    return Group(
        name=name,
        uuid=uuid,
        number=int(seqno),
        members=frozenset(members),
        is_shared="CLUSTERED" in status or _word(group.get("lock_type")) not in {"", "none"},
        is_exported="EXPORTED" in status,
        system_id=_word(group.get("system_id")),
        snapshots=dict(_snapshots(group.get("logical_volumes"))),
    )


def _snapshots(volumes: object) -> Iterator[tuple[str, str]]:
    """Each snapshot and its origin: a thin one names it, a hidden volume that of a classic one."""
    for name, volume in volumes.items() if isinstance(volumes, dict) else ():
        for segment in volume.values() if isinstance(volume, dict) else ():
            origin = _word(segment.get("origin")) if isinstance(segment, dict) else ""
            if origin:
                store = _word(segment.get("cow_store")) or _word(segment.get("merging_store"))
                yield store or name, origin


def _tokens(text: bytes) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        if match[0] == b'"':
            raise _DamagedError
        if not match[0].startswith(b"#"):
            yield match[0].decode("utf-8", "surrogateescape")


def _section(tokens: Iterator[str], depth: int) -> dict[str, object]:
    """``key = value`` and ``name { ... }`` up to the closing brace, or the end at depth 0."""
    if depth > _DEPTH:
        raise _DamagedError
    found: dict[str, object] = {}
    for name in tokens:
        if name == "}" and depth:
            return found
        follows = next(tokens)
        if follows == "{":
            found[name] = _section(tokens, depth + 1)
        elif follows == "=":
            found[name] = _value(tokens)
        else:
            raise _DamagedError
    if depth:
        raise _DamagedError
    return found


def _value(tokens: Iterator[str]) -> str | list[str]:
    first = next(tokens)
    if first != "[":
        return _unquoted(first)
    listed: list[str] = []
    for item in tokens:
        if item == "]":
            return listed
        if item != ",":
            listed.append(_unquoted(item))
    raise _DamagedError


def _unquoted(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _words(value: object) -> Sequence[str]:
    return value if isinstance(value, list) else []
