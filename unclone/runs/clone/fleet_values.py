"""The value of one setting in a fleet file: of the right form, or a mistake with its place."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from unclone.images.errors import UncloneError
from unclone.images.text import printable, shown
from unclone.runs.clone.fleet_text import Kind, MistakeError, Value, mistake
from unclone.runs.clone.settings import ADDRESSES, LISTS, Form, Setting
from unclone.runs.options import parse_machine_id
from unclone.sanitize.identities.ledger.place import Server, parse_place
from unclone.sanitize.identities.mac import parse_prefix
from unclone.seeds.errors import SeedError
from unclone.seeds.ssh_keys import looks_like_a_key, public_keys
from unclone.seeds.template import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Between the items of a list, in a field of a table.
SEPARATOR = ";"
_YES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
#: Bytes of a file of public keys.
_KEYS_LIMIT = 2**20


@dataclass(frozen=True, slots=True)
class Defined:
    """A golden image, and what is said of all machines that are made from it."""

    image: Path
    settings: Mapping[str, Any]


class Values:
    """Reads values; relative paths are relative to *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: A value that an alias repeats, or a file that many lines name, is read once.
        self._known: dict[int, tuple[Value, Any]] = {}
        self._keys: dict[Path, tuple[str, ...]] = {}

    def of(self, name: str, setting: Setting, value: Value) -> Any:  # noqa: ANN401 (as the form says)
        """What the setting *name* is, as the command line has it. Raises UsageError."""
        known = self._known.get(id(value))
        if known is not None and known[0] is value:
            return known[1]
        try:
            found = self._read(name, setting, value)
        except MistakeError:
            raise
        except (UncloneError, SeedError) as error:
            mistake(value.place, f"{name}: {error.message}", error.hint)
        self._known[id(value)] = (value, found)
        return found

    def image(self, name: str, value: Value) -> Path:
        """The path of an image that is there."""
        return self.file(name, value)

    def file(self, name: str, value: Value) -> Path:
        """The path of a file that is there."""
        return self._path(name, Form.FILE, value)

    def _read(self, name: str, setting: Setting, value: Value) -> Any:  # noqa: ANN401 (as the form says)
        form = setting.form
        if form is Form.FLAG:
            text = value.text.lower()
            if value.kind is Kind.FLAG or (value.from_table and text in _YES):
                return _YES[text]
            _wrong(name, form, value)
        if form is Form.VALUES:
            return self._values(name, value)
        if form in LISTS:
            items = _items(name, form, value)
            one = {
                Form.TEXTS: Form.TEXT,
                Form.FILES: Form.FILE,
                Form.FOLDERS: Form.FOLDER,
                Form.PATHS: Form.PATH,
            }.get(form)
            if form is Form.ASSIGNED:
                return tuple(self._assigned(name, item) for item in items)
            if one is None:
                keys = [key for item in items for key in self._public_keys(name, item)]
                return tuple(dict.fromkeys(keys))
            found = tuple(self._one(name, one, item) for item in items)
            if name in ADDRESSES:
                for item, text in zip(items, found, strict=True):
                    _require_address(name, text, item.place)
            return found
        found = self._one(name, form, value)
        if setting.choices and found not in setting.choices:
            near = get_close_matches(str(found), setting.choices, n=1)
            hint = f"Did you mean {near[0]}?" if near else ""
            choices = ", ".join(setting.choices)
            mistake(value.place, f"{name}: {printable(str(found), 80)} is none of {choices}", hint)
        if name == "machine-id":
            return parse_machine_id(found)
        if name == "oui":
            parse_prefix(found)
        return found

    def _one(self, name: str, form: Form, value: Value) -> Any:  # noqa: ANN401 (text or path)
        if form is Form.LEDGER:
            place = parse_place(_text(name, form, value))
            return place if isinstance(place, Server) else self._path(name, Form.PATH, value)
        if form is not Form.TEXT:
            return self._path(name, form, value)
        return _text(name, form, value)

    def _path(self, name: str, form: Form, value: Value) -> Path:
        text = _text(name, form, value)
        path = (self._folder / text).absolute()
        try:
            if form is Form.FILE and path.is_dir():
                mistake(value.place, f"{name}: {shown(text)} is a folder")
            if form is Form.FOLDER and path.exists() and not path.is_dir():
                mistake(value.place, f"{name}: {shown(text)} is no folder")
            if form is not Form.PATH and not path.exists():
                mistake(
                    value.place,
                    f"{name}: there is no {shown(text)}",
                    "Relative paths are relative to the fleet file.",
                )
        except (OSError, ValueError) as error:  # too long; or a null character
            mistake(value.place, f"{name}: {printable(text, 80)}: {printable(str(error), 80)}")
        return path

    def _public_keys(self, name: str, value: Value) -> tuple[str, ...]:
        text = _text(name, Form.KEYS, value)
        if looks_like_a_key(text):
            return public_keys(text, "it")
        path = self._path(name, Form.FILE, value)
        if path not in self._keys:
            with path.open("rb") as file:
                content = file.read(_KEYS_LIMIT).decode("utf-8", "replace")
            self._keys[path] = public_keys(content, shown(path))
        return self._keys[path]

    def _assigned(self, name: str, value: Value) -> str:
        """``NAME=FILE`` with the whole path of FILE, or a public key as it is."""
        text = _text(name, Form.ASSIGNED, value)
        left, separator, right = text.partition("=")
        if not (left and separator and right):
            hint = f"Write {'ops=id.pub' if name == 'user-key' else '/etc/motd=motd.txt'}."
            mistake(value.place, f"{name}: {printable(text, 80)} is not {Form.ASSIGNED}", hint)
        if name == "user-key" and looks_like_a_key(right):
            return text
        file = Value(Kind.TEXT, value.place, right, from_table=value.from_table)
        return f"{left}={self._path(name, Form.FILE, file)}"

    def _values(self, name: str, value: Value) -> dict[str, str]:
        if value.kind is not Kind.MAPPING:
            _wrong(name, Form.VALUES, value)
        found = {}
        for key, one in value.entries.items():
            if not NAME.fullmatch(key):
                mistake(
                    value.keys[key], f"{name}: {printable(key, 80)} cannot be the name of a value"
                )
            found[key] = _text(f"{name} {key}", Form.TEXT, one)
        return found


