"""What a check has to say: which file, which line, what it means, what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"  # cloud-init ignores it, misreads it or stops: the seed is not written
    WARNING = "warning"  # works somewhere, or rarely does what was meant; --strict refuses


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing wrong with one file of a seed.

    ``line`` and ``column`` count from 1; 0 where the whole file is meant. ``code`` is stable and
    is what scripts should look at. Values are quoted in a message only where they cannot be secret.
    """

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str
    hint: str = ""

    @property
    def place(self) -> str:
        """``user-data:3:5``, as compilers and editors write it."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        """The whole finding on one line, without its hint."""
        return f"{self.place}: {self.severity}: {self.message} [{self.code}]"

    def to_json(self) -> dict[str, Any]:
        """As ``unclone seed --json`` prints it."""
        return asdict(self)


#: Only the image decides whether this matters: it may have accounts of its own.
_NEVER_BLOCKING = "no-login"


def blocking(findings: Iterable[Finding], *, strict: bool) -> tuple[Finding, ...]:
    """Those of *findings* that keep a seed from being written.

    Errors; when *strict*, warnings as well, but for ``no-login``.
    """
    return tuple(
        f
        for f in findings
        if f.severity is Severity.ERROR or (strict and f.code != _NEVER_BLOCKING)
    )
