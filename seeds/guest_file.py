"""A file that cloud-init writes in the guest (``--write-file``).

References: cloud-init ``cloudinit/config/cc_write_files.py`` (Write Files): it runs before users
are made, so the owner is root.
"""

from __future__ import annotations

import base64
import posixpath
from dataclasses import dataclass, field
from typing import Any

from unclone.seeds.errors import SeedError


@dataclass(frozen=True, slots=True)
class GuestFile:
    """A file at the absolute *path*. ``mode`` are its permission bits.

    Raises :class:`SeedError` for a path that is not absolute, or leads up.
    """

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644

    def __post_init__(self) -> None:
        """Refuse what is no path of a file in the guest."""
        wrong = self.path.endswith("/") or "\0" in self.path or "\n" in self.path
        if not self.path.startswith("/") or wrong or posixpath.normpath(self.path) != self.path:
            raise SeedError(
                f"{self.path!r} is no path of a file in the guest",
                hint="It begins with '/', and has no '.', '..' and '//' in it.",
            )

    def to_config(self) -> dict[str, Any]:
        """Its entry in ``write_files``: readable where it is plain text, else in base64."""
        entry: dict[str, Any] = {"path": self.path, "permissions": f"{self.mode & 0o7777:04o}"}
        try:
            text = self.content.decode()
        except UnicodeDecodeError:
            text = "\0"
        if all(c in "\n\t" or c.isprintable() for c in text):
            return {**entry, "content": text}
        return {**entry, "encoding": "b64", "content": base64.b64encode(self.content).decode()}
