"""Firecracker JSON: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_KEYS = rb'"(?:boot-source|machine-config|drives|network-interfaces)"\s*:'


def detects(head: bytes) -> bool:
    """Whether it is JSON with two of the keys that only Firecracker spells so."""
    return head.lstrip()[:1] == b"{" and len(set(re.findall(_KEYS, head))) >= 2


FORMAT = Format("firecracker", "Firecracker JSON", detects, __name__)
