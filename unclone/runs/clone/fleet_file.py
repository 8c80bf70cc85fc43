"""A fleet file: many machines, described once (docs/clone.md, ``unclone/schemas/fleet-1.json``).

Everything in it is checked before anything is made, and a mistake is said with its place. Relative
paths are relative to the file.
"""

from __future__ import annotations

import csv
import io
import ipaddress
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from unclone.images.errors import UncloneError
from unclone.images.text import printable, shown
from unclone.runs.clone import names as machine_names
from unclone.runs.clone.fleet_text import EXAMPLE, Kind, Value, mistake, read_fleet, read_text
from unclone.runs.clone.fleet_values import Defined, Values
from unclone.runs.clone.settings import ADDRESSES, FLEET, MACHINE, SETTINGS
from unclone.sanitize.definitions.identity_map import require_name
from unclone.seeds.names import host_name_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

SCHEMA = "unclone.fleet/1"
#: Bytes of a table.
_TABLE_LIMIT = 64 * 2**20
_TOP = ("schema", *FLEET, "golden", "defaults", "machines")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Entry:
    """Machines that have all settings in common; ``said`` has only those that are said.

    ``place`` begins messages about them. ``said`` is by the setting's name.
    """

    place: str
    names: tuple[str, ...]
    golden: Path
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a fleet file says. ``common`` is what is said of the whole fleet."""

    path: Path
    common: Mapping[str, Any]
    entries: tuple[Entry, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All machines, in the order of the file."""
        return tuple(name for entry in self.entries for name in entry.names)


def read(path: Path) -> Fleet:
    """The fleet in the file *path*. Raises UsageError with the place of the first mistake."""
    document = read_fleet(path)
    if document.kind is not Kind.MAPPING:
        mistake(document.place, f"a fleet is a mapping, and this is {document.kind}", EXAMPLE)
    return _Reader(path, document).read()


