"""The fields of a libvirt domain's devices. See rows.py for how they are written.

References: libvirt "Domain XML format" (formatdomain.rst, 9.0 to 11.0) and domaincommon.rng.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.libvirt.section import section
from unclone.sanitize.definitions.row import Kind, Treatment

_RENEW, _FOLLOW = Treatment.RENEW, Treatment.FOLLOW
_SET, _REMOVE, _MOVE, _KEEP = Treatment.SET, Treatment.REMOVE, Treatment.MOVE, Treatment.KEEP

_STORAGE = section(
    "hard-drives-floppy-disks-cdroms",
    (
        "disk-source",
        Kind.DISK,
        _MOVE,
        tuple(
            f"devices/disk/source/@{a}" for a in ("file", "dev", "dir", "name", "volume", "path")
        ),
        "two machines that write to one disk destroy it; give --disk OLD=NEW",
    ),
    (
        "disk-shared",
        Kind.DISK,
        _MOVE,
        tuple(
            f"devices/disk/source/@{a}" for a in ("file", "dev", "dir", "name", "volume", "path")
        ),
        "it is removable, read-only or shareable; a seed of the source is not for the new machine",
        Level.INFO,
    ),
    (
        "disk-serial",
        Kind.SERIAL,
        _RENEW,
        "devices/disk/serial",
        "the guest names disks by it in /dev/disk/by-id",
    ),
    (
        "disk-wwn",
        Kind.WWN,
        _RENEW,
        "devices/disk/wwn",
        "a World Wide Name is unique; multipath takes two disks that share one for the same",
    ),
    (
        "disk-secret",
        Kind.OTHER,
        _KEEP,
        (
            "devices/disk/auth/secret/@uuid",
            "devices/disk/source/auth/secret/@uuid",
            "devices/disk/encryption/secret/@uuid",
            "devices/disk/source/encryption/secret/@uuid",
        ),
        "it names a secret of the host: the key is that of the source's disk",
    ),
)

_MEMORY = section(
    "memory-devices",
    (
        "nvdimm-file",
        Kind.DISK,
        _MOVE,
        "devices/memory/source/path",
        "two machines that write to one NVDIMM destroy it; give --disk OLD=NEW",
    ),
    (
        "nvdimm-uuid",
        Kind.UUID,
        _RENEW,
        "devices/memory/uuid",
        "the guest tells NVDIMMs by it",
    ),
)

_FILE_SYSTEMS = section(
    "filesystems",
    (
        "shared-folder",
        Kind.OTHER,
        _KEEP,
        tuple(f"devices/filesystem/source/@{a}" for a in ("dir", "file", "dev", "name", "volume")),
        "both machines see the same folder; give the new one its own where they must not",
    ),
    (
        "file-system-socket",
        Kind.SOCKET,
        _FOLLOW,
        "devices/filesystem/source/@socket",
        "a virtiofsd serves one machine: start another on this socket",
    ),
)

_NETWORK = section(
    "network-interfaces",
    (
        "interface-mac",
        Kind.MAC,
        _RENEW,
        "devices/interface/mac/@address",
        "two cards with one address on a network lose each other's packets",
    ),
    (
        "interface-target",
        Kind.INTERFACE,
        _REMOVE,
        "devices/interface/target/@dev",
        "a host has one interface of a name; libvirt makes up a free one",
    ),
    (
        "interface-made",
        Kind.OTHER,
        _KEEP,
        "devices/interface/target/@dev",
        "libvirt does not make this interface (managed='no'): make another for the new machine",
        Level.WARNING,
    ),
    (
        "interface-port-id",
        Kind.UUID,
        _REMOVE,
        "devices/interface/source/@portid",
        "it is the port of the running source; libvirt makes one at every start",
    ),
    (
        "interface-log",
        Kind.FILE,
        _FOLLOW,
        "devices/interface/backend/@logFile",
        "two machines would write into one file",
    ),
    (
        "interface-socket",
        Kind.SOCKET,
        _FOLLOW,
        "devices/interface[@type='vhostuser']/source/@path",
        "a vhost-user socket serves one card: make a port of the switch for it",
    ),
    (
        "interface-id",
        Kind.UUID,
        _RENEW,
        "devices/interface/virtualport/parameters/@interfaceid",
        "Open vSwitch and its controllers tell ports by it",
    ),
    (
        "interface-instance-id",
        Kind.UUID,
        _RENEW,
        "devices/interface/virtualport/parameters/@instanceid",
        "IEEE 802.1Qbg: the switch tells machines by it, globally",
    ),
    (
        "port-profile",
        Kind.OTHER,
        _KEEP,
        "devices/interface/virtualport/parameters/@profileid",
        "a profile of the switch holds for many ports",
    ),
    (
        "filter-parameter",
        Kind.OTHER,
        _FOLLOW,
        "devices/interface/filterref/parameter[@name='MAC']/@value",
        "a filter that lets one MAC address pass would stop the new one",
    ),
    (
        "filter-address",
        Kind.OTHER,
        _KEEP,
        "devices/interface/filterref/parameter[@name='IP']/@value",
        "the filter lets only this address pass: it has to be the new machine's",
        Level.WARNING,
    ),
    (
        "interface-port",
        Kind.PORT,
        _RENEW,
        (
            "devices/interface[@type='server']/source/@port",
            "devices/interface[@type='udp']/source/local/@port",
        ),
        "the host's port is taken while the source runs",
    ),
    (
        "forwarded-port",
        Kind.OTHER,
        _KEEP,
        "devices/interface/portForward/range/@start",
        "the host's port is taken while the source runs: forward another",
        Level.WARNING,
    ),
)

_HOST_DEVICES = section(
    "host-device-assignment",
    (
        "host-device",
        Kind.OTHER,
        _KEEP,
        ("devices/hostdev", "devices/interface[@type='hostdev']", "devices/disk[@type='nvme']"),
        "a device of the host belongs to one running machine: give the new one another",
        Level.WARNING,
    ),
    (
        "vsock-cid",
        Kind.VSOCK_CID,
        _RENEW,
        "devices/vsock/cid/@address",
        "a host has one machine of a context id: the second does not start",
    ),
)

_CHARACTER_DEVICES = ("serial", "parallel", "console", "channel", "smartcard", "redirdev")
_CHARACTERS = section(
    "consoles-serial-parallel-channel-devices",
    (
        "channel-generated-path",
        Kind.SOCKET,
        _REMOVE,
        "devices/channel/source/@path",
        "libvirt made it from the old name, and makes another",
    ),
    (
        "character-path",
        Kind.SOCKET,
        _FOLLOW,
        tuple(f"devices/{d}/source/@path" for d in _CHARACTER_DEVICES),
        "the second machine to listen on a socket takes it from the first",
    ),
    (
        "character-log",
        Kind.FILE,
        _FOLLOW,
        tuple(f"devices/{d}/log/@file" for d in _CHARACTER_DEVICES),
        "two machines would write into one file",
    ),
    (
        "character-port",
        Kind.PORT,
        _RENEW,
        tuple(f"devices/{d}/source[@mode='bind']/@service" for d in _CHARACTER_DEVICES),
        "the host's port is taken while the source runs",
    ),
    (
        "character-peer",
        Kind.OTHER,
        _KEEP,
        tuple(f"devices/{d}/source[@mode='connect']/@service" for d in _CHARACTER_DEVICES),
        "the other end has to expect a second machine",
    ),
    (
        "audio-file",
        Kind.FILE,
        _FOLLOW,
        "devices/audio/@path",
        "two machines would write into one file",
    ),
)

_GRAPHICS = section(
    "graphical-framebuffers",
    (
        "graphics-port",
        Kind.PORT,
        _SET,
        tuple(f"devices/graphics/@{a}" for a in ("port", "tlsPort", "websocket")),
        "a fixed port is taken while the source runs; -1 lets libvirt choose a free one",
    ),
    (
        "graphics-autoport",
        Kind.OTHER,
        _SET,
        "devices/graphics/@autoport",
        "libvirt is to choose the port that was fixed",
    ),
    (
        "graphics-socket",
        Kind.SOCKET,
        _FOLLOW,
        ("devices/graphics/@socket", "devices/graphics/listen/@socket"),
        "the second machine to listen on a socket takes it from the first",
    ),
    (
        "graphics-password",
        Kind.OTHER,
        _KEEP,
        "devices/graphics/@passwd",
        "whoever knows it for the source can open the new machine's screen",
    ),
)

_TPM = section(
    "tpm-device",
    (
        "tpm-state",
        Kind.TPM,
        _KEEP,
        "devices/tpm/backend[@type='emulator']",
        (
            "its state is kept under the machine's UUID, so the new machine starts with an empty "
            "TPM: enroll again what is sealed to the old one (disk keys); never copy the state"
        ),
    ),
    (
        "tpm-file",
        Kind.FILE,
        _FOLLOW,
        "devices/tpm/backend/source/@path",
        "a TPM, its state and its socket are one machine's own: the new one starts empty there",
    ),
    (
        "tpm-secret",
        Kind.OTHER,
        _KEEP,
        "devices/tpm/backend/encryption/@secret",
        "it names a secret of the host: both machines' TPM states have the same key",
    ),
    (
        "tpm-device",
        Kind.OTHER,
        _KEEP,
        "devices/tpm/backend/device/@path",
        "the host's TPM belongs to one running machine",
        Level.WARNING,
    ),
)

_SHARED_MEMORY = section(
    "shared-memory-device",
    (
        "shared-memory",
        Kind.OTHER,
        _KEEP,
        "devices/shmem/@name",
        "memory of this name is shared with every machine that has it, the source too",
        Level.WARNING,
    ),
)

#: Where two rows match one place, conditions.py says which has it.
DEVICE_ROWS = (
    *_STORAGE,
    *_MEMORY,
    *_FILE_SYSTEMS,
    *_NETWORK,
    *_HOST_DEVICES,
    *_CHARACTERS,
    *_GRAPHICS,
    *_TPM,
    *_SHARED_MEMORY,
)
