"""An LXC container's configuration, as lxc-create and lxc-copy write it.

References: lxc.container.conf(5): ``key = value``, a line each; empty values, and ``x`` in an
address, that LXC fills by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Card, Definition, Disk, Field, Leaf
from unclone.sanitize.definitions.formats.lxc import FORMAT
from unclone.sanitize.definitions.formats.lxc.rules import RULES
from unclone.sanitize.definitions.rule import Treatment
from unclone.sanitize.definitions.text.lines import lines_of
from unclone.sanitize.identities import mac as addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source

_RULES: dict[str, list[Rule]] = {}
for _rule in RULES:
    for _place in _rule.where.split(" | "):
        _RULES.setdefault(_place, []).append(_rule)

PREFIX = bytes.fromhex("00163e")
_SETTING = re.compile(r"[ \t]*(lxc\.[\w.-]+)[ \t]*=[ \t]*(.*?)[ \t]*")
_NUMBER = re.compile(r"\.\d+(?=\.)")
#: What may stand before a path: the kind of storage it is in.
_STORAGE = re.compile(r"(?:dir|btrfs|lvm|loop|nbd|rbd|zfs):(?=.)")
#: File systems that every container has of its own.
_OWN_MOUNTS = re.compile(r"(?:/(?:proc|sys|dev)(?:[/ \t]|$)|[^/])")
_NO_NAME = "the configuration has no lxc.uts.name: the guest's own host name counts"
_FOLDER = "LXC calls a container by the folder of its configuration: put the new one into its own"


@dataclass(frozen=True, slots=True)
class Setting:
    """``key = value``; ``start`` to ``end`` is the value. ``card`` is the number of its card."""

    key: str
    value: str
    start: int
    end: int
    card: str = ""

    @property
    def place(self) -> str:
        """The key without numbers, as rules have it."""
        return _NUMBER.sub(".#", self.key)


def read(source: Source) -> Definition:
    """The container in *source*."""
    settings = list(_settings(source))
    said = [s for s in settings if s.place in ("lxc.uts.name", "lxc.utsname") and s.value]
    roots = [s for s in settings if s.place in ("lxc.rootfs.path", "lxc.rootfs") and s.value]
    name = said[-1].value if said else _folder_of(roots[-1].value) if roots else ""
    kinds = {s.card: s.value for s in settings if s.key.endswith(".type")}
    notes = [Note("name", Level.INFO, _FOLDER)]
    if not said:
        notes.append(Note("name", Level.WARNING, _NO_NAME))
    return Lxc(
        FORMAT,
        source,
        name,
        tuple(_fields(settings, kinds)),
        tuple(Disk("rootfs", s.value[_at(s.value) :]) for s in roots[-1:]),
        notes=tuple(notes),
        cards=tuple(_cards(settings, kinds)),
        settings=tuple(settings),
    )


@dataclass(frozen=True)
class Lxc(Definition):
    """A container of LXC."""

    settings: tuple[Setting, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """Every setting."""
        return (Leaf(each.key, each.value, each.start, each.end) for each in self.settings)


def _settings(source: Source) -> Iterator[Setting]:
    old_card = -1  # before LXC 2.1 a card began with its type
    for line in lines_of(source):
        if not line.text.strip() or line.text.lstrip().startswith("#"):
            continue
        found = _SETTING.fullmatch(line.text)
        if found is None:
            raise RefusedError(
                f"{source.position(line.start)}: '{printable(line.text.strip(), 80)}' is not "
                "lxc.KEY = VALUE",
                hint="Is it the file `config` in the container's folder?",
            )
        key = found[1]
        if key == "lxc.network.type":
            old_card += 1
        numbered = re.match(r"lxc\.net(?:work)?\.(\d+)\.", key)
        card = numbered[1] if numbered else str(old_card) if "network" in key else ""
        start = line.start + found.start(2)
        yield Setting(key, found[2], start, start + len(found[2]), card)


def _fields(settings: list[Setting], kinds: dict[str, str]) -> Iterator[Field]:
    for setting in settings:
        for rule in _RULES.get(setting.place, ()):
            if _applies(rule, setting, kinds):
                yield _field(rule, setting)


def _field(rule: Rule, setting: Setting) -> Field:
    at = _at(setting.value) if rule.treatment is Treatment.MOVE else 0
    label = f"net{setting.card}" if rule.id == "mac" else ""
    return Field(
        rule,
        setting.key,
        "" if rule.id == "environment" else setting.value[at:],
        setting.start + at,
        setting.end,
        _spelled,
        label="rootfs" if rule.treatment is Treatment.MOVE else label,
        prefix=PREFIX,
    )


def _applies(rule: Rule, setting: Setting, kinds: dict[str, str]) -> bool:
    value = setting.value
    match rule.id:
        case "mac":
            return bool(value) and "x" not in value.lower()
        case "host-interface":
            return bool(value) and kinds.get(setting.card) == "phys"
        case "log":
            return value not in ("", "none")
        case "shared-folder":
            return bool(value) and not _OWN_MOUNTS.match(value)
        case _:
            return bool(value)


def _spelled(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise RefusedError(
            f"'{printable(value)}' cannot be written in LXC's configuration",
            hint="Use no control characters, and no spaces at the ends.",
        )
    return value


def _cards(settings: list[Setting], kinds: dict[str, str]) -> Iterator[Card]:
    macs = {s.card: s.value for s in settings if s.key.endswith(".hwaddr") and s.value}
    for card, kind in kinds.items():
        if kind not in ("empty", "none", "phys"):
            mac = macs.get(card, "")
            known = any(found.text == mac for found in addresses.find(mac))
            yield Card(f"net{card}", mac if known else "")


def _at(path: str) -> int:
    storage = _STORAGE.match(path)
    return storage.end() if storage else 0


def _folder_of(path: str) -> str:
    """The name of the container whose root file system is at *path*: ``.../NAME/rootfs``."""
    place = PurePosixPath(path[_at(path) :])
    return place.parent.name if place.name in ("rootfs", "rootdev", "delta0") else ""
