"""What a command line's machine has on this host: UEFI variables to copy, a process that runs.

Paths come from the definition, which may be hostile: files are looked at, and only a UEFI variable
store is ever copied. Relative ones are meant from the definition's folder.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.definitions.associated_files import CopiedFile
from unclone.sanitize.definitions.definition import Active
from unclone.sanitize.definitions.firmware_variables import uefi_variables
from unclone.sanitize.definitions.rule import FieldKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.change import Note
    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.definition import DefinitionPlan
    from unclone.sanitize.definitions.formats.qemu.machine_options import MachineOptions
    from unclone.sanitize.definitions.text.source import Source

#: Options that make QEMU go on with a state instead of starting.
_RESUMING = {
    "incoming": "-incoming makes it go on with a saved or migrated state",
    "loadvm": "-loadvm makes it go on with a saved state",
}


def copies(plan: DefinitionPlan, output: Path) -> Iterator[AssociatedFile]:
    """A copy of the UEFI variables for each file with some that gets another name."""
    folder = plan.definition.source.path.parent
    for planned in plan.fields:
        if planned.field.rule.kind is FieldKind.FIRMWARE and planned.new and planned.changed:
            old = folder / planned.field.value
            if uefi_variables(str(old.absolute()))[0]:
                yield CopiedFile(old, output.parent / planned.new)


def variable_notes(source: Source, paths: list[str]) -> Iterator[Note]:
    """What a person should know about files with UEFI variables that cannot be copied."""
    for path in dict.fromkeys(paths):
        note = uefi_variables(str((source.path.parent / path).absolute()))[1]
        if note is not None:
            yield note


def activity(source: Source, machine: MachineOptions) -> Active | None:
    """Whether the machine goes on from a saved state, or runs (its -pidfile names a QEMU)."""
    for option in machine.options:
        if option.name in _RESUMING:
            return Active(_RESUMING[option.name], running=False)
    for option in machine.options:
        path = option.get("") if option.name == "pidfile" else ""
        if path and "\0" not in path and _names_qemu(source.path.parent / path):
            return Active(f"it is running ({printable(path, 200)})", running=True)
    return None


def _names_qemu(pidfile: Path) -> bool:
    try:
        handle = os.open(pidfile, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return False
        text = os.read(handle, 32).strip()
    finally:
        os.close(handle)
    if not text.isdigit():
        return False
    try:
        return b"qemu" in Path(f"/proc/{int(text)}/cmdline").read_bytes()
    except OSError:
        return False
