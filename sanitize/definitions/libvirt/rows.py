"""Every field of a libvirt domain that says who the machine is.

``where`` is relative to ``<domain>`` and is what sanitize/definitions/formats/libvirt.py looks
for: elements, ``[@attribute='value']``, and at the end an attribute or the element's own words;
``|`` is "or". Not every match is a field: conditions.py says which are.

References: libvirt "Domain XML format" (formatdomain.rst, 9.0 to 11.0) and domaincommon.rng.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.libvirt.device_rows import DEVICE_ROWS
from unclone.sanitize.definitions.libvirt.section import section
from unclone.sanitize.definitions.row import Kind, Treatment

_RENEW, _FOLLOW = Treatment.RENEW, Treatment.FOLLOW
_REMOVE, _KEEP = Treatment.REMOVE, Treatment.KEEP

_GENERAL = section(
    "general-metadata",
    ("name", Kind.NAME, Treatment.NAME, "name", "a host has one machine of a name"),
    (
        "uuid",
        Kind.MACHINE_UUID,
        _RENEW,
        "uuid",
        "libvirt tells machines by it, and guests make ids from it",
    ),
    (
        "genid",
        Kind.GENERATION_ID,
        _RENEW,
        "genid",
        "a guest that sees it change knows that it is a copy, and reseeds its random numbers",
    ),
    (
        "title",
        Kind.OTHER,
        _REMOVE,
        "title",
        "it describes the source, and lists show it beside the name",
    ),
)

_SMBIOS = section(
    "smbios-system-information",
    (
        "sysinfo-uuid",
        Kind.MACHINE_UUID,
        _RENEW,
        "sysinfo/system/entry[@name='uuid']",
        "libvirt wants it equal to <uuid>; the guest reads it as product_uuid",
    ),
    (
        "sysinfo-serial",
        Kind.SERIAL,
        _RENEW,
        "sysinfo/system/entry[@name='serial']",
        "the guest reads it as product_serial; inventories and licences tell machines by it",
    ),
    (
        "board-serial",
        Kind.SERIAL,
        _RENEW,
        "sysinfo/baseBoard/entry[@name='serial']",
        "the guest reads it as board_serial",
    ),
    (
        "chassis-serial",
        Kind.SERIAL,
        _RENEW,
        "sysinfo/chassis/entry[@name='serial']",
        "the guest reads it as chassis_serial",
    ),
    (
        "asset-tag",
        Kind.OTHER,
        _KEEP,
        ("sysinfo/baseBoard/entry[@name='asset']", "sysinfo/chassis/entry[@name='asset']"),
        "guests tell clouds by it; change it where yours is an inventory number",
    ),
    (
        "oem-strings",
        Kind.OTHER,
        _KEEP,
        ("sysinfo/oemStrings/entry", "sysinfo[@type='fwcfg']/entry"),
        "the guest reads it, and only you know whether it is one machine's own",
    ),
)

_BOOT = section(
    "operating-system-booting",
    (
        "nvram",
        Kind.FIRMWARE,
        _FOLLOW,
        ("os/nvram", "os/nvram/source/@file"),
        "each machine writes UEFI variables of its own; the file is copied",
    ),
    (
        "kernel-arguments",
        Kind.OTHER,
        _KEEP,
        "os/cmdline",
        "where it names a UUID of the guest's disk, it has to change with the disk",
    ),
)

_SECURITY = section(
    "security-label",
    (
        "security-label",
        Kind.OTHER,
        _KEEP,
        "seclabel[@type='static']/label",
        "it was chosen by hand; with one label for both, neither is protected from the other",
        Level.WARNING,
    ),
)

_OTHER = section(
    "resource-partitioning",
    (
        "fabric-id",
        Kind.OTHER,
        _KEEP,
        "resource/fibrechannel/@appid",
        "the Fibre Channel fabric counts both machines as one",
    ),
    (
        "qemu-arguments",
        Kind.OTHER,
        _KEEP,
        "commandline",
        "libvirt hands these arguments to QEMU as they are: see whether they name the source",
    ),
)

ROWS = (
    *_GENERAL,
    *_SMBIOS,
    *_BOOT,
    *DEVICE_ROWS,
    *_SECURITY,
    *_OTHER,
)
