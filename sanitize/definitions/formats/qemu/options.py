"""QEMU's options: ``-device virtio-net-pci,mac=...`` as keys with values, each with its place.

References: QEMU util/keyval.c and util/qemu-option.c (commas are doubled within a value; the first
value of many options needs no key); qemu-options.hx; QEMU 6.2 and later take JSON for some.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.definitions.text.json_tree import scan
from unclone.sanitize.definitions.text.tree import Node, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unclone.sanitize.definitions.formats.qemu.words import Place, Word

#: Arguments of one command; libvirt's have some hundreds.
WORD_LIMIT = 2000

#: The key that the first value of an option has when none is written.
IMPLIED = {
    "accel": "accel",
    "audiodev": "driver",
    "blockdev": "driver",
    "chardev": "backend",
    "device": "driver",
    "display": "type",
    "fsdev": "fsdriver",
    "fw_cfg": "name",
    "machine": "type",
    "mon": "chardev",
    "name": "guest",
    "net": "type",
    "netdev": "type",
    "nic": "type",
    "object": "qom-type",
    "tpmdev": "type",
    "virtfs": "fsdriver",
    "vnc": "vnc",
}
#: Options of keys and values whose first value has a key of its own.
_KEYED = {
    "iscsi",
    "smbios",
    "spice",
    "drive",
    "numa",
    "global",
    "set",
    "smp",
    "sandbox",
    "trace",
    "icount",
    "rtc",
    "boot",
    "m",
    "cpu",
}
#: Options that take no argument; every other takes one.
_FLAGS = frozenset(
    (
        "S",
        "h",
        "help",
        "version",
        "no-reboot",
        "no-shutdown",
        "no-quit",
        "no-frame",
        "no-acpi",
        "no-hpet",
        "no-kvm",
        "no-fd-bootchk",
        "no-user-config",
        "nodefaults",
        "nodefconfig",
        "daemonize",
        "nographic",
        "usb",
        "enable-kvm",
        "enable-fips",
        "full-screen",
        "alt-grab",
        "ctrl-grab",
        "singlestep",
        "one-insn-per-tb",
        "curses",
        "sdl",
        "portrait",
        "semihosting",
        "old-param",
        "win2k-hack",
        "rtc-td-hack",
        "localtime",
        "mem-prealloc",
        "preconfig",
        "only-migratable",
        "xen-attach",
        "xen-domid-restrict",
        "enable-sync-profile",
        "audio-help",
        "s",
        "snapshot",
    )
)
_SYNONYMS = {"M": "machine", "qmp-pretty": "qmp"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A key with its value, which is characters ``start`` to ``end`` of ``word``."""

    key: str
    value: str
    word: Word
    start: int = 0
    end: int = 0
    also: Callable[[str], str] = str  # how a new value is written before the shell's quotes

    def place(self, start: int = 0, end: int | None = None) -> Place | None:
        """Where the value is written, or a part of it; None where it is not known."""
        if start == 0 and end in (None, len(self.value)):
            return self.word.place(self.start, self.end, self.also)
        if self.end - self.start != len(self.value):
            return None  # something in it is escaped: only the whole can be replaced
        return self.word.place(self.start + start, self.start + (end or 0), self.also)


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``number`` counts those of the same name from 1.

    ``pairs`` of an option without keys is one, with the key "". ``start``, ``end``: the word with
    the option's name; ``words``: the words of its argument.
    """

    name: str
    number: int
    pairs: tuple[Pair, ...]
    start: int
    end: int
    argument: Word | None = None
    extra: dict[str, str] = field(default_factory=dict, compare=False)

    def get(self, *keys: str) -> str:
        """The value of the first of *keys* that is there; "" for none."""
        found = (pair.value for key in keys for pair in self.pairs if pair.key == key)
        return next(found, "")

    def pair(self, key: str) -> Pair | None:
        """The pair of a key."""
        return next((pair for pair in self.pairs if pair.key == key), None)

    def is_on(self, *keys: str) -> bool:
        """Whether a switch is on: ``readonly=on``, or only ``readonly``."""
        return self.get(*keys) in ("on", "true", "yes", "True")

    @property
    def place(self) -> str:
        """For people: ``-device`` and which of them."""
        return f"-{self.name} ({printable(self.extra.get('id') or str(self.number), 80)})"


def read_options(words: Sequence[Word], position: Callable[[int], str]) -> Iterator[Option]:
    """The options in the arguments of QEMU. Raises RefusedError for one whose value is missing.

    An argument that is no option is the first hard disk, as it is for QEMU. What ``-set`` adds to
    an option is a key of that option.
    """
    options = list(_options(words, position))
    for option in [each for each in options if each.name == "set" and each.pairs]:
        pair = option.pairs[0]
        group, _, rest = pair.key.partition(".")
        id_, _, key = rest.rpartition(".")
        for number, other in enumerate(options):
            if key and other.name == group and other.extra.get("id") == id_:
                options[number] = replace(other, pairs=(*other.pairs, replace(pair, key=key)))
                options.remove(option)
                break
    return iter(options)


def property_of(option: Option) -> Option:
    """``-global DRIVER.KEY=VALUE`` (or driver=, property=, value=) as keys of a device."""
    value = option.pair("value")
    if option.get("property") and value is not None:
        said = (replace(value, key=option.get("property")),)
        return replace(option, pairs=said, extra={"driver": option.get("driver")})
    pairs = tuple(replace(p, key=p.key.rpartition(".")[2]) for p in option.pairs)
    driver = option.pairs[0].key.rpartition(".")[0] if option.pairs else ""
    return replace(option, pairs=pairs, extra={"driver": driver})


def _options(words: Sequence[Word], position: Callable[[int], str]) -> Iterator[Option]:
    counts: dict[str, int] = {}
    if len(words) > WORD_LIMIT:
        raise RefusedError(
            f"{position(words[WORD_LIMIT].start)}: more than {WORD_LIMIT} arguments",
            hint="That is no command that starts a machine.",
        )
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if set(word.value) == {"\0"}:
            continue  # "$@": what the script is called with
        if not word.value.startswith("-") or word.value in ("-", "--"):
            name, argument = "image", word
        else:
            name = word.value.removeprefix("-").removeprefix("-")
            name = _SYNONYMS.get(name, name)
            if name in _FLAGS:
                counts[name] = counts.get(name, 0) + 1
                flag = Pair("", word.value, word, 0, len(word.chars))
                yield Option(name, counts[name], (flag,), word.start, word.end)
                continue
            if at == len(words):
                raise RefusedError(
                    f"{position(word.start)}: nothing follows -{printable(name, 80)}",
                    hint="Is the file complete?",
                )
            argument = words[at]
            at += 1
        counts[name] = counts.get(name, 0) + 1
        pairs = tuple(_pairs(name, argument, position))
        option = Option(name, counts[name], pairs, word.start, word.end, argument)
        option.extra["id"] = option.get("id", "node-name")
        yield property_of(option) if name == "global" else option


def _pairs(name: str, argument: Word, position: Callable[[int], str]) -> Iterator[Pair]:
    if name not in IMPLIED and name not in _KEYED:
        yield Pair("", argument.value, argument, 0, len(argument.chars))
    elif argument.value.startswith("{"):
        yield from _json(argument, position)
    else:
        yield from keyvals(argument, IMPLIED.get(name, ""))


def keyvals(word: Word, implied: str) -> Iterator[Pair]:
    """``value,key=value,switch``: commas within a value are doubled."""
    text, at, first = word.value, 0, True
    while at <= len(text):
        end = _comma(text, at)
        sign = text.find("=", at, end)
        if sign < 0 and first and implied:
            key, start = implied, at
        elif sign < 0:
            yield Pair(text[at:end].removeprefix("no"), _switch(text[at:end]), word)
            at, first = end + 1, False
            continue
        else:
            key, start = text[at:sign], sign + 1
        value = text[start:end].replace(",,", ",")
        yield Pair(key, value, word, start, end, _doubled)
        at, first = end + 1, False


def _comma(text: str, at: int) -> int:
    """Where the value that *at* is in ends."""
    while (at := text.find(",", at)) >= 0 and text.startswith(",,", at):
        at += 2
    return at if at >= 0 else len(text)


def _switch(text: str) -> str:
    """``server`` is ``server=on``, ``nowait`` is ``wait=off``."""
    return "off" if text.startswith("no") else "on"


def _doubled(value: str) -> str:
    return value.replace(",", ",,")


def _json(word: Word, position: Callable[[int], str]) -> Iterator[Pair]:
    def refuse(offset: int, what: str) -> NoReturn:
        at = word.chars[min(offset, len(word.chars) - 1)].start
        raise RefusedError(
            f"{position(at)}: is not valid JSON: {printable(what, 200)}",
            hint="Is the file complete?",
        )

    for node in scan(word.value, refuse).walk():
        if node.shape is Shape.SCALAR:
            yield Pair(_path(node), node.value, word, *node.inner, _in_json)


def _path(node: Node) -> str:
    above = _path(node.parent) if node.parent is not None else ""
    step = node.step.strip("[]")
    return f"{above}.{step}" if above else step


def _in_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
