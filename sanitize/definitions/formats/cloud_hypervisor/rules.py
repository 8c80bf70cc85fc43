"""Every field of a cloud-hypervisor VmConfig that identifies the machine.

``where`` holds paths of Node.find (definitions/text/tree.py).

References: cloud-hypervisor vmm/src/api/openapi/cloud-hypervisor.yaml (30 to 48);
vmm/src/vm_config.rs.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_API = (
    "https://github.com/cloud-hypervisor/cloud-hypervisor/blob/main/"
    "vmm/src/api/openapi/cloud-hypervisor.yaml"
)
_CONSOLES = ("serial", "console", "debug_console")

RULES = rules(
    _API,
    (
        "uuid",
        FieldKind.MACHINE_UUID,
        Treatment.RENEW,
        ("platform/uuid", "platform/system_uuid"),
        "the guest reads it as product_uuid",
    ),
    (
        "serial",
        FieldKind.SERIAL,
        Treatment.RENEW,
        ("platform/serial_number", "platform/system_serial_number"),
        "the guest reads it as product_serial; inventories and licences identify machines by it",
    ),
    (
        "oem-strings",
        FieldKind.OTHER,
        Treatment.KEEP,
        "platform/oem_strings[]",
        "the guest reads them, and only you know whether they are one machine's own",
    ),
    (
        "mac",
        FieldKind.MAC,
        Treatment.RENEW,
        "net[]/mac",
        "two cards with one address on a network lose each other's packets",
    ),
    (
        "host-mac",
        FieldKind.MAC,
        Treatment.RENEW,
        "net[]/host_mac",
        "the host's end of a card needs an address of its own too",
    ),
    (
        "tap",
        FieldKind.INTERFACE,
        Treatment.FOLLOW,
        "net[]/tap",
        "a host has one interface of a name; one that is not there is made",
    ),
    (
        "host-address",
        FieldKind.OTHER,
        Treatment.KEEP,
        "net[]/ip",
        "the host's end of the card gets this address, as it does for the source",
        Level.WARNING,
    ),
    (
        "net-socket",
        FieldKind.SOCKET,
        Treatment.FOLLOW,
        "net[]/vhost_socket",
        "a vhost-user socket serves one card: make a port of the switch for it",
    ),
    (
        "disk",
        FieldKind.DISK,
        Treatment.MOVE,
        ("disks[]/path", "pmem[]/file"),
        "two machines that write to one disk destroy it; give --disk OLD=NEW",
    ),
    (
        "disk-shared",
        FieldKind.DISK,
        Treatment.MOVE,
        ("disks[]/path", "pmem[]/file"),
        "it is read-only; a seed of the source is not for the new machine",
        Level.INFO,
    ),
    (
        "disk-serial",
        FieldKind.SERIAL,
        Treatment.RENEW,
        "disks[]/serial",
        "the guest names disks by it in /dev/disk/by-id",
    ),
    (
        "disk-socket",
        FieldKind.SOCKET,
        Treatment.FOLLOW,
        "disks[]/vhost_socket",
        "a vhost-user backend serves one machine: start another on this socket",
    ),
    (
        "shared-folder",
        FieldKind.SOCKET,
        Treatment.FOLLOW,
        "fs[]/socket",
        "a virtiofsd serves one machine: start another on this socket",
    ),
    (
        "vsock-cid",
        FieldKind.VSOCK_CID,
        Treatment.RENEW,
        "vsock/cid",
        "machines are told by it wherever vsock connections are logged or routed",
    ),
    (
        "vsock-socket",
        FieldKind.SOCKET,
        Treatment.FOLLOW,
        "vsock/socket",
        "the second machine to listen on a socket takes it from the first",
    ),
    (
        "console-socket",
        FieldKind.SOCKET,
        Treatment.FOLLOW,
        tuple(f"{each}/socket" for each in _CONSOLES),
        "the second machine to listen on a socket takes it from the first",
    ),
    (
        "console-file",
        FieldKind.FILE,
        Treatment.FOLLOW,
        tuple(f"{each}/file" for each in _CONSOLES),
        "two machines would write into one file",
    ),
    (
        "tpm",
        FieldKind.SOCKET,
        Treatment.FOLLOW,
        "tpm/socket",
        (
            "a TPM is one machine's own: start another swtpm with an empty state on this socket, "
            "never with a copy"
        ),
    ),
    (
        "user-device",
        FieldKind.SOCKET,
        Treatment.FOLLOW,
        "user_devices[]/socket",
        "a vfio-user device serves one machine: start another on this socket",
    ),
    (
        "host-device",
        FieldKind.OTHER,
        Treatment.KEEP,
        ("devices[]/path", "vdpa[]/path"),
        "a device of the host belongs to one running machine: give the new one another",
        Level.WARNING,
    ),
    (
        "shared-memory",
        FieldKind.OTHER,
        Treatment.KEEP,
        ("memory/zones[]/file", "ivshmem/path"),
        "memory in this file is shared with every machine that has it, the source too",
        Level.WARNING,
    ),
    (
        "kernel-arguments",
        FieldKind.OTHER,
        Treatment.KEEP,
        "payload/cmdline",
        "where it names a UUID of the guest's disk, it has to change with the disk",
    ),
)
