"""The failure of this package: a message, a hint, and the exit status the command line uses.

The attributes are those of ``UncloneError``; this package imports no other, so the
command line knows both by what they carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.seeds.findings import Finding

#: Exit statuses, as documented for the whole command in docs/exit-status.md.
FAILED = 1
USAGE = 2
REFUSED = 4


class SeedError(Exception):
    """A seed was not made. Nothing was written under the name that was asked for."""

    def __init__(self, message: str, hint: str = "", *, status: int = USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status


class RefusedSeedError(SeedError):
    """The checks found what would make cloud-init ignore or misread the seed."""

    def __init__(self, message: str, hint: str, findings: Sequence[Finding]) -> None:
        super().__init__(message, hint, status=REFUSED)
        self.findings = tuple(findings)
