"""One run of ``unclone define``: read, decide, write; callable from Python.

Everything is read, decided and checked before anything is written, and what was written is taken
back when something later fails.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from unclone.images.errors import UsageError
from unclone.images.text import printable, shown, without_password
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.associated_files import appearing, require_free
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.machine_files import files_of
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.rule import FieldKind, Treatment
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.verifying import verify
from unclone.sanitize.identities import mac as addresses
from unclone.sanitize.identities.allocation import Pool
from unclone.sanitize.identities.avoidance import scan
from unclone.sanitize.identities.uuids import canonical_uuid, hexadecimal, is_uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.definition import (
        Definition,
        DefinitionPlan,
        Disk,
        PlannedField,
    )
    from unclone.sanitize.identities.allocation import MachineAllocator, MachinePool
    from unclone.sanitize.identities.ledger.place import Place


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. ``output`` is None for NAME and the source's suffix, in this folder."""

    source: Path
    name: str
    output: Path | None = None
    format: str = ""  # told by content when empty
    oui: bytes = b""  # what new MAC addresses begin with; empty: the hypervisor's own
    uuid: str = ""
    macs: Mapping[str, str] = field(default_factory=dict)  # card (label, address, number) to MAC
    disks: Mapping[str, str] = field(default_factory=dict)  # path or label to path
    networks: tuple[Path, ...] = ()  # libvirt networks with reservations
    snapshots: tuple[Path, ...] = ()  # the machine's snapshots, as libvirt dumps them
    virtio: bool = False
    unchecked: bool = False  # with virtio: without a look into the guest
    dry_run: bool = False
    overwrite: bool = False
    home: Path | None = None  # what output's folder is called when all in it is complete
    nvram: Path | None = None  # UEFI variables to copy instead of the source's


@dataclass(frozen=True)
class Part:
    """One definition with its result: the machine's own, or one given beside it."""

    plan: DefinitionPlan
    output: Path


@dataclass(frozen=True)
class Defined:
    """What happened, or would happen with ``dry_run``. The first part is the machine's own."""

    request: Request
    parts: tuple[Part, ...]
    associated_files: tuple[AssociatedFile, ...]
    identities: IdentityMap
    notes: tuple[Note, ...]

    @property
    def changes(self) -> tuple[PlannedField, ...]:
        """Every field that changes, of every part."""
        return tuple(f for part in self.parts for f in part.plan.fields if f.changed)

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        main = self.parts[0]
        definition = main.plan.definition
        return {
            "source": str(self.request.source),
            "output": str(main.output),
            "status": "planned" if self.request.dry_run else "done",
            "format": definition.format.id,
            "name": self.identities.name,
            "old_name": definition.name,
            "uuid": self.identities.uuid_of_machine,
            "macs": [{"old": old, "new": new} for old, new in self.identities.macs.items()],
            "disks": [_disk_to_json(disk, self.request.disks) for disk in definition.disks],
            "changes": [
                {"source": str(part.plan.definition.source.path), **_to_json(planned)}
                for part in self.parts
                for planned in part.plan.fields
                if planned.changed
            ],
            "notes": [
                {"row": note.step, "level": str(note.level), "text": without_password(note.text)}
                for note in self.notes
            ],
            "files": [
                {"path": str(each.target), "what": each.describe()}
                for each in self.associated_files
            ]
            + [
                {"path": str(part.output), "what": f"{part.plan.definition.format.title}"}
                for part in self.parts[1:]
            ],
        }


def request_from(source: Path, given: Mapping[str, Any]) -> Request:
    """The request that the options of ``unclone define`` add up to. Raises UsageError."""
    return Request(
        source,
        given["name"],
        output=given["output"],
        format=given["format_id"] or "",
        oui=addresses.parse_prefix(given["oui"]) if given["oui"] else b"",
        uuid=parse_uuid(given["uuid"] or ""),
        macs=_pairs("--mac", given["macs"], nameless=True),
        disks=_pairs("--disk", given["disks"]),
        networks=tuple(given["networks"]),
        snapshots=tuple(given["snapshots"]),
        virtio=given["virtio"],
        unchecked=given["unchecked"],
        dry_run=given["dry_run"],
        overwrite=given["overwrite"],
    )


def parse_uuid(text: str) -> str:
    """A UUID for the machine, as it is written canonically; "" stays "". Raises UsageError."""
    if text and not (is_uuid(text) and set(hexadecimal(text)) - {"0"}):
        raise UsageError(f"--uuid: '{printable(text, 80)}' is not a UUID")
    return canonical_uuid(text)


