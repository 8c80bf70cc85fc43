"""The fields of a libvirt domain's devices. See rules.py for how they are written.

References: libvirt "Domain XML format" (formatdomain.rst, 9.0 to 11.0) and domaincommon.rng.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_DOC = "https://libvirt.org/formatdomain.html#"
_RENEW, _FOLLOW = Treatment.RENEW, Treatment.FOLLOW
_SET, _REMOVE, _MOVE, _KEEP = Treatment.SET, Treatment.REMOVE, Treatment.MOVE, Treatment.KEEP

_STORAGE = rules(
    _DOC + "hard-drives-floppy-disks-cdroms",
    (
        "disk-source",
        FieldKind.DISK,
        _MOVE,
        tuple(
            f"devices/disk/source/@{a}" for a in ("file", "dev", "dir", "name", "volume", "path")
        ),
        "two machines that write to one disk destroy it; give --disk OLD=NEW",
    ),
    (
        "disk-shared",
        FieldKind.DISK,
        _MOVE,
        tuple(
            f"devices/disk/source/@{a}" for a in ("file", "dev", "dir", "name", "volume", "path")
        ),
        "it is removable, read-only or shareable; a seed of the source is not for the new machine",
        Level.INFO,
    ),
    (
        "disk-serial",
        FieldKind.SERIAL,
        _RENEW,
        ("devices/disk/serial", "devices/controller/serial"),
        "the guest names disks by it in /dev/disk/by-id",
    ),
    (
        "disk-wwn",
        FieldKind.WWN,
        _RENEW,
        "devices/disk/wwn",
        "a World Wide Name is unique; multipath takes two disks that share one for the same",
    ),
    (
        "disk-secret",
        FieldKind.OTHER,
        _KEEP,
        (
            "devices/disk/auth/secret/@uuid",
            "devices/disk/source/auth/secret/@uuid",
            "devices/disk/encryption/secret/@uuid",
            "devices/disk/source/encryption/secret/@uuid",
            "devices/disk/source/dataStore/source/auth/secret/@uuid",
            "devices/disk/source/dataStore/source/encryption/secret/@uuid",
        ),
        "it names a secret of the host: the key is that of the source's disk",
    ),
)

_MEMORY = rules(
    _DOC + "memory-devices",
    (
        "nvdimm-file",
        FieldKind.DISK,
        _MOVE,
        "devices/memory/source/path",
        "two machines that write to one NVDIMM destroy it; give --disk OLD=NEW",
    ),
    (
        "nvdimm-uuid",
        FieldKind.UUID,
        _RENEW,
        "devices/memory/uuid",
        "the guest identifies NVDIMMs by it",
    ),
)

_FILE_SYSTEMS = rules(
    _DOC + "filesystems",
    (
        "shared-folder",
        FieldKind.OTHER,
        _KEEP,
        tuple(f"devices/filesystem/source/@{a}" for a in ("dir", "file", "dev", "name", "volume")),
        "both machines see the same folder; give the new one its own where they must not",
    ),
    (
        "file-system-socket",
        FieldKind.SOCKET,
        _FOLLOW,
        "devices/filesystem/source/@socket",
        "a virtiofsd serves one machine: start another on this socket",
    ),
)

_NETWORK = rules(
    _DOC + "network-interfaces",
    (
        "interface-mac",
        FieldKind.MAC,
        _RENEW,
        "devices/interface/mac/@address",
        "two cards with one address on a network lose each other's packets",
    ),
    (
        "interface-current-mac",
        FieldKind.MAC,
        _REMOVE,
        "devices/interface/mac/@currentAddress",
        "the address that the running machine used; libvirt writes it itself",
    ),
    (
        "interface-target",
        FieldKind.INTERFACE,
        _REMOVE,
        "devices/interface/target/@dev",
        "a host has one interface of a name; libvirt chooses a free one",
    ),
    (
        "interface-made",
        FieldKind.OTHER,
        _KEEP,
        "devices/interface/target/@dev",
        "libvirt does not make this interface (managed='no'): make another for the new machine",
        Level.WARNING,
    ),
    (
        "interface-port-id",
        FieldKind.UUID,
        _REMOVE,
        "devices/interface/source/@portid",
        "it is the port of the running source; libvirt makes one at every start",
    ),
    (
        "interface-log",
        FieldKind.FILE,
        _FOLLOW,
        "devices/interface/backend/@logFile",
        "two machines would write into one file",
    ),
    (
        "interface-socket",
        FieldKind.SOCKET,
        _FOLLOW,
        "devices/interface[@type='vhostuser']/source/@path",
        "a vhost-user socket serves one card: make a port of the switch for it",
    ),
    (
        "interface-id",
        FieldKind.UUID,
        _RENEW,
        "devices/interface/virtualport/parameters/@interfaceid",
        "Open vSwitch and its controllers identify ports by it",
    ),
    (
        "interface-instance-id",
        FieldKind.UUID,
        _RENEW,
        "devices/interface/virtualport/parameters/@instanceid",
        "IEEE 802.1Qbg: the switch identifies machines by it, globally",
    ),
    (
        "port-profile",
        FieldKind.OTHER,
        _KEEP,
        "devices/interface/virtualport/parameters/@profileid",
        "a profile of the switch holds for many ports",
    ),
    (
        "filter-parameter",
        FieldKind.OTHER,
        _FOLLOW,
        "devices/interface/filterref/parameter[@name='MAC']/@value",
        "a filter that lets one MAC address pass would stop the new one",
    ),
    (
        "filter-address",
        FieldKind.OTHER,
        _KEEP,
        "devices/interface/filterref/parameter[@name='IP']/@value",
        "the filter lets only this address pass: it has to be the new machine's",
        Level.WARNING,
    ),
    (
        "interface-port",
        FieldKind.PORT,
        _RENEW,
        (
            "devices/interface[@type='server']/source/@port",
            "devices/interface[@type='udp']/source/local/@port",
        ),
        "the host's port is taken while the source runs",
    ),
    (
        "forwarded-port",
        FieldKind.OTHER,
        _KEEP,
        "devices/interface/portForward/range/@start",
        "the host's port is taken while the source runs: forward another",
        Level.WARNING,
    ),
)

_HOST_DEVICES = rules(
    _DOC + "host-device-assignment",
    (
        "host-device",
        FieldKind.OTHER,
        _KEEP,
        (
            "devices/hostdev",
            "devices/interface[@type='hostdev']",
            "devices/interface[@type='vdpa']",
            "devices/disk[@type='nvme']",
        ),
        "a device of the host belongs to one running machine: give the new one another",
        Level.WARNING,
    ),
    (
        "vsock-cid",
        FieldKind.VSOCK_CID,
        _RENEW,
        "devices/vsock/cid/@address",
        "a host has one machine of a context id: the second does not start",
    ),
)

_CHARACTER_DEVICES = (
    *("serial", "parallel", "console", "channel", "smartcard", "redirdev"),
    "rng/backend",
)
_CHARACTERS = rules(
    _DOC + "consoles-serial-parallel-channel-devices",
    (
        "channel-generated-path",
        FieldKind.SOCKET,
        _REMOVE,
        "devices/channel/source/@path",
        "libvirt made it from the old name, and makes another",
    ),
    (
        "character-path",
        FieldKind.SOCKET,
        _FOLLOW,
        tuple(f"devices/{d}/source/@path" for d in _CHARACTER_DEVICES),
        "the second machine to listen on a socket takes it from the first",
    ),
    (
        "character-log",
        FieldKind.FILE,
        _FOLLOW,
        tuple(f"devices/{d}/log/@file" for d in _CHARACTER_DEVICES),
        "two machines would write into one file",
    ),
    (
        "character-port",
        FieldKind.PORT,
        _RENEW,
        tuple(f"devices/{d}/source[@mode='bind']/@service" for d in _CHARACTER_DEVICES),
        "the host's port is taken while the source runs",
    ),
    (
        "character-peer",
        FieldKind.OTHER,
        _KEEP,
        tuple(f"devices/{d}/source[@mode='connect']/@service" for d in _CHARACTER_DEVICES),
        "the other end has to expect a second machine",
    ),
    (
        "audio-file",
        FieldKind.FILE,
        _FOLLOW,
        "devices/audio/@path",
        "two machines would write into one file",
    ),
)

_GRAPHICS = rules(
    _DOC + "graphical-framebuffers",
    (
        "graphics-port",
        FieldKind.PORT,
        _SET,
        tuple(f"devices/graphics/@{a}" for a in ("port", "tlsPort", "websocket")),
        "a fixed port is taken while the source runs; -1 lets libvirt choose a free one",
    ),
    (
        "graphics-autoport",
        FieldKind.OTHER,
        _SET,
        "devices/graphics/@autoport",
        "libvirt is to choose the port that was fixed",
    ),
    (
        "graphics-socket",
        FieldKind.SOCKET,
        _FOLLOW,
        ("devices/graphics/@socket", "devices/graphics/listen/@socket"),
        "the second machine to listen on a socket takes it from the first",
    ),
    (
        "graphics-password",
        FieldKind.OTHER,
        _KEEP,
        "devices/graphics/@passwd",
        "with the source's password the new machine's screen can be opened",
    ),
)

_TPM = rules(
    _DOC + "tpm-device",
    (
        "tpm-state",
        FieldKind.TPM,
        _KEEP,
        "devices/tpm/backend[@type='emulator']",
        (
            "its state is kept under the machine's UUID, so the new machine starts with an empty "
            "TPM: enroll again what is sealed to the old one (disk keys); never copy the state"
        ),
    ),
    (
        "tpm-file",
        FieldKind.FILE,
        _FOLLOW,
        "devices/tpm/backend/source/@path",
        "a TPM, its state and its socket are one machine's own: the new one starts empty there",
    ),
    (
        "tpm-secret",
        FieldKind.OTHER,
        _KEEP,
        "devices/tpm/backend/encryption/@secret",
        "it names a secret of the host: both machines' TPM states have the same key",
    ),
    (
        "tpm-device",
        FieldKind.OTHER,
        _KEEP,
        "devices/tpm/backend/device/@path",
        "the host's TPM belongs to one running machine",
        Level.WARNING,
    ),
)

_SHARED_MEMORY = rules(
    _DOC + "shared-memory-device",
    (
        "shared-memory",
        FieldKind.OTHER,
        _KEEP,
        "devices/shmem/@name",
        "memory of this name is shared with every machine that has it, the source too",
        Level.WARNING,
    ),
)

#: Where two rules match one place, conditions.py says which has it.
DEVICE_RULES = (
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
