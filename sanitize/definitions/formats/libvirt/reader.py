"""libvirt domain XML, as ``virsh dumpxml --inactive`` prints it; also its copies in snapshots.

Such a copy stands in ``<domainsnapshot>`` or ``<domaincheckpoint>``.

This is the format to copy for another one: rules, ``detects``, ``read``, ``FORMAT``. See
sanitize/definitions/definition.py for what each has to do.

References: libvirt "Domain XML format", "Snapshot XML format"; virt-clone(1) for what another
tool changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.associated_files import CopiedFile
from unclone.sanitize.definitions.definition import (
    Active,
    Card,
    Definition,
    Disk,
    Field,
    Leaf,
    Moved,
)
from unclone.sanitize.definitions.firmware_variables import uefi_variables
from unclone.sanitize.definitions.formats.libvirt import FORMAT
from unclone.sanitize.definitions.formats.libvirt.conditions import SECRETS, applies
from unclone.sanitize.definitions.formats.libvirt.host import activity
from unclone.sanitize.definitions.formats.libvirt.host_rules import SNAPSHOT_RULES
from unclone.sanitize.definitions.formats.libvirt.rules import ARGUMENT_RULES, RULES
from unclone.sanitize.definitions.formats.qemu import passed_on
from unclone.sanitize.definitions.rule import FieldKind, Treatment
from unclone.sanitize.definitions.text.xml_tree import leaves, read_xml, text_place, with_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.definition import DefinitionPlan
    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source
    from unclone.sanitize.definitions.text.splicing import Edit
    from unclone.sanitize.definitions.text.xml_tree import Attribute, Element

#: What new MAC addresses begin with, by domain type: QEMU's own and Xen's.
QEMU_PREFIX = bytes.fromhex("525400")
XEN_PREFIX = bytes.fromhex("00163e")
#: What a graphics port is set to: libvirt looks for a free one at every start.
FREE_PORT = "-1"
#: One character of an attribute, as it is written.
_WRITTEN = re.compile(r"&[^;]*;|.", re.DOTALL)
#: What has a copy of the domain in it.
_SAVED = ("domainsnapshot", "domaincheckpoint")
_QEMU_TYPES = {"kvm", "qemu", "hvf", "test"}


def read(source: Source) -> Definition:
    """The domain in *source*, with the copies of it that snapshots keep."""
    root = read_xml(source)
    domains = [(element, _scope(element)) for element in root.walk() if _is_domain(element)]
    if not domains:
        raise RefusedError(f"{source.shown} has no <domain>", hint="Is the file complete?")
    main = domains[0][0]
    fields = [f for domain, scope in domains for f in _fields(source, domain, scope)]
    if root.tag == "domainsnapshot":
        fields += _matches(source, root, _SNAPSHOT, "", QEMU_PREFIX)
    name = main.first("name")
    if name is None or not name.value:
        raise RefusedError(
            f"{source.shown}: the domain has no name", hint="Give it a <name> first."
        )
    return Libvirt(
        FORMAT,
        source,
        name.value,
        tuple(sorted(fields, key=lambda field: field.start)),
        tuple(_disks(main)),
        _active(root, main) or activity(source, name.value),
        tuple(_notes(fields, main)),
        tuple(_cards(main)),
        root,
    )


@dataclass(frozen=True)
class Libvirt(Definition):
    """A libvirt domain."""

    root: Element | None = None

    def leaves(self) -> Iterator[Leaf]:
        """Every attribute and text."""
        return (Leaf(*each) for each in leaves(self.root)) if self.root else iter(())

    def associated_files(self, plan: DefinitionPlan, output: Path) -> Sequence[AssociatedFile]:  # noqa: ARG002 (its paths are absolute)
        """The UEFI variables, where the file is there: libvirt would start with empty ones."""
        moved = {
            planned.field.value: planned.new
            for planned in plan.fields
            if planned.field.rule.id == "nvram" and planned.new and planned.changed
        }
        return [
            CopiedFile(Path(old), Path(new)) for old, new in moved.items() if uefi_variables(old)[0]
        ]

    def seed_drive(self, path: str) -> Sequence[Edit]:
        """An empty CD drive that gets it, or a drive of its own."""
        from unclone.sanitize.definitions.formats.libvirt.seed_drive import seed_drive  # noqa: PLC0415 (rarely needed)

        return seed_drive(self.source, read_xml(self.source), path)

    def virtio(self) -> Moved:
        """Disks, network cards and balloon."""
        from unclone.sanitize.definitions.formats.libvirt.virtio import moved  # noqa: PLC0415 (rarely needed)

        return moved(self.source, read_xml(self.source))


def _fields(source: Source, domain: Element, scope: str) -> Iterator[Field]:
    prefix = QEMU_PREFIX if domain.get("type") in _QEMU_TYPES else XEN_PREFIX
    yield from _matches(source, domain, _DOMAIN, scope, prefix)
    for argument in domain.find("commandline/arg"):
        if value := argument.attributes.get("value"):
            yield from _argument(source, argument, value, scope)


def _argument(source: Source, argument: Element, found: Attribute, scope: str) -> Iterator[Field]:
    """What identifies in an argument of QEMU."""
    written = [match.span() for match in _WRITTEN.finditer(source.text, found.start, found.end)]
    if len(written) != len(found.value):
        return  # a line end that is two characters

    def at(start: int, end: int) -> tuple[int, int]:
        return written[start][0], written[end - 1][1]

    place = f"{argument.place}/@value"
    yield from passed_on.found(ARGUMENT_RULES, found.value, place, at, is_word=True, scope=scope)


def _matches(
    source: Source,
    top: Element,
    places: Sequence[tuple[Rule, str, str]],
    scope: str,
    prefix: bytes,
) -> Iterator[Field]:
    for rule, path, attribute in places:
        for element in top.find(path):
            found = element.attributes.get(attribute)
            if found is not None and applies(rule.id, element, found.value):
                yield _attribute(source, rule, element, found, scope, prefix)
            elif not attribute and applies(rule.id, element, element.value):
                yield from _words(source, rule, element, scope, prefix)


def _attribute(
    source: Source, rule: Rule, element: Element, found: Attribute, scope: str, prefix: bytes
) -> Field:
    alone = len(element.attributes) == 1 and not element.children
    removal = with_line(source, element) if alone else found.removal
    return Field(
        rule,
        f"{element.place}/@{found.name}",
        "" if rule.id in SECRETS else found.value,
        found.start,
        found.end,
        found.spell,
        label=_label(element, rule),
        scope=scope,
        removal=removal,
        to="yes" if found.name == "autoport" else FREE_PORT,
        prefix=prefix,
        team=_team(element) if rule.kind is FieldKind.MAC else "",
    )


def _words(
    source: Source, rule: Rule, element: Element, scope: str, prefix: bytes
) -> Iterator[Field]:
    stays = rule.treatment is Treatment.KEEP
    if stays and (rule.id in SECRETS or element.children or not element.value):
        yield Field(rule, element.place, "", element.start, element.start, str, scope=scope)
    elif element.value and (place := text_place(source, element)):
        yield Field(
            rule,
            element.place,
            element.value,
            *place,
            label=_label(element, rule),
            scope=scope,
            removal=with_line(source, element),
            prefix=prefix,
        )


def _notes(fields: Sequence[Field], domain: Element) -> Iterator[Note]:
    for card in domain.find("devices/interface"):
        if card.first("mac") is None:
            message = f"{card.place} has no MAC address: libvirt chooses one when it is defined"
            yield Note("interface-mac", Level.INFO, message)
    for path in dict.fromkeys(f.value for f in fields if f.rule.id == "nvram"):
        note = uefi_variables(path)[1]
        if note is not None:
            yield note


def _team(element: Element) -> str:
    """The alias of the card that stays, of two that are one to the guest (``<teaming>``)."""
    card = element.parent
    teaming = card.first("teaming") if card else None
    if card is None or teaming is None:
        return ""
    alias = card.first("alias")
    return teaming.get("persistent") or (alias.get("name") if alias else "")


def _label(element: Element, rule: Rule | None = None) -> str:
    """What a person calls the device that *element* belongs to: vda, net0, its alias."""
    match rule.id if rule else "":
        case "nvram-volume":
            return "nvram"
        case "snapshot-overlay":
            disk = element.parent
            return f"overlay of {disk.get('name')}" if disk else ""
        case "disk-data-file":
            return f"{_label(element)}-data"
    device: Element | None = element
    while device is not None and not (device.parent and device.parent.tag == "devices"):
        device = device.parent
    if device is None:
        return ""
    if device.tag == "disk":
        target = device.first("target")
        return target.get("dev") if target else ""
    if device.tag == "interface":
        return f"net{device.number - 1}"
    return f"{device.tag}{device.number - 1}"


def _disks(domain: Element) -> Iterator[Disk]:
    for disk in domain.find("devices/disk"):
        source, driver = disk.first("source"), disk.first("driver")
        path = source.get("file") or source.get("dev") if source else ""
        if path:
            yield Disk(
                _label(disk),
                path,
                driver.get("type") if driver else "",
                removable=disk.get("device", "disk") in ("cdrom", "floppy"),
                read_only=disk.first("readonly") is not None,
            )


def _cards(domain: Element) -> Iterator[Card]:
    for card in domain.find("devices/interface"):
        mac = card.first("mac")
        yield Card(_label(card), mac.get("address") if mac else "")


def _is_domain(element: Element) -> bool:
    return element.tag in ("domain", "inactiveDomain") and (
        element.parent is None or element.parent.tag in (*_SAVED, "domstatus")
    )


def _scope(element: Element) -> str:
    if element.parent is None or element.parent.tag not in _SAVED:
        return ""
    name, kind = element.parent.first("name"), element.parent.tag.removeprefix("domain")
    return f"{kind} {name.value if name else '?'}, {element.tag}"


def _active(root: Element, domain: Element) -> Active | None:
    if root.tag == "domstatus":
        state = root.get("state")
        return Active(f"it is {state or 'running'}", running=state != "shutoff")
    if domain.get("id") and root.tag == "domain":
        return Active("it was read from a running machine: it has an id", running=True)
    return None


def _places(rules: Sequence[Rule]) -> tuple[tuple[Rule, str, str], ...]:
    """Each rule with the element and the attribute, or "", of each of its places."""
    return tuple(
        (rule, path.removeprefix("/"), attribute)
        for rule in rules
        for path, _, attribute in (where.partition("/@") for where in rule.where.split(" | "))
    )


_SNAPSHOT = _places(SNAPSHOT_RULES)
_DOMAIN = _places([rule for rule in RULES if rule not in (*SNAPSHOT_RULES, *ARGUMENT_RULES)])
