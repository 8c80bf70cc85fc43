"""Places of a cloud-hypervisor VmConfig that are called as identities are, and stay.

References: cloud-hypervisor vmm/src/api/openapi/cloud-hypervisor.yaml (v49).
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

KEPT = (
    Kept(
        "a name that other parts of the definition use",
        (
            "disks[]/id",
            "net[]/id",
            "fs[]/id",
            "pmem[]/id",
            "devices[]/id",
            "user_devices[]/id",
            "vdpa[]/id",
            "memory/zones[]/id",
            "vsock/id",
            "numa",
            "cpus",
            "pci_segments",
            "rate_limit_groups[]/id",
        ),
    ),
    Kept(
        "a program of the host, for every machine",
        (
            "kernel",
            "initramfs",
            "payload",
            "rng",
            "landlock_rules",
        ),
    ),
)
