"""Xen's xl.cfg, and what xm left in the same syntax.

References: xl.cfg(5), xl-network-configuration(5), xl-disk-configuration(5); xendomains
(/var/lib/xen/save) for where saved machines are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.definitions.definition import Active, Card, Definition, Disk, Field, Leaf
from unclone.sanitize.definitions.formats.qemu import passed_on
from unclone.sanitize.definitions.formats.xen import FORMAT
from unclone.sanitize.definitions.formats.xen.config import Setting, Value, settings
from unclone.sanitize.definitions.formats.xen.disk import Target, target
from unclone.sanitize.definitions.formats.xen.rules import RULES, WITHIN_ARGUMENTS
from unclone.sanitize.definitions.rule import Treatment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source

PREFIX = bytes.fromhex("00163e")
_SAVED_ENDINGS = (".save", ".chk", ".checkpoint")


_LISTENS = re.compile(r"(?:tcp|telnet|tn3270):(?:\[[^\]]*\]|[^:,]*):(\d+)")
_PATH = re.compile(r"(unix|file|pipe):([^,]+)")
_DISPLAY = re.compile(r"(?:.*:)?(\d+)")
_OWN_ARGUMENT = re.compile(r"(?:^|\s)(?:ip=\S*[\d:]\S*|hostname=|systemd\.hostname=|\S*UUID=)")
_SECRETS = {"graphics-password", "kernel-arguments", "device-model-arguments"}


def read(source: Source) -> Definition:
    """The machine in *source*."""
    found = settings(source)
    names = [each.values[0].value for each in found if each.name == "name" and each.values]
    if not names or not names[-1]:
        raise RefusedError(f"{source.shown} has no name", hint="Give the machine a name first.")
    for each in found:
        if sum(other.name == each.name for other in found) > 1 and each.name in ("name", "uuid"):
            raise RefusedError(
                f"{source.position(each.start)}: {each.name} is there twice",
                hint="Leave one of them.",
            )
    fields = [field for each in found for field in _fields(each, found)]
    return Xen(
        FORMAT,
        source,
        names[-1],
        tuple(sorted(fields, key=lambda field: (field.start, field.end))),
        tuple(_disks(found)),
        _active(source, names[-1]),
        cards=tuple(_cards(found)),
        settings=tuple(found),
    )


@dataclass(frozen=True)
class Xen(Definition):
    """A machine of Xen."""

    settings: tuple[Setting, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """Every value, and every key in a value."""
        for setting in self.settings:
            for value in setting.values:
                yield Leaf(setting.name, value.value, value.start, value.end)


def _fields(setting: Setting, others: list[Setting]) -> Iterator[Field]:
    for value in setting.values if setting.name in WITHIN_ARGUMENTS[0].where.split(" | ") else ():
        yield from _argument(value)
    for rule in RULES:
        for where in rule.where.split(" | "):
            name, _, key = where.partition(" ")
            if name != setting.name or rule in WITHIN_ARGUMENTS:
                continue
            for number, value in enumerate(setting.values):
                for start, end, label in _parts(rule, key, value, others):
                    yield _field(rule, key, value, (start, end), label or f"{name}{number}")


def _argument(value: Value) -> Iterator[Field]:
    """What identifies in an argument of QEMU, unless it is written with backslashes."""

    def at(start: int, end: int) -> tuple[int, int]:
        return value.start + start, value.start + end

    if value.end - value.start == len(value.value):
        yield from passed_on.found(WITHIN_ARGUMENTS, value.value, value.place, at, is_word=True)


def _field(rule: Rule, key: str, value: Value, span: tuple[int, int], label: str) -> Field:
    start, end = span
    text = value.value[start:end]
    whole = (start, end) == (0, len(value.value))
    at = (value.start, value.end) if whole else (value.start + start, value.start + end)
    place = f"{value.place} {key}".rstrip()
    if rule.treatment is Treatment.KEEP:
        shown = "" if rule.id in _SECRETS else text
        return Field(rule, place, shown, value.start, value.start, str, label=label)
    inside = end < len(value.value)

    def spell(new: str) -> str:
        if inside and "," in new:
            raise RefusedError(
                f"'{printable(new)}' cannot be written in {place}: a comma ends it",
                hint="Use a path without commas, or write the disk as ..., target=PATH.",
            )
        return value.spell(new)

    return Field(rule, place, text, *at, spell, label=label, prefix=PREFIX)


def _parts(
    rule: Rule, key: str, value: Value, others: list[Setting]
) -> Iterator[tuple[int, int, str]]:
    """The parts of a string that are fields of a rule: from, to, and the device's own name."""
    text = value.value
    if not text or (value.end - value.start != len(text) and rule.treatment is not Treatment.KEEP):
        return  # nothing there, or written with backslashes
    match rule.id:
        case "disk" | "disk-shared":
            disk = target(text)
            if disk and disk.shared == (rule.id == "disk-shared"):
                yield disk.start, disk.end, disk.vdev
        case "serial-socket" if not key:
            yield from _stream(text, "unix")
        case "serial-file":
            yield from _stream(text, "file", "pipe")
        case "serial-port":
            found = _LISTENS.match(text)
            if found and "server" in text:
                yield *found.span(1), ""
        case "vnc-display":
            yield from _display(text, key, value, others)
        case "kernel-arguments":
            if _OWN_ARGUMENT.search(text) or (value.place == "root" and "UUID=" in text):
                yield 0, len(text), ""
        case _ if key:
            for start, end in _keyed(text, key):
                yield start, end, ""
        case _:
            yield 0, len(text), ""


