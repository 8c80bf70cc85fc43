"""Incus or LXD instance: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format
from unclone.sanitize.definitions.text.source import HEAD

_TOP = (
    rb"(?m)^%s[\"']?(architecture|config|devices|ephemeral|profiles|stateful|container|instance"
    rb"|pool|expanded_config|expanded_devices)[\"']?:"
)
_OWN = rb"volatile\.|cloud-init\.|image\.os|eth0|security\.|limits\.|root:|\"root\"|profiles"


def detects(head: bytes) -> bool:
    """Whether the keys at the top are those of an instance."""
    is_json = head.lstrip()[:1] == b"{"
    text = head.replace(b"{", b"\n").replace(b",", b"\n") if is_json else head
    wraps = re.search(rb"(?m)^(?:instance|container):[ \t]*\r?$", head)
    # In YAML they begin lines; what a backup.yaml has of the instance is one step further in.
    indent = rb"[ \t]*" if is_json else rb"(?:  )?" if wraps else rb""
    keys = set(re.findall(_TOP % indent, text))
    enough = b"config" in keys or b"devices" in keys
    if not enough or b"apiVersion" in text or b"boot_vcpus" in text:
        return False
    # Long user-data stands before the other keys, and only the first 64 KiB are seen.
    is_cut = len(head) >= HEAD and b"architecture" in keys
    return len(keys) >= 3 - is_cut and bool(re.search(_OWN, text))


FORMAT = Format("incus", "Incus or LXD instance", detects, __name__)
