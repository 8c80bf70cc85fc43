"""The fields of an OVF descriptor, alone or in an archive."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.definition import Card, Disk, Field
from unclone.sanitize.definitions.formats.ovf import rules
from unclone.sanitize.definitions.formats.ovf.vmware import CARD as VMWARE_CARD
from unclone.sanitize.definitions.formats.ovf.vmware import rules_of as vmware_rules
from unclone.sanitize.definitions.formats.vbox.fields import PREFIX as VIRTUALBOX_PREFIX
from unclone.sanitize.definitions.formats.vbox.fields import machine_cards, machine_fields
from unclone.sanitize.definitions.formats.vmx.cards import PREFIX as VMWARE_PREFIX
from unclone.sanitize.definitions.substitution import UUID
from unclone.sanitize.definitions.text.xml_tree import read_xml, text_place, with_line
from unclone.sanitize.identities.uuids import is_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source
    from unclone.sanitize.definitions.text.xml_tree import Attribute, Element

QEMU_PREFIX = bytes.fromhex("525400")
_ETHERNET = "10"
_MAC = re.compile("[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_SYSTEM_TYPE = "VirtualSystemType"
_REPEATED = (rules.VMWARE_CARD, *rules.VIRTUALBOX)

_HOST_NAMES = {"hostname", "local-hostname", "fqdn", "host_name"}
_INSTANCE_IDS = {"instance-id", "instance_id", "instanceid"}


@dataclass(frozen=True)
class File:
    """A file that the descriptor names. ``size`` is -1 where it does not say."""

    href: str
    size: int
    in_chunks: bool


@dataclass(frozen=True)
class Descriptor:
    """What a descriptor says."""

    name: str
    fields: tuple[Field, ...]
    disks: tuple[Disk, ...]
    cards: tuple[Card, ...]
    files: tuple[File, ...]
    state: str  # a saved state that it names, or ""
    root: Element


def read_descriptor(source: Source, *, in_archive: bool) -> Descriptor:
    """The one machine in *source*. Raises RefusedError for none and for several."""
    root = read_xml(source)
    systems = [element for element in root.walk() if _is_section(element, "VirtualSystem")]
    if len(systems) != 1:
        found = f"{len(systems)} machines" if systems else "no <VirtualSystem>"
        raise RefusedError(
            f"{source.shown} has {found}", hint="An OVF that becomes one machine describes one."
        )
    system = systems[0]
    fields = [
        *_system(source, root, system),
        *_hardware(source, system),
        *_properties(root),
        *_network_addresses(source, root),
        *_ovirt(source, system),
        *_disks(root, in_archive=in_archive),
    ]
    # Where the hardware section has addresses, a hypervisor's own elements only repeat them.
    scope = "extension" if any(field.rule is rules.CARD for field in fields) else ""
    machines = [element for element in system.children if element.tag == "Machine"]
    for machine in machines:
        fields += [f for f in machine_fields(source, machine) if f.rule in rules.VIRTUALBOX]
    fields = [replace(f, scope=scope) if f.rule in _REPEATED else f for f in fields]
    return Descriptor(
        _name(system),
        tuple(sorted(fields, key=lambda field: field.start)),
        () if in_archive else tuple(_named_disks(root)),
        tuple(_cards(system, machines)),
        tuple(_files(root)),
        next((m.get("stateFile") for m in machines if m.get("stateFile")), ""),
        root,
    )


def _name(system: Element) -> str:
    name = system.first("Name")
    identifier = _setting(system, "VirtualSystemIdentifier")
    said = (name.value if name else "", identifier.value if identifier else "")
    id_ = local(system, "id")
    return next((each for each in said if each), id_.value if id_ else "")


def _system(source: Source, root: Element, system: Element) -> Iterator[Field]:
    items = [item for item in root.walk() if item.tag == "Item" and _is_startup(item)]
    for element in (system, *items):
        if id_ := local(element, "id"):
            foreign = UUID.search(id_.value) and not is_uuid(id_.value)
            rule = rules.SYSTEM_REFERENCE if foreign else rules.SYSTEM_ID
            yield _attribute(rule, element, id_)
    for element in system.find("Name"):
        yield from _words(source, rules.SYSTEM_NAME, element)
    for section in _sections(system, "VirtualHardwareSection"):
        for element in section.find("System/VirtualSystemIdentifier"):
            yield from _words(source, rules.IDENTIFIER, element)


def _is_startup(item: Element) -> bool:
    return item.parent is not None and _is_section(item.parent, "StartupSection")


def _is_section(element: Element, name: str) -> bool:
    """Whether it is a <name>, or a <Section xsi:type="ovf:name_Type"> as in OVF 0.9 and oVirt."""
    if element.tag in ("Section", "Content"):
        return _value(element, "type").rpartition(":")[2] == f"{name}_Type"
    return element.tag == name


def _sections(parent: Element, name: str) -> Iterator[Element]:
    return (child for child in parent.children if _is_section(child, name))


def disk_elements(root: Element) -> Iterator[Element]:
    """Every <Disk> of the disk section."""
    for section in _sections(root, "DiskSection"):
        yield from section.find("Disk")


def _setting(system: Element, name: str) -> Element | None:
    """What the hardware section says of the system: its identifier, its type."""
    sections = _sections(system, "VirtualHardwareSection")
    return next((e for section in sections for e in section.find(f"System/{name}")), None)


def _ovirt(source: Source, system: Element) -> Iterator[Field]:
    """The ids of oVirt: that of the machine is the one of its operating system's section."""
    for section in _sections(system, "OperatingSystemSection"):
        id_ = local(section, "id")
        if id_ and is_uuid(id_.value):
            yield _attribute(rules.OVIRT_ID, section, id_)
    for element in system.find("CustomSerialNumber"):
        yield from _words(source, rules.OVIRT_SERIAL, element)


