"""A drive with a cloud-init seed, for a command line of a PC that has none.

It is given the place of ``-cdrom``, which every PC has, and only where that moves no other disk.

References: qemu(1) on -drive index=, -cdrom; QEMU's blockdev.c (drive_new: the first free index).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.definitions.formats.qemu.machine_options import SHORTHANDS
from unclone.sanitize.definitions.text.splicing import Edit

if TYPE_CHECKING:
    from unclone.sanitize.definitions.formats.qemu.machine_options import MachineOptions
    from unclone.sanitize.definitions.formats.qemu.options import Option

_PLACE = 2  # -cdrom is short for index=2,media=cdrom
_PC = re.compile(r"(?:pc|q35)(?:-.*)?|")
_OTHER_PROGRAM = re.compile(r"qemu-system-(?!x86_64|i386)")


def seed_drive(machine: MachineOptions, path: str) -> tuple[Edit, ...]:
    """What gives the machine a CD drive with the file *path*; nothing where no place is certain."""
    kinds = [o.get("type") for o in machine.options if o.name == "machine"]
    if _OTHER_PROGRAM.search(machine.text) or not all(_PC.fullmatch(kind) for kind in kinds):
        return ()
    disks = [o for o in machine.options if o.name in (*SHORTHANDS, "drive", "blockdev")]
    # What is on IDE without an index gets the first that is free: this one would be the third's.
    without_index = [o for o in disks if _on_ide(o) and not o.get("index")]
    if not disks or len(without_index) > _PLACE or any(map(_takes_place, machine.options)):
        return ()
    at = disks[0].start
    text = f"-drive file={path},format=raw,if=ide,index={_PLACE},media=cdrom,readonly=on "
    return (Edit(at, at, text),)


def _on_ide(option: Option) -> bool:
    return option.name in SHORTHANDS or (
        option.name == "drive" and option.get("if") in ("", "ide") and not option.get("bus")
    )


def _takes_place(option: Option) -> bool:
    """Whether *option* has the place of -cdrom, or could have."""
    match option.name:
        case "cdrom" | "hdc":
            return True
        case "drive":
            return option.get("index") == str(_PLACE) or bool(option.get("bus"))
        case "device":
            return option.get("driver").startswith("ide-")
    return False
