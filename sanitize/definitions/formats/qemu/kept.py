"""Places of a QEMU command line that are called as identities are, and stay without a word.

References: qemu-options.hx and `qemu -device DRIVER,help` of QEMU 10.1.
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

KEPT = (
    Kept(
        "a name that other options use",
        (
            "-* id",
            "-* node-name",
            "-* memdev",
            "-object file",
            "-blockdev file",
            "-object id",
            "-device file",
        ),
    ),
    Kept(
        "a place on a bus inside the machine, the same in every copy",
        (
            "-device addr",
            "-device *addr",
            "-device port",
            "-device *port",
            "-device chassis*",
            "-device devno",
            "-device bus",
            "-device *id",
        ),
    ),
    Kept(
        "a program or firmware for every machine",
        (
            "-kernel",
            "-initrd",
            "-dtb",
            "-bios",
            "-L",
            "-device romfile",
            "-netdev script",
            "-netdev smb",
            "-netdev tftp",
            "-netdev bootfile",
        ),
    ),
    Kept(
        "what the other end of a connection is",
        (
            "-netdev connect",
            "-netdev remote*",
            "-netdev local*",
            "-chardev remote*",
            "-chardev host*",
            "-* localaddr",
            "-netdev dhcpstart",
            "-netdev ip*",
            "-netdev host",
            "-nic dhcpstart",
            "-nic ip*",
        ),
    ),
    Kept(
        "how a disk is reached: it changes with the disk",
        (
            "-blockdev server*",
            "-blockdev *path",
            "-blockdev *initiator*",
            "-drive *port",
            "-drive *path",
        ),
    ),
    Kept(
        "what it is allowed, and how it is measured",
        (
            "-object *",
            "-machine *",
            "-cpu *",
            "-global *",
            "-numa *",
            "-smp *",
            "-sandbox *",
            "-trace*",
            "-add-fd *",
            "-set *",
        ),
    ),
)
