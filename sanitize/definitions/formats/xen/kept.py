"""Places of an xl.cfg that are called as identities are, and stay without a word.

References: xl.cfg(5) of Xen 4.20.
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

KEPT = (
    Kept(
        "a program or firmware of the host, for every machine",
        (
            "kernel",
            "ramdisk",
            "firmware_override",
            "bios_path_override",
            "device_model_override",
            "device_model_stubdomain_override",
            "bootloader",
            "root",
            "device_tree",
        ),
    ),
    Kept(
        "what the guest's hardware is, and which devices of the host it has",
        (
            "pci",
            "dtdev",
            "iomem",
            "ioports",
            "irqs",
            "usbdev",
            "usbctrl",
            "vga",
            "seclabel",
            "init_seclabel",
            "device_model_stubdomain_seclabel",
            "pool",
            "cpuid",
            "cpuid_*",
        ),
    ),
)

#: Places of rules that do not say a word where their condition is not met.
UNMET = (Kept("no path, and no port that it listens at", ("serial",)),)
