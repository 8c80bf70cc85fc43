"""The run of ``unclone recover``: finish or discard an interrupted run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unclone.images import recovery
from unclone.images.temporary_folders import clean_up
from unclone.runs.listener import NullListener

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.recovery import Recovery
    from unclone.runs.listener import Listener


@dataclass(frozen=True)
class Recovered:
    """A recovery, and the image it was asked for."""

    image: str
    recovery: Recovery

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return {
            "image": self.image,
            "status": "done",
            "action": str(self.recovery.action),
            "images": [os.fspath(path) for path in self.recovery.images],
        }


def recover(
    image: Path, listener: Listener | None = None, *, allow: tuple[Path, ...] = ()
) -> Recovered:
    """Finish or discard what an interrupted run left beside *image*, whichever is safe."""
    listener = listener or NullListener()
    listener.phase("commit")
    found = recovery.recover(image, allow=allow)
    if removed := clean_up():
        listener.say(f"removed {removed} temporary folder(s) of killed runs")
    return Recovered(os.fspath(image), found)
