"""VMware .vmx, as Workstation, Fusion, Player and ESXi write it.

References: see sanitize/definitions/vmx/; VMware knowledge base 1002403 for what it asks when a
machine was moved or copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.beside import why_not_copied
from unclone.sanitize.definitions.companion import CopiedFile
from unclone.sanitize.definitions.definition import Definition, Disk, Field, Format
from unclone.sanitize.definitions.disks.vmdk import DiskIds, vmdk_with_own_ids
from unclone.sanitize.definitions.lines import line_ending
from unclone.sanitize.definitions.row import Kind, Treatment
from unclone.sanitize.definitions.vmx import rows
from unclone.sanitize.definitions.vmx.cards import card_fields
from unclone.sanitize.definitions.vmx.host import NVRAM_SIGNATURES, activity
from unclone.sanitize.definitions.vmx.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from unclone.sanitize.definitions.companion import Companion
    from unclone.sanitize.definitions.renewal import Renewal
    from unclone.sanitize.definitions.row import Row
    from unclone.sanitize.definitions.source import Source
    from unclone.sanitize.definitions.vmx.settings import Setting

#: Settings that every .vmx has one of, and nothing else has.
_TELLING = re.compile(
    rb"^[ \t]*(?:config\.version|virtualHW\.version|virtualHW\.productCompatibility|"
    rb'displayName|guestOS|uuid\.bios|encryption\.keySafe)[ \t]*=[ \t]*"',
    re.MULTILINE | re.IGNORECASE,
)
_CARD_ROWS = {rows.MAC, rows.MAC_TYPE, rows.MAC_UNUSED, rows.MAC_OFFSET, rows.MAC_CHECK}
_PORT = re.compile(r".*:(\d{1,5})(?!\d)", re.DOTALL)  # the last
_CD = ("cdrom", "atapi-cdrom")


def detects(head: bytes) -> bool:
    """Whether two of VMware's own settings are there, each on a line of its own."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.lstrip()[:1] in (b"<", b"{"):
        return False
    return len({found[0].lower() for found in _TELLING.finditer(head)}) > 1


def read(source: Source) -> Definition:
    """The machine in *source*. Raises RefusedError for an encrypted one."""
    settings = read_settings(source)
    if secret := next((name for name in settings if name.startswith("encryption.")), ""):
        raise RefusedError(
            f"{source.shown} is encrypted ({settings[secret].name}): its settings cannot be read",
            hint="Remove the encryption in VMware first, virtual TPM included.",
        )
    fields = [*card_fields(source, settings), *_fields(settings)]
    name = settings.get("displayname")
    if name is None and settings:
        fields.append(_added_name(source, next(iter(settings.values()))))
    return Vmx(
        FORMAT,
        source,
        name.value if name else "",
        tuple(sorted(fields, key=lambda field: field.start)),
        tuple(_disks(settings)),
        activity(source, settings),
        tuple(_notes(source, settings)),
    )


@dataclass(frozen=True)
class Vmx(Definition):
    """A VMware machine."""

    def companions(self, renewal: Renewal, output: Path) -> Sequence[Companion]:
        """The firmware's variables are copied; the disks that were moved get ids of their own."""
        return [*self._variables(renewal, output), *self._disk_ids(renewal, output)]

    def _variables(self, renewal: Renewal, output: Path) -> Iterator[Companion]:
        for renewed in renewal.fields:
            old, new = renewed.field.value, renewed.new
            if renewed.field.row is not rows.NVRAM or not new or new == old:
                continue
            if not why_not_copied(self.source.path, old, NVRAM_SIGNATURES):
                yield CopiedFile(self.source.path.parent / old, output.parent / new)

    def _disk_ids(self, renewal: Renewal, output: Path) -> Iterator[Companion]:
        machine = renewal.new_value("uuid-bios") or renewal.new_value("display-name")
        for renewed in renewal.fields:
            if renewed.field.row is rows.DISK and renewed.changed and renewed.new:
                yield vmdk_with_own_ids(
                    self.source.path.parent / renewed.field.value,
                    output.parent / renewed.new,
                    DiskIds(f"{machine}\n{renewed.field.label}"),
                )


FORMAT = Format("vmx", "VMware .vmx", rows.ROWS, detects, read)


def _fields(settings: Mapping[str, Setting]) -> Iterator[Field]:
    for key, setting in settings.items():
        for row, pattern in _PATTERNS:
            if pattern.fullmatch(key) and setting.value and _applies(row, key, settings):
                yield _field(row, setting, key)


