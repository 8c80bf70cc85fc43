"""``--output``: the source is only read, and the result gets its name by one rename.

Temporary files are beside the output, because the directory of the source may be read-only. A claim
file there, locked while the run lasts, prevents two runs with one output and distinguishes an
active run from a killed one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images import qemu_img
from unclone.images.errors import InUseError, UsageError
from unclone.images.files import (
    create_pinned,
    create_private,
    explained,
    remove_durably,
    require_same,
    sync_directory,
    sync_file,
)
from unclone.images.overlay import claim_path, output_overlay_path, partial_path
from unclone.images.pinned import pinned_name
from unclone.images.text import shown
from unclone.images.transaction import Disk, Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.formats.header import Format
    from unclone.images.image import Image


class ToOutput(Transaction):
    """Writes a changed, flattened copy of each image; the images are not changed."""

    def __init__(
        self,
        disks: Sequence[Disk],
        outputs: Sequence[Path],
        *,
        allow: Sequence[Path] = (),
        format: Format | None = None,  # noqa: A002 (the word everyone uses)
        overwrite: bool = False,
    ) -> None:
        """Prepare to write one of *outputs* for each of *disks*, in the same order.

        *format* is that of the outputs, by default that of each image; *overwrite* replaces
        existing files. Raises UsageError for an output without a directory.
        """
        super().__init__(disks, allow=allow)
        if len(outputs) != len(disks):
            raise UsageError(
                f"{len(disks)} disk(s) need as many outputs, but {len(outputs)} are given",
                hint="Give --output once for each disk.",
            )
        self._targets = [_target(path) for path in outputs]
        self._format = format
        self._overwrite = overwrite
        self._claimed: list[Path] = []

    def _begin(self) -> None:
        for target in self._targets:
            self._require_free(target)
            self._claim(target)
        self.images = self._read(writable=False)
        self.check(self.images)
        for target, image in zip(self._targets, self.images, strict=True):
            if target.is_file() and not target.is_symlink():  # a VM may be using it
                self._lock.exclusive([target])
            path = output_overlay_path(target)
            self._overlay(path, image, locked=False)
            self.overlays += (path,)

    def check(self, images: Sequence[Image]) -> Sequence[str]:
        """Refuse an output that exists, or that is one of the images or their files."""
        for target, image in zip(self._targets, images, strict=True):
            self._require_free(target)
            _require_other(target, image)
        return ()

    def _require_free(self, target: Path) -> None:
        if not target.is_symlink() and not target.exists():
            return
        if target.is_dir() or not self._overwrite:
            raise UsageError(
                f"the output {shown(target)} already exists",
                hint="Name another file, or remove this one first.",
            )

    def _claim(self, target: Path) -> None:
        claim = claim_path(target)
        with explained("write the output", target.parent):
            if claim.is_symlink() or not claim.exists():
                create_private(claim)
        try:
            self._lock.exclusive([claim])
        except InUseError as error:
            raise InUseError(
                f"another run is already writing {shown(target)}", hint=error.hint
            ) from error
        if not self._lock.covers(claim):
            raise InUseError(f"another run has just written {shown(target)}", hint="Try again.")
        self._claimed.append(target)
        # Left by a killed run: no active run holds the claim.
        remove_durably([output_overlay_path(target), partial_path(target)])

    def _commit(self) -> None:
        self._require_intact()
        for target, layer, image in zip(self._targets, self.overlays, self.images, strict=True):
            partial = partial_path(target)
            with explained("write the output", target.parent):
                made = self._own[partial] = create_pinned(partial)
                name = pinned_name(made)
                qemu_img.convert(
                    self.opened(layer),
                    image,
                    name,
                    self._format or image.format,
                    descriptors=self._lock.descriptors,
                )
                require_same(partial, made)
                # The permissions of the source, and reading and writing for the owner.
                name.chmod(image.names[0].stat().st_mode & 0o777 | 0o600)
                sync_file(name)
        for target in self._targets:
            self._require_free(target)
            partial = partial_path(target)
            require_same(partial, self._own[partial])
            with explained("write the output", target.parent):
                partial.rename(target)
                sync_directory(target.parent)

    def _left_overs(self) -> Sequence[Path]:
        # The claim is removed last: while it is locked, no other run touches the other files.
        return [
            path
            for target in self._claimed
            for path in (output_overlay_path(target), partial_path(target), claim_path(target))
        ]


def _target(path: Path) -> Path:
    """*path* in its real directory. Raises UsageError without one, or for an unusable name."""
    directory = Path(os.path.realpath(path.parent))  # which has no error for a loop of symlinks
    if not directory.is_dir():
        raise UsageError(
            f"the directory of the output {shown(path)} does not exist", hint="Make it first."
        )
    try:
        path.name.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"the name {shown(path)} is not valid UTF-8") from None
    return directory / path.name


def _require_other(target: Path, image: Image) -> None:
    files = (*image.files, *image.backing_files)
    if target.exists() and any(target.samefile(path) for path in files):
        raise UsageError(
            f"the output {shown(target)} is the image itself, or a file it depends on",
            hint="Leave out --output to change the image in place.",
        )
