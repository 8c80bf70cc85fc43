"""What became of each machine of a run: kept in a temporary file, because there may be many."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from unclone.runs.completed import CompletedRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.runs.clone.making import Machine

#: Bytes that are kept in memory; a run of a few machines writes no file.
_IN_MEMORY = 2**17


class Outcomes(Sequence[CompletedRun["Machine"]]):
    """In the order of *names*; those of which nothing is known (an interruption) are left out."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = tuple(names)
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (lives as this does)
        #: Where each begins in the file; or itself, where it cannot be there.
        self._kept: dict[str, int | CompletedRun[Machine]] = {}
        self.interrupted = False

    def add(self, name: str, done: CompletedRun[Machine]) -> None:
        """What became of the machine *name*."""
        self.interrupted |= done.interrupted
        # An exception has whatever it was raised with, and a report is that of one machine;
        # a password goes into no file.
        if done.result is None or done.result.report is not None or done.result.password:
            self._kept[name] = done
            return
        try:
            start = self._file.seek(0, 2)
            pickle.dump(done, self._file)
        except OSError:  # no room for it
            self._kept[name] = done
        else:
            self._kept[name] = start

    def of(self, name: str) -> CompletedRun[Machine]:
        """What became of the machine *name*. Raises KeyError."""
        kept = self._kept[name]
        if isinstance(kept, CompletedRun):
            return kept
        self._file.seek(kept)
        done: CompletedRun[Machine] = pickle.load(self._file)  # noqa: S301 (written by this run)
        return done

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> CompletedRun[Machine]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CompletedRun[Machine]]: ...
    def __getitem__(
        self, index: int | slice
    ) -> CompletedRun[Machine] | Sequence[CompletedRun[Machine]]:
        known = [name for name in self._names if name in self._kept]
        if isinstance(index, slice):
            return [self.of(name) for name in known[index]]
        return self.of(known[index])

    def __iter__(self) -> Iterator[CompletedRun[Machine]]:
        return (self.of(name) for name in self._names if name in self._kept)