def _field(row: Row, setting: Setting, key: str) -> Field:
    value, start, end = setting.value, setting.start, setting.end
    if row is rows.SERIAL_PORT and (port := _PORT.match(value)):
        value, start, end = port[1], start + port.start(1), start + port.end(1)
    return Field(
        row,
        setting.name,
        "" if row.id in rows.SECRETS else value,
        start,
        end,
        setting.spell if value == setting.value else str,
        label=key.removesuffix(".filename") if row.kind is Kind.DISK else "",
        removal=setting.whole if row.treatment is Treatment.REMOVE else None,
    )


def _added_name(source: Source, first: Setting) -> Field:
    at, ending = first.whole[0], line_ending(source.text)
    return Field(rows.NAME, "displayName", "", at, at, lambda n: f'displayName = "{n}"{ending}')


def _applies(row: Row, key: str, settings: Mapping[str, Setting]) -> bool:
    device = key.rpartition(".")[0]
    if row.id == "uuid-action":
        return settings[key].value.lower() != "keep"
    if row in (rows.DISK, rows.REMOVABLE):
        return _is_removable(device, settings) == (row is rows.REMOVABLE)
    if row in _SERIAL_ROWS:
        return row is _serial_row(device, settings)
    return True


def _serial_row(device: str, settings: Mapping[str, Setting]) -> Row:
    kind = _value(settings, f"{device}.filetype").lower()
    is_server = _value(settings, f"{device}.network.endpoint").lower() != "client"
    if kind == "pipe":
        return rows.PIPE
    if kind == "file":
        return rows.LOG
    name = settings[f"{device}.filename"]
    is_literal = name.end - name.start == len(name.value)
    if kind == "network" and is_server and is_literal and _PORT.match(name.value):
        return rows.SERIAL_PORT
    return rows.SERIAL_PEER


def _is_removable(device: str, settings: Mapping[str, Setting]) -> bool:
    kind = _value(settings, f"{device}.devicetype").lower()
    return (
        device.startswith("floppy")
        or kind.startswith(_CD)
        or _value(settings, f"{device}.filename").lower().endswith(".iso")
    )


def _disks(settings: Mapping[str, Setting]) -> Iterator[Disk]:
    for key, setting in settings.items():
        device = key.removesuffix(".filename")
        is_there = _value(settings, f"{device}.present").lower() != "false"
        if _DISKS.fullmatch(key) and setting.value and is_there:
            removable = _is_removable(device, settings)
            yield Disk(device, setting.value, "" if removable else "vmdk", removable)


def _notes(source: Source, settings: Mapping[str, Setting]) -> Iterator[Note]:
    if _value(settings, "uuid.action").lower() not in ("keep", "create"):
        words = "VMware asks at the first start whether the machine was moved or copied: 'moved' "
        yield Note("uuid-action", Level.INFO, words + "leaves it the new UUID")
    if _value(settings, "cleanshutdown").lower() == "false":
        words = "cleanShutdown is FALSE: the source was running, or crashed, when it was written"
        yield Note("clean-shutdown", Level.WARNING, words)
    if nvram := _value(settings, "nvram"):
        problem = why_not_copied(source.path, nvram, NVRAM_SIGNATURES)
        if problem:
            yield Note("nvram", Level.WARNING, problem)
    for key, setting in settings.items():
        if _DISKS.fullmatch(key) and re.search(r"-\d{6}\.vmdk$", setting.value):
            words = f"{setting.name}: {setting.value} holds what changed since a snapshot; "
            yield Note("disk", Level.WARNING, words + "copy the disk as it is now, into one file")


def _value(settings: Mapping[str, Setting], name: str) -> str:
    found = settings.get(name)
    return found.value if found else ""


def _pattern(where: str) -> re.Pattern[str]:
    names = (re.escape(name.lower()) for name in where.split(" | "))
    return re.compile("|".join(n.replace(r"\#", r"\d{1,4}").replace(r"\*", ".*") for n in names))


_PATTERNS = tuple((row, _pattern(row.where)) for row in rows.ROWS if row not in _CARD_ROWS)
_DISKS = _pattern(rows.DISK.where)
_SERIAL_ROWS = (rows.PIPE, rows.LOG, rows.SERIAL_PORT, rows.SERIAL_PEER)
