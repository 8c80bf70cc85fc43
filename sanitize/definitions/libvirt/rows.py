"""Every field of a libvirt domain that says who the machine is.

``where`` is relative to ``<domain>`` and is what sanitize/definitions/formats/libvirt.py looks for:
elements, ``[@attribute='value']``, and at the end an attribute or the element's own words.

References: libvirt "Domain XML format" (formatdomain.rst, 9.0 to 11.0) and domaincommon.rng.
"""

from __future__ import annotations

from sanitize.definitions.row import Kind, Row, Treatment

_DOC = "https://libvirt.org/formatdomain.html"

#: Devices with a character device behind them.
CHARACTER_DEVICES = ("serial", "parallel", "console", "channel", "smartcard", "redirdev")


def _row(id_: str, kind: Kind, treatment: Treatment, where: str, why: str, part: str = "") -> Row:
    return Row(id_, kind, treatment, where, why, f"{_DOC}#{part}" if part else _DOC)


_NAME, _RENEW, _FOLLOW = Treatment.NAME, Treatment.RENEW, Treatment.FOLLOW
_SET, _REMOVE, _MOVE, _KEEP = Treatment.SET, Treatment.REMOVE, Treatment.MOVE, Treatment.KEEP

GENERAL = (
    _row("name", Kind.NAME, _NAME, "name", "a host has one machine of a name", "general-metadata"),
    _row(
        "uuid",
        Kind.MACHINE_UUID,
        _RENEW,
        "uuid",
        "libvirt tells machines by it, and guests make ids from it",
        "general-metadata",
    ),
    _row(
        "genid",
        Kind.GENERATION_ID,
        _RENEW,
        "genid",
        "a guest that sees it change knows that it is a copy, and reseeds its random numbers",
        "general-metadata",
    ),
    _row(
        "title",
        Kind.OTHER,
        _REMOVE,
        "title",
        "it describes the source, and lists show it instead of the name",
        "general-metadata",
    ),
)

SMBIOS = (
    _row(
        "sysinfo-uuid",
        Kind.MACHINE_UUID,
        _RENEW,
        "sysinfo/system/entry[@name='uuid']",
        "libvirt wants it equal to <uuid>; the guest reads it as product_uuid",
        "smbios-system-information",
    ),
    _row(
        "sysinfo-serial",
        Kind.SERIAL,
        _RENEW,
        "sysinfo/system/entry[@name='serial']",
        "the guest reads it as product_serial; inventories and licences tell machines by it",
        "smbios-system-information",
    ),
    _row(
        "board-serial",
        Kind.SERIAL,
        _RENEW,
        "sysinfo/baseBoard/entry[@name='serial']",
        "the guest reads it as board_serial",
        "smbios-system-information",
    ),
    _row(
        "chassis-serial",
        Kind.SERIAL,
        _RENEW,
        "sysinfo/chassis/entry[@name='serial']",
        "the guest reads it as chassis_serial",
        "smbios-system-information",
    ),
)

NETWORK = (
    _row(
        "interface-mac",
        Kind.MAC,
        _RENEW,
        "devices/interface/mac/@address",
        "two cards with one address on a network lose each other's packets",
        "network-interfaces",
    ),
    _row(
        "interface-target",
        Kind.INTERFACE,
        _REMOVE,
        "devices/interface/target/@dev",
        "a host has one interface of a name; libvirt makes up a free one",
        "overriding-the-target-element",
    ),
)

BOOT = (
    _row(
        "nvram",
        Kind.FIRMWARE,
        _FOLLOW,
        "os/nvram",
        "each machine writes UEFI variables of its own; the file is copied",
        "bios-bootloader",
    ),
)

STORAGE = (
    _row(
        "disk-file",
        Kind.DISK,
        _MOVE,
        "devices/disk/source/@file",
        "two machines that write to one disk destroy it (--disk OLD=NEW)",
        "hard-drives-floppy-disks-cdroms",
    ),
    _row(
        "disk-serial",
        Kind.SERIAL,
        _RENEW,
        "devices/disk/serial",
        "the guest names disks by it in /dev/disk/by-id",
        "hard-drives-floppy-disks-cdroms",
    ),
    _row(
        "disk-wwn",
        Kind.WWN,
        _RENEW,
        "devices/disk/wwn",
        "a World Wide Name is unique, and multipath takes two disks that share one for the same",
        "hard-drives-floppy-disks-cdroms",
    ),
)

ROWS = (*GENERAL, *SMBIOS, *BOOT, *STORAGE, *NETWORK)
