"""A plan in a file: made by a dry run, looked at, and carried out as it is or not at all.

Nothing in the file is carried out. It gives the options and the new values; the run plans again
from the image with them, and refuses unless that gives the very plan that was saved. So a file
that was changed by another person can do no more than the options of the command line can.

The file is JSON in ASCII (docs/json.md).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.errors import RefusedError, UsageError
from unclone.images.files import explained, write_durably
from unclone.images.fingerprint import DiskState, disk_state
from unclone.images.text import printable, shown
from unclone.sanitize.identifiers import STEPS
from unclone.sanitize.new_values import NewValues
from unclone.sanitize.options import HOST_NAME, SSH_HOST_KEYS, UUIDS, Options, Profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.images.image import Image
    from unclone.sanitize.change import Plan

SCHEMA = "unclone.plan/1"

#: Bytes. A change takes a few hundred; a plan of thousands of files is a few million.
_LIMIT = 64 * 1024 * 1024

_MACHINE_ID = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FORMS = {step.kind.value: step.form for step in STEPS}


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What a plan was made from, and the plan itself as JSON values."""

    disks: Sequence[Mapping[str, Any]]
    identifiers: Sequence[Mapping[str, str]]
    options: Options
    #: SHA-256 of each catalogue file of the person's own.
    catalogues: Sequence[str]
    new_values: NewValues
    plan: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        images: Sequence[Image],
        guest: Guest,
        options: Options,
        new_values: NewValues,
        plan: Plan,
    ) -> SavedPlan:
        """*plan*, made for *guest* in *images* with *options* and *new_values*."""
        return cls(
            disks=[_disk(image) for image in images],
            identifiers=_identifiers(guest),
            options=options,
            catalogues=_digests(options.catalogues),
            new_values=NewValues.of(plan, new_values.machine_id),
            plan=_json(plan.to_json()),
        )

    def options_with(self, catalogues: Sequence[str]) -> Options:
        """The options of the plan. A file names no other file, so *catalogues* are given again.

        Raises :class:`RefusedError` when they are not those that the plan was made with.
        """
        if _digests(catalogues) != list(self.catalogues):
            raise RefusedError(
                "the catalogue files are not those that the plan was made with",
                hint=f"There were {len(self.catalogues)}: give them again with --catalogue.",
            )
        return replace(self.options, catalogues=catalogues)

    def require_disks(self, images: Sequence[Image]) -> None:
        """Raise :class:`RefusedError` unless *images* are unchanged since the plan was made."""
        if len(images) != len(self.disks):
            raise _changed(f"it had {len(self.disks)} disks, and {len(images)} are given")
        for number, (image, saved) in enumerate(zip(images, self.disks, strict=True), 1):
            now = _disk(image)
            for name in ("format", "virtual_size"):
                if now[name] != saved[name]:
                    raise _changed(f"{name.replace('_', ' ')} of disk {number}")
            if len(now["files"]) != len(saved["files"]):
                raise _changed(f"number of files of disk {number}")
            paths = [path for layer in image.chain for path in layer.files]
            for path, file, before in zip(paths, now["files"], saved["files"], strict=True):
                if file["size"] != before["size"]:
                    raise _changed(f"size of {shown(path)}")
                if file["mtime_ns"] != before["mtime_ns"]:
                    raise _changed(f"time of last change of {shown(path)}")

    def require_identifiers(self, guest: Guest) -> None:
        """Raise :class:`RefusedError` unless the devices of *guest* have the identifiers they had.

        Before anything is planned: the new values are for these.
        """
        if _identifiers(guest) != list(self.identifiers):
            raise _changed("identifiers of its devices")

    def require_plan(self, plan: Plan) -> None:
        """Raise :class:`RefusedError` unless *plan*, made just now, is the saved one."""
        now: Mapping[str, Any] = _json(plan.to_json())
        for name in ("profile", "changes", "notes", "retired"):
            if now[name] != self.plan.get(name):
                raise _changed(_first_difference(name, now[name], self.plan.get(name)))

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        options = self.options
        return {
            "schema": SCHEMA,
            "disks": list(self.disks),
            "identifiers": list(self.identifiers),
            "options": {
                "profile": options.profile.value,
                "enable": sorted(options.enable),
                "disable": sorted(options.disable),
                "machine_id": options.machine_id,
                "ssh_host_keys": options.ssh_host_keys,
                "uuids": options.uuids,
                "strict": options.strict,
                "hostname": options.hostname,
                "catalogues": list(self.catalogues),
            },
            "new_values": {
                "machine_id": self.new_values.machine_id,
                "identifiers": dict(self.new_values.identifiers),
            },
            "plan": self.plan,
        }

    def write(self, path: Path, *, overwrite: bool = False) -> None:
        """Make the file at *path* appear, complete and for its owner only.

        Raises :class:`UsageError` when there is a file already, unless it may be overwritten.
        """
        require_free(path, overwrite=overwrite)
        content = json.dumps(self.to_json(), indent=1) + "\n"
        with explained("write the plan", path.parent):
            write_durably(path, content.encode("ascii"), like=path.parent)