@contextmanager
def pool(
    request: Request, *, avoid: Sequence[Path] = (), ledger: Place | None = None, key: bytes = b""
) -> Iterator[Pool]:
    """Where new identities come from: unlike the source's own, those in *avoid* and *ledger*."""
    own = [request.source] if request.source.is_file() else []
    avoided = scan([*own, *avoid], skip=[output_of(request)])
    if ledger is None:
        yield Pool(avoided=avoided, key=key)
        return
    from unclone.sanitize.identities.ledger import Ledger  # noqa: PLC0415 (only needed here)

    with Ledger.open(ledger) as opened:
        yield Pool(avoided=avoided, ledger=opened, key=key)


def output_of(request: Request) -> Path:
    """The file that the new definition is written to."""
    return request.output or Path(f"{request.name}{request.source.suffix}")


def read(request: Request) -> Definition:
    """The source's definition. Raises UsageError, RefusedError, and InUseError while it runs."""
    definition = read_definition(request.source, request.format)
    definition.require_off()
    return definition


def define(
    request: Request, definition: Definition, pool: MachinePool, stream: BinaryIO | None = None
) -> Defined:
    """Write the definition of another machine; to *stream* instead of a file if it is given.

    *definition* is what :func:`read` returned. Raises UsageError, RefusedError, InUseError and
    UncloneError; nothing is left written then.
    """
    with written(request, definition, pool, stream) as defined:
        return defined


@contextmanager
def written(
    request: Request, definition: Definition, pool: MachinePool, stream: BinaryIO | None = None
) -> Iterator[Defined]:
    """As :func:`define`; what was written is taken back when the ``with`` block fails.

    For what has to happen together with it. A ledger keeps what it recorded: no other machine
    gets the identity then, which does no harm.
    """
    remarks: tuple[Note, ...] = ()
    undo: list[Callable[[], None]] = []
    if request.virtio:
        if request.snapshots:
            raise UsageError(
                "--virtio and --snapshot cannot be combined",
                hint="A snapshot keeps the devices as they were. Leave one of the two out.",
            )
        from unclone.runs import virtio  # noqa: PLC0415 (the engines come with it)

        definition, disks, remarks = virtio.moved(
            definition, request.disks, unchecked=request.unchecked
        )
        request = replace(request, disks=disks)
    warned = (Note("identities", Level.WARNING, words) for words in pool.warnings)
    remarks = (*warned, *remarks)
    with pool.handing_out():
        allocation = pool.machine(request.name)
        defined = _decided(request, definition, allocation, remarks)
        targets = defined.parts[1:] if stream else defined.parts
        _check(defined, targets, overwrite=request.overwrite)
        for part in defined.parts:
            verify(part.plan)
        if not request.dry_run:
            allocation.record(shown(request.source))
            undo = _write(defined, targets, stream, overwrite=request.overwrite)
    try:
        yield defined
    except BaseException:
        for step in reversed(undo):
            step()
        raise


def _decided(
    request: Request, definition: Definition, allocation: MachineAllocator, remarks: Sequence[Note]
) -> Defined:
    macs = chosen_macs(definition, request.macs)
    for number, new in enumerate(macs.values()):
        allocation.claim("mac", str(addresses.parse(new)), field=f"chosen {number}")
    if request.uuid:
        allocation.claim("uuid", request.uuid, field="uuid")
    identities = IdentityMap(
        allocation, request.name, oui=request.oui, uuid=request.uuid, macs=macs
    )
    output = output_of(request)
    main = plan_definition(definition, identities, disks=request.disks)
    if request.uuid and identities.uuid_of_machine not in identities.uuids.values():
        raise UsageError(
            f"{definition.source.shown} has no UUID that --uuid could replace",
            hint="Leave out --uuid: the hypervisor chooses one.",
        )
    parts = [Part(main, output)]
    for path in request.networks:
        from unclone.sanitize.definitions.formats.libvirt_network import reader  # noqa: PLC0415 (rarely needed)

        beside = reader.read_network(Source(path), definition.name, frozenset(identities.macs))
        parts.append(_beside(beside, identities, request, output))
    for path in request.snapshots:
        from unclone.sanitize.definitions.formats.libvirt_backup import reader as backups  # noqa: PLC0415 (as above)

        beside = backups.read_of_domain(path, definition.name)
        parts.append(_beside(beside, identities, request, output))
    home, nvram = request.home, request.nvram
    files = [f for part in parts for f in files_of(part.plan, part.output, home, nvram)]
    notes = [note for part in parts for note in part.plan.notes]
    return Defined(
        request,
        tuple(parts),
        tuple(files),
        identities,
        (*remarks, *notes, *_missing(definition, parts)),
    )


def _beside(
    definition: Definition, identities: IdentityMap, request: Request, output: Path
) -> Part:
    """What is given beside a definition lands beside its result, under the machine's name."""
    known = {f.value for f in definition.fields if f.rule.treatment is Treatment.MOVE}
    known |= {f.label for f in definition.fields if f.rule.treatment is Treatment.MOVE}
    disks = {old: new for old, new in request.disks.items() if old in known}
    path = output.with_name(f"{request.name}-{definition.source.path.name}")
    return Part(plan_definition(definition, identities, disks=disks), path)