def _keyed(text: str, key: str) -> Iterator[tuple[int, int]]:
    """The value of *key* in ``a=1, key=2``."""
    for part in re.finditer("[^,]+", text):
        name, _, value = part[0].partition("=")
        if name.strip() == key and value.strip():
            start = part.end() - len(value.lstrip())
            yield start, start + len(value.strip())


def _stream(text: str, *kinds: str) -> Iterator[tuple[int, int, str]]:
    found = _PATH.match(text)
    if found and found[1] in kinds:
        yield *found.span(2), ""


def _display(
    text: str, key: str, value: Value, others: list[Setting]
) -> Iterator[tuple[int, int, str]]:
    """A display that xl does not choose itself (vncunused, which is on unless it says 0)."""
    alone = {s.name: s.values[0].value for s in others if s.values and not s.is_list}
    unused = next((text[a:b] for a, b in _keyed(text, "vncunused")), alone.get("vncunused", "1"))
    spans = list(_keyed(text, key)) if key else [(0, len(text))]
    for start, end in spans:
        found = _DISPLAY.fullmatch(text[start:end])
        listens = (key or value.place) == "vnclisten"
        fixed = bool(found) and ((listens and ":" in text[start:end]) or not listens)
        if found and fixed and unused == "0":
            yield start + found.start(1), start + found.end(1), ""


def _disks(found: list[Setting]) -> Iterator[Disk]:
    for setting in found:
        for value in setting.values if setting.name == "disk" else ():
            disk: Target | None = target(value.value)
            if disk:
                yield Disk(
                    disk.vdev,
                    value.value[disk.start : disk.end],
                    disk.format,
                    removable=disk.removable,
                    read_only=disk.shared,
                )


def _cards(found: list[Setting]) -> Iterator[Card]:
    for setting in found:
        for number, value in enumerate(setting.values if setting.name == "vif" else ()):
            macs = [value.value[start:end] for start, end in _keyed(value.value, "mac")]
            yield Card(f"vif{number}", macs[0] if macs else "")


def _active(source: Source, name: str) -> Active | None:
    """A saved state beside it, or where xendomains keeps one."""
    if "/" in name or "\0" in name:
        return None
    folder = source.path.parent
    places = [folder / f"{name}{ending}" for ending in _SAVED_ENDINGS]
    for place in places:
        if place.exists():
            return Active(f"{printable(place.name)} beside it holds its saved state", running=False)
    return None