def _require_address(name: str, text: str, place: str) -> None:
    """An address of the machine has the length of its network's prefix; others have none."""
    what = printable(text, 80)
    try:
        if name == "address":
            ipaddress.ip_interface(text)
        else:
            ipaddress.ip_address(text)
    except ValueError:
        example = "192.0.2.10/24" if name == "address" else "192.0.2.1"
        mistake(place, f"{name}: {what} is no address", f"Write one as in {example}.")
    if name == "address" and "/" not in text:
        mistake(place, f"{name}: {what} has no prefix length", f"Write {what}/24, for example.")


def _items(name: str, form: Form, value: Value) -> list[Value]:
    if value.from_table:
        parts = [part.strip() for part in value.text.split(SEPARATOR)]
        return [Value(Kind.TEXT, value.place, part, from_table=True) for part in parts if part]
    if value.kind is Kind.LIST:
        for item in value.items:
            if item.kind in (Kind.LIST, Kind.MAPPING):
                _wrong(name, form, item)
        return value.items
    if value.kind is not Kind.TEXT:
        _wrong(name, form, value)
    return [value]


def _text(name: str, form: Form, value: Value) -> str:
    if value.kind is not Kind.TEXT:
        _wrong(name, form, value)
    if not value.text:
        mistake(value.place, f"{name}: it is empty", "Leave the setting out.")
    if any(ord(char) < ord(" ") and char not in "\n\t" for char in value.text):
        mistake(value.place, f"{name}: it holds a control character")
    return value.text


def _wrong(name: str, form: Form, value: Value) -> None:
    hint = ""
    if value.kind in (Kind.NUMBER, Kind.FLAG) and form is not Form.FLAG:
        hint = f"Put it in quotes: '{printable(value.text, 40)}'."
    mistake(value.place, f"{name}: {value.kind}, where {form} belongs", hint)
