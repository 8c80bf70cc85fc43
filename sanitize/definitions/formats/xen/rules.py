"""Every field of an xl.cfg that identifies the machine.

``where`` is a setting, and a key within its strings (``vif mac``: ``vif=['mac=...']``).

References: xl.cfg(5), xl-network-configuration(5), xl-disk-configuration(5), Xen 4.8 to 4.20;
docs/man/xl.cfg.5.pod.in for vtpm, vfb, vkb, vsnd and channel.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.formats.qemu.passed_on import argument_rules
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_MANUAL = "https://xenbits.xen.org/docs/unstable/man/xl.cfg.5.html"
_NETWORK = "https://xenbits.xen.org/docs/unstable/man/xl-network-configuration.5.html"
_DISK = "https://xenbits.xen.org/docs/unstable/man/xl-disk-configuration.5.html"
_RENEW, _FOLLOW, _KEEP = Treatment.RENEW, Treatment.FOLLOW, Treatment.KEEP

_ARGUMENTS = ("device_model_args", "device_model_args_hvm", "device_model_args_pv")
#: What is found within them.
WITHIN_ARGUMENTS = argument_rules(" | ".join(_ARGUMENTS), _MANUAL)

RULES = (
    *WITHIN_ARGUMENTS,
    *rules(
        _MANUAL,
        ("name", FieldKind.NAME, Treatment.NAME, "name", "a name is unique on its host"),
        (
            "uuid",
            FieldKind.MACHINE_UUID,
            _RENEW,
            "uuid",
            "xl identifies machines by it; the guest reads it as product_uuid",
        ),
        (
            "vtpm-uuid",
            FieldKind.UUID,
            _RENEW,
            "vtpm uuid",
            (
                "vtpmmgr keeps a TPM's state by it; the new TPM is empty: enroll again what is "
                "sealed to the old one"
            ),
        ),
        (
            "vnc-display",
            FieldKind.DISPLAY,
            _RENEW,
            ("vfb vncdisplay", "vncdisplay", "vfb vnclisten", "vnclisten"),
            "the display's port (5900 and its number) is taken while the source runs",
        ),
        (
            "graphics-port",
            FieldKind.PORT,
            _RENEW,
            ("spiceport", "spicetls_port"),
            "the host's port is taken while the source runs",
        ),
        (
            "graphics-password",
            FieldKind.OTHER,
            _KEEP,
            ("vncpasswd", "vfb vncpasswd", "spicepasswd"),
            "with the source's password the new machine's screen can be opened",
        ),
        (
            "serial-socket",
            FieldKind.SOCKET,
            _FOLLOW,
            ("serial", "channel path"),
            "the second machine to listen on a socket takes it from the first",
        ),
        (
            "serial-port",
            FieldKind.PORT,
            _RENEW,
            "serial",
            "the host's port is taken while the source runs",
        ),
        (
            "serial-file",
            FieldKind.FILE,
            _FOLLOW,
            "serial",
            "two machines would write into one file",
        ),
        (
            "device-id",
            FieldKind.OTHER,
            _FOLLOW,
            ("vsnd unique-id", "vkb unique-id", "vdispl unique-id", "channel name"),
            "backends on the host identify devices by it",
        ),
        (
            "shared-folder",
            FieldKind.OTHER,
            _KEEP,
            "p9 path",
            "both machines see the same folder; give the new one its own where they must not",
        ),
        (
            "host-device",
            FieldKind.OTHER,
            _KEEP,
            ("pci", "usbdev", "dtdev", "rdm"),
            "a device of the host belongs to one running machine: give the new one another",
            Level.WARNING,
        ),
        (
            "firmware-tables",
            FieldKind.OTHER,
            _KEEP,
            ("smbios_firmware", "acpi_firmware", "smbios"),
            "serial numbers in it are the source's: give the new machine one of its own",
            Level.WARNING,
        ),
        (
            "kernel-arguments",
            FieldKind.OTHER,
            _KEEP,
            ("extra", "root", "cmdline"),
            "it gives the guest a name or an address, or names its disk, as it did for the source",
            Level.WARNING,
        ),
        (
            "device-model-arguments",
            FieldKind.OTHER,
            _KEEP,
            _ARGUMENTS,
            "QEMU gets them as they are: see whether they name the source",
        ),
    ),
    *rules(
        _NETWORK,
        (
            "mac",
            FieldKind.MAC,
            _RENEW,
            "vif mac",
            "two cards with one address on a network lose each other's packets",
        ),
        (
            "interface",
            FieldKind.INTERFACE,
            _FOLLOW,
            "vif vifname",
            "a host has one interface of a name",
        ),
        (
            "address",
            FieldKind.OTHER,
            _KEEP,
            "vif ip",
            "the host lets only this address pass: it has to be the new machine's",
            Level.WARNING,
        ),
    ),
    *rules(
        _DISK,
        (
            "disk",
            FieldKind.DISK,
            Treatment.MOVE,
            "disk target",
            "two machines that write to one disk destroy it; give --disk OLD=NEW",
        ),
        (
            "disk-shared",
            FieldKind.DISK,
            Treatment.MOVE,
            "disk target",
            "it is read-only; a seed of the source is not for the new machine",
            Level.INFO,
        ),
    ),
)
