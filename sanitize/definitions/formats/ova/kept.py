"""As in an OVF."""

from __future__ import annotations

from unclone.sanitize.definitions.formats.ovf.kept import KEPT, TOP

__all__ = ["KEPT", "TOP"]
