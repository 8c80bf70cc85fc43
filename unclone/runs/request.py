"""What a run on an image is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unclone.images.formats.header import Format
from unclone.images.transaction import Disk
from unclone.sanitize.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unclone.sanitize.new_values import NewValues


@dataclass(frozen=True, slots=True)
class Request:
    """What to work on, and how. Only ``image`` is needed.

    ``format`` is one of ``Format`` or "" to detect it. ``outputs`` are written instead of the
    images, one for each disk. ``allow`` are further folders in which backing and data files may
    be. ``if_needed`` leaves an image as it is when the run would only renew what every run renews
    (``Report.only_renews``). ``key_files`` and ``passphrase`` (given a description of the
    container) open LUKS.
    """

    image: Path
    add_disks: tuple[Path, ...] = ()
    format: str = ""
    engine: str = "auto"
    outputs: tuple[Path, ...] = ()
    output_format: str = ""
    #: The outputs are qcow2 overlays of the images, which must then not change any more.
    as_overlays: bool = False
    overwrite: bool = False
    allow: tuple[Path, ...] = ()
    allow_overlays: bool = False
    dry_run: bool = False
    #: Where a dry run writes its plan, and the file of a plan to carry out: its options replace
    #: ``options``, but for catalogue files.
    save_plan: Path | None = None
    plan: Path | None = None
    #: The new values of the run, where they are decided beforehand.
    new_values: NewValues | None = None
    if_needed: bool = False
    key_files: tuple[Path, ...] = ()
    passphrase: Callable[[str], bytes] | None = None
    options: Options = field(default_factory=Options)

    @property
    def disks(self) -> tuple[Disk, ...]:
        """The disks of the guest; the format given is that of the first."""
        first = Disk(self.image, Format(self.format) if self.format else None)
        return (first, *(Disk(path) for path in self.add_disks))
