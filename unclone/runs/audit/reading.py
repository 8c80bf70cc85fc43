"""What identifies one machine: in its definitions, on its disks, in its seeds. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.engines.direct.raw_areas import END, START, raw_areas
from unclone.images.engines.engine import Drive
from unclone.images.errors import RefusedError, UncloneError
from unclone.images.file_systems.table import WITHOUT_FILES
from unclone.images.opening import select_engine
from unclone.images.text import printable, shown, without_password
from unclone.images.transaction import ReadOnly
from unclone.runs.audit import cache
from unclone.runs.audit.seed_files import NAMES, seed_files
from unclone.runs.audit.sources import own_disks
from unclone.runs.opening import read_guest
from unclone.sanitize import initrds
from unclone.sanitize.audit.known import known, of_devices
from unclone.sanitize.audit.raw_devices import below_files, of_raw_device
from unclone.sanitize.audit.unknown import unknown
from unclone.sanitize.audit.values import Found, digest
from unclone.sanitize.catalogue import load
from unclone.sanitize.change import Level
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.rule import FieldKind, Treatment
from unclone.sanitize.identifiers import is_none
from unclone.sanitize.identities import mac as addresses
from unclone.sanitize.identities.uuids import canonical_uuid, is_uuid
from unclone.sanitize.inventory.network import static_addresses
from unclone.sanitize.mac_pins.pins import addresses as macs_in
from unclone.seeds.contents import contents
from unclone.seeds.yaml_text import ParsedYaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unclone.images.guest import Guest
    from unclone.runs.audit.sources import Machine
    from unclone.runs.listener import PhaseTimer
    from unclone.runs.request import Request
    from unclone.sanitize.definitions.definition import Definition, Field

#: Where a guest has a seed in itself.
_OWN_SEEDS = ("/var/lib/cloud/seed/nocloud", "/var/lib/cloud/seed/nocloud-net")
#: What a disk without an operating system is refused with: data, of which nothing is mounted.
_NO_SYSTEM = "no operating system was found; on the disk"
_NULL_MAC = "00:00:00:00:00:00"

#: The kinds of fields that tell machines apart whatever becomes of them, and what they are called
#: where that is not their own name. Another is an identity where a rule makes it new.
_KINDS = {
    FieldKind.NAME: "machine-name",
    FieldKind.MACHINE_UUID: "machine-uuid",
    FieldKind.UUID: "device-uuid",
    FieldKind.GENERATION_ID: "generation-id",
    FieldKind.GENERATION_NUMBER: "generation-id",
    FieldKind.MAC: "mac-address",
    FieldKind.SERIAL: "serial",
    FieldKind.WWN: "wwn",
    FieldKind.VSOCK_CID: "vsock-cid",
    FieldKind.PORT: "host-port",
    FieldKind.DISPLAY: "host-display",
    FieldKind.SOCKET: "host-socket",
    FieldKind.INTERFACE: "host-interface",
    FieldKind.FIRMWARE: "firmware-state",
    FieldKind.TPM: "tpm-state",
    FieldKind.DISK: "disk-file",
    FieldKind.FILE: "host-file",
}


@dataclass
class Contents:
    """What was found in a machine, what could not be compared, and what could not be read."""

    values: list[Found] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[tuple[str, UncloneError]] = field(default_factory=list)


def read_files(machine: Machine) -> Contents:
    """What its definitions and seeds say."""
    found = Contents(notes=list(machine.notes))
    for path in machine.definitions:
        try:
            found.values += _of_definition(read_definition(path))
        except UncloneError as error:
            found.errors.append((str(path), error))
    for path in machine.seeds:
        try:
            found.values += seed_values(seed_files(path), f"{path.name}: ")
        except UncloneError as error:
            found.errors.append((str(path), error))
        except OSError as error:
            refused = RefusedError(f"{shown(path)} cannot be read: {error.strerror}")
            found.errors.append((str(path), refused))
    return found


def read_disks(request: Request, timer: PhaseTimer, folder: Path | None = None) -> Contents:
    """What is on the disks of *request*: of its guest where there is one, else of the devices.

    Where the guest cannot be read, that is an error, and what is on the devices is found all the
    same. Others may read the images meanwhile, nobody may write to them. In *folder* the results
    are remembered.
    """
    timer.phase("lock")
    found = Contents()
    try:
        with ReadOnly(request.disks, allow=request.allow) as transaction:
            how = request.engine, bool(request.key_files), *_texts(request)
            key = cache.key_of(transaction.images, *how) if folder else ""
            remembered = cache.recall(folder, key) if folder else None
            if remembered is not None:
                return Contents(*remembered)
            _read_images(request, transaction, timer, found)
            if folder and not found.errors and key == cache.key_of(transaction.images, *how):
                cache.remember(folder, key, found.values, found.notes)
    except UncloneError as error:
        found.errors.append((str(request.image), error))
    return found


def _read_images(
    request: Request, transaction: ReadOnly, timer: PhaseTimer, found: Contents
) -> None:
    found.values += _backing(transaction)
    before = tuple(found.values)

    def look(guest: Guest) -> Contents:
        inside = Contents(list(known(guest, load(request.options.catalogues))))
        inside.values.extend(unknown(guest, [*before, *inside.values]))
        inside.values.extend(_own_seeds(guest))
        inside.notes += _not_mounted(guest, shown(request.image))
        inside.notes += _not_unpacked(guest, shown(request.image))
        return inside

    try:
        inside = read_guest(request, transaction, timer, look)
        found.values += inside.values
        found.notes += inside.notes
    except RefusedError as error:
        found.values += _device_values(request, transaction)
        if error.message.startswith(_NO_SYSTEM):
            found.notes.append(f"{shown(request.image)}: {error.message}")
        else:
            found.errors.append((str(request.image), error))
    found.values += _raw_values(transaction, found)


def _raw_values(transaction: ReadOnly, found: Contents) -> list[Found]:
    """What is on devices that hold no files; what cannot be read is a note of *found*."""
    drives = [Drive(image.path, str(image.format), image) for image in transaction.images]
    values: list[Found] = []
    try:
        for area in raw_areas(drives):
            if not area.is_raw:
                values += below_files(area.device, area.end)
                continue
            values += of_raw_device(area.device, area.start, area.end, found.values)
            read = len(area.start) + len(area.end)
            if read < min(area.size, START + END):
                found.notes.append(f"{area.device}: only {read} bytes of it were looked into")
    except (OSError, UncloneError) as error:
        found.notes.append(f"the devices without a file system: {printable(str(error))}")
    return values


def _not_mounted(guest: Guest, image: str) -> list[str]:
    """A note for each file system whose files were not looked into."""
    mounted = {mount.device for mount in guest.layout.mounts_in_order}
    return [
        f"{image}: the files of {printable(fs.device)} ({printable(fs.type)}): nothing mounts it"
        for fs in guest.file_systems()
        if fs.device not in mounted and fs.type not in WITHOUT_FILES
    ]


def _not_unpacked(guest: Guest, image: str) -> list[str]:
    """A note for each initrd whose files were not all looked into."""
    return [
        f"{image}: not all of {printable(path)} was unpacked: {found.unreadable}"
        for path, found in initrds.surveys(guest, ()).items()
        if found.unreadable
    ]


def _texts(request: Request) -> Iterator[str]:
    """The user's own rows, which are a part of what is looked for."""
    for name in request.options.catalogues:
        try:
            yield Path(name).read_text("utf-8")
        except (OSError, ValueError):  # the catalogue was read before: it is gone now
            yield ""


