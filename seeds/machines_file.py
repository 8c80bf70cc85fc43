"""``--machines FILE``: one machine per entry of a YAML list, or per line of a CSV table.

Both have the same fields. What is not a field is a value for templates.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import yaml

from unclone.seeds.blueprint import Row
from unclone.seeds.errors import SeedError
from unclone.seeds.nic_option import describe, parse_option
from unclone.seeds.ssh_keys import public_keys
from unclone.seeds.template import NAME
from unclone.seeds.yaml_text import ParsedYaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.seeds.nic_option import Description

_TEXTS = ("hostname", "fqdn", "instance-id", "timezone")
#: A field that is a list; in CSV its items are separated by semicolons.
_LISTS = {"users": "users", "ssh-keys": "ssh_keys", "packages": "packages", "run": "run"}
_INTERFACES = ("nic", "bond", "vlan")
#: Columns that describe the only card of a machine.
_CARD = ("mac", "address", "gateway", "dns", "search", "dhcp", "mtu")
_SEPARATOR = ";"


def read_machines(text: str, name: str) -> tuple[Row, ...]:
    """The machines in *text*, which is CSV when the file *name* ends so, else YAML.

    Raises :class:`SeedError` with the line of what cannot be read.
    """
    entries = _from_csv(text, name) if name.lower().endswith(".csv") else _from_yaml(text, name)
    if not entries:
        raise SeedError(f"{name} holds no machine", hint="docs/seeds.md shows what it looks like.")
    return tuple(_row(where, fields) for where, fields in entries)


def _from_csv(text: str, name: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
    text = text.removeprefix("\ufeff")
    first = text.split("\n", 1)[0]
    # Spreadsheets of many countries write semicolons, or tabs.
    mark = next((m for m in (",", ";", "\t") if m in first), ",")
    reader = csv.DictReader(io.StringIO(text), strict=True, delimiter=mark)
    entries: list[tuple[str, Mapping[str, Any]]] = []
    try:
        for fields in reader:
            where = f"{name}:{reader.line_num}"
            if None in fields or None in fields.values():
                raise SeedError(
                    f"{where}: {'more' if None in fields else 'fewer'} fields than the first line "
                    "names",
                    hint=f"Put a value that holds {mark!r} in double quotes.",
                )
            entries.append((where, {k.strip(): v.strip() for k, v in fields.items() if v.strip()}))
    except csv.Error as error:
        raise SeedError(f"{name}:{reader.line_num}: {error}") from error
    return entries


def _from_yaml(text: str, name: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
    parsed = ParsedYaml(name, text)
    if parsed.problems:
        problem = parsed.problems[0]
        raise SeedError(f"{problem.place}: {problem.message}", hint=problem.hint)
    if parsed.root is None:
        return []
    if not isinstance(parsed.root, yaml.SequenceNode):
        raise SeedError(f"{name} is no list", hint="Write '- hostname: web-01' for each machine.")
    entries = []
    for node, fields in zip(parsed.root.value, parsed.data, strict=True):
        where = f"{name}:{node.start_mark.line + 1}"
        if not isinstance(fields, dict):
            raise SeedError(f"{where}: not a mapping", hint="Write '- hostname: web-01'.")
        entries.append((where, {str(k): v for k, v in fields.items() if v is not None}))
    return entries


def _row(where: str, fields: Mapping[str, Any]) -> Row:
    known = {key.replace("_", "-"): value for key, value in fields.items()}
    texts = {key: _text(where, key, known[key]) for key in _TEXTS if key in known}
    lists = {name: tuple(_items(where, key, known.get(key))) for key, name in _LISTS.items()}
    special = {*_TEXTS, *_LISTS, *_INTERFACES, *_CARD, "generation"}
    values = {
        key: _text(where, key, value)
        for key, value in fields.items()
        if key.replace("_", "-") not in special
    }
    for key in values:
        if not NAME.fullmatch(key):
            raise SeedError(f"{where}: {key!r} cannot be the name of a value")
    return Row(
        where=where,
        hostname=texts.get("hostname", ""),
        fqdn=texts.get("fqdn", ""),
        instance_id=texts.get("instance-id", ""),
        generation=_generation(where, known.get("generation", 1)),
        users=lists["users"],
        ssh_keys=tuple(
            key for text in lists["ssh_keys"] for key in public_keys(text, f"{where}: ssh-keys")
        ),
        packages=lists["packages"],
        run=lists["run"],
        timezone=texts.get("timezone", ""),
        nics=tuple(_interfaces(where, known)),
        values=values,
    )


def _interfaces(where: str, known: Mapping[str, Any]) -> Sequence[Description]:
    card = [
        (key, item) for key in _CARD for item in _items(where, key, known.get(key)) if key in known
    ]
    found = [describe("nic", card, where)] if card else []
    for kind in _INTERFACES:
        given = known.get(kind, [])
        if isinstance(given, str):
            given = _items(where, kind, given)
        for one in given if isinstance(given, list) else [given]:
            if isinstance(one, dict):
                pairs = [(str(k), i) for k, v in one.items() for i in _items(where, str(k), v)]
                found.append(describe(kind, pairs, where))
            else:
                text = _text(where, kind, one)
                found.append(parse_option(kind, text, f"{where}: {kind}: {text}"))
    return found


def _items(where: str, key: str, value: object) -> Sequence[str]:
    if value is None:
        return ()
    if isinstance(value, list):
        return [_text(where, key, item) for item in value]
    return [part for item in _text(where, key, value).split(_SEPARATOR) if (part := item.strip())]


def _text(where: str, key: str, value: object) -> str:
    """Text as it is written. YAML may have made something else of it without a message."""
    if isinstance(value, str):
        return value
    if type(value) is int:  # 010 and 1:30 were something else: see the type-change check
        return str(value)
    raise SeedError(f"{where}: {key} is not text", hint="Put the value in quotes.")


def _generation(where: str, value: object) -> int:
    text = str(value)
    if not text.isascii() or not text.isdigit():
        raise SeedError(f"{where}: generation is {text!r}, not a number")
    return int(text)
