"""libvirt network XML: not in the table of formats, because it is only read with a domain."""

from __future__ import annotations

from unclone.sanitize.definitions.definition import Format


def detects(_head: bytes) -> bool:
    """Never: a network is no machine. ``--network`` says which file is one."""
    return False


FORMAT = Format("libvirt-network", "libvirt network XML", detects, __name__)
