"""The definition of a machine, and the files that it names: what they are called in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError, UsageError
from unclone.images.text import shown
from unclone.runs import define as defining
from unclone.runs.clone.order import Mode
from unclone.runs.clone.seed_drive import ADDED, seed_drive
from unclone.runs.sanitize_machine import matched
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.firmware_variables import uefi_variables
from unclone.sanitize.definitions.rule import FieldKind

if TYPE_CHECKING:
    from unclone.runs.clone.deciding import Golden
    from unclone.runs.clone.order import Order
    from unclone.runs.define import Defined
    from unclone.sanitize.definitions.definition import Definition
    from unclone.sanitize.identities.machine import MachineIdentity

SEED = "seed.iso"


def disk_names(order: Order) -> tuple[str, ...]:
    """What the disks are called in a machine's folder."""
    suffix = "qcow2"
    if order.mode is not Mode.OVERLAY:
        suffix = order.request.image.suffix.removeprefix(".") or "img"
    others = range(2, len(order.request.disks) + 1)
    return (f"disk.{suffix}", *(f"disk-{number}.{suffix}" for number in others))


def definition_request(
    order: Order,
    golden: Golden,
    identity: MachineIdentity,
    folder: Path,
    path: Path,
    *,
    seeded: bool,
) -> defining.Request | None:
    """What is asked of ``define``, for the machine that is made in *folder* and appears as *path*.

    None without a definition.
    """
    if golden.definition is None or order.definition is None:
        return None
    definition = golden.definition
    disks = matched(definition, [disk.path for disk in order.request.disks])
    moves = {
        disk.path: str(path / name) for disk, name in zip(disks, disk_names(order), strict=True)
    }
    stores = variable_stores(definition)
    moves |= {old: str(path / new) for old, new in stores.items()}
    drive = seed_drive(definition)
    if seeded and drive:
        moves[drive] = str(path / SEED)
    return defining.Request(
        order.definition,
        identity.name,
        output=folder / definition_name(definition, identity.name),
        oui=order.oui,
        disks=moves,
        overwrite=order.replace,
        home=path,
        nvram=order.nvram,
    )


def variable_stores(definition: Definition) -> dict[str, str]:
    """Files of UEFI variables anywhere on this host: what each is called in a machine's folder.

    Those that are beside the definition keep their names.
    """
    found = dict.fromkeys(
        field.value
        for field in definition.fields
        if field.rule.kind is FieldKind.FIRMWARE and Path(field.value).is_absolute()
    )
    return {
        old: f"nvram{f'-{number}' if number > 1 else ''}{Path(old).suffix or '.fd'}"
        for number, old in enumerate(found, 1)
    }


def check_nvram(order: Order, golden: Golden) -> None:
    """Raise UsageError or RefusedError for UEFI variables that the machines cannot be given."""
    if order.nvram is None:
        return
    stores = variable_stores(golden.definition) if golden.definition else {}
    if len(stores) != 1:
        has = f"{len(stores)} files" if stores else "no file"
        raise UsageError(
            f"--nvram {shown(order.nvram)}: the definition names {has} of UEFI variables",
            hint="It takes a definition with one: in libvirt's, <nvram>/PATH</nvram> in <os>.",
        )
    is_store, note = uefi_variables(str(order.nvram.absolute()))
    if not is_store:
        raise RefusedError(f"--nvram {note.text if note else shown(order.nvram)}")


def definition_name(definition: Definition, name: str) -> str:
    """What the definition is called in a machine's folder."""
    if definition.format.id == "libvirt":
        return "domain.xml"
    return f"{name}{definition.source.path.suffix}"


def definition_notes(
    order: Order, defined: Defined, path: Path, *, seeded: bool
) -> tuple[Note, ...]:
    """What is left to do with the definition of the machine at *path*, and what is not its own."""
    notes = [
        note
        for note in defined.notes
        if note.level is Level.WARNING and not (order.nvram and note.step == "nvram")
    ]
    if seeded and any(each.field.value == ADDED for each in defined.changes):
        notes.append(Note("seed", Level.INFO, "the definition was given a drive for the seed"))
    elif seeded and SEED not in {Path(each.new).name for each in defined.changes if each.new}:
        text = f"attach {shown(path / SEED)} to the machine as a CD"
        said = f"the definition has no CD drive with a seed: {text}"
        notes.append(Note("seed", Level.WARNING, said))
    return tuple(notes)
