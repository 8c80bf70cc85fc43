"""The metadata text of an LVM2 volume group: what identifies it, and where its volumes are.

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

#: The flags of an ordinary logical volume.
_ORDINARY = frozenset({"READ", "WRITE", "VISIBLE"})
_NUMBER = re.compile(r"[0-9]{1,10}")
_NAME = re.compile(r"[0-9A-Za-z+_.-]{1,127}")
_UUID = re.compile(r"[0-9A-Za-z!#]{6}(-[0-9A-Za-z!#]{4}){5}-[0-9A-Za-z!#]{6}")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a logical volume: *count* extents from its extent *start*.

    ``stripes`` are the UUID of a physical volume and its first extent; ``stripe_size`` is sectors.
    """

    start: int
    count: int
    kind: str
    stripes: tuple[tuple[str, int], ...] = ()
    stripe_size: int = 0


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """A logical volume; one that is not visible is a part of another one."""

    name: str
    uuid: str
    is_visible: bool
    segments: tuple[Segment, ...]
    #: Its flags that an ordinary volume does not have.
    odd_flags: tuple[str, ...]


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
    volumes: tuple[LogicalVolume, ...] = ()
    #: Sectors of an extent; the sector of the first extent, by the UUID of the physical volume.
    extent_size: int = 0
    starts: Mapping[str, int] = field(default_factory=dict)


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
        volumes=tuple(_volumes(group.get("logical_volumes"), volumes)),
        extent_size=_count(group.get("extent_size")),
        starts={
            _word(volume.get("id")): _count(volume.get("pe_start"))
            for volume in volumes.values()
            if isinstance(volume, dict)
        },
    )


def _volumes(listed: object, physical: Mapping[str, object]) -> Iterator[LogicalVolume]:
    uuids = {n: _word(one.get("id")) for n, one in physical.items() if isinstance(one, dict)}
    for name, volume in listed.items() if isinstance(listed, dict) else ():
        if not isinstance(volume, dict):
            continue
        segments = [_segment(one, uuids) for one in volume.values() if isinstance(one, dict)]
        status = {*_words(volume.get("status")), *_words(volume.get("flags"))}
        missing = sorted(_ORDINARY - {"VISIBLE"} - status)
        sane = _NAME.fullmatch(name) and _UUID.fullmatch(_word(volume.get("id")))
        yield LogicalVolume(
            name=name,
            uuid=_word(volume.get("id")),
            is_visible="VISIBLE" in status,
            segments=tuple(sorted(segments, key=lambda segment: segment.start)),
            odd_flags=(
                *sorted(status - _ORDINARY),
                *(f"no {flag}" for flag in missing),
                *(() if sane else ("damaged",)),
            ),
        )


def _segment(section: Mapping[str, object], uuids: Mapping[str, str]) -> Segment:
    """A segment; without stripes when they do not follow the form of a striped one."""
    listed = _words(section.get("stripes"))
    pairs = list(zip(listed[::2], listed[1::2], strict=False))
    sane = len(listed) == 2 * _count(section.get("stripe_count"))
    sane &= all(name in uuids and _NUMBER.fullmatch(at) for name, at in pairs)
    return Segment(
        start=_count(section.get("start_extent")),
        count=_count(section.get("extent_count")),
        kind=_word(section.get("type")),
        stripes=tuple((uuids[name], int(at)) for name, at in pairs) if sane else (),
        stripe_size=_count(section.get("stripe_size")),
    )


def _count(value: object) -> int:
    """A number in the text; 0 for anything else."""
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else 0


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