def _backing(transaction: ReadOnly) -> Iterator[Found]:
    for image in transaction.images:
        for path in image.backing_files:
            yield Found("backing-file", str(path), shown(image.path), "linked clones have one")


def _device_values(request: Request, transaction: ReadOnly) -> list[Found]:
    drives = [Drive(image.path, str(image.format), image) for image in transaction.images]
    engine = select_engine(request.engine)
    try:
        opening = engine.open(drives, keys=lambda _: (), read_only=True, say=lambda _: None)
        with opening as volumes:
            return list(of_devices(volumes.identifiers(), volumes.file_systems()))
    except (OSError, UncloneError):  # the error that led here is told
        return []


def _own_seeds(guest: Guest) -> Iterator[Found]:
    for folder in _OWN_SEEDS:
        files = {name: guest.text_or_empty(f"{folder}/{name}").encode() for name in NAMES}
        yield from seed_values({k: v for k, v in files.items() if v}, f"{folder}/")


# -- definitions ---------------------------------------------------------------------------
def _of_definition(definition: Definition) -> Iterator[Found]:
    name = definition.source.path.name
    files = {disk.path: file for disk, file in own_disks(definition) if file is not None}
    shared = {disk.path for disk in definition.disks if disk.removable or disk.read_only}
    for each in definition.fields:
        kind = _KINDS.get(each.rule.kind)
        if kind is None and each.rule.treatment in {Treatment.RENEW, Treatment.FOLLOW}:
            kind = each.rule.id
        value = _comparable(each, files)
        if kind is None or not value:
            continue
        why = ""
        if each.rule.kind is FieldKind.DISK and (
            each.value in shared or each.rule.stays is Level.INFO
        ):
            why = "it is removable, read-only or meant to be shared"
        place = f"{name}: {printable(each.place or each.rule.where, 200)}"
        yield Found(kind, without_password(value), place, why)


