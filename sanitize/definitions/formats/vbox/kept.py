"""Places of a VirtualBox machine that are called as identities are, and stay without a word.

References: VirtualBox-settings.xsd (7.2, settings version 1.21).
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

TOP = r"(?:Machine/)?(?:.*Snapshot/)?"
KEPT = (
    Kept(
        "where in the machine it is",
        (
            "StorageControllers",
            "Hardware/StorageControllers",
            "Hardware/*/@IOBase",
            "Hardware/CPU",
            "Platform",
            "Hardware/BIOS/Logo",
            "Hardware/Firmware/Logo",
            "Hardware/DVDDrive",
            "Hardware/FloppyDrive",
            "Hardware/SATAController",
            "Hardware/USBController",
            "Hardware/Memory",
            "Hardware/HID",
            "Hardware/USB/Controllers",
        ),
    ),
    Kept(
        "a machine that has it is refused: it is saved",
        ("@stateFile",),
    ),
    Kept("how VirtualBox calls the machine's folder", ("@directoryIncludesUUID",)),
    Kept(
        "a medium that machines may share",
        (
            "MediaRegistry/DVDImages",
            "MediaRegistry/FloppyImages",
        ),
    ),
    Kept(
        "what kind of device the filter takes: its name is in the report",
        ("Hardware/USB/DeviceFilters",),
    ),
    Kept(
        "the guest's own side, or the host's network for every machine",
        (
            "Hardware/*/@guestport",
            "Hardware/*/@guestip",
            "Hardware/*/@hostip",
            "Hardware/*/NAT/DNS",
            "Hardware/*/NAT/Alias",
            "Hardware/*/NAT/TFTP",
            "Hardware/*/NAT/@hostip",
            "Hardware/*/@hostInterface",
            "Hardware/Network/Adapter/*/Property",
        ),
    ),
    Kept(
        "how its screen and its consoles are shown",
        (
            "Hardware/RemoteDisplay",
            "Hardware/UART/Port",
            "Hardware/Display",
            "Hardware/Recording",
            "Hardware/GuestDebug",
            "Hardware/Debugging",
            "Teleporter/@address",
            "Hardware/AudioAdapter",
            "Hardware/HostPci",
            "Hardware/BIOS/@*",
            "Hardware/Guest",
        ),
    ),
)
