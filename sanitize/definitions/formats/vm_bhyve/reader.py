"""A machine's configuration as vm-bhyve keeps it: ``key="value"``, a line each.

The machine is called by the folder and the file, NAME/NAME.conf; the file itself says no name.

References: vm-bhyve vm(8), "CONFIGURATION FORMAT"; lib/vm-config for how lines are read: keys
begin a line, ``#`` begins a comment within quotes too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Active, Card, Definition, Disk, Field, Leaf
from unclone.sanitize.definitions.formats.vm_bhyve import FORMAT
from unclone.sanitize.definitions.formats.vm_bhyve.rules import RULES
from unclone.sanitize.definitions.rule import Treatment
from unclone.sanitize.definitions.text.lines import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source

#: FreeBSD's own range, which bhyve gives addresses from.
PREFIX = bytes.fromhex("589cfc")
_SETTING = re.compile(r"""([A-Za-z_]\w*)=("[^"]*"|'[^']*'|[^\s"'#;]*)[ \t]*(?:#.*)?""")
_NUMBER = re.compile(r"(?<=[a-z])\d+(?=_|$)")
_SERIAL = re.compile(r"(?:^|,)ser=([^,]+)")
_SECRETS = {"graphics-password", "arguments"}
_OFF = {"", "off", "false", "no", "0", "none"}
_ACTIVE = Active("it runs, as run.lock beside it says", running=True)
_NAME = "vm-bhyve calls a machine by its folder and file: write NAME/NAME.conf"


@dataclass(frozen=True, slots=True)
class Setting:
    """``key="value"``; ``start`` to ``end`` is the value, without quotes, in ``quote``."""

    key: str
    value: str
    start: int
    end: int
    quote: str

    @property
    def place(self) -> str:
        """The key with ``#`` for its number, as rules have it."""
        return _NUMBER.sub("#", self.key)


def read(source: Source) -> Definition:
    """The machine in *source*."""
    settings: dict[str, Setting] = {}
    for each in _settings(source):
        if settings.setdefault(each.key, each) is not each:
            raise RefusedError(
                f"{source.position(each.start)}: {printable(each.key, 80)} is set a second time",
                hint="Leave one of them.",
            )
    own = [each for each in settings.values() if each.value]
    values = {each.key: each.value for each in own}
    folder = source.path.absolute().parent
    name = source.path.stem if folder.name == source.path.stem else ""
    return VmBhyve(
        FORMAT,
        source,
        name,
        tuple(field for each in own for field in _fields(each, values)),
        tuple(
            Disk(each.key.removesuffix("_name"), each.value)
            for each in own
            if each.place == "disk#_name"
        ),
        _ACTIVE if (folder / "run.lock").exists() else None,
        notes=(Note("name", Level.INFO, _NAME),),
        cards=tuple(
            Card(f"net{each.key[7:-5]}", values.get(f"{each.key[:-5]}_mac", ""))
            for each in own
            if each.place == "network#_type"
        ),
        settings=tuple(settings.values()),
    )


@dataclass(frozen=True)
class VmBhyve(Definition):
    """A machine of vm-bhyve."""

    settings: tuple[Setting, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """Every setting."""
        return (Leaf(each.key, each.value, each.start, each.end) for each in self.settings)


def _settings(source: Source) -> Iterator[Setting]:
    for line in lines_of(source):
        if not line.text.strip() or line.text.startswith(("#", " ", "\t")):
            continue  # vm-bhyve ignores what does not begin the line
        found = _SETTING.fullmatch(line.text.rstrip())
        if found is None:
            raise RefusedError(
                f"{source.position(line.start)}: '{printable(line.text.strip(), 80)}' is not "
                'KEY="VALUE"',
                hint="Is it the file NAME.conf in the machine's folder?",
            )
        quote = found[2][:1] if found[2][:1] in ("'", '"') else ""
        start, end = line.start + found.start(2) + len(quote), line.start + found.end(2)
        end -= len(quote)
        value = source.text[start:end]
        if "#" in value or "$" in value or "\\" in value:
            raise RefusedError(
                f"{source.position(start)}: vm-bhyve would read this value as another",
                hint="Write it without '#', '$' and backslashes.",
            )
        yield Setting(found[1], value, start, end, quote)


def _fields(setting: Setting, values: dict[str, str]) -> Iterator[Field]:
    for rule in RULES:
        for where in rule.where.split(" | "):
            key, _, part = where.partition(" ")
            if key != setting.place or not _applies(rule, setting, values):
                continue
            if not part:
                yield _field(rule, setting, 0, len(setting.value))
            elif found := _SERIAL.search(setting.value):
                yield _field(rule, setting, *found.span(1))


def _applies(rule: Rule, setting: Setting, values: dict[str, str]) -> bool:
    value = setting.value
    if setting.place == "disk#_name":
        kind = values.get(f"{setting.key.removesuffix('_name')}_dev", "file")
        return (rule.id == "disk") == (kind not in ("file", "zvol", "sparse-zvol"))
    if rule.id == "graphics-port":
        return value.isdecimal()
    if rule.id == "console-socket":
        return value.startswith("/")
    return value.lower() not in _OFF


def _field(rule: Rule, setting: Setting, start: int, end: int) -> Field:
    label = setting.key.removesuffix("_name").removesuffix("_mac").replace("network", "net")
    stays = rule.treatment is Treatment.KEEP

    def spell(new: str) -> str:
        bad = set(new) & set("\"'#$\\`") or (not setting.quote and set(new) & set(" ;"))
        if bad or not new.isprintable():
            raise RefusedError(
                f"'{printable(new)}' cannot be written in vm-bhyve's configuration",
                hint="Use no control characters, quotes, spaces, '#', '$' or backslashes.",
            )
        return new

    return Field(
        rule,
        setting.key,
        "" if rule.id in _SECRETS else setting.value[start:end],
        setting.start if stays and rule.id in _SECRETS else setting.start + start,
        setting.end if stays and rule.id in _SECRETS else setting.start + end,
        spell,
        label=label,
        prefix=PREFIX,
    )
