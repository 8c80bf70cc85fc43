"""Proxmox VE: a machine's qemu-server configuration (/etc/pve/qemu-server/VMID.conf).

References: see rules.py; src/PVE/QemuConfig.pm for locks and snapshots.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Active, Card, Definition, Disk, Field, Leaf
from unclone.sanitize.definitions.formats.proxmox import FORMAT, rules
from unclone.sanitize.definitions.formats.proxmox.conf import (
    Entry,
    Option,
    option,
    options,
    read_entries,
)
from unclone.sanitize.definitions.formats.qemu import passed_on
from unclone.sanitize.definitions.text.lines import line_ending
from unclone.sanitize.definitions.text.splicing import Edit
from unclone.sanitize.identities import mac as addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source

PREFIX = bytes.fromhex("bc2411")
CONFIGURATION = Path("/etc/pve")
RUNNING = Path("/run/qemu-server")


_DISKS = {"scsi", "virtio", "sata", "ide"}
_HOST_DEVICES = {"hostpci", "usb", "serial", "parallel"}
_SAVED = {"suspended", "suspending"}
#: Sections that are no snapshots: changes for the next start, and what cloud-init was told.
_OTHER_SECTIONS = {"PENDING", "special:cloudinit", "special:fleecing"}


def read(source: Source) -> Definition:
    """The machine in *source*, with the copies of it that snapshots keep."""
    entries = read_entries(source)
    own = {entry.key: entry for entry in entries if not entry.section}
    name = own["name"].value if "name" in own else ""
    fields = [field for entry in entries for field in _fields(source, entry, name)]
    if "name" not in own and own:
        fields.append(_added_name(source, next(iter(own.values()))))
    return Proxmox(
        FORMAT,
        source,
        name,
        tuple(sorted(fields, key=lambda field: field.start)),
        tuple(_disks(own.values())),
        _activity(source, own),
        tuple(_notes(entries)),
        tuple(_cards(own.values())),
        tuple(entries),
    )


@dataclass(frozen=True)
class Proxmox(Definition):
    """A machine of Proxmox VE."""

    entries: tuple[Entry, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """Every option of every key."""
        for entry in self.entries:
            for each in options(entry):
                path = f"{entry.key}/{each.name}" if each.name else entry.key
                yield Leaf(path, each.value, each.start, each.end)

    def seed_drive(self, path: str) -> Sequence[Edit]:
        """An empty CD drive that gets it, or ide2; nothing where Proxmox makes a seed itself."""
        own = {entry.key: entry for entry in self.entries if not entry.section}
        drives = [e for e in own.values() if e.kind in _DISKS and _is_removable(e)]
        if not own or any("cloudinit" in _volume(drive).value for drive in drives):
            return ()
        for drive in drives:
            medium = _volume(drive)
            if medium.value == "none":
                return (Edit(medium.start, medium.end, path),)
        place = next((key for key in ("ide2", "ide3", "ide0", "ide1") if key not in own), "")
        at, ending = next(iter(own.values())).whole[0], line_ending(self.source.text)
        return (Edit(at, at, f"{place}: {path},media=cdrom{ending}"),) if place else ()


def _fields(source: Source, entry: Entry, name: str) -> Iterator[Field]:
    if entry.kind == "args":
        yield from _arguments(entry, name)
    elif entry.kind == "smbios":
        yield from _smbios(source, entry)
    elif entry.kind == "net":
        card = _card(entry)
        if card is not None:
            if not addresses.is_null(card.value):
                addresses.parse(card.value, source.position(card.start))
            yield _of_option(rules.MAC, entry, card)
    elif entry.kind in _DISKS:
        yield from _disk_fields(entry)
    elif (rule := _VOLUMES.get(entry.kind)) and entry.value:
        yield _of_option(rule, entry, _volume(entry))
    elif (rule := _SIMPLE.get(entry.kind)) and _applies(rule, entry):
        yield _whole(rule, entry)
    elif entry.kind == "ivshmem" and (memory := option(entry, "name")):
        yield _of_option(rules.SHARED_MEMORY, entry, memory)


def _arguments(entry: Entry, name: str) -> Iterator[Field]:
    """What Proxmox passes on to QEMU: identities in it, and what repeats others."""
    place, scope = _place(entry), _scope(entry)

    def at(start: int, end: int) -> tuple[int, int]:
        return entry.start + start, entry.start + end

    own = [*passed_on.found(rules.WITHIN_ARGUMENTS, entry.value, place, at, scope=scope)]
    yield from own
    yield from passed_on.mentions(rules.ARGUMENTS, entry.value, name, place, at, own, scope=scope)


def _smbios(source: Source, entry: Entry) -> Iterator[Field]:
    flag = option(entry, "base64")
    encoded = flag is not None and flag.value == "1"
    for rule, name in ((rules.UUID, "uuid"), (rules.SERIAL, "serial")):
        found = option(entry, name)
        if found is None or not found.value:
            continue
        if rule is rules.SERIAL and encoded:
            decoded = _decoded(source, found)
            yield _of_option(rule, entry, found, value=decoded, spell=_encoded)
        else:
            yield _of_option(rule, entry, found)


def _decoded(source: Source, found: Option) -> str:
    try:
        return base64.b64decode(found.value, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise RefusedError(
            f"{source.position(found.start)}: is not text in base64",
            hint="smbios1 says base64=1: correct it first.",
        ) from error


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode("ascii")


def _card(entry: Entry) -> Option | None:
    """Where the MAC address is: ``MODEL=ADDRESS`` first, or ``macaddr=ADDRESS``."""
    first = options(entry)[0]
    if first.name and first.name not in ("model", "macaddr"):
        return first
    return option(entry, "macaddr")


def _disk_fields(entry: Entry) -> Iterator[Field]:
    volume = _volume(entry)
    if volume.value in ("", "none"):
        return
    if _is_removable(entry):
        if volume.value != "cdrom":  # the host's own drive
            rule = rules.CLOUD_INIT if "cloudinit" in volume.value else rules.REMOVABLE
            yield _of_option(rule, entry, volume)
        return
    yield _of_option(rules.DISK, entry, volume)
    for rule, name in ((rules.DISK_SERIAL, "serial"), (rules.DISK_WWN, "wwn")):
        found = option(entry, name)
        if found is not None and found.value:
            yield _of_option(rule, entry, found)


def _volume(entry: Entry) -> Option:
    found = option(entry, "file") or option(entry, "volume")
    return found or options(entry)[0]


def _is_removable(entry: Entry) -> bool:
    media = option(entry, "media")
    return media is not None and media.value == "cdrom"


def _applies(rule: Rule, entry: Entry) -> bool:
    if rule is rules.GENID:
        return entry.value not in ("0", "1")  # none, and any that Proxmox chooses
    if rule is rules.HOST_DEVICE:
        return entry.value != "socket" and not entry.value.startswith(("spice", "host=spice"))
    if rule is rules.ADDRESS:
        return bool(re.search(r"ip6?=[0-9a-fA-F]*[.:]", entry.value))
    return bool(entry.value)


def _of_option(
    rule: Rule,
    entry: Entry,
    found: Option,
    *,
    value: str | None = None,
    spell: Callable[[str], str] = str,
) -> Field:
    place = f"{entry.key}/{found.name}" if found.name else entry.key
    return Field(
        rule,
        f"[{entry.section}] {place}" if entry.section else place,
        found.value if value is None else value,
        found.start,
        found.end,
        spell if value is not None else _plain,
        label=f"{entry.key}:{entry.section}" if rule is rules.STATE else entry.key,
        scope=_scope(entry),
        removal=entry.whole,
        prefix=PREFIX,
    )


def _whole(rule: Rule, entry: Entry) -> Field:
    return Field(
        rule,
        _place(entry),
        "" if rule is rules.PASSWORD else entry.value,
        entry.start,
        entry.end,
        str,
        label=entry.key,
        scope=_scope(entry),
        removal=entry.whole,
    )


def _plain(value: str) -> str:
    """A value among others: what separates them cannot be in it."""
    if re.search(r"[,\r\n]", value):
        raise RefusedError(
            "a comma or a line end cannot be said in a Proxmox configuration",
            hint="Rename the file.",
        )
    return value


def _added_name(source: Source, first: Entry) -> Field:
    ending = line_ending(source.text)
    at = first.whole[0]
    return Field(rules.NAME, "name", "", at, at, lambda new: f"name: {new}{ending}")


def _place(entry: Entry) -> str:
    return f"[{entry.section}] {entry.key}" if entry.section else entry.key


def _scope(entry: Entry) -> str:
    return f"section {entry.section}" if entry.section else ""


def _disks(entries: Iterable[Entry]) -> Iterator[Disk]:
    for entry in entries:
        if entry.kind not in _DISKS:
            continue
        path, removable = _volume(entry).value, _is_removable(entry)
        said = option(entry, "format")
        suffix = path.rpartition(".")[2]
        name = said.value if said else suffix if suffix in ("qcow2", "raw", "vmdk") else ""
        read_only = option(entry, "ro")
        if path not in ("", "none", "cdrom"):
            is_read_only = read_only is not None and read_only.value == "1"
            yield Disk(entry.key, path, name, removable, is_read_only)


def _cards(entries: Iterable[Entry]) -> Iterator[Card]:
    for entry in entries:
        if entry.kind == "net":
            address = _card(entry)
            yield Card(entry.key, address.value if address else "")


def _activity(source: Source, own: dict[str, Entry]) -> Active | None:
    lock = own["lock"].value if "lock" in own else ""
    if lock in _SAVED or "vmstate" in own:
        return Active("its memory is saved (lock: suspended)", running=False)
    if lock:
        return Active(f"Proxmox is at work on it (lock: {lock})", running=True)
    path = source.path.resolve()
    pid = RUNNING / f"{path.stem}.pid"
    if path.is_relative_to(CONFIGURATION) and path.stem.isdigit() and pid.exists():
        return Active(f"it is running ({pid})", running=True)
    return None


def _notes(entries: Sequence[Entry]) -> Iterator[Note]:
    message = "Proxmox wants it called VMID.conf, with a number that no machine has: -o VMID.conf"
    yield Note("vmid", Level.INFO, message)
    for section in dict.fromkeys(e.section for e in entries if e.section not in _OTHER_SECTIONS):
        if section:
            message = f"snapshot {section}: it is only one where the new disks have it too"
            yield Note("snapshot", Level.WARNING, message)
    for entry in entries:
        if entry.kind == "args" and not entry.section:
            message = (
                "args: names, UUIDs, MAC addresses and serial numbers were looked for; "
                "check disks, ports and sockets in it"
            )
            yield Note(rules.ARGUMENTS.id, Level.WARNING, message)


_VOLUMES = {
    "efidisk": rules.EFI,
    "tpmstate": rules.TPM,
    "unused": rules.UNUSED,
    "vmstate": rules.STATE,
}
_SIMPLE = {
    "name": rules.NAME,
    "vmgenid": rules.GENID,
    "template": rules.TEMPLATE,
    "ipconfig": rules.ADDRESS,
    "cipassword": rules.PASSWORD,
    "cicustom": rules.CUSTOM,
    "virtiofs": rules.SHARED_FOLDER,
    "hookscript": rules.HOOK,
    "fleecing-images": rules.FLEECING,
    **dict.fromkeys(_HOST_DEVICES, rules.HOST_DEVICE),
}
