"""Places of a Firecracker configuration that are called as identities are, and stay without a word.

References: Firecracker src/firecracker/swagger/firecracker.yaml (v1.13).
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

KEPT = (
    Kept(
        "a name that other parts of the definition use",
        (
            "drives[]/drive_id",
            "pmem[]/id",
            "network-interfaces[]/iface_id",
            "vsock/vsock_id",
            "mmds-config",
        ),
    ),
    Kept("a program of the host, for every machine", ("boot-source",)),
)
