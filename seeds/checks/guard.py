"""No check may keep a seed from being written by failing itself: its failure is a finding."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.seeds.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def guarded(file: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What *check* finds in *file*; where it raises, a finding that says so.

    The exception's own words are left out: they may quote a password from the file.
    """
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault of the check
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        yield Finding(
            file,
            0,
            0,
            Severity.WARNING,
            "check-failed",
            f"a check failed itself ({type(error).__name__} at {place}), so this file is not "
            "checked completely",
            "Please report this, with the file if it holds no secret.",
        )
