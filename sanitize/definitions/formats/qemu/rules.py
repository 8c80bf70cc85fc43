"""Every field of a QEMU command line that identifies the machine.

``where`` is an option and a key of it (none for options with one plain value); conditions.py says
which matches are fields, and which part of a value.

References: qemu(1), QEMU 4.2 to 10.1; docs/specs/vmgenid.rst; docs/system/devices/vhost-user.rst;
docs/specs/tpm.rst.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_MANUAL = "https://www.qemu.org/docs/master/system/qemu-manpage.html"
_RENEW, _FOLLOW, _KEEP = Treatment.RENEW, Treatment.FOLLOW, Treatment.KEEP

#: Options whose plain value is a character device in the old spelling: unix:PATH,server
_STREAMS = ("-serial", "-parallel", "-monitor", "-qmp", "-debugcon", "-virtioconsole", "-qtest")
_DISKS = (
    *(f"-{name}" for name in ("hda", "hdb", "hdc", "hdd", "sd", "mtdblock", "image")),
    *("-drive file", "-drive *filename", "-blockdev *filename"),
)
#: A disk in the network or of the host, by what identifies it there, in whatever layer.
_REMOTE = (
    *("image", "target", "export", "vdi", "device", "dir", "path", "port", "host"),
    *(f"server.{key}" for key in ("path", "str", "port", "host")),
)
#: Of a confidential guest: what its owner made for it.
_OWNERS = ("session-file", "dh-cert-file", "id-block", "id-auth", "host-data")


def _net(*keys: str) -> tuple[str, ...]:
    """Keys of the options that make a network."""
    return tuple(f"-{option} {key}" for option in ("netdev", "nic", "net") for key in keys)


#: What a -readconfig file can say too.
COMMON = rules(
    _MANUAL,
    ("name", FieldKind.NAME, Treatment.NAME, "-name guest", "a name is unique on its host"),
    (
        "smbios-uuid",
        FieldKind.MACHINE_UUID,
        _RENEW,
        "-smbios uuid",
        "the guest reads it as product_uuid, and makes ids from it",
    ),
    (
        "smbios-serial",
        FieldKind.SERIAL,
        _RENEW,
        "-smbios serial",
        "the guest reads it as product_serial; inventories and licences identify machines by it",
    ),
    (
        "generation-id",
        FieldKind.GENERATION_ID,
        _RENEW,
        "-device guid",
        "a guest that sees it change knows that it is a copy, and reseeds its random numbers",
    ),
    (
        "mac",
        FieldKind.MAC,
        _RENEW,
        ("-device mac", "-nic mac", "-net macaddr", "-device fp_start_macaddr"),
        "cards with one address lose each other's packets; QEMU's own is one for every machine",
    ),
    (
        "disk",
        FieldKind.DISK,
        Treatment.MOVE,
        _DISKS,
        "two machines that write to one disk destroy it; give --disk OLD=NEW",
    ),
    (
        "disk-shared",
        FieldKind.DISK,
        Treatment.MOVE,
        ("-cdrom", "-fda", "-fdb", *_DISKS),
        "it is removable, read-only or a snapshot; a seed of the source is not for the new machine",
        Level.INFO,
    ),
    (
        "disk-remote",
        FieldKind.OTHER,
        _KEEP,
        tuple(f"-{option} *{key}" for option in ("drive", "blockdev") for key in _REMOTE),
        "two machines that write to one disk of a server destroy it: give the new one another",
        Level.WARNING,
    ),
    (
        "iscsi-initiator",
        FieldKind.OTHER,
        _KEEP,
        ("-drive *initiator-name", "-blockdev *initiator-name", "-iscsi initiator-name"),
        "the target knows the machine by it, and takes both for one: give the new one another",
        Level.WARNING,
    ),
    (
        "disk-reservations",
        FieldKind.OTHER,
        _KEEP,
        "-object path",
        "both machines would use the helper at this socket: see whether it serves one only",
        Level.WARNING,
    ),
    (
        "launch-security",
        FieldKind.OTHER,
        _KEEP,
        tuple(f"-object {key}" for key in _OWNERS),
        "it was made by the owner of the source's guest: a new machine is measured anew",
        Level.WARNING,
    ),
    (
        "nvram",
        FieldKind.FIRMWARE,
        _FOLLOW,
        ("-pflash", *_DISKS),
        "each machine writes UEFI variables of its own; the file is copied",
    ),
    (
        "disk-serial",
        FieldKind.SERIAL,
        _RENEW,
        ("-device serial", "-drive serial", "-device device_id"),
        "the guest names disks by it in /dev/disk/by-id",
    ),
    (
        "disk-wwn",
        FieldKind.WWN,
        _RENEW,
        ("-device wwn", "-device port_wwn", "-device eui64"),
        "a World Wide Name is unique; multipath takes two disks that share one for the same",
    ),
    (
        "device-uuid",
        FieldKind.UUID,
        _RENEW,
        ("-device uuid", "-device nguid"),
        "the guest identifies NVDIMMs and NVMe name spaces by it",
    ),
    (
        "vsock-cid",
        FieldKind.VSOCK_CID,
        _RENEW,
        "-device guest-cid",
        "a host has one machine of a context id: the second does not start",
    ),
    (
        "tap",
        FieldKind.INTERFACE,
        _FOLLOW,
        _net("ifname"),
        "a tap device belongs to one running machine: make one of this name, or let QEMU do it",
    ),
    (
        "forwarded-port",
        FieldKind.PORT,
        _RENEW,
        _net("hostfwd"),
        "the host's port is taken while the source runs: the second machine does not start",
    ),
    (
        "network-address",
        FieldKind.PORT,
        _RENEW,
        _net("listen", "localaddr"),
        "the host's port is taken while the source runs",
    ),
    (
        "network-port",
        FieldKind.PORT,
        _RENEW,
        _net("addr.port", "local.port", "srcport"),
        "the host's port is taken while the source runs",
    ),
    (
        "network-peer",
        FieldKind.OTHER,
        _KEEP,
        _net("remote.path", "txsession", "rxsession", "txcookie", "rxcookie", "port"),
        "the other end serves the source only: give the new machine another",
        Level.WARNING,
    ),
    (
        "network-forwarding",
        FieldKind.OTHER,
        _KEEP,
        _net("tcp-ports.#.str", "udp-ports.#.str"),
        "passt cannot listen on the host's ports while the source runs: give others",
        Level.WARNING,
    ),
    (
        "user-network-name",
        FieldKind.OTHER,
        _FOLLOW,
        _net("hostname", "name", "fqdn"),
        "the guest gets it as its host name by DHCP",
    ),
    (
        "socket",
        FieldKind.SOCKET,
        _FOLLOW,
        (
            *("-chardev path", "-device socket.path", "-object socket.path"),
            *_net("addr.path", "local.path", "hostfwd"),
        ),
        "a second listener takes it from the first; a TPM, virtiofsd or switch serves one machine",
    ),
    (
        "character-port",
        FieldKind.PORT,
        _RENEW,
        ("-chardev port", "-chardev localport"),
        "the host's port is taken while the source runs",
    ),
    (
        "character-file",
        FieldKind.FILE,
        _FOLLOW,
        ("-chardev path", "-chardev logfile", "-audiodev path", "-object file"),
        "two machines would write into one file",
    ),
    (
        "character-device",
        FieldKind.OTHER,
        _KEEP,
        "-chardev path",
        "a device of the host belongs to one running machine: give the new one another",
        Level.WARNING,
    ),
    (
        "tpm",
        FieldKind.TPM,
        _KEEP,
        "-tpmdev type",
        "a TPM is one machine's own: give the new one an empty state, never a copy",
    ),
    (
        "vnc-display",
        FieldKind.DISPLAY,
        _RENEW,
        ("-vnc vnc", "-display vnc"),
        "the display's port (5900 and its number) is taken while the source runs",
    ),
    (
        "graphics-port",
        FieldKind.PORT,
        _RENEW,
        ("-vnc websocket", "-spice port", "-spice tls-port"),
        "the host's port is taken while the source runs",
    ),
    (
        "graphics-socket",
        FieldKind.SOCKET,
        _FOLLOW,
        ("-vnc vnc", "-display vnc", "-spice addr"),
        "the second machine to listen on a socket takes it from the first",
    ),
    (
        "secret",
        FieldKind.OTHER,
        _KEEP,
        ("-spice password", "-object data", "-object file"),
        "the new machine has the same password or key as the source",
    ),
    (
        "shared-folder",
        FieldKind.OTHER,
        _KEEP,
        ("-virtfs path", "-fsdev path", "-device rootdir", *_net("smb")),
        "both machines see the same folder; give the new one its own where they must not",
    ),
    (
        "shared-memory",
        FieldKind.OTHER,
        _KEEP,
        "-object mem-path",
        "what is in this file is shared with every machine that has it, the source too",
        Level.WARNING,
    ),
    (
        "host-device",
        FieldKind.OTHER,
        _KEEP,
        (
            *("-device host", "-device sysfsdev", "-device hostaddr", "-device vhostdev"),
            *("-device wwpn", "-device sn", "-object evdev", *_net("vhostdev", "ifname")),
        ),
        "a device of the host belongs to one running machine: give the new one another",
        Level.WARNING,
    ),
    (
        "security-key",
        FieldKind.OTHER,
        _KEEP,
        ("-device file", "-device dir"),
        "the keys in it are one machine's: give the new one another",
        Level.WARNING,
    ),
    (
        "asset-tag",
        FieldKind.OTHER,
        _KEEP,
        "-smbios asset",
        "guests recognise clouds by it; change it where yours is an inventory number",
    ),
    (
        "smbios-text",
        FieldKind.OTHER,
        _KEEP,
        ("-smbios value", "-smbios file", "-smbios path", "-acpitable"),
        "the guest reads it, and only you know whether it is one machine's own",
    ),
    (
        "firmware-configuration",
        FieldKind.OTHER,
        _KEEP,
        ("-fw_cfg string", "-fw_cfg file"),
        "the guest reads it, and only you know whether it is one machine's own",
    ),
)

#: What only a command line says.
COMMAND_LINE = rules(
    _MANUAL,
    (
        "uuid",
        FieldKind.MACHINE_UUID,
        _RENEW,
        "-uuid",
        "the guest reads it as product_uuid, and makes ids from it",
    ),
    (
        "process-name",
        FieldKind.OTHER,
        _FOLLOW,
        "-name process",
        "the host's list of processes identifies machines by it",
    ),
    (
        "stream-socket",
        FieldKind.SOCKET,
        _FOLLOW,
        _STREAMS,
        "the second machine to listen on a socket takes it from the first",
    ),
    (
        "stream-port",
        FieldKind.PORT,
        _RENEW,
        (*_STREAMS, "-gdb"),
        "the host's port is taken while the source runs",
    ),
    (
        "debugger-port",
        FieldKind.OTHER,
        _KEEP,
        "-s",
        "port 1234 is taken while the source runs: give -gdb tcp::PORT instead",
        Level.WARNING,
    ),
    ("stream-file", FieldKind.FILE, _FOLLOW, _STREAMS, "two machines would write into one file"),
    (
        "stream-device",
        FieldKind.OTHER,
        _KEEP,
        _STREAMS,
        "a device of the host belongs to one running machine: give the new one another",
        Level.WARNING,
    ),
    (
        "host-file",
        FieldKind.FILE,
        _FOLLOW,
        ("-pidfile", "-D", "-trace file"),
        "two machines would write into one file",
    ),
    (
        "configuration-file",
        FieldKind.OTHER,
        _KEEP,
        "-readconfig",
        "what it says is the source's: define it too (unclone define FILE), and name the result",
        Level.WARNING,
    ),
    (
        "kernel-arguments",
        FieldKind.OTHER,
        _KEEP,
        "-append",
        "it gives the guest a name or an address, or names its disk, as it did for the source",
        Level.WARNING,
    ),
)

RULES = (*COMMON, *COMMAND_LINE)
