"""Every field of a vm-bhyve configuration that identifies the machine.

``where`` is a key, ``#`` a number.

References: vm-bhyve vm(8), "CONFIGURATION FORMAT"; lib/vm-run for what is made of each key.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_MANUAL = "https://github.com/freebsd/vm-bhyve/blob/master/vm.8"
_RENEW, _FOLLOW, _KEEP = Treatment.RENEW, Treatment.FOLLOW, Treatment.KEEP

RULES = rules(
    _MANUAL,
    (
        "uuid",
        FieldKind.MACHINE_UUID,
        _RENEW,
        "uuid",
        "the guest reads it as product_uuid",
    ),
    (
        "mac",
        FieldKind.MAC,
        _RENEW,
        "network#_mac",
        "two cards with one address on a network lose each other's packets",
    ),
    (
        "disk",
        FieldKind.DISK,
        Treatment.MOVE,
        "disk#_name",
        "two machines that write to one disk destroy it; give --disk OLD=NEW",
    ),
    (
        "disk-in-folder",
        FieldKind.DISK,
        _KEEP,
        "disk#_name",
        "vm-bhyve takes it from the machine's own folder or dataset: copy it there",
    ),
    (
        "disk-serial",
        FieldKind.SERIAL,
        _RENEW,
        "disk#_opts ser",
        "guests name disks by it (/dev/disk/by-id)",
    ),
    (
        "interface",
        FieldKind.OTHER,
        _KEEP,
        "network#_device",
        "an interface of the host has one machine: give the new one another",
        Level.WARNING,
    ),
    (
        "graphics-port",
        FieldKind.PORT,
        _RENEW,
        "graphics_port",
        "the host's port is taken while the source runs",
    ),
    (
        "graphics-password",
        FieldKind.OTHER,
        _KEEP,
        "graphics_password",
        "with the source's password the new machine's screen can be opened",
    ),
    (
        "console-socket",
        FieldKind.SOCKET,
        _FOLLOW,
        "virt_console#",
        "the second machine to listen on a socket takes it from the first",
    ),
    (
        "host-device",
        FieldKind.OTHER,
        _KEEP,
        ("passthru#", "sound_play", "sound_rec"),
        "a device of the host belongs to one running machine: give the new one another",
        Level.WARNING,
    ),
    (
        "arguments",
        FieldKind.OTHER,
        _KEEP,
        ("bhyve_options", "bhyveload_args", "prestart", "poststart", "prestop", "poststop"),
        "bhyve or a script of the host gets it as it is: see whether it names the source",
        Level.WARNING,
    ),
)
