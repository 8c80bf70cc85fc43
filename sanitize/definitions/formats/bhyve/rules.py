"""Every argument of bhyve that identifies the machine.

``where`` is an option, what kind of device it has (``net``: virtio-net, e1000, ptnet; ``disk``:
virtio-blk, ahci, ahci-hd, nvme; else its own name), and a key; ``*`` is any key.

References: bhyve(8) and bhyveload(8) of FreeBSD 14.3; bhyve_config(5).
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_MANUAL = "https://man.freebsd.org/cgi/man.cgi?query=bhyve&sektion=8"
_RENEW, _FOLLOW, _KEEP = Treatment.RENEW, Treatment.FOLLOW, Treatment.KEEP

RULES = rules(
    _MANUAL,
    (
        "name",
        FieldKind.NAME,
        Treatment.NAME,
        "name",
        "the host has one machine of a name, /dev/vmm/NAME",
    ),
    ("uuid", FieldKind.MACHINE_UUID, _RENEW, "-U", "the guest reads it as product_uuid"),
    (
        "mac",
        FieldKind.MAC,
        _RENEW,
        "-s net mac",
        "two cards with one address on a network lose each other's packets",
    ),
    (
        "disk",
        FieldKind.DISK,
        Treatment.MOVE,
        ("-s disk", "-s disk hd", "-d"),
        "two machines that write to one disk destroy it; give --disk OLD=NEW",
    ),
    (
        "removable-medium",
        FieldKind.DISK,
        _KEEP,
        ("-s ahci-cd", "-s disk cd"),
        "machines may share it",
    ),
    (
        "disk-serial",
        FieldKind.SERIAL,
        _RENEW,
        ("-s disk ser", "-s disk serial"),
        "guests name disks by it (/dev/disk/by-id)",
    ),
    (
        "disk-identifier",
        FieldKind.OTHER,
        _KEEP,
        "-s disk eui64",
        "the guest names the disk by it: give the new one another",
        Level.WARNING,
    ),
    (
        "interface",
        FieldKind.OTHER,
        _KEEP,
        ("-s net", "-s net path", "-s net peerhook", "-s net socket", "-s net hostfwd"),
        "a tap, a hook of netgraph or a port of the host has one user: give it another",
        Level.WARNING,
    ),
    (
        "variables",
        FieldKind.FIRMWARE,
        _FOLLOW,
        "-l bootrom variables",
        "each machine writes UEFI variables of its own; the file is copied",
    ),
    (
        "socket",
        FieldKind.SOCKET,
        _FOLLOW,
        ("-s virtio-console *", "-l tpm swtpm"),
        "the second machine to listen on a socket takes it from the first",
    ),
    (
        "graphics-port",
        FieldKind.PORT,
        _RENEW,
        ("-s fbuf tcp", "-s fbuf rfb"),
        "the host's port is taken while the source runs",
    ),
    (
        "graphics-password",
        FieldKind.OTHER,
        _KEEP,
        "-s fbuf password",
        "with the source's password the new machine's screen can be opened",
    ),
    (
        "debugger-port",
        FieldKind.PORT,
        _RENEW,
        "-G",
        "the host's port is taken while the source runs",
    ),
    (
        "host-device",
        FieldKind.OTHER,
        _KEEP,
        (
            *("-s passthru", "-s virtio-scsi", "-s virtio-input", "-s uart", "-s hda play"),
            *("-s hda rec", "-l com", "-l tpm passthru"),
        ),
        "a device of the host belongs to one running machine: give the new one another",
        Level.WARNING,
    ),
    (
        "shared-folder",
        FieldKind.OTHER,
        _KEEP,
        "-s virtio-9p *",
        "both machines see the same folder; give the new one its own where they must not",
    ),
    (
        "configuration",
        FieldKind.OTHER,
        _KEEP,
        ("-k", "-o"),
        "it can say the UUID, addresses and disks: see whether they are the source's",
        Level.WARNING,
    ),
    (
        "firmware-configuration",
        FieldKind.OTHER,
        _KEEP,
        "-f",
        "the guest reads it, and only you know whether it is one machine's own",
    ),
)
