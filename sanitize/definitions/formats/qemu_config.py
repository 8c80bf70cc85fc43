"""A machine in the file that ``qemu -readconfig`` reads.

References: qemu(1) on -readconfig; QEMU config/*.cfg and docs/config/*.cfg.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Definition, Format
from unclone.sanitize.definitions.qemu import files
from unclone.sanitize.definitions.qemu.config_file import read_groups
from unclone.sanitize.definitions.qemu.fields import disks, found
from unclone.sanitize.definitions.qemu.machine import Machine
from unclone.sanitize.definitions.qemu.rows import COMMON
from unclone.sanitize.definitions.row import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from unclone.sanitize.definitions.companion import Companion
    from unclone.sanitize.definitions.renewal import Renewal
    from unclone.sanitize.definitions.source import Source

_GROUP = re.compile(
    rb"^[ \t]*\[(?:device|drive|netdev|nic|net|smbios|chardev|machine|mon|memory|smp-opts|name|vnc"
    rb"|spice|object|boot-opts|rtc|fsdev|global|accel|fw_cfg|tpmdev|blockdev)"
    rb'(?: +"[^"\n]+")?\][ \t\r]*$',
    re.MULTILINE,
)
_VALUE = re.compile(rb'^[ \t]*[\w.-]+ *= *"[^"\n]*"[ \t\r]*$', re.MULTILINE)
_NO_UUID = (
    "QEMU takes the UUID and SMBIOS values from its command line (-uuid, -smbios) and not from "
    "this file: change them there too"
)


def detects(head: bytes) -> bool:
    """Whether its first line that is no comment is a group of QEMU's, with quoted values below."""
    first = next(
        (line for line in head.splitlines() if line.strip() and line.lstrip()[:1] != b"#"), b""
    )
    return bool(_GROUP.match(first) and _VALUE.search(head))


def read(source: Source) -> Definition:
    """The machine in *source*."""
    machine = Machine(read_groups(source), source.text, starts=False)
    if not machine.options:
        raise RefusedError(f"{source.shown} has no group", hint="Is the file complete?")
    fields, notes = found(COMMON, machine)
    firmware = [each.field.value for each in fields if each.field.row.kind is Kind.FIRMWARE]
    names = [option.get("guest") for option in machine.options if option.name == "name"]
    notes.append(Note("smbios-uuid", Level.INFO, _NO_UUID))
    return ConfigFile(
        FORMAT,
        source,
        next(iter(names), ""),
        tuple(each.field for each in fields),
        tuple(disks(machine)),
        None,
        (*notes, *files.variable_notes(source, firmware)),
    )


@dataclass(frozen=True)
class ConfigFile(Definition):
    """A machine in such a file."""

    def companions(self, renewal: Renewal, output: Path) -> Sequence[Companion]:
        """The UEFI variables, where they are files that are there."""
        return tuple(files.copies(renewal, output))


FORMAT = Format("qemu-config", "QEMU -readconfig file", COMMON, detects, read)
