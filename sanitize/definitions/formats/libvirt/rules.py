"""Every field of a libvirt domain that identifies the machine.

``where`` is relative to ``<domain>``, with a slash before it to ``<domainsnapshot>``, and is what
reader.py looks for: elements, ``[@attribute='value']``, and at the end an attribute or the
element's own text; ``|`` is "or".
Not every match is a field: conditions.py says which are.

References: libvirt "Domain XML format" (formatdomain.rst, 9.0 to 11.0) and domaincommon.rng.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.formats.libvirt.device_rules import DEVICE_RULES
from unclone.sanitize.definitions.formats.libvirt.host_rules import HOST_RULES, SNAPSHOT_RULES
from unclone.sanitize.definitions.formats.qemu.passed_on import argument_rules
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_DOC = "https://libvirt.org/formatdomain.html#"
_RENEW, _FOLLOW = Treatment.RENEW, Treatment.FOLLOW
_REMOVE, _KEEP = Treatment.REMOVE, Treatment.KEEP

_GENERAL = rules(
    _DOC + "general-metadata",
    ("name", FieldKind.NAME, Treatment.NAME, "name", "a name is unique on its host"),
    (
        "uuid",
        FieldKind.MACHINE_UUID,
        _RENEW,
        "uuid",
        "libvirt identifies machines by it, and guests make ids from it",
    ),
    (
        "genid",
        FieldKind.GENERATION_ID,
        _RENEW,
        "genid",
        "a guest that sees it change knows that it is a copy, and reseeds its random numbers",
    ),
    (
        "title",
        FieldKind.OTHER,
        _REMOVE,
        "title",
        "it describes the source, and lists show it with the name",
    ),
)

_SMBIOS = rules(
    _DOC + "smbios-system-information",
    (
        "sysinfo-uuid",
        FieldKind.MACHINE_UUID,
        _RENEW,
        "sysinfo/system/entry[@name='uuid']",
        "libvirt wants it equal to <uuid>; the guest reads it as product_uuid",
    ),
    (
        "sysinfo-serial",
        FieldKind.SERIAL,
        _RENEW,
        "sysinfo/system/entry[@name='serial']",
        "the guest reads it as product_serial; inventories and licences identify machines by it",
    ),
    (
        "board-serial",
        FieldKind.SERIAL,
        _RENEW,
        "sysinfo/baseBoard/entry[@name='serial']",
        "the guest reads it as board_serial",
    ),
    (
        "chassis-serial",
        FieldKind.SERIAL,
        _RENEW,
        "sysinfo/chassis/entry[@name='serial']",
        "the guest reads it as chassis_serial",
    ),
    (
        "asset-tag",
        FieldKind.OTHER,
        _KEEP,
        ("sysinfo/baseBoard/entry[@name='asset']", "sysinfo/chassis/entry[@name='asset']"),
        "guests recognise clouds by it; change it where yours is an inventory number",
    ),
    (
        "oem-strings",
        FieldKind.OTHER,
        _KEEP,
        ("sysinfo/oemStrings/entry", "sysinfo[@type='fwcfg']/entry"),
        "the guest reads it, and only you know whether it is one machine's own",
    ),
)

_BOOT = rules(
    _DOC + "operating-system-booting",
    (
        "nvram",
        FieldKind.FIRMWARE,
        _FOLLOW,
        ("os/nvram", "os/nvram/source/@file", "os/varstore/@path"),
        "each machine writes UEFI variables of its own; the file is copied",
    ),
    (
        "nvram-volume",
        FieldKind.FIRMWARE,
        Treatment.MOVE,
        tuple(f"os/nvram/source/@{name}" for name in ("dev", "name", "volume")),
        "each machine writes UEFI variables of its own; copy them and give --disk OLD=NEW",
    ),
    (
        "acpi-table",
        FieldKind.OTHER,
        _KEEP,
        "os/acpi/table",
        "a table may hold a licence of one machine (SLIC, MSDM): see whether both may have it",
    ),
    (
        "kernel-arguments",
        FieldKind.OTHER,
        _KEEP,
        "os/cmdline",
        "where it names a UUID of the guest's disk, it has to change with the disk",
    ),
)

_SECURITY = rules(
    _DOC + "security-label",
    (
        "security-label",
        FieldKind.OTHER,
        _KEEP,
        "seclabel[@type='static']/label",
        "it was chosen by a person; with one label for both, neither is protected from the other",
        Level.WARNING,
    ),
)

_OTHER = rules(
    _DOC + "resource-partitioning",
    (
        "fabric-id",
        FieldKind.OTHER,
        _KEEP,
        "resource/fibrechannel/@appid",
        "the Fibre Channel fabric counts both machines as one",
    ),
    (
        "qemu-arguments",
        FieldKind.OTHER,
        _KEEP,
        "commandline",
        "libvirt passes them to QEMU as they are: see whether they name disks, ports or sockets",
    ),
)
#: What is found within QEMU's arguments, which libvirt passes on.
ARGUMENT_RULES = argument_rules(
    "commandline/arg/@value",
    "https://libvirt.org/drvqemu.html#pass-through-of-arbitrary-qemu-commands",
)

RULES = (
    *ARGUMENT_RULES,
    *_GENERAL,
    *_SMBIOS,
    *_BOOT,
    *DEVICE_RULES,
    *_SECURITY,
    *_OTHER,
    *HOST_RULES,
    *SNAPSHOT_RULES,
)
