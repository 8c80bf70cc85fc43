"""Whether a machine is there already: made from the same, and still as its record says.

What is looked at: the golden image, the definition, the mode and the options that it was made
from; its backing files (size, time of last change, digest of the first bytes); its own files (size
and digest). A disk changes when its machine runs, and a definition may be edited: that is told.
A disk that is not the machine's disk any more, and a definition or seed of somebody else, are not
taken for the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.errors import RefusedError, UncloneError
from unclone.images.files import explained
from unclone.images.fingerprint import head_state
from unclone.images.formats.header import Format
from unclone.images.formats.table import read_header
from unclone.images.image import open_image
from unclone.images.text import printable, shown
from unclone.runs.clone.batch import RECORD, read_record
from unclone.runs.clone.definition_files import SEED, disk_names
from unclone.runs.clone.making import Machine
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.identities.machine import MachineIdentity
from unclone.seeds.errors import SeedError
from unclone.seeds.output import read_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.runs.clone.order import MadeFrom, Order

_ANEW = "give --replace to make the machine anew, with a new identity"
#: RFC 7914; 16 MiB of memory. Slow on purpose: what it hashes may be a password.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 1 << 14, 8, 1
_NOT_HEX = re.compile(rb"[^0-9a-f]")
#: A name that is not a part of a longer one, or of a path.
_WORD = rb"(?<![\w/-])%s(?![\w/-])"


class Presence:
    """The machines of *order* that are there, made from *source*."""

    def __init__(self, order: Order, source: MadeFrom) -> None:
        self._order = order
        self._source = source
        self._said = _secrets(order)
        self._salt = ""

    def asked(self) -> str:
        """A digest of what may be secret, for the records of new machines; "" of nothing.

        With the salt of a machine that is there: one computation is enough for all of them.
        """
        return _salted(self._said, self._salt or secrets.token_hex(16)) if self._said else ""

    def machine(self, path: Path) -> Machine | None:
        """The machine at *path*, if it is there; None to make it, perhaps again.

        Raises RefusedError for one that was made from something else, or that is not whole, and is
        not to be replaced.
        """
        record = read_record(path)
        if record is None or (self._order.replace and not self._order.keep_unchanged):
            return None
        with explained("read the machine", path):
            try:
                return self._found(path, record)
            except RefusedError:
                if self._order.replace:
                    return None
                raise
            except (KeyError, TypeError, ValueError) as error:
                raise RefusedError(
                    f"{shown(path / RECORD)} is not a record that clone wrote",
                    hint=f"Bring it back as it was, or {_ANEW}.",
                ) from error

    def _found(self, path: Path, record: Mapping[str, Any]) -> Machine:
        different = list(self._differences(record["made_from"], path.name))
        if different:
            raise RefusedError(
                f"{shown(path)} is there, and was made from something else: {'; '.join(different)}",
                hint=f"{_ANEW.capitalize()}; or choose another name.",
            )
        machine = recorded(record, path, "present")
        files = {str(each["path"]): each for each in record["files"]}
        backing = machine.backing
        for needed, what in (
            *((path / name, "file") for name in files),
            *((Path(each), "backing file") for each in backing),
        ):
            if not needed.is_file():
                raise _not_whole(path, f"its {what} {shown(needed)} is not")
        states = record.get("backing_states") or [None] * len(backing)
        for each, state in zip(backing, states, strict=True):
            self._check_backing(path, Path(each), state)
        notes = []
        disks = disk_names(self._order)
        definitions = [n for n in files if n != SEED and self._is_definition(n, path.name, record)]
        for name in definitions:
            if not _names_files_in(path / name, path):
                text = f"{name} names no file in {shown(path)}: was the machine moved?"
                notes.append(Note("present", Level.WARNING, text))
        for name, said in files.items():
            if not _has_changed(path / name, said):
                continue
            if name in disks:
                number = disks.index(name)
                under = backing[number] if backing else ""
                self._check_disk(path, name, record["made_from"]["images"][number], under)
                text = f"{name} has changed since it was made, as when the machine has run"
            elif name != SEED and not self._is_definition(name, path.name, record):
                text = f"{name} has changed since it was made, as when the machine has run"
            else:
                _check_identity(path, name, machine.identity)
                text = f"{name} has changed since it was made; what says who it is, is in it"
            notes.append(Note("present", Level.WARNING, text))
        return replace(machine, notes=tuple(notes))

    @staticmethod
    def _is_definition(file: str, name: str, record: Mapping[str, Any]) -> bool:
        """Whether *file* of the machine *name* is its definition, and not its UEFI variables."""
        source = record["made_from"]["definition"]
        return bool(source) and file in ("domain.xml", f"{name}{Path(source['path']).suffix}")

    def _differences(self, before: Mapping[str, Any], name: str) -> Iterator[str]:
        """What of that which the machine *name* was made from is not what it was."""
        now = self._source.to_json(name)
        yield from _other_images(before["images"], now["images"])
        if before["definition"] != now["definition"]:
            yield "the definition is another, or has changed"
        if before["mode"] != now["mode"]:
            yield f"it was made with --mode {printable(str(before['mode']), 20)}"
        settings = {*before["settings"].items()} ^ {*now["settings"].items()}
        if settings:
            others = sorted({printable(str(key), 40) for key, _ in settings})
            yield f"another {' and '.join(others)}"
            return
        asked = before.get("asked")
        if asked is not None and not self._was_asked(str(asked)):
            yield "another password-file, or another key of derive-from"

    def _was_asked(self, before: str) -> bool:
        salt = before.partition(":")[0]
        if not self._said or not salt:
            return not self._said and not salt
        if _salted(self._said, salt) != before:
            return False
        self._salt = self._salt or salt
        return True

    @staticmethod
    def _check_backing(path: Path, backing: Path, before: Mapping[str, Any] | None) -> None:
        now = head_state(backing)
        if before is None or before == now:
            return
        names = {"size": "size", "mtime_ns": "time of last change", "head_sha256": "content"}
        what = ", ".join(text for key, text in names.items() if before.get(key) != now[key])
        raise RefusedError(
            f"{shown(path)} is there, and its backing file {shown(backing)} has changed since it "
            f"was made ({what})",
            hint=f"Bring that file back as it was, or {_ANEW}.",
        )

    @staticmethod
    def _check_disk(path: Path, name: str, golden: Mapping[str, Any], backing: str) -> None:
        """Whether the file is still a disk of the machine, by its header."""
        disk = path / name
        form = Format.QCOW2 if backing else Format(golden["format"])
        try:
            with open_image(disk) as file:
                header = read_header(file, form, name=shown(disk))
        except UncloneError as error:
            raise _not_whole(path, f"its disk cannot be used: {error.message}") from error
        if header.virtual_size < golden["virtual_size"]:
            raise _not_whole(path, f"its disk {shown(disk)} is smaller than the golden image's")
        if header.backing and header.backing != backing:
            raise _not_whole(
                path,
                f"the backing file of its disk {shown(disk)} is {printable(header.backing, 200)}, "
                f"and not {shown(Path(backing)) if backing else 'none'}",
            )


def recorded(record: Mapping[str, Any], path: Path, status: str) -> Machine:
    """The machine at *path*, as its *record* says. Raises KeyError or TypeError for no record."""
    identity = MachineIdentity.from_json(record["machine"])
    files = (*(str(each["path"]) for each in record["files"]), RECORD)
    return Machine(identity, path, status, files, tuple(map(str, record["backing"])))


def _not_whole(path: Path, why: str) -> RefusedError:
    return RefusedError(f"{shown(path)} is there, and {why}", hint=f"Bring it back, or {_ANEW}.")


def _other_images(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Where the golden image is another. That it was moved does not count."""
    if len(before) != len(now):
        yield "its disks are more, or fewer"
        return
    for old, new in zip(before, now, strict=True):
        if {**old, "path": ""} == {**new, "path": ""}:
            continue
        if old["path"] == new["path"]:
            yield f"the golden image has changed since: {shown(Path(new['path']))}"
        else:
            yield f"the golden image is another one: it was {shown(Path(old['path']))}"


