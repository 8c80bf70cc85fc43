"""What a libvirt domain holds on its host beside disks, cards and consoles. See rules.py.

References: libvirt "Domain XML format" (formatdomain.rst) and domaincommon.rng;
"Snapshot XML format" (formatsnapshot.rst).
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_DOC = "https://libvirt.org/formatdomain.html#"
_RENEW, _FOLLOW, _REMOVE = Treatment.RENEW, Treatment.FOLLOW, Treatment.REMOVE
_MOVE, _KEEP = Treatment.MOVE, Treatment.KEEP

_OVERRIDE = "override/device/frontend/property[@name='{}']/@value"

#: Attributes that say where a disk, or a part of one, is.
SOURCES = tuple(f"source/@{name}" for name in ("file", "dev", "dir", "name", "volume", "path"))

_STORAGE = rules(
    _DOC + "hard-drives-floppy-disks-cdroms",
    (
        "disk-data-file",
        FieldKind.DISK,
        _MOVE,
        tuple(f"devices/disk/source/dataStore/{each}" for each in SOURCES),
        "the qcow2 keeps its data there: two machines that write to it destroy it",
    ),
    (
        "disk-backing-file",
        FieldKind.OTHER,
        _KEEP,
        tuple(f"devices/disk/backingStore/{each}" for each in SOURCES),
        "both machines read it and neither writes to it",
    ),
    (
        "disk-mirror",
        FieldKind.OTHER,
        _KEEP,
        tuple(f"devices/disk/mirror/{each}" for each in ("@file", *SOURCES)),
        "the source's disk was being copied there: end that job first",
        Level.WARNING,
    ),
    (
        "disk-network",
        FieldKind.OTHER,
        _KEEP,
        ("devices/disk/source/@protocol", "devices/disk/source/dataStore/source/@protocol"),
        "two machines that write to one disk of a server destroy it: give the new one another",
        Level.WARNING,
    ),
    (
        "iscsi-initiator",
        FieldKind.OTHER,
        _KEEP,
        tuple(f"{disk}/source/initiator/iqn/@name" for disk in ("devices/disk", "os/nvram")),
        "the target knows the machine by it, and takes both for one: give the new one another",
        Level.WARNING,
    ),
    (
        "disk-reservations",
        FieldKind.OTHER,
        _KEEP,
        (
            "devices/disk/source/reservations/source/@path",
            "devices/disk/source/dataStore/source/reservations/source/@path",
        ),
        "both machines would use the helper at this socket: see whether it serves one only",
        Level.WARNING,
    ),
    (
        "lease",
        FieldKind.OTHER,
        _KEEP,
        ("devices/lease/key", "devices/lease/target/@path"),
        "one running machine holds the lease: the second does not start",
        Level.WARNING,
    ),
)

_NETWORK = rules(
    _DOC + "network-interfaces",
    (
        "interface-address",
        FieldKind.OTHER,
        _KEEP,
        (
            "devices/interface/ip/@address",
            "devices/interface/source/ip/@address",
            "devices/hostdev/ip/@address",
        ),
        "the source has this address too: it has to be the new machine's own",
        Level.WARNING,
    ),
    (
        "interface-switch-port",
        FieldKind.OTHER,
        _KEEP,
        "devices/interface[@type='vds']/source/@portid",
        "a port of a distributed switch has one card: connect the new one to another",
        Level.WARNING,
    ),
    (
        "interface-host-name",
        FieldKind.OTHER,
        _FOLLOW,
        ("devices/interface/backend/@hostname", "devices/interface/backend/@fqdn"),
        "the guest gets it as its host name by DHCP",
    ),
)

_CHARACTERS = rules(
    _DOC + "consoles-serial-parallel-channel-devices",
    (
        "character-device",
        FieldKind.OTHER,
        _KEEP,
        (
            *(f"devices/{d}[@type='dev']/source/@path" for d in ("serial", "parallel", "console")),
            *(f"devices/{d}[@type='nmdm']/source/@master" for d in ("serial", "console")),
            *(f"devices/{d}[@type='nmdm']/source/@slave" for d in ("serial", "console")),
            *(f"devices/input/source/@{name}" for name in ("dev", "evdev")),
        ),
        "a device of the host belongs to one running machine: give the new one another",
        Level.WARNING,
    ),
    (
        "smartcard-certificate",
        FieldKind.OTHER,
        _KEEP,
        ("devices/smartcard/certificate", "devices/smartcard/database"),
        "with the same certificates both machines have the same card",
        Level.WARNING,
    ),
    (
        "random-socket",
        FieldKind.OTHER,
        _KEEP,
        "devices/rng/backend/source[@mode='connect']/@path",
        "both machines get random numbers from the daemon there",
    ),
    (
        "graphics-bus",
        FieldKind.OTHER,
        _KEEP,
        "devices/graphics/@address",
        "both machines would show their screens on this bus",
        Level.WARNING,
    ),
    (
        "shared-memory-server",
        FieldKind.OTHER,
        _KEEP,
        "devices/shmem/server/@path",
        "memory of this server is shared with every machine that uses it, the source too",
        Level.WARNING,
    ),
    (
        "persistent-store",
        FieldKind.FILE,
        _FOLLOW,
        "devices/pstore/path",
        "two guests would write their crash records into one file",
    ),
)

_OTHER = rules(
    _DOC + "launch-security",
    (
        "launch-security",
        FieldKind.OTHER,
        _KEEP,
        tuple(
            f"launchSecurity/{name}"
            for name in ("session", "dhCert", "idBlock", "idAuth", "hostData", "mrConfigId")
        ),
        "it was made by the owner of the source's guest: a new machine is measured anew",
        Level.WARNING,
    ),
    (
        "launch-security-owner",
        FieldKind.OTHER,
        _KEEP,
        ("launchSecurity/mrOwner", "launchSecurity/mrOwnerConfig"),
        "it says who owns the source's guest",
    ),
    (
        "quote-socket",
        FieldKind.OTHER,
        _KEEP,
        "launchSecurity/quoteGenerationService/@path",
        "both machines ask the service of the host at this socket",
    ),
    (
        "partition",
        FieldKind.OTHER,
        _FOLLOW,
        "resource/partition",
        "a group of processes that is called like the source is the source's",
    ),
    (
        "shared-namespace",
        FieldKind.OTHER,
        _KEEP,
        tuple(f"namespace/{name}/@value" for name in ("sharenet", "shareipc", "shareuts")),
        "the new container would share it with the same other one",
        Level.WARNING,
    ),
    (
        "vmware-reference",
        FieldKind.OTHER,
        _KEEP,
        "moref",
        "it is the source's in vCenter, which gives the new machine another",
    ),
)

_METADATA = rules(
    _DOC + "general-metadata",
    (
        "other-metadata",
        FieldKind.OTHER,
        _KEEP,
        "metadata/*",
        "another program keeps it there: see whether it names the source, or has its passwords",
        Level.WARNING,
    ),
)

_PASSED_ON = rules(
    "https://libvirt.org/drvqemu.html#overriding-properties-of-qemu-devices",
    (
        "override-mac",
        FieldKind.MAC,
        _RENEW,
        _OVERRIDE.format("mac"),
        "two cards with one address on a network lose each other's packets",
    ),
    (
        "override-serial",
        FieldKind.SERIAL,
        _RENEW,
        _OVERRIDE.format("serial"),
        "the guest names disks by it in /dev/disk/by-id",
    ),
    (
        "override-identity",
        FieldKind.OTHER,
        _KEEP,
        tuple(
            _OVERRIDE.format(name)
            for name in ("uuid", "guid", "nguid", "eui64", "wwn", "port_wwn", "device_id", "sn")
        ),
        "libvirt does not know what this property says: give the new machine one of its own",
        Level.WARNING,
    ),
    (
        "environment",
        FieldKind.OTHER,
        _KEEP,
        "commandline/env/@value",
        "QEMU and what it starts read it: see whether it is one machine's own",
        Level.WARNING,
    ),
)

#: Of a machine, in the order in which libvirt's documentation has them.
HOST_RULES = (*_STORAGE, *_NETWORK, *_CHARACTERS, *_OTHER, *_METADATA, *_PASSED_ON)

#: Relative to a ``<domainsnapshot>``.
SNAPSHOT_RULES = rules(
    "https://libvirt.org/formatsnapshot.html",
    (
        "snapshot-memory",
        FieldKind.OTHER,
        _KEEP,
        "/memory/@file",
        "it is the memory of the source: a machine that is reverted to it is the source again",
        Level.WARNING,
    ),
    (
        "snapshot-overlay",
        FieldKind.DISK,
        _MOVE,
        tuple(f"/{disks}/disk/{each}" for disks in ("disks", "revertDisks") for each in SOURCES),
        "two machines that write to one disk destroy it; give --disk OLD=NEW",
    ),
    (
        "snapshot-network",
        FieldKind.OTHER,
        _KEEP,
        ("/disks/disk/source/@protocol", "/revertDisks/disk/source/@protocol"),
        "two machines that write to one disk destroy it: give the new one another",
        Level.WARNING,
    ),
)
