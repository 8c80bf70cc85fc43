"""As on a command line of QEMU."""

from __future__ import annotations

from unclone.sanitize.definitions.formats.qemu.kept import KEPT

__all__ = ["KEPT"]