def _comparable(each: Field, files: Mapping[str, Path]) -> str:
    """The value in the one spelling of its kind; "" for one that says that there is none."""
    value = each.value.strip()
    if each.rule.kind is FieldKind.MAC:
        try:
            value = str(addresses.parse(value))
        except UncloneError:
            return value
        return "" if value == _NULL_MAC else value
    if each.rule.kind is FieldKind.DISK:
        return str(files.get(each.value, value))
    if is_uuid(value):
        value = canonical_uuid(value)
    return "" if is_none(value) else value


# -- seeds ---------------------------------------------------------------------------------
def seed_values(files: Mapping[str, bytes], prefix: str) -> Iterator[Found]:
    """What the *files* of a seed give to a machine; *prefix* goes before the name of each."""
    texts = {name: content.decode("utf-8", "surrogateescape") for name, content in files.items()}
    meta = ParsedYaml("meta-data", texts.get("meta-data", "")).data
    if isinstance(meta, dict):
        yield from _named(meta, "meta-data", prefix)
    for name in ("user-data", "vendor-data"):
        for config in contents(files.get(name, b"")).configs:
            yield from _named(config, name, prefix)
            keys = config.get("ssh_keys")
            for key, value in keys.items() if isinstance(keys, dict) else ():
                if str(key).endswith("_private"):
                    text = digest(str(value).strip().encode("utf-8", "surrogatepass"))
                    yield Found("seeded-ssh-host-key", text, f"{prefix}{name}")
    network = texts.get("network-config", "")
    place = f"{prefix}network-config"
    for mac in macs_in(network):
        yield Found("mac-address", mac, place)
    for address in dict.fromkeys(static_addresses("network-config.yaml", network)):
        yield Found("ip-address", address.partition("/")[0], place)


def _named(data: Mapping[Any, Any], name: str, prefix: str) -> Iterator[Found]:
    for key, kind in _SEED_KEYS.items():
        value = data.get(key)
        if isinstance(value, str | int) and str(value).strip():
            yield Found(kind, str(value).strip(), f"{prefix}{name}")


_SEED_KEYS = {
    "instance-id": "instance-id",
    "local-hostname": "host-name",
    "hostname": "host-name",
    "fqdn": "host-name",
}
