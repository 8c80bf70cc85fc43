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
            "-blockdev *.node-name",
            "-blockdev *top-id",
            "-* memdev",
            "-blockdev file",
            "-blockdev *.file",
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
            *("-device id", "-device *-id", "-device *_id", "-device nsid", "-device cntlid"),
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
            "-netdev tftp",
            "-netdev bootfile",
        ),
    ),
    Kept(
        "what the other end of a connection is",
        (
            "-netdev connect",
            "-netdev remote*",
            "-netdev dstport",
            "-netdev sock",
            "-netdev local.host",
            "-netdev addr.host",
            "-nic remote*",
            "-nic connect",
            "-chardev remote*",
            "-chardev host*",
            "-chardev localaddr",
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
            "-blockdev *server*",
            "-blockdev *path",
            "-drive *port",
            "-drive *path",
            "-drive *server*",
        ),
    ),
    Kept(
        "both machines read it, and neither writes to it",
        ("-blockdev *backing.*", "-drive *backing.*"),
    ),
    Kept(
        "what it is allowed, and how it is measured",
        (
            *("-object filename", "-object mem-path", "-object x-use-*"),
            "-machine *",
            "-cpu *",
            "-numa *",
            "-smp *",
            "-sandbox *",
            "-trace*",
            "-add-fd *",
        ),
    ),
)

#: Places of rules that do not say a word where their condition is not met.
UNMET = (
    Kept(
        "the other end of a connection",
        ("-chardev port", "-chardev path", "-netdev addr.port", "-netdev localaddr"),
    ),
    Kept("what every machine of its kind has", ("-blockdev *filename", "-drive *file", "-serial")),
    Kept("it is read-only or removable", tuple(f"-blockdev *{key}" for key in ("target", "image"))),
    Kept("an address of the host, or no port", ("-spice addr", "-spice port", "-spice tls-port")),
)