def _has_changed(path: Path, before: Mapping[str, Any]) -> bool:
    """Whether the content is not what it was; a disk of a size without digest is not read."""
    if path.stat().st_size != before["size"]:
        return True
    if before["sha256"] is None:
        return False
    with path.open("rb") as file:
        return bool(hashlib.file_digest(file, "sha256").hexdigest() != before["sha256"])


def _check_identity(path: Path, name: str, identity: MachineIdentity) -> None:
    """Raise RefusedError unless the definition or seed *name* is still this machine's."""
    content = (path / name).read_bytes()
    names, values = [identity.name], []
    try:
        if name == SEED:
            content = b"\n".join(read_image(content).values())
            names = [identity.instance_id, identity.hostname]
        else:
            read_definition(path / name)
            values = [each.new for each in identity.replaced if each.kind in ("mac", "uuid")]
    except (UncloneError, SeedError) as error:
        raise _not_whole(path, f"its {name} cannot be read: {error.message}") from error
    flat = _flat(content)
    said = [bool(re.search(_WORD % re.escape(each.encode()), content)) for each in names]
    said += [_flat(each.encode()) in flat for each in values]
    for value, is_there in zip((*names, *values), said, strict=True):
        if not is_there:
            raise _not_whole(path, f"its {name} does not say {printable(value)} any more")


def _names_files_in(definition: Path, folder: Path) -> bool:
    """Whether a disk of *definition* is in *folder*, as when it was made."""
    if os.fsencode(folder) + b"/" in definition.read_bytes():
        return True
    with suppress(UncloneError):  # one that cannot be read is told elsewhere
        disks = [disk.path for disk in read_definition(definition).disks if disk.path]
        return not disks or any((folder / each).parent == folder for each in disks)
    return True


def _flat(text: bytes) -> bytes:
    """*text* without what the spellings of an identifier differ in."""
    return _NOT_HEX.sub(b"", text.lower())


def _secrets(order: Order) -> bytes:
    """The secrets in what is asked for; empty when there are none."""
    key = order.request.options.identities.key
    password = order.blueprint.password if order.blueprint else ""
    return json.dumps([password, key.hex()]).encode() if password or key else b""


@lru_cache(maxsize=64)
def _salted(said: bytes, salt: str) -> str:
    digest = hashlib.scrypt(
        said, salt=salt.encode(), n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, dklen=32
    )
    return f"{salt}:{digest.hex()}"