@dataclass
class _Reader:
    path: Path
    document: Value
    #: The place where each machine and each host name was named first.
    machines: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)

    def read(self) -> Fleet:
        values = Values(self.path.parent)
        top = self.document
        _require_known(top, _TOP, "a fleet has")
        given = top.entries.get("schema")
        if given is not None and (given.kind is not Kind.TEXT or given.text != SCHEMA):
            mistake(given.place, f"schema: this version reads {SCHEMA}")
        common = {
            name: values.of(name, FLEET[name], top.entries[name])
            for name in FLEET
            if name in top.entries
        }
        golden = self._golden(values)
        defaults = self._settings(values, top.entries.get("defaults"), "defaults")
        listed = top.entries.get("machines")
        if listed is None:
            mistake(top.place, "the fleet has no machines", EXAMPLE)
        if listed.kind is not Kind.LIST:
            mistake(
                listed.place,
                f"machines: {listed.kind}, where a list belongs",
                "Write '- name: web-01'.",
            )
        if not listed.items:
            mistake(listed.place, "machines: the list is empty", "Write '- name: web-01'.")
        entries: list[Entry] = []
        for item in listed.items:
            if item.kind is not Kind.MAPPING:
                mistake(
                    item.place, f"{item.kind}, where a machine belongs", "Write '- name: web-01'."
                )
            _require_known(item, (*MACHINE, *SETTINGS), "a machine has")
            listed_here = self._machines(values, item)
            entries += [self._entry(one, golden, defaults) for one in listed_here]
        return Fleet(self.path, common, tuple(entries))

    def _golden(self, values: Values) -> dict[str, Defined]:
        """The golden images by name; "" is the only one."""
        given = self.document.entries.get("golden")
        if given is None:
            mistake(self.document.place, "the fleet has no golden image", EXAMPLE)
        if given.kind is not Kind.MAPPING:
            return {"": Defined(values.image("golden", given), {})}
        if not given.entries:
            mistake(given.place, "golden: the mapping is empty", EXAMPLE)
        found = {}
        for name, value in given.entries.items():
            label = f"golden {printable(name, 80)}"
            if value.kind is not Kind.MAPPING:
                found[name] = Defined(values.image(label, value), {})
                continue
            _require_known(value, ("image", *SETTINGS), "a golden image has")
            image = value.entries.get("image")
            if image is None:
                mistake(value.place, f"{label}: it has no image", "Write image: FILE.")
            own = self._settings(values, value, label, besides=("image",))
            found[name] = Defined(values.image("image", image), own)
        return found

    def _settings(
        self, values: Values, given: Value | None, label: str, besides: Iterable[str] = MACHINE
    ) -> dict[str, Any]:
        if given is None:
            return {}
        if given.kind is not Kind.MAPPING:
            mistake(given.place, f"{label}: {given.kind}, where a mapping belongs")
        if label == "defaults":
            _require_known(given, SETTINGS, "defaults have")
        return {
            name: values.of(name, SETTINGS[name], value)
            for name, value in given.entries.items()
            if name not in besides
        }

    def _machines(self, values: Values, item: Value) -> Iterator[_Listed]:
        """The machines of one entry of the list: itself, or the lines of its table."""
        own = self._settings(values, item, "machine")
        table = item.entries.get("table")
        if table is None:
            yield _Listed(item, own, item.entries.get("golden"))
            return
        for name in ("name", "count", "start"):
            if name in item.entries:
                mistake(item.keys[name], f"{name}: the table has a column for the names")
        for row in _rows(values.file("table", table)):
            said = self._settings(values, row, "line")
            yield _Listed(
                row, {**own, **said}, row.entries.get("golden") or item.entries.get("golden")
            )

    def _entry(
        self, listed: _Listed, golden: Mapping[str, Defined], defaults: Mapping[str, Any]
    ) -> Entry:
        item = listed.value
        image = golden[_golden_name(listed, golden)]
        said = {**defaults, **image.settings, **listed.said}
        entry = Entry(item.place, self._names(item), image.image, said)
        if len(self.machines) + len(entry.names) > machine_names.MOST:
            mistake(item.place, f"more than {machine_names.MOST:,} machines")
        pattern = said.get("hostname", "{name}")
        place = item.entries["name"].place
        for name in entry.names:
            self._claim(self.machines, name, place, f"{name} is the name of a machine already")
            hostname = pattern.replace("{name}", name)
            problem = host_name_problem(hostname)
            if problem:
                mistake(
                    place,
                    f"{printable(hostname, 100)} cannot be a host name: {problem}",
                    "Say another with hostname.",
                )
            words = f"{printable(hostname, 100)} is the host name of a machine already"
            self._claim(self.hosts, hostname.lower().rstrip("."), place, words)
        self._claim_addresses(entry, item)
        if said.get("generate-password") and "password-file" in said:
            mistake(
                item.place,
                "generate-password: password-file has a password already",
                "Leave one out, or say generate-password: false.",
            )
        ids = said.get("machine-id", "")
        if len(ids) == _ID_LENGTH:
            words = "machine-id: it is the id of a machine already"
            for _ in entry.names:
                self._claim(self.hosts, f"/{ids}", place, words)
        return entry

    def _claim_addresses(self, entry: Entry, item: Value) -> None:
        said = entry.said
        if "address" not in said:
            for key in ADDRESSES:
                if key in item.entries:
                    words = f"{key}: the machine has no address"
                    mistake(item.entries[key].place, words, "Say address, too.")
            return
        own = item.entries.get("address")
        place = own.place if own else item.place
        for key, problem in (
            ("network-config", "network-config describes the network already"),
            ("seed", "the machine gets no seed (seed: never)"),
        ):
            if key in said and (key != "seed" or said[key] == "never"):
                mistake(place, f"address: {problem}", f"Leave out address or {key}.")
        if "definition" not in said:
            mistake(
                place,
                "address: nothing says which network card has it",
                "Say definition: each machine's first card gets the address.",
            )
        for _ in entry.names:
            for text in said["address"]:
                address = str(ipaddress.ip_interface(text).ip)
                words = f"{address} is the address of a machine already"
                self._claim(self.hosts, f"address {address}", place, words)

    def _claim(self, owners: dict[str, str], what: str, place: str, words: str) -> None:
        if what in owners:
            mistake(place, f"{words}: {owners[what]}", "Give each machine its own.")
        owners[what] = place

    def _names(self, item: Value) -> tuple[str, ...]:
        given = item.entries.get("name")
        if given is None:
            mistake(item.place, "a machine without a name", "Write name: web-01.")
        if given.kind is not Kind.TEXT:
            mistake(given.place, f"name: {given.kind}, where text belongs", "Put it in quotes.")
        count, start = _number(item, "count", 1), _number(item, "start", 0)
        if start is not None and count is None:
            mistake(item.keys["start"], "start: nothing says how many", "Add count: N.")
        try:
            found = machine_names.expand(
                given.text, count, 1 if start is None else start, option=""
            )
            for name in found:
                require_name(name)
        except UncloneError as error:
            mistake(given.place, error.message, error.hint)
        return found


