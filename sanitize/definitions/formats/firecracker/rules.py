"""Every field of a Firecracker configuration that identifies the machine.

``where`` holds paths of Node.find (definitions/text/tree.py).

References: Firecracker src/firecracker/swagger/firecracker.yaml (1.0 to 1.13); docs/vsock.md,
docs/network-setup.md, docs/mmds/mmds-user-guide.md.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_API = (
    "https://github.com/firecracker-microvm/firecracker/blob/main/"
    "src/firecracker/swagger/firecracker.yaml"
)

RULES = rules(
    _API,
    (
        "guest-mac",
        FieldKind.MAC,
        Treatment.RENEW,
        "network-interfaces[]/guest_mac",
        "two cards with one address on a network lose each other's packets",
    ),
    (
        "tap",
        FieldKind.INTERFACE,
        Treatment.FOLLOW,
        "network-interfaces[]/host_dev_name",
        "a tap device belongs to one running machine: make one of this name",
    ),
    (
        "disk",
        FieldKind.DISK,
        Treatment.MOVE,
        ("drives[]/path_on_host", "pmem[]/path_on_host"),
        "two machines that write to one disk destroy it; give --disk OLD=NEW",
    ),
    (
        "disk-shared",
        FieldKind.DISK,
        Treatment.MOVE,
        ("drives[]/path_on_host", "pmem[]/path_on_host"),
        "it is read-only",
        Level.INFO,
    ),
    (
        "disk-socket",
        FieldKind.SOCKET,
        Treatment.FOLLOW,
        "drives[]/socket",
        "a vhost-user backend serves one machine: start another on this socket",
    ),
    (
        "root-partition",
        FieldKind.OTHER,
        Treatment.KEEP,
        "drives[]/partuuid",
        "the guest's root is found by it: it has to change with the disk",
    ),
    (
        "vsock-cid",
        FieldKind.VSOCK_CID,
        Treatment.RENEW,
        "vsock/guest_cid",
        "machines are told by it wherever vsock connections are logged or routed",
    ),
    (
        "vsock-socket",
        FieldKind.SOCKET,
        Treatment.FOLLOW,
        "vsock/uds_path",
        "Firecracker does not start where this socket is already there",
    ),
    (
        "output",
        FieldKind.FILE,
        Treatment.FOLLOW,
        ("logger/log_path", "metrics/metrics_path", "serial/serial_out_path"),
        "two machines would write into one file",
    ),
    (
        "kernel-arguments",
        FieldKind.OTHER,
        Treatment.KEEP,
        "boot-source/boot_args",
        "it gives the guest an address or names its disk, as it did for the source",
        Level.WARNING,
    ),
    (
        "metadata-service",
        FieldKind.OTHER,
        Treatment.KEEP,
        "mmds-config",
        (
            "what the service tells the guest (instance-id, hostname, keys) is not in this file: "
            "give each machine its own with --metadata or PUT /mmds"
        ),
        Level.WARNING,
    ),
)
