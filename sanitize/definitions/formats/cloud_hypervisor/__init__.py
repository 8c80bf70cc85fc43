"""cloud-hypervisor JSON: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_KEYS = rb'"(payload|kernel|cpus|memory|disks|net|rng|serial|console|vsock|platform)"\s*:'
_CPUS = rb'"boot_vcpus"\s*:'


def detects(head: bytes) -> bool:
    """Whether it is JSON with several of the keys of a VmConfig."""
    keys = set(re.findall(_KEYS, head))
    enough = b"payload" in keys or bool(re.search(_CPUS, head))
    return head.lstrip()[:1] == b"{" and enough and len(keys) >= 3


FORMAT = Format("cloud-hypervisor", "cloud-hypervisor JSON", detects, __name__)
