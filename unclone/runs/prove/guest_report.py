"""What a guest reports about itself: hostile input, read strictly, with limits.

A line is a key, a blank and a value. Keys and how often each may come are in one table; anything
else is an error. Values stay text, and are made printable where they are shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import UncloneError
from unclone.images.fstab import decode
from unclone.images.text import printable
from unclone.sanitize.ssh.key import NotAKeyError, read_public

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Characters of a line that are kept.
LINE_LIMIT = 8192

#: How often each key may come.
KEYS: Mapping[str, int] = {
    **dict.fromkeys(("begin", "init", "state", "machine-id", "dbus-machine-id"), 1),
    **dict.fromkeys(("hostname", "instance-id", "instance-now", "kernel", "resume"), 1),
    **dict.fromkeys(("root-device", "boot-time", "end"), 1),
    "told-machine-id": 2,
    **dict.fromkeys(("cmdline", "journal", "swap", "volume", "array", "host-key"), 200),
    "card": 200,
    **dict.fromkeys(("mount", "device", "mapped", "address", "failed", "job"), 1000),
    **dict.fromkeys(("active", "enabled"), 1000),
}

_PAIR = re.compile(r'([A-Z_]+)="((?:[^"\\]|\\.)*)"')


class MalformedReportError(UncloneError):
    """A guest's report is not in the form that the reporter writes."""


class Mounted(NamedTuple):
    """A mount of the running guest. ``uuid`` is empty where the guest could not say it."""

    target: str
    uuid: str
    source: str
    type: str
    options: tuple[str, ...]


class Device(NamedTuple):
    """A line of blkid: the device, and its tags (``UUID``, ``PARTUUID``, ``TYPE`` ...)."""

    name: str
    tags: Mapping[str, str]


def begun(data: bytes) -> bool:
    """Whether *data* is the beginning of a report."""
    return data.startswith(b"begin 1")


def complete(data: bytes) -> bool:
    """Whether all of a report is there."""
    return begun(data) and (b"\nend 1\n" in data or b"\nend 1\r\n" in data)


@dataclass(frozen=True)
class GuestReport:
    """A report, by keys."""

    values: Mapping[str, Sequence[str]]

    def first(self, key: str) -> str:
        """The value of a key that comes once; "" where it does not."""
        return next(iter(self.values.get(key, ())), "").strip()

    @property
    def machine_id(self) -> str:
        """Of /etc/machine-id."""
        return self.first("machine-id")

    @cached_property
    def mounts(self) -> Mapping[str, Mounted]:
        """What is mounted, by mount point; the last of several at one place."""
        found = (_mounted(line) for line in self.values.get("mount", ()))
        return {mount.target: mount for mount in found if mount}

    @cached_property
    def devices(self) -> Sequence[Device]:
        """What blkid sees."""
        split = (line.partition(":") for line in self.values.get("device", ()))
        return [Device(name, dict(_PAIR.findall(rest))) for name, _, rest in split]

    @cached_property
    def host_keys(self) -> Mapping[str, str]:
        """Fingerprints by the path of the public key; of what is no key, "none"."""
        split = (line.partition(" ") for line in self.values.get("host-key", ()))
        return {path: _fingerprint(key) for path, _, key in split}

    @property
    def macs(self) -> Sequence[str]:
        """The MAC addresses of network cards."""
        return [line.rpartition(" ")[2].lower() for line in self.values.get("card", ())]

    @property
    def failed_units(self) -> Sequence[str]:
        """Units that failed."""
        return sorted({line.split()[0] for line in self.values.get("failed", ()) if line.strip()})

    @property
    def services(self) -> frozenset[str]:
        """Services that run and are enabled: not those that something started on demand."""
        return frozenset(self.values.get("active", ())) & {*self.values.get("enabled", ())}

    def uuid_of(self, name: str) -> str:
        """The UUID of the device *name*; "" where the guest did not say it."""
        found = (each.tags.get("UUID", "") for each in self.devices if each.name == name)
        return next(filter(None, found), "")

    def to_json(self) -> dict[str, list[str]]:
        """The values by key, printable."""
        return {
            key: [printable(line, LINE_LIMIT) for line in lines]
            for key, lines in self.values.items()
            if key not in {"begin", "end"}
        }


def read(data: bytes) -> GuestReport:
    """The report in *data*. Raises MalformedReportError."""
    values: dict[str, list[str]] = {}
    for raw in data.decode("utf-8", "backslashreplace").split("\n"):
        line = raw.removesuffix("\r")
        if "end" in values:
            break
        key, _, value = line.partition(" ")
        if key not in KEYS:
            raise MalformedReportError(f"the guest's report has an unknown line: {line[:100]!r}")
        found = values.setdefault(key, [])
        if len(found) >= KEYS[key] or len(value) > LINE_LIMIT:
            raise MalformedReportError(f"the guest's report has too much of '{key}'")
        found.append(value)
    return GuestReport(values)


def _mounted(line: str) -> Mounted | None:
    """A line of ``findmnt -P``, or of /proc/mounts."""
    if pairs := dict(_PAIR.findall(line)):
        options = pairs.get("OPTIONS", "").split(",")
        target, source = _unescaped(pairs.get("TARGET", "")), _unescaped(pairs.get("SOURCE", ""))
        return Mounted(target, pairs.get("UUID", ""), source, pairs.get("FSTYPE", ""), (*options,))
    words = line.split(" ")
    if len(words) < 4:
        return None
    source, target = decode(words[0]), decode(words[1])
    return Mounted(target, "", source, words[2], tuple(words[3].split(",")))


def _unescaped(text: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)


def _fingerprint(line: str) -> str:
    try:
        return read_public(line).fingerprint
    except NotAKeyError:
        return "none"
