"""A machine's folder is complete or absent: it is made under a hidden name, and then renamed.

A run writes each machine's record into its hidden folder before the ledger keeps what was given
out, so a run that was killed in between can be finished with the same values: none is lost, and
none is given twice. Which run a hidden folder belongs to is said in the record; a run that lives
holds a lock of its own in the same directory.

Reference: flock(2); rename(2).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from unclone.images.errors import InUseError, UncloneError, UsageError
from unclone.images.files import explained, sync_directory, sync_file, sync_file_system
from unclone.images.text import printable, shown
from unclone.sanitize.identities.machine import MachineIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: What a machine's folder says about it.
RECORD = "machine.json"
SCHEMA = "unclone.machine/1"
#: Bytes; a record with thousands of devices has fewer.
_RECORD_LIMIT = 16 * 1024 * 1024
_INTENT = ".intent.json"
_LOCK_SUFFIX = ".unclone-run"


class Batch:
    """The run's hold on the directory *folder*, which is made where it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = secrets.token_hex(8)
        self._lock = -1
        self._begun: set[str] = set()
        #: Machines whose rows in the ledger are of this run, or of a killed one that it finishes.
        self.own_rows: set[str] = set()

    def __enter__(self) -> Self:
        with explained("make machines", self.folder.parent):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder = self.folder.resolve()
            self._forget_dead_runs()
            # It gets the name of a lock when it is locked: other runs remove one that is not.
            draft = self.folder / f".{self.run}.new"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._lock = os.open(draft, flags, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            draft.rename(self._lock_path(self.run))
        return self

    def __getstate__(self) -> dict[str, Any]:
        """For a process elsewhere that makes machines: it neither holds nor ends the run."""
        return {**self.__dict__, "_lock": -1, "_begun": set(), "own_rows": set()}

    def __exit__(self, *_: object) -> None:
        for name in self.unmade():
            shutil.rmtree(self.hidden(name), ignore_errors=True)
        self._lock_path(self.run).unlink(missing_ok=True)
        os.close(self._lock)

    def path(self, name: str) -> Path:
        """The folder of the machine called *name*."""
        return self.folder / name

    def finished(self, name: str) -> dict[str, Any] | None:
        """The record of the machine *name* when it is there; None when nothing is.

        Raises UsageError for something else under its name.
        """
        return read_record(self.path(name))

    def left_over(self, name: str) -> MachineIdentity | None:
        """What a run that was killed had decided for *name*; what it had made of it is removed.

        What was decided stays until :meth:`begin` says it anew: this run may be killed, too.
        Raises InUseError when the run lives.
        """
        hidden = self.hidden(name)
        if not hidden.exists():
            return None
        intent = self.require_unclaimed(name)
        with explained("remove what a killed run left", self.folder):
            found = _decided(intent)
            if found is None:
                shutil.rmtree(hidden)
            else:
                self.clear(name)
        return found

    def require_unclaimed(self, name: str) -> dict[str, Any] | None:
        """What a run that was killed wrote down of *name*. Raises InUseError when it lives."""
        intent = _read_json(self.hidden(name) / _INTENT)
        if intent is not None and self._lives(str(intent.get("run", ""))):
            raise InUseError(
                f"another run is making {printable(name)} in {shown(self.folder)}",
                hint="Wait for it, or choose another name.",
            )
        return intent

    def decided(self, name: str) -> MachineIdentity | None:
        """As :meth:`left_over`, for a dry run: nothing is removed."""
        intent = _read_json(self.hidden(name) / _INTENT)
        return _decided(intent)

    def identity(self, name: str) -> MachineIdentity:
        """What :meth:`begin` wrote down of the machine *name*. Raises UncloneError."""
        found = self.decided(name)
        if found is None:
            raise UncloneError(
                f"what was decided for {printable(name)} is not in {shown(self.hidden(name))} "
                "any more",
                hint="Leave hidden folders alone while machines are made, and run again.",
            )
        return found

    def begin(self, identity: MachineIdentity) -> None:
        """Write down what *identity*'s machine will be; durable after :meth:`sync`."""
        hidden = self.hidden(identity.name)
        with explained("make the machine's folder", self.folder):
            hidden.mkdir(mode=0o700, exist_ok=True)
            self._begun.add(identity.name)
            text = json.dumps({"run": self.run, "identity": identity.to_json()})
            draft = hidden / f"{_INTENT}.new"
            draft.write_text(text, encoding="ascii")
            draft.rename(hidden / _INTENT)

    def sync(self) -> None:
        """Make everything in the directory durable, with one flush of its file system."""
        sync_file_system(self.folder)

    @contextmanager
    def making(self, name: str, *, replace: bool) -> Iterator[Path]:
        """The hidden folder of the machine *name*; it gets its name when the block succeeds."""
        hidden = self.hidden(name)
        try:
            yield hidden
            for each in hidden.iterdir():
                sync_file(each)
            sync_directory(hidden)
            self._name([name], replace=replace)
        except BaseException:
            self.clear(name)
            raise

    def appear(self, names: Sequence[str], *, replace: bool) -> None:
        """Give the machines *names*, which are complete in their hidden folders, their names.

        One flush for all of them.
        """
        self.sync()
        self._name(names, replace=replace)

    def _name(self, names: Sequence[str], *, replace: bool) -> None:
        with explained("write the machine", self.folder):
            for name in names:
                hidden, path = self.hidden(name), self.path(name)
                old = self.folder / f".{name}.{self.run}.old"
                if path.exists():
                    if not replace or read_record(path) is None:
                        raise UsageError(f"{shown(path)} has just been made by another run")
                    path.rename(old)
                    hidden.rename(path)
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    hidden.rename(path)
                # Not before: what a killed run had decided would be lost.
                (path / _INTENT).unlink(missing_ok=True)
            sync_directory(self.folder)

    def made_elsewhere(self, name: str) -> None:
        """The machine *name* is complete in another folder: what was decided is in its record."""
        shutil.rmtree(self.hidden(name), ignore_errors=True)

    def lives(self) -> list[str]:
        """The runs that make machines in the directory now; this one is among them."""
        runs = [path.name[1 : -len(_LOCK_SUFFIX)] for path in self.folder.glob(f".*{_LOCK_SUFFIX}")]
        return [run for run in runs if self._lives(run)]

    def unmade(self) -> list[str]:
        """The machines that were begun and have not appeared."""
        return sorted(name for name in self._begun if self.hidden(name).exists())

    def clear(self, name: str) -> None:
        """Remove all of the machine *name* but what was decided: the ledger may still have it."""
        for each in self.hidden(name).iterdir():
            if each.name == _INTENT:
                continue
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()

    def hidden(self, name: str) -> Path:
        """The folder in which the machine *name* is made."""
        return self.folder / f".{name}.unclone-clone"

    def _lock_path(self, run: str) -> Path:
        return self.folder / f".{run}{_LOCK_SUFFIX}"

    def _lives(self, run: str) -> bool:
        """Whether the run that calls itself *run* holds its lock."""
        if run == self.run:
            return True
        if not run.isalnum():
            return False
        try:
            descriptor = os.open(self._lock_path(run), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _forget_dead_runs(self) -> None:
        for path in self.folder.glob(f".*{_LOCK_SUFFIX}"):
            run = path.name[1 : -len(_LOCK_SUFFIX)]
            if run.isalnum() and not self._lives(run):
                path.unlink(missing_ok=True)


def read_record(path: Path) -> dict[str, Any] | None:
    """The record in the machine folder *path*; None when there is nothing there.

    Raises UsageError for a folder or file that is no machine of ours.
    """
    if not path.exists() and not path.is_symlink():
        return None
    record = _read_json(path / RECORD) if path.is_dir() and not path.is_symlink() else None
    if record is None or record.get("schema") != SCHEMA:
        raise UsageError(
            f"{shown(path)} is not a machine that clone made",
            hint="Choose another name or folder, or remove it.",
        )
    return record


def _decided(intent: dict[str, Any] | None) -> MachineIdentity | None:
    try:
        return MachineIdentity.from_json(intent["identity"]) if intent else None
    except (KeyError, TypeError, ValueError):
        return None


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(min(os.fstat(file.fileno()).st_size, _RECORD_LIMIT)))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
