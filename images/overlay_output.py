"""An output that is an overlay: a small qcow2 with the image as its backing file.

The image is only read, and must not be changed later: the machine reads from it everything that is
not in the overlay.

Reference: QEMU ``docs/interop/qcow2.txt`` (backing file name and its format).
"""

from __future__ import annotations

from unclone.images import qemu_img
from unclone.images.files import explained, sync_directory, sync_file
from unclone.images.output import ToOutput


class ToOverlay(ToOutput):
    """Writes, for each image, a qcow2 overlay that names the image by its absolute path."""

    def _commit(self) -> None:
        self._require_intact()
        for layer, image in zip(self.overlays, self.images, strict=True):
            name = self.opened(layer)
            qemu_img.name_backing(name, image)
            # The permissions of the image, and reading and writing for the owner.
            name.chmod(image.names[0].stat().st_mode & 0o777 | 0o600)
            with explained("write the output", layer.parent):
                sync_file(name)
        for target, layer in zip(self._targets, self.overlays, strict=True):
            self._require_free(target)
            with explained("write the output", target.parent):
                layer.rename(target)
                sync_directory(target.parent)
