"""Places of an Incus or LXD instance that are called as identities are, and stay without a word.

References: Incus internal/server/metadata/configuration.json (6.19).
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

TOP = r"(?:.*/)?(?:expanded_)?"
KEPT = (
    Kept(
        "where the instance has it, and no file of the host",
        (
            "devices/*/path",
            "devices/*/pathrm",
            "config/oci.*",
        ),
    ),
    Kept(
        "which image or server it is from",
        (
            "config/image.*",
            "config/volatile.base_image",
            "location",
            "config/volatile.cluster.group",
        ),
    ),
    Kept(
        "a kind of device, or who owns it",
        (
            "devices/*/vendorid",
            "devices/*/productid",
            "devices/*/uid",
            "devices/*/gid",
            "devices/*/security.uid",
            "devices/*/security.gid",
            "devices/*/subsystem",
            "devices/*/major",
            "devices/*/minor",
        ),
    ),
    Kept(
        "a range of ids or addresses for every instance of its kind",
        (
            "config/security.*",
            "config/raw.idmap",
            "config/limits.*",
            "devices/*/security.*",
            "devices/*/ipv4.gateway",
            "devices/*/ipv6.gateway",
            "devices/*/ipv4.host_*",
            "devices/*/ipv6.host_*",
            "devices/*/vlan*",
            "devices/*/limits*",
        ),
    ),
    Kept(
        "what the storage pool is",
        (
            "pool",
            "volume/config/volatile.idmap*",
            "volume/config/size",
            "volume/location",
            "devices/*/ceph.*",
        ),
    ),
)