def require_free(path: Path, *, overwrite: bool) -> None:
    """Raise :class:`UsageError` when a plan cannot be written at *path*."""
    if path.is_dir() or (not overwrite and (path.is_symlink() or path.exists())):
        raise UsageError(
            f"the file for the plan, {shown(path)}, already exists",
            hint="Name another file, or replace it with --overwrite.",
        )
    if not path.parent.is_dir():
        raise UsageError(f"the directory of {shown(path)} does not exist", hint="Make it first.")


def read(path: Path) -> SavedPlan:
    """The plan in the file at *path*. Raises :class:`UsageError` when it holds none."""
    try:
        if not path.is_file():
            raise UsageError(f"{shown(path)} is not a file", hint=_HOW)
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"cannot read the plan {shown(path)}: {error.strerror}") from error
    try:
        return _parsed(content)
    except _InvalidError as error:
        raise UsageError(f"{shown(path)} is not a plan of unclone: {error}", hint=_HOW) from None


_HOW = "Make one with `unclone sanitize --dry-run --save-plan FILE IMAGE`."


class _InvalidError(Exception):
    """The file does not say what it has to say; the text says what."""


def _parsed(content: bytes) -> SavedPlan:
    if len(content) > _LIMIT:
        raise _InvalidError(f"it is larger than {_LIMIT} bytes")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise _InvalidError("it is not JSON") from None
    found = _object(found, "the document")
    schema = _text(found.get("schema"), "schema")
    if schema != SCHEMA:
        raise _InvalidError(f"its schema is {printable(schema, 40)}, and {SCHEMA} is read")
    options = _object(found.get("options"), "options")
    new_values = _object(found.get("new_values"), "new_values")
    return SavedPlan(
        disks=[_saved_disk(one) for one in _list(found.get("disks"), "disks")],
        identifiers=[
            {name: _text(_object(one, "identifiers").get(name), "identifiers") for name in _NAMES}
            for one in _list(found.get("identifiers"), "identifiers")
        ],
        options=_options(options),
        catalogues=_texts(options.get("catalogues"), "catalogues", _DIGEST),
        new_values=NewValues(
            _text(new_values.get("machine_id"), "machine_id", _MACHINE_ID),
            _new_identifiers(_object(new_values.get("identifiers"), "new_values")),
        ),
        plan=_object(found.get("plan"), "plan"),
    )


_NAMES = ("kind", "device", "value")


def _saved_disk(value: object) -> Mapping[str, Any]:
    disk = _object(value, "disks")
    files = [_object(one, "files") for one in _list(disk.get("files"), "files")]
    return {
        "format": _text(disk.get("format"), "format"),
        "virtual_size": _number(disk.get("virtual_size"), "virtual_size"),
        "files": [
            {name: _number(one.get(name), name) for name in ("size", "mtime_ns")} for one in files
        ],
    }


