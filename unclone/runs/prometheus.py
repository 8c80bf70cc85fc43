"""Numbers for Prometheus' textfile collector.

References: Prometheus, "Exposition formats"; node_exporter, "Textfile Collector" (a file appears
complete or not at all).
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError, UsageError
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: What files of ours begin with: nothing else is replaced.
_START = b"# HELP unclone_"


@dataclass(frozen=True)
class Gauge:
    """Numbers called ``unclone_NAME``: one by each value of *label*, or one alone, without."""

    name: str
    text: str
    label: str
    values: Mapping[str, float]

    @classmethod
    def of(cls, name: str, text: str, value: float) -> Gauge:
        """One number."""
        return cls(name, text, "", {"": value})

    def lines(self) -> Iterator[str]:
        """As the format has them; values of labels are words of ours."""
        yield f"# HELP unclone_{self.name} {self.text}"
        yield f"# TYPE unclone_{self.name} gauge"
        for value in sorted(self.values):
            label = f'{{{self.label}="{value}"}}' if self.label else ""
            yield f"unclone_{self.name}{label} {self.values[value]}"


def write_gauges(path: Path, gauges: Iterable[Gauge]) -> None:
    """Write *gauges*. An earlier file of numbers is replaced.

    Raises UsageError for any other file, UncloneError when it cannot be written.
    """
    text = "".join(f"{line}\n" for gauge in gauges for line in gauge.lines())
    write_own(path, text.encode("ascii"), _START)


def write_own(path: Path, content: bytes, start: bytes) -> None:
    """Write *content* to *path*, complete or not at all; others may read it, as umask says.

    Raises UsageError for a file that does not begin with *start*.
    """
    try:
        if path.exists() or path.is_symlink():
            with path.open("rb") as file:
                if file.read(len(start)) != start:
                    raise UsageError(
                        f"{shown(path)} exists already, and is none of this command's",
                        hint="Give the name of a new file.",
                    )
        umask = os.umask(0)
        os.umask(umask)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:50]}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).chmod(0o666 & ~umask)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UncloneError(f"{shown(path)} cannot be written: {error.strerror}") from error
