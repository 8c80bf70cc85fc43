"""``unclone sanitize`` on a file, whatever it is: an image, a compressed one, or an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.archives.compression import archive_in
from unclone.runs.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from unclone.runs.listener import Listener
    from unclone.runs.request import Request
    from unclone.runs.sanitize_machine import MachineReport
    from unclone.sanitize.report import Report


def sanitize_given(request: Request, listener: Listener) -> Report | MachineReport:
    """As :func:`sanitize`; an archive with a machine in it has its definition reported, too."""
    kind = "" if request.format else archive_in(request.image)
    if not kind:
        return sanitize(request, listener)
    if kind == "vma":
        from unclone.runs.sanitize_backup import sanitize_backup  # noqa: PLC0415 (as below)

        return sanitize_backup(request, listener)
    from unclone.runs.sanitize_archive import sanitize_archive  # noqa: PLC0415 (all formats of definitions come with it)

    return sanitize_archive(request, listener)


def jobs_for(images: Sequence[Path], jobs: int | None) -> int:
    """How many of *images* are worked on at once: a definition is not sent between processes."""
    if len(images) == 1 or any(map(archive_in, images)):
        return 1
    from unclone.runs.worker_pool import default_jobs  # noqa: PLC0415 (slow to load, and for batches only)

    return min(jobs or default_jobs(), len(images))
