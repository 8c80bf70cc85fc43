"""Where the machines of a fleet are: one line of JSON for each that was made in another folder.

A machine that has a line is never made elsewhere, whatever becomes of that host: it may come back.
The line is durable before the machine gets its name; a line that was cut off does not count, and
its machine has no name yet. A later line takes the place of an earlier one.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from unclone.images.errors import UncloneError
from unclone.images.files import explained, sync_directory
from unclone.images.text import shown
from unclone.sanitize.identities.machine import MachineIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FILE = ".unclone-fleet.jsonl"


class Whereabouts(NamedTuple):
    """A folder on a host, by its id; and the attempt that made the machine there."""

    place: str
    host: str
    folder: str
    attempt: str


@dataclass(frozen=True, slots=True)
class Line:
    """A machine, where it is, and the SHA-256 of its ``machine.json``, which has all others."""

    identity: MachineIdentity
    at: Whereabouts
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """As it is in the file."""
        said = {**self.at._asdict(), "machine_json_sha256": self.sha256}
        return {**said, "machine": self.identity.to_json()}


class Placements:
    """The file in *folder*; not there until something is written down."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        #: What is known of each machine; its identity is read when it is asked for.
        self._known: dict[str, tuple[int, Whereabouts]] = {}
        for start, line in self._lines():
            self._known[line.identity.name] = (start, line.at)

    def at(self, name: str) -> Whereabouts | None:
        """Where the machine *name* is; None when it was made nowhere."""
        known = self._known.get(name)
        return known[1] if known else None

    def identity(self, name: str) -> MachineIdentity | None:
        """Who the machine *name* is. Raises UncloneError when the file has changed since."""
        known = self._known.get(name)
        if known is None:
            return None
        with explained("read where machines are", self.path), self.path.open("rb") as file:
            file.seek(known[0])
            line = _parsed(file.readline())
        if line is None or line.identity.name != name:
            raise UncloneError(f"{shown(self.path)} has changed", hint="Run again.")
        return line.identity

    def identities(self) -> Iterator[MachineIdentity]:
        """Who all machines are."""
        for start, line in self._lines():
            if self._known.get(line.identity.name, (-1,))[0] == start:
                yield line.identity

    def add(self, lines: Iterable[Line]) -> None:
        """Write down *lines*, durably."""
        is_new = not self.path.exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        with (
            explained("write down where machines are", self.path),
            os.fdopen(os.open(self.path, flags, 0o600), "r+b", buffering=0) as file,
        ):
            end = file.seek(0, os.SEEK_END)
            text = b""
            if end:
                file.seek(end - 1)
                text = b"" if file.read(1) == b"\n" else b"\n"  # after a line that was cut off
            known = {}
            for line in lines:
                known[line.identity.name] = (end + len(text), line.at)
                text += json.dumps(line.to_json()).encode("ascii") + b"\n"
            try:
                left = memoryview(text)
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:  # all of them, or none: what is not written down is not made
                os.ftruncate(file.fileno(), end)
                raise
            if is_new:
                sync_directory(self.path.parent)
        self._known |= known

    def _lines(self) -> Iterator[tuple[int, Line]]:
        """Each line that is whole, and where it begins."""
        if not self.path.exists():
            return
        with explained("read where machines are", self.path), self.path.open("rb") as file:
            start = 0
            for text in file:
                line = _parsed(text)
                if line is not None:
                    yield start, line
                start += len(text)


def _parsed(text: bytes) -> Line | None:
    try:
        said = json.loads(text)
        at = Whereabouts(*(str(said[key]) for key in Whereabouts._fields))
        identity = MachineIdentity.from_json(said["machine"])
        return Line(identity, at, str(said["machine_json_sha256"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
