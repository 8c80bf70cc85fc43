"""VMware .vmx, as Workstation, Fusion, Player and ESXi write it.

References: see rules.py; VMware knowledge base 1002403 for what it asks when a
machine was moved or copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.associated_files import CopiedFile
from unclone.sanitize.definitions.definition import Definition, Disk, Field, Leaf
from unclone.sanitize.definitions.disks.vmdk import DiskIds, vmdk_with_own_ids
from unclone.sanitize.definitions.firmware_variables import why_not_copied
from unclone.sanitize.definitions.formats.vmx import FORMAT, rules
from unclone.sanitize.definitions.formats.vmx.cards import card_fields, machine_cards
from unclone.sanitize.definitions.formats.vmx.host import NVRAM_SIGNATURES, activity
from unclone.sanitize.definitions.formats.vmx.settings import read_settings
from unclone.sanitize.definitions.rule import FieldKind, Treatment
from unclone.sanitize.definitions.text.lines import line_ending
from unclone.sanitize.definitions.text.splicing import Edit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.definition import DefinitionPlan
    from unclone.sanitize.definitions.formats.vmx.settings import Setting
    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source

_CARD_RULES = {rules.MAC, rules.MAC_TYPE, rules.MAC_UNUSED, rules.MAC_OFFSET, rules.MAC_CHECK}
_PORT = re.compile(r".*:(\d{1,5})(?!\d)", re.DOTALL)  # the last
_CD = ("cdrom", "atapi-cdrom")


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
        tuple(machine_cards(settings)),
        tuple(settings.values()),
    )


@dataclass(frozen=True)
class Vmx(Definition):
    """A VMware machine."""

    settings: tuple[Setting, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """Every setting."""
        return (Leaf(each.name, each.value, each.start, each.end) for each in self.settings)

    def seed_drive(self, path: str) -> Sequence[Edit]:
        """A CD drive on IDE, as VMware gives one to every new machine, or on SATA."""
        names = {each.name.lower().rpartition(".")[0] for each in self.settings}
        places = ["ide1:0", *(f"sata0:{unit}" for unit in range(1, 30) if "sata0" in names)]
        place = next((each for each in places if each not in names), "")
        if not place or not self.settings:
            return ()
        ending = line_ending(self.source.text)
        lines = (
            f'{place}.present = "TRUE"',
            f'{place}.deviceType = "cdrom-image"',
            f'{place}.fileName = "{path}"',
        )
        at = self.settings[0].whole[0]
        return (Edit(at, at, "".join(line + ending for line in lines)),)

    def associated_files(self, plan: DefinitionPlan, output: Path) -> Sequence[AssociatedFile]:
        """The firmware's variables are copied; the disks that were moved get ids of their own."""
        return [*self._variables(plan, output), *self._disk_ids(plan, output)]

    def _variables(self, plan: DefinitionPlan, output: Path) -> Iterator[AssociatedFile]:
        for planned in plan.fields:
            old, new = planned.field.value, planned.new
            if planned.field.rule is not rules.NVRAM or not new or new == old:
                continue
            if not why_not_copied(self.source.path, old, NVRAM_SIGNATURES):
                yield CopiedFile(self.source.path.parent / old, output.parent / new)

    def _disk_ids(self, plan: DefinitionPlan, output: Path) -> Iterator[AssociatedFile]:
        machine = plan.new_value("uuid-bios") or plan.new_value("display-name")
        for planned in plan.fields:
            if planned.field.rule is rules.DISK and planned.changed and planned.new:
                yield vmdk_with_own_ids(
                    self.source.path.parent / planned.field.value,
                    output.parent / planned.new,
                    DiskIds(f"{machine}\n{planned.field.label}"),
                )


def _fields(settings: Mapping[str, Setting]) -> Iterator[Field]:
    for key, setting in settings.items():
        for rule, pattern in _PATTERNS:
            if pattern.fullmatch(key) and setting.value and _applies(rule, key, settings):
                yield _field(rule, setting, key)


def _field(rule: Rule, setting: Setting, key: str) -> Field:
    value, start, end = setting.value, setting.start, setting.end
    if rule is rules.SERIAL_PORT and (port := _PORT.match(value)):
        value, start, end = port[1], start + port.start(1), start + port.end(1)
    return Field(
        rule,
        setting.name,
        "" if rule.id in rules.SECRETS else value,
        start,
        end,
        setting.spell if value == setting.value else str,
        label=key.removesuffix(".filename") if rule.kind is FieldKind.DISK else "",
        removal=setting.whole if rule.treatment is Treatment.REMOVE else None,
    )


def _added_name(source: Source, first: Setting) -> Field:
    at, ending = first.whole[0], line_ending(source.text)
    return Field(rules.NAME, "displayName", "", at, at, lambda n: f'displayName = "{n}"{ending}')


def _applies(rule: Rule, key: str, settings: Mapping[str, Setting]) -> bool:
    device = key.rpartition(".")[0]
    if rule.id == "tpm" and key == "vtpm.present":
        return settings[key].value.lower() == "true"
    if rule.id == "uuid-action":
        return settings[key].value.lower() != "keep"
    if rule in (rules.DISK, rules.REMOVABLE):
        return _is_removable(device, settings) == (rule is rules.REMOVABLE)
    if rule in _SERIAL_RULES:
        return rule is _serial_rule(device, settings)
    return True


def _serial_rule(device: str, settings: Mapping[str, Setting]) -> Rule:
    kind = _value(settings, f"{device}.filetype").lower()
    is_server = _value(settings, f"{device}.network.endpoint").lower() != "client"
    if kind == "pipe":
        return rules.PIPE
    if kind == "file":
        return rules.LOG
    name = settings[f"{device}.filename"]
    is_literal = name.end - name.start == len(name.value)
    if kind == "network" and is_server and is_literal and _PORT.match(name.value):
        return rules.SERIAL_PORT
    return rules.SERIAL_PEER


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
        message = "VMware asks at the first start whether the machine was moved or copied: 'moved' "
        yield Note("uuid-action", Level.INFO, message + "leaves it the new UUID")
    if _value(settings, "cleanshutdown").lower() == "false":
        message = "cleanShutdown is FALSE: the source was running, or crashed, when it was written"
        yield Note("clean-shutdown", Level.WARNING, message)
    if nvram := _value(settings, "nvram"):
        problem = why_not_copied(source.path, nvram, NVRAM_SIGNATURES)
        if problem:
            yield Note("nvram", Level.WARNING, problem)
    for key, setting in settings.items():
        if _DISKS.fullmatch(key) and re.search(r"-\d{6}\.vmdk$", setting.value):
            message = f"{setting.name}: {setting.value} holds what changed since a snapshot; "
            yield Note("disk", Level.WARNING, message + "copy the disk as it is now, into one file")


def _value(settings: Mapping[str, Setting], name: str) -> str:
    found = settings.get(name)
    return found.value if found else ""


def _pattern(where: str) -> re.Pattern[str]:
    names = (re.escape(name.lower()) for name in where.split(" | "))
    return re.compile("|".join(n.replace(r"\#", r"\d{1,4}").replace(r"\*", ".*") for n in names))


_PATTERNS = tuple((rule, _pattern(rule.where)) for rule in rules.RULES if rule not in _CARD_RULES)
_DISKS = _pattern(rules.DISK.where)
_SERIAL_RULES = (rules.PIPE, rules.LOG, rules.SERIAL_PORT, rules.SERIAL_PEER)