def chosen_macs(definition: Definition, given: Mapping[str, str]) -> dict[str, str]:
    """From the old address to the new one for each card that *given* names: by label or number too.

    A card whose address is null, or another card's too, is there by its label. An empty name is
    the only card. Raises UsageError for a card that is not there.
    """
    cards = [f for f in definition.fields if f.rule.kind is FieldKind.MAC and not f.scope]
    found: dict[str, str] = {}
    for name, new in given.items():
        matching = [
            card
            for number, card in enumerate(cards, 1)
            if name in (card.label, card.value, str(number)) or (not name and len(cards) == 1)
        ]
        if len(matching) != 1 and len({card.team or card.label for card in matching}) != 1:
            has = ", ".join(f"{card.label} ({card.value})" for card in cards) or "none"
            raise UsageError(
                f"{definition.source.shown} has no network card '{printable(name, 100)}'",
                hint=f"Give --mac CARD=ADDRESS. Its cards: {printable(has)}.",
            )
        card = next((c for c in cards if c.team and c.team == matching[0].team), matching[0])
        same = [each for each in cards if each.value.lower() == card.value.lower()]
        alone = all(each is card or (card.team and each.team == card.team) for each in same)
        known = card.value if alone and not addresses.is_null(card.value) else card.label
        found[known] = str(addresses.parse(new, "--mac"))
    return found


def _missing(definition: Definition, parts: Sequence[Part]) -> Iterator[Note]:
    """Identities that the definition leaves to the hypervisor, and a result without a change."""
    kinds = {field.rule.kind for field in definition.fields}
    if FieldKind.MACHINE_UUID in {rule.kind for rule in definition.format.rules} - kinds:
        words = "the definition has no UUID: the hypervisor chooses one"
        yield Note("uuid", Level.INFO, words)
    if not any(each.changed for part in parts for each in part.plan.fields):
        words = "nothing in it is changed: what is written says the same as the source"
        yield Note("nothing-changed", Level.WARNING, words)


def _check(defined: Defined, parts: Sequence[Part], *, overwrite: bool) -> None:
    taken: set[Path] = set()
    for part in parts:
        require_free(part.output, part.plan.definition.source.path, overwrite=overwrite)
    for associated in defined.associated_files:
        associated.check(overwrite=overwrite)
    for target in [p.output for p in parts] + [c.target for c in defined.associated_files]:
        if target.resolve() in taken:
            raise UsageError(f"two files would be called {shown(target)}")
        taken.add(target.resolve())


def _write(
    defined: Defined, parts: Sequence[Part], stream: BinaryIO | None, *, overwrite: bool
) -> list[Callable[[], None]]:
    """All files, or none; the machine's own definition appears last. Returns what undoes it."""
    undo: list[Callable[[], None]] = []
    try:
        for associated in defined.associated_files:
            associated.apply(overwrite=overwrite)
            undo.append(associated.undo)
        for part in reversed(parts):
            definition = part.plan.definition
            like = definition.source.path
            with appearing(part.output, like=like, overwrite=overwrite) as file:
                definition.write(part.plan.edits, file)
            undo.append(part.output.unlink)
        if stream is not None:
            main = defined.parts[0].plan
            main.definition.write(main.edits, stream)
            stream.flush()
    except BaseException:
        for step in reversed(undo):
            step()
        raise
    return undo


def _pairs(option: str, given: Sequence[str], *, nameless: bool = False) -> dict[str, str]:
    """``OLD=NEW`` or, where *nameless*, ``NEW`` alone."""
    found: dict[str, str] = {}
    for text in given:
        old, sign, new = text.rpartition("=") if nameless else text.partition("=")
        if not new or not (sign or nameless) or old in found:
            why = "is given twice" if old in found else "is not OLD=NEW"
            raise UsageError(f"{option} {printable(text, 200)} {why}")
        found[old] = new
    return found


def _to_json(planned: PlannedField) -> dict[str, Any]:
    field_ = planned.field
    return {
        "row": field_.rule.id,
        "kind": str(field_.rule.kind),
        "treatment": str(field_.rule.treatment),
        "place": field_.place,
        "scope": field_.scope,
        "old": without_password(field_.value),
        "new": planned.new and without_password(planned.new),
        "why": field_.rule.why,
    }


def _disk_to_json(disk: Disk, moves: Mapping[str, str]) -> dict[str, Any]:
    return {
        "label": disk.label,
        "old": without_password(disk.path),
        "new": without_password(moves.get(disk.path) or moves.get(disk.label) or disk.path),
        "format": disk.format,
        "read_only": disk.read_only or disk.removable,
    }
