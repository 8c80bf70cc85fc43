"""OVA archive: how a file of this format is recognised."""

from __future__ import annotations

from unclone.images.archives.tar import MAGIC, MAGIC_AT
from unclone.sanitize.definitions.definition import Format


def detects(head: bytes) -> bool:
    """Whether it is a tar archive with a descriptor near its start."""
    return head[MAGIC_AT:].startswith(MAGIC) and b".ovf" in head.lower()


FORMAT = Format("ova", "OVA archive", detects, __name__)