def _hardware(source: Source, system: Element) -> Iterator[Field]:
    kind = _setting(system, _SYSTEM_TYPE)
    prefix = _prefix(kind.value.lower() if kind else "")
    for number, item in enumerate(_card_items(system)):
        for address in _addresses(item):
            yield from _words(source, rules.CARD, address, label=f"nic{number}", prefix=prefix)
    for section in _sections(system, "VirtualHardwareSection"):
        for extra in section.walk():
            if extra.tag in ("ExtraConfig", "Config"):
                yield from _extra(source, extra)


def _addresses(item: Element) -> Iterator[Element]:
    """Where a card's address is: in <Address> most often, in <MACAddress> in oVirt's dialect."""
    for element in item.walk():
        if element.tag in ("Address", "MACAddress") or _MAC.fullmatch(element.value):
            yield element


def _card_items(system: Element) -> Iterator[Element]:
    for section in _sections(system, "VirtualHardwareSection"):
        for item in section.children:
            type_ = item.first("ResourceType")
            if item.tag == "EthernetPortItem" or (
                item.tag == "Item" and type_ is not None and type_.value == _ETHERNET
            ):
                yield item


def _cards(system: Element, machines: Sequence[Element]) -> Sequence[Card]:
    """The cards; their addresses may be in VirtualBox's or VMware's own elements alone."""
    items = [
        Card(f"nic{number}", next((address.value for address in _addresses(item)), ""))
        for number, item in enumerate(_card_items(system))
    ]
    if any(card.mac for card in items):
        return items
    virtualbox = [card for machine in machines for card in machine_cards(machine)]
    vmware = [
        Card(found[1], _value(extra, "value"))
        for section in _sections(system, "VirtualHardwareSection")
        for extra in section.find("ExtraConfig")
        if (found := VMWARE_CARD.fullmatch(_value(extra, "key")))
    ]
    return virtualbox or vmware or items


def _prefix(kind: str) -> bytes:
    """What new addresses begin with, by the hypervisor the machine was exported from."""
    if "virtualbox" in kind:
        return VIRTUALBOX_PREFIX
    return VMWARE_PREFIX if "vmx" in kind else QEMU_PREFIX


def _extra(source: Source, extra: Element) -> Iterator[Field]:
    key, value = local(extra, "key"), local(extra, "value")
    if key is None or value is None:
        return
    for rule, hidden in vmware_rules(extra.tag, key.value, value.value):
        yield _attribute(
            rule,
            extra,
            value,
            hidden=hidden,
            removal=with_line(source, extra),
            label=key.value.partition(".")[0] if rule is rules.VMWARE_CARD else "",
            prefix=VMWARE_PREFIX,
        )


