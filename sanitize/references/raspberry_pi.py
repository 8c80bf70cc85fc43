"""The kernel command line as the Raspberry Pi's firmware reads it."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="raspberry-pi",
        title="Raspberry Pi firmware's command line",
        why="the kernel finds its root by the PARTUUID in cmdline.txt",
        sources=(
            "https://www.raspberrypi.com/documentation/computers/configuration.html",
            "RPi-Distro/raspberrypi-sys-mods: firstboot",
        ),
    ),
    paths=(
        "/boot/cmdline*.txt",
        "/boot/firmware/cmdline*.txt",
        "/boot/firmware/*/cmdline.txt",
        "/boot/firmware/current/cmdline.txt",
    ),
)