#: Hexadecimal digits of a machine-id: no word is as long.
_ID_LENGTH = 32


@dataclass(frozen=True, slots=True)
class _Listed:
    """One machine of the list, or several that are counted: what is said of it alone."""

    value: Value
    said: Mapping[str, Any]
    golden: Value | None


def _golden_name(listed: _Listed, golden: Mapping[str, Defined]) -> str:
    named = ", ".join(printable(name, 40) for name in golden if name)
    given = listed.golden
    if given is None:
        if len(golden) > 1:
            mistake(listed.value.place, "golden: nothing says which image", f"One of: {named}.")
        return next(iter(golden))
    if given.kind is not Kind.TEXT or given.text not in golden:
        hint = f"One of: {named}." if named else "The fleet has one golden image, without a name."
        what = printable(given.text, 80) if given.kind is Kind.TEXT else given.kind
        mistake(given.place, f"golden: there is no golden image {what}", hint)
    return given.text


def _number(item: Value, name: str, least: int) -> int | None:
    given = item.entries.get(name)
    if given is None:
        return None
    if (
        given.kind is not Kind.NUMBER
        or not _NUMBER.fullmatch(given.text)
        or int(given.text) < least
    ):
        what = printable(given.text, 40) if given.text else given.kind
        mistake(given.place, f"{name}: {what}, where a whole number from {least} belongs")
    return int(given.text)


def _require_known(given: Value, known: Iterable[str], has: str) -> None:
    names = list(known)
    for key in given.entries:
        if key in names:
            continue
        near = get_close_matches(key.replace("_", "-").lower().rstrip("s"), names, n=2, cutoff=0.6)
        hint = (
            f"Did you mean {' or '.join(near)}?"
            if near
            else f"{has[0].upper()}{has[1:]}: {', '.join(names)}."
        )
        mistake(given.keys[key], f"there is no setting {printable(key, 80)}", hint)


def _rows(path: Path) -> Iterator[Value]:
    """The lines of the table *path*, as if each were an entry of the list."""
    name = shown(path)
    text = read_text(path, _TABLE_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    known = ("name", "golden", *SETTINGS)
    line, rows = 1, 0
    try:
        for cells in reader:
            place, line = f"{name}:{line}", reader.line_num + 1
            fields = [cell.strip() for cell in cells]
            if not any(fields):
                continue
            if header is None:
                header = fields
                top = Value(Kind.MAPPING, place)
                for column in header:
                    if column in top.keys:
                        mistake(place, f"the column {printable(column, 80)} is there twice")
                    top.keys[column] = place
                    if not column.startswith("set."):
                        top.entries[column] = top
                _require_known(top, known, "a table has the columns")
                if "name" not in header:
                    mistake(
                        place, "the first line names no column 'name'", "Write: name,hostname,user"
                    )
                continue
            if len(fields) != len(header):
                mistake(
                    place,
                    f"{len(fields)} fields, and the first line names {len(header)}",
                    "Put a value that holds commas in double quotes.",
                )
            rows += 1
            yield _row(place, dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        mistake(f"{name}:{reader.line_num}", f"not valid CSV: {error}")
    if not rows:
        mistake(
            f"{name}:1",
            "the table has no machines",
            "The first line names the columns; each other line is a machine.",
        )


def _row(place: str, fields: Mapping[str, str]) -> Value:
    """A line of a table; an empty field says nothing."""
    row = Value(Kind.MAPPING, place)
    sets = Value(Kind.MAPPING, place)
    for column, text in fields.items():
        if not text:
            continue
        one = Value(Kind.TEXT, place, text, from_table=True)
        if column.startswith("set."):
            sets.entries[column.removeprefix("set.")], sets.keys[column.removeprefix("set.")] = (
                one,
                place,
            )
        else:
            row.entries[column], row.keys[column] = one, place
    if sets.entries:
        row.entries["set"], row.keys["set"] = sets, place
    return row
