"""cloud-hypervisor JSON: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_KEYS = re.compile(
    rb'"(payload|kernel|cpus|memory|disks|net|rng|serial|console|vsock|platform)"\s*:'
)
_CPUS = re.compile(rb'"boot_vcpus"\s*:')


def detects(head: bytes) -> bool:
    """Whether it is JSON with several of the keys of a VmConfig."""
    keys = set(_KEYS.findall(head))
    enough = b"payload" in keys or bool(_CPUS.search(head))
    return head.lstrip()[:1] == b"{" and enough and len(keys) >= 3


FORMAT = Format("cloud-hypervisor", "cloud-hypervisor JSON", detects, __name__)
