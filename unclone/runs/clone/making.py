"""One machine, made from its record: its disks, its definition, its seed, and ``machine.json``."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from unclone.images.errors import RefusedError, UsageError
from unclone.images.files import create_private, explained
from unclone.images.fingerprint import head_state
from unclone.images.interrupts import interrupt_number
from unclone.images.text import shown
from unclone.runs import define as defining
from unclone.runs.clone.batch import RECORD, SCHEMA
from unclone.runs.clone.definition_files import (
    SEED,
    definition_notes,
    definition_request,
    disk_names,
)
from unclone.runs.clone.order import Mode, images_of
from unclone.runs.failures import InterruptedFleet, InterruptedRun
from unclone.runs.sanitize import sanitize
from unclone.runs.seed import as_unclone_error
from unclone.sanitize.change import Level, Note
from unclone.sanitize.identities.machine import RecordedPool
from unclone.sanitize.new_values import NewValues
from unclone.seeds.blueprint import Blueprint, Row
from unclone.seeds.errors import SeedError
from unclone.seeds.findings import blocking
from unclone.seeds.fleet import write_fleet
from unclone.seeds.nic_option import describe
from unclone.seeds.password import generated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.runs.clone.attempt import Attempt
    from unclone.runs.clone.batch import Batch
    from unclone.runs.clone.deciding import Golden
    from unclone.runs.clone.order import MadeFrom, Order
    from unclone.runs.listener import Listener
    from unclone.runs.request import Request
    from unclone.sanitize.identities.machine import MachineIdentity
    from unclone.sanitize.report import Report

#: ioctl_ficlonerange(2).
_FICLONE = 0x40049409
#: Bytes. A larger disk has no digest in the record: reading it takes longer than making it.
_DIGEST_LIMIT = 256 * 1024 * 1024
#: For a seed that is only checked: the form of a hash, so that none is computed.
_ANY = f"$6$unclone${'x' * 86}"


@dataclass(frozen=True, slots=True)
class Registration:
    """What libvirt was told: ``status`` is registered, present (it was registered) or failed."""

    status: str
    message: str = ""


@dataclass(frozen=True)
class Machine:
    """What became of one machine. ``files`` are the names in its folder."""

    identity: MachineIdentity
    path: Path
    status: str  # done, planned, present
    files: tuple[str, ...] = ()
    #: The backing files of its disks, which must not change as long as it lives.
    backing: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    #: Where the run made this one machine only: what was changed in its disks.
    report: Report | None = None
    #: Where libvirt was to be told of it.
    registration: Registration | None = None
    #: The host that it is on, where that is not this one.
    host: str = ""
    #: What was generated for its users; nowhere else.
    password: str = field(default="", repr=False)

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        generated = {"generated_password": self.password} if self.password else {}
        where = {"host": self.host} if self.host else {}
        return (
            generated
            | {
                "status": self.status,
                "path": str(self.path),
                "machine": self.identity.to_json(),
                "files": list(self.files),
                "backing": list(self.backing),
                "report": self.report.to_json() if self.report else None,
                "notes": [{"level": str(note.level), "text": note.text} for note in self.notes],
                "registration": asdict(self.registration) if self.registration else None,
            }
            | where
        )


def make(
    order: Order,
    golden: Golden,
    source: MadeFrom,
    identity: MachineIdentity,
    batch: Batch | Attempt,
    listener: Listener,
) -> Machine:
    """Make the machine of *identity*: complete, under its name, or not at all."""
    path = batch.path(identity.name)
    backing: tuple[str, ...] = ()
    if order.mode is Mode.OVERLAY:
        backing = tuple(str(disk.path.absolute()) for disk in order.request.disks)
    try:
        with batch.making(identity.name, replace=order.replace) as folder:
            report = _disks(order, golden, identity, folder, listener)
            if images_of(order) != source.images:
                raise RefusedError(
                    f"{shown(order.request.image)} was changed while machines were made from it",
                    hint="Leave it alone and run again; machines that are complete are kept.",
                )
            written = write_seeds(order, golden, [identity], {identity.name: folder})
            seed = written.get(identity.name)
            seeded, notes = seed is not None, seed.notes if seed else ()
            wanted = definition_request(order, golden, identity, folder, path, seeded=seeded)
            if wanted is not None and golden.definition is not None:
                defined = defining.define(wanted, golden.definition, RecordedPool(identity))
                notes = (*notes, *definition_notes(order, defined, path, seeded=seeded))
            identity = _as_made(identity, report)
            files = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
            record(folder, identity, source, files, backing_states(backing))
    except InterruptedRun as interrupt:
        # Whatever had become of the disk: its folder has not appeared.
        raise InterruptedFleet(interrupt_number(interrupt)) from interrupt
    said = report if len(order.names) == 1 else None
    made = Machine(identity, path, "done", (*files, RECORD), backing, notes, said)
    return replace(made, password=seed.password if seed else "")


def _as_made(identity: MachineIdentity, report: Report) -> MachineIdentity:
    """What was decided, with what was read from the disks afterwards."""
    ids = [each.id for each in report.inventory.machine_ids if each.id]
    return replace(
        identity,
        machine_id=ids[0] if ids else "",
        identifiers={f"{each.kind} {each.device}": each.value for each in report.identifiers},
    )


def rehearse(
    order: Order, golden: Golden, identity: MachineIdentity, path: Path, listener: Listener
) -> Machine:
    """What :func:`make` would do with the disks, carried out on overlays that are thrown away."""
    names = disk_names(order)
    with tempfile.TemporaryDirectory() as nowhere:
        # The golden image may be without permission to write.
        request = replace(
            _request(order, golden, identity),
            outputs=tuple(Path(nowhere, name) for name in names),
            as_overlays=True,
            dry_run=True,
        )
        report = replace(sanitize(request, listener), result=str(path / names[0]))
    return Machine(identity, path, "planned", report=report)


def _request(order: Order, golden: Golden, identity: MachineIdentity) -> Request:
    generator = replace(order.request.options.identities, machine=identity.name)
    options = replace(
        order.request.options,
        identities=generator,
        macs=identity.macs,
        disk_serials=identity.disk_serials,
        # cloud-init takes it from the seed.
        hostname="" if golden.has_cloud_init else identity.hostname,
    )
    values = NewValues(identity.machine_id, identity.identifiers)
    return replace(order.request, options=options, new_values=values)


def _disks(
    order: Order, golden: Golden, identity: MachineIdentity, folder: Path, listener: Listener
) -> Report:
    request = _request(order, golden, identity)
    targets = tuple(folder / name for name in disk_names(order))
    if order.mode is Mode.REFLINK:
        for disk, target in zip(order.request.disks, targets, strict=True):
            _reflink(disk.path, target)
        first, *others = targets
        return sanitize(replace(request, image=first, add_disks=tuple(others)), listener)
    overlays = order.mode is Mode.OVERLAY
    return sanitize(replace(request, outputs=targets, as_overlays=overlays), listener)


def _reflink(source: Path, target: Path) -> None:
    """Make *target* a copy of *source* that shares its blocks. Raises RefusedError."""
    with explained("copy the golden image", target.parent):
        create_private(target)
    with target.open("r+b") as write:
        _share_blocks(source, write.fileno(), target.parent.parent)


def require_reflinks(source: Path, folder: Path) -> None:
    """Raise RefusedError when *source* cannot be copied into *folder* by sharing blocks.

    Tried with a file that has no name. Where the file system has no such files, only a run shows.
    """
    try:
        descriptor = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        _share_blocks(source, descriptor, folder)
    finally:
        os.close(descriptor)


def _share_blocks(source: Path, target: int, folder: Path) -> None:
    with source.open("rb") as read:
        try:
            fcntl.ioctl(target, _FICLONE, read.fileno())
        except OSError as error:
            raise RefusedError(
                f"{shown(source)} cannot be copied into {shown(folder)} by sharing blocks: "
                f"{os.strerror(error.errno or 0)}",
                hint="Both must be on one XFS, btrfs or bcachefs file system. Use --mode copy or "
                "--mode overlay.",
            ) from error


class Seeded(NamedTuple):
    """The seed of a machine: what its checks found, and the password that was generated."""

    notes: tuple[Note, ...]
    password: str


def write_seeds(
    order: Order,
    golden: Golden,
    identities: Sequence[MachineIdentity],
    folders: Mapping[str, Path] | None,
) -> dict[str, Seeded]:
    """Write the seed of each machine into its folder; what there is to say of it, by machine.

    Empty where machines get none. Without *folders* seeds are checked only.
    """
    if not order.gets_seed(cloud_init=golden.has_cloud_init):
        return {}
    blueprint = order.blueprint or Blueprint()
    from_cards = blueprint.network_config is None
    rows = [_row(order, identity, from_cards=from_cards) for identity in identities]
    if order.generate_password:
        rows = [replace(row, password=generated() if folders else _ANY) for row in rows]
    names = {identity.instance_id: identity.name for identity in identities}
    nowhere = order.folder / f".{RECORD}.none"
    try:
        results = write_fleet(
            blueprint,
            rows,
            lambda machine: (folders[names[machine.identity]] if folders else nowhere) / SEED,
            dry_run=folders is None,
            durable=False,  # the folder is flushed as a whole
        )
    except SeedError as error:
        raise as_unclone_error(error) from error
    for result in results:
        if result.refused:
            first = blocking(result.findings, strict=False)[0]
            name = names[result.machine.identity]
            raise RefusedError(f"the seed of {name} is refused: {first}", first.hint)
    return {
        names[result.machine.identity]: Seeded(
            tuple(Note("seed", Level.WARNING, str(each)) for each in result.findings),
            row.password,
        )
        for row, result in zip(rows, results, strict=True)
    }


def _row(order: Order, identity: MachineIdentity, *, from_cards: bool) -> Row:
    own = order.own.get(identity.name)
    full = "." in identity.hostname
    macs = list(identity.macs.values()) if from_cards else []
    if own and own.network and not macs:
        raise UsageError(
            f"the definition of {identity.name} has no network card for its address",
            hint="Name a definition whose cards have MAC addresses.",
        )
    static = own.network if own else ()
    nics = [
        [("mac", mac), *(static if static and not number else [("dhcp", "4")])]
        for number, mac in enumerate(macs)
    ]
    return replace(
        own.row if own else Row(),
        where=identity.name,
        hostname="" if full else identity.hostname,
        fqdn=identity.hostname if full else "",
        instance_id=identity.instance_id,
        nics=tuple(describe("nic", pairs, identity.name) for pairs in nics),
    )


def backing_states(paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the backing files *paths* are now: they must not change any more."""
    return {path: head_state(Path(path)) for path in paths}


def record(
    folder: Path,
    identity: MachineIdentity,
    source: MadeFrom,
    files: Sequence[str],
    backing: Mapping[str, dict[str, Any]],
) -> None:
    """Write ``machine.json``: who it is, what it was made from, and digests of what was made.

    *backing* is what :func:`backing_states` returned.
    """
    document = {
        "schema": SCHEMA,
        "machine": identity.to_json(),
        "made_from": source.to_json(identity.name),
        "files": [_described(folder / name) for name in files],
        "backing": list(backing),
        "backing_states": list(backing.values()),
    }
    path = folder / RECORD
    with explained("write the machine's record", folder):
        create_private(path)
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="ascii")


def _described(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    digest = None
    if size <= _DIGEST_LIMIT:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": path.name, "size": size, "sha256": digest}