def _network_addresses(source: Source, root: Element) -> Iterator[Field]:
    """The addresses that VMware Cloud Director gives the machine in its networks."""
    for element in root.walk():
        parent = element.parent.tag if element.parent else ""
        if element.tag == "IpAddress" and parent == "NetworkConnection":
            yield from _words(source, rules.ADDRESS, element)
        address = local(element, "ipAddress") if element.tag == "Connection" else None
        if address is not None and address.value:
            yield _attribute(rules.ADDRESS, element, address)


def _properties(root: Element) -> Iterator[Field]:
    for element in root.walk():
        if element.tag != "Property" or element.parent is None:
            continue
        if not _is_section(element.parent, "ProductSection"):
            continue
        key = local(element, "key")
        name = key.value.lower() if key else ""
        for holder in (element, *element.find("Value")):
            value = local(holder, "value")
            if value is None or not value.value:
                continue
            if name in _HOST_NAMES:
                yield _attribute(rules.HOST_NAME, holder, value)
            elif name in _INSTANCE_IDS:
                yield _attribute(rules.INSTANCE_ID, holder, value)
            else:
                yield _attribute(rules.PROPERTY, holder, value, hidden=True)


def _disks(root: Element, *, in_archive: bool) -> Iterator[Field]:
    for disk in disk_elements(root):
        if (found := local(disk, "uuid")) and found.value:
            yield _attribute(rules.DISK_ID, disk, found)
    if in_archive:
        return
    labels = _labels(root)
    for file in root.find("References/File"):
        id_, href, size = (local(file, name) for name in ("id", "href", "size"))
        label = labels.get(id_.value if id_ else "")
        if label and href and href.value:
            yield _attribute(rules.DISK, file, href, label=label)
            if size is not None:
                yield _attribute(rules.DISK_SIZE, file, size, disk=label, removal=size.removal)


def _named_disks(root: Element) -> Iterator[Disk]:
    labels = _labels(root)
    formats = {
        _value(disk, "fileRef"): "vmdk" if "vmdk" in _value(disk, "format").lower() else ""
        for disk in disk_elements(root)
    }
    for file in root.find("References/File"):
        id_ = _value(file, "id")
        if id_ in labels:
            yield Disk(labels[id_], _value(file, "href"), formats[id_])


def _labels(root: Element) -> dict[str, str]:
    """The id of each disk by that of the file it is in."""
    return {
        _value(disk, "fileRef"): _value(disk, "diskId")
        for disk in disk_elements(root)
        if _value(disk, "fileRef")
    }


def _files(root: Element) -> Iterator[File]:
    for file in root.find("References/File"):
        size = _value(file, "size")
        chunks = local(file, "chunkSize") is not None
        is_number = re.fullmatch("[0-9]{1,19}", size)
        yield File(_value(file, "href"), int(size) if is_number else -1, chunks)


def local(element: Element, name: str) -> Attribute | None:
    """The attribute called *name*, whatever prefix its namespace has."""
    for attribute in element.attributes.values():
        if attribute.name.rpartition(":")[2] == name:
            return attribute
    return None


def _value(element: Element, name: str) -> str:
    found = local(element, name)
    return found.value if found else ""


def _words(
    source: Source, rule: Rule, element: Element, *, label: str = "", prefix: bytes = b""
) -> Iterator[Field]:
    place = text_place(source, element) if element.value and not element.children else None
    if place is not None:
        start, end, spell = place
        yield Field(
            rule, element.place, element.value, start, end, spell, label=label, prefix=prefix
        )


def _attribute(
    rule: Rule,
    element: Element,
    found: Attribute,
    *,
    hidden: bool = False,
    label: str = "",
    disk: str = "",
    removal: tuple[int, int] | None = None,
    prefix: bytes = b"",
) -> Field:
    return Field(
        rule,
        f"{element.place}/@{found.name}",
        "" if hidden else found.value,
        found.start,
        found.end,
        found.spell,
        label=label,
        disk=disk,
        removal=removal,
        prefix=prefix,
    )
