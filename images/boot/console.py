"""What a serial console says about a boot: how far it came, and that nothing more will come.

References: the messages of GRUB 2.06, systemd 252, initramfs-tools 0.142, dracut 059, OVMF.
"""

from __future__ import annotations

import re
from enum import StrEnum

from unclone.images.text import printable


class Phase(StrEnum):
    """How far a boot came, in order."""

    FIRMWARE = "firmware"
    BOOT_LOADER = "boot loader"
    KERNEL = "kernel"
    INITRD = "initrd"
    SYSTEM = "system"
    REPORT = "report"


#: What the console shows when a phase has begun.
_SIGNS = {
    Phase.BOOT_LOADER: (
        *(b"GRUB loading", b"Welcome to GRUB", b"GNU GRUB", b"BdsDxe: starting", b"grub rescue>"),
        *(b"SYSLINUX", b"systemd-boot", b"LILO", b"Limine", b"error: no such device"),
        *(b"Booting `", b"error: file `"),
    ),
    Phase.KERNEL: (b"Linux version ", b"Decompressing Linux", b"Kernel panic", b"Kernel command"),
    Phase.INITRD: (
        *(b"Loading, please wait...", b"Begin: Loading essential", b"dracut", b"Run /init as"),
        *(b"in initrd", b"in initial RAM disk", b"(initramfs)"),
    ),
    Phase.SYSTEM: (
        *(b"Welcome to \x1b[", b"INIT: version", b"OpenRC ", b"Set hostname to", b"Reached target"),
        *(b"emergency mode", b"BusyBox init", b" login: ", b"System cannot boot"),
    ),
}

#: What it shows when nothing more will come, with what that means and the last phase in which it
#: does.
DEAD_ENDS = {
    b"grub rescue>": ("GRUB does not find its files", Phase.BOOT_LOADER),
    b"grub> ": ("GRUB waits for a command: its configuration was not found", Phase.BOOT_LOADER),
    b"Press any key to continue": ("GRUB stopped at an error", Phase.BOOT_LOADER),
    b"Kernel panic": ("the kernel panicked", Phase.SYSTEM),
    b"(initramfs)": ("the initrd did not find the root file system", Phase.SYSTEM),
    b"dracut:/#": ("the initrd did not find the root file system", Phase.SYSTEM),
    b"Entering emergency mode. Exit the shell": ("the initrd gave up", Phase.SYSTEM),
    b"You are in emergency mode": ("the system started in emergency mode", Phase.SYSTEM),
    b"Cannot open access to console": ("the system started in emergency mode", Phase.SYSTEM),
    b"Give root password for maintenance": ("the system waits for root's password", Phase.SYSTEM),
    b"UEFI Interactive Shell": ("the firmware found nothing to boot", Phase.BOOT_LOADER),
    b"No bootable device": ("the firmware found nothing to boot", Phase.BOOT_LOADER),
    b"System cannot boot": ("systemd says that the system cannot boot", Phase.SYSTEM),
}

_PROMPT = re.compile(rb"(?i)(unlock disk|pass(phrase|word))[^\r\n]{0,200}:[ \t]*(\x1b[^\r\n]*)?\Z")
_SEQUENCES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(\x07|\x1b\\)?|[@-Z\\-_])")

#: Bytes of the console that are kept. A guest may write more than that.
KEPT = 256 * 1024
#: Lines that are shown.
LAST = 25
#: Bytes before the newest that are looked at again: a sign may arrive in two pieces.
_OVERLAP = 256


class Console:
    """A console that is being read; its last :data:`KEPT` bytes are kept."""

    def __init__(self) -> None:
        self._kept = b""
        self.phase = Phase.FIRMWARE
        self._dead_end = ("", Phase.REPORT)

    def feed(self, data: bytes) -> None:
        """Take what the console says next."""
        new = self._kept[-_OVERLAP:] + data
        self._kept = (self._kept + data)[-KEPT:]
        for phase, signs in _SIGNS.items():
            if any(sign in new for sign in signs):
                self.reach(phase)
        found = [end for sign, end in DEAD_ENDS.items() if sign in new]
        self._dead_end = found[0] if found and not self.dead_end else self._dead_end

    def reach(self, phase: Phase) -> None:
        """The boot came as far as *phase*, if it was not farther."""
        phases = list(Phase)
        if phases.index(phase) > phases.index(self.phase):
            self.phase = phase

    @property
    def dead_end(self) -> str:
        """Why nothing more will come; "" while something may, or where something did come."""
        why, last = self._dead_end
        phases = list(Phase)
        return why if phases.index(self.phase) <= phases.index(last) else ""

    @property
    def asks(self) -> bool:
        """Whether the last line is a question for a passphrase."""
        return _PROMPT.search(self._kept[-1024:]) is not None

    def lines(self, limit: int = 400) -> tuple[str, ...]:
        """All that is kept, as text, without what a terminal would take for commands.

        Of each line *limit* characters.
        """
        text = _SEQUENCES.sub("", self._kept.decode("utf-8", "replace"))
        lines = (line.rstrip() for line in re.split(r"[\r\n]+", text))
        return tuple(printable(line, limit) for line in lines if line)

    def last_lines(self) -> tuple[str, ...]:
        """The last :data:`LAST` of them."""
        return self.lines()[-LAST:]
