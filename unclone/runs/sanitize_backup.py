"""The run of ``unclone sanitize`` on a backup of Proxmox VE (VMA): its disks and its configuration.

See :mod:`unclone.runs.replacing` for how the result appears, and ``sanitize_archive`` for other
archives.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.archives import vma
from unclone.images.errors import RefusedError
from unclone.images.files import explained
from unclone.images.text import printable, shown
from unclone.runs import define as defining
from unclone.runs.replacing import new_file, outside, replacing, unpacked
from unclone.runs.sanitize_compressed import of_file, pack
from unclone.runs.sanitize_machine import MachineReport, own_disks, sanitize_machine
from unclone.sanitize.definitions.formats.proxmox import FORMAT
from unclone.sanitize.definitions.rule import FieldKind
from unclone.sanitize.definitions.text.source import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.archives.vma import Backup
    from unclone.runs.define import Defined
    from unclone.runs.listener import Listener
    from unclone.runs.replacing import Replacement
    from unclone.runs.request import Request
    from unclone.sanitize.definitions.definition import Definition

_CONFIG = "qemu-server.conf"
#: The device with the memory of a machine that ran.
_MEMORY = "vmstate"


def sanitize_backup(request: Request, listener: Listener) -> MachineReport:
    """As ``sanitize`` for the machine in the backup of *request*, with its configuration.

    Raises ``UncloneError``; the backup is then as it was.
    """
    with replacing(request, "a backup") as work:
        stream, compression = unpacked(work, "backup.vma", listener)
        listener.say(f"taking the disks out of {shown(request.image)}")
        with stream.open("rb") as file:
            backup = vma.read_backup(file, request.image)
            source = _configuration(backup, work)
            output = work.folder / "new.conf"
            wanted = defining.Request(source, "", output=output, format=FORMAT.id)
            definition = defining.read(wanted)
            numbers = _own(definition, backup, request.image)
            disks = {number: work.folder / f"disk-{number}.raw" for number in backup.devices}
            with explained("unpack the disks", work.folder.parent), ExitStack() as stack:
                files = {n: stack.enter_context(new_file(path)) for n, path in disks.items()}
                vma.extract(file, backup, files, request.image)
        if compression is not None:
            stream.unlink()
        result = _sanitized(
            work, wanted, definition, [disks[n] for n in numbers.values()], listener
        )
        if not (request.dry_run or result.report.left_alone):
            new = (work.folder / "new.conf").read_bytes()
            configs = [(name, new if name == _CONFIG else old) for name, old in backup.configs]
            backup = replace(backup, configs=tuple(configs))
            packed = work.folder / "packed.vma"
            listener.say(f"packing {shown(work.target)}")
            with explained("pack the backup", work.folder.parent):
                with new_file(packed) as file:
                    vma.write_backup(backup, disks, file)
                    file.flush()
                    os.fsync(file.fileno())
                vma.require_written(packed, backup, disks)
                if compression is not None:
                    pack(packed, work.folder / "packed", compression)
                    packed = work.folder / "packed"
            work.put(packed)
        return result


def _configuration(backup: Backup, work: Replacement) -> Path:
    """The machine's configuration, as a file. Raises RefusedError where there is none."""
    path = shown(work.request.image)
    found = [content for name, content in backup.configs if name == _CONFIG]
    if len(found) != 1:
        raise RefusedError(f"{path} has {len(found)} files {_CONFIG}")
    if any(device.name == _MEMORY for device in backup.devices.values()):
        raise RefusedError(
            f"{path} has the memory of a running machine",
            hint="Shut the machine down, and make the backup again.",
        )
    source = work.folder / _CONFIG
    with new_file(source) as file:
        file.write(found[0])
    return source


def _own(definition: Definition, backup: Backup, path: Path) -> Mapping[str, int]:
    """The number of the device that each disk of *definition* is, by the disk's place there.

    Raises RefusedError for a disk that is not in the backup, and for one that is no disk's.
    """
    named = {device.name: number for number, device in backup.devices.items()}
    found = {}
    for disk in own_disks(definition):
        name = f"drive-{disk.label}"
        if name not in named:
            raise RefusedError(
                f"{shown(path)} does not have the disk {printable(disk.label, 80)}",
                hint="Include it in the backup (backup=1), or detach it first.",
            )
        found[disk.path] = named[name]
    others = {"drive-efidisk0", "drive-tpmstate0", "drive-tpmstate0-backup"}
    for name in set(named) - others:
        if named[name] not in found.values():
            raise RefusedError(f"{shown(path)}: no disk of its machine is {printable(name, 80)}")
    if not found:
        raise RefusedError(f"{shown(path)}: its machine has no disk")
    return found


def _sanitized(
    work: Replacement,
    wanted: defining.Request,
    definition: Definition,
    disks: list[Path],
    listener: Listener,
) -> MachineReport:
    request = work.request
    key = request.options.identities.key
    stay = [disk.path for disk in own_disks(definition)]
    stay += [field.value for field in definition.fields if field.rule.kind is FieldKind.FIRMWARE]
    wanted = replace(
        wanted,
        name=(request.options.identities.machine if key else definition.name)
        or Path(request.image).stem,
        disks={path: path for path in stay},
    )
    first, *others = disks
    inner = replace(request, image=first, add_disks=tuple(others), outputs=(), format="raw")
    result = sanitize_machine(inner, wanted, definition, listener)
    report = of_file(result.report, request, work.folder, work.target)
    return MachineReport(report, _of_backup(result.defined, work))


def _of_backup(defined: Defined, work: Replacement) -> Defined:
    """*defined*, whose configuration is in the backup."""
    path = work.request.image
    target = path if work.request.dry_run else work.target
    first = defined.parts[0]
    inner = first.plan.definition
    of_path = replace(inner, source=Source(path, inner.source.content))
    return replace(
        defined,
        request=replace(defined.request, source=path, output=target),
        parts=(replace(first, plan=replace(first.plan, definition=of_path), output=target),),
        associated_files=(),
        notes=tuple(
            replace(note, text=outside(note.text, work.folder, path))
            for note in defined.notes
            if note.step != "vmid"  # qmrestore chooses the number
        ),
    )