def _options(found: Mapping[str, Any]) -> Options:
    profile = _text(found.get("profile"), "profile")
    ssh_host_keys = _text(found.get("ssh_host_keys"), "ssh_host_keys")
    uuids, strict = _text(found.get("uuids"), "uuids"), found.get("strict")
    for name, value, allowed in (
        ("profile", profile, set(Profile)),
        ("ssh_host_keys", ssh_host_keys, SSH_HOST_KEYS),
        ("uuids", uuids, UUIDS),
    ):
        if value not in allowed:
            raise _InvalidError(f"{name} is {printable(value, 40)}")
    hostname = _text(found.get("hostname", ""), "hostname")
    if hostname and not HOST_NAME.fullmatch(hostname):
        raise _InvalidError(f"hostname is {printable(hostname, 80)}")
    if not isinstance(strict, bool):
        raise _InvalidError("strict is not true or false")
    return Options(
        profile=Profile(profile),
        enable=frozenset(_texts(found.get("enable"), "enable")),
        disable=frozenset(_texts(found.get("disable"), "disable")),
        machine_id=_text(found.get("machine_id"), "machine_id"),
        ssh_host_keys=ssh_host_keys,
        uuids=uuids,
        strict=strict,
        hostname=hostname,
    )


def _new_identifiers(found: Mapping[str, Any]) -> Mapping[str, str]:
    """By ``KIND DEVICE``; each written as its kind is, since tools are given it."""
    for field, value in found.items():
        form = _FORMS.get(field.partition(" ")[0])
        if form is None or not isinstance(value, str) or not form.fits(value):
            raise _InvalidError(f"the new {printable(field, 80)} is no such identifier")
    return found


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _InvalidError(f"{name} is not an object")
    return value


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise _InvalidError(f"{name} is not a list")
    return value


def _text(value: object, name: str, pattern: re.Pattern[str] | None = None) -> str:
    if not isinstance(value, str) or (pattern is not None and not pattern.fullmatch(value)):
        raise _InvalidError(f"{name} is not a text of its form")
    return value


def _texts(value: object, name: str, pattern: re.Pattern[str] | None = None) -> list[str]:
    return [_text(one, name, pattern) for one in _list(value, name)]


def _number(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _InvalidError(f"{name} is not a whole number")
    return value


def _disk(image: Image) -> dict[str, Any]:
    state: DiskState = disk_state(image)
    return asdict(state) | {"files": [asdict(file) for file in state.files]}


def _identifiers(guest: Guest) -> list[Mapping[str, str]]:
    return [
        {"kind": each.kind.value, "device": each.device, "value": each.value}
        for each in guest.identifiers()
    ]


def _digests(catalogues: Sequence[str]) -> list[str]:
    try:
        return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in catalogues]
    except OSError as error:
        raise UsageError(f"cannot read a catalogue file: {error.strerror}") from error


def _json(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """As it is when it was written and read again: tuples are lists."""
    return json.loads(json.dumps(value))


def _first_difference(name: str, now: object, saved: object) -> str:
    """Where the plan of now is another one; what it is about comes from the plan of now."""
    if name != "changes" or not isinstance(now, list) or not isinstance(saved, list):
        return f"the plan's {name}"
    for change, before in zip(now, saved, strict=False):
        if change != before:
            return f"the plan for {printable(change['target'], 200)} ({change['step']})"
    return f"the plan has {len(now)} changes, and had {len(saved)}"


def _changed(field: str) -> RefusedError:
    return RefusedError(
        f"the image has changed since it was planned for: {field}",
        hint="Make a new plan with `unclone sanitize --dry-run --save-plan FILE IMAGE`.",
    )
