"""The fields of a <Machine>, as a .vbox has it, and an OVF that VirtualBox exported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.definitions.definition import Card, Field
from unclone.sanitize.definitions.formats.vbox import rules
from unclone.sanitize.definitions.formats.vbox.media import attachments, media
from unclone.sanitize.definitions.text.xml_tree import with_line
from unclone.sanitize.identities.uuids import hexadecimal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source
    from unclone.sanitize.definitions.text.xml_tree import Attribute, Element

PREFIX = bytes.fromhex("080027")

#: What the guest says of itself. What the host sets (HostInfo, most of GuestAdd) names no machine.
_GUEST_SAID = "/VirtualBox/GuestInfo/"
_TYPED = "string:"
_NUMBER = re.compile(r"[1-9]\d{0,4}")
_HARDWARE = (
    (rules.HARDWARE_UUID, "", "uuid"),
    (rules.MAC, "Network/Adapter", "MACAddress"),
    (rules.FORWARDED, "Network/Adapter/NAT/Forwarding", "hostport"),
    (rules.FORWARDED, "Network/Adapter/DisabledModes/NAT/Forwarding", "hostport"),
    (rules.NVRAM, "BIOS/NVRAM", "path"),
    (rules.NVRAM, "Firmware/NVRAM", "path"),
    (rules.NVRAM, "NVRAM", "path"),
    (rules.DISPLAY_PORT, "RemoteDisplay/VRDEProperties/Property", "value"),
    (rules.DISPLAY_PORT, "RemoteDisplay", "port"),
    (rules.DEBUGGER_PORT, "GuestDebug", "port"),
    (rules.DEBUGGER_PORT, "Debugging", "port"),
    (rules.NETWORK_PORT, "Network/Adapter/GenericInterface/Property", "value"),
    (rules.NETWORK_PORT, "Network/Adapter/DisabledModes/GenericInterface/Property", "value"),
    (rules.VIDEO, "VideoCapture", "file"),
    (rules.VIDEO, "VideoRecording", "file"),
    (rules.VIDEO, "Network/Adapter", "tracefile"),
    (rules.VIDEO, "VideoCapture/Screens/Screen", "file"),
    (rules.VIDEO, "Recording/Screen", "file"),
    (rules.SERIAL_PEER, "LPT/Port", "path"),
    (rules.SERIAL_PEER, "Lpt/Port", "path"),
    (rules.SHARED_FOLDER, "SharedFolders/SharedFolder", "hostPath"),
    (rules.TPM, "TrustedPlatformModule", "location"),
    (rules.HOST_DEVICE, "HostPci/Devices/Device", "host"),
    (rules.HOST_DEVICE, "USB/DeviceFilters/DeviceFilter", "name"),
)


def machine_fields(source: Source, machine: Element) -> Iterator[Field]:
    """All but those of the disks."""
    snapshots = [element for element in machine.walk() if element.tag == "Snapshot"]
    for rule, attribute in (
        (rules.NAME, "name"),
        (rules.UUID, "uuid"),
        (rules.SNAPSHOT, "currentSnapshot"),
        (rules.SNAPSHOT_FOLDER, "snapshotFolder"),
    ):
        yield from _fields(source, rule, machine, attribute)
    for teleporter in machine.find("Teleporter"):
        yield from _fields(source, rules.DEBUGGER_PORT, teleporter, "port")
    for group in machine.find("Groups/Group"):
        yield from _fields(source, rules.GROUP, group, "name")
    for item in machine.find("ExtraData/ExtraDataItem"):
        yield from _extra(source, item)
    yield from _hardware(source, machine, "")
    for snapshot in snapshots:
        yield from _fields(source, rules.SNAPSHOT, snapshot, "uuid")
        yield from _fields(source, rules.SNAPSHOT_STATE, snapshot, "stateFile")
        yield from _hardware(source, snapshot, scope_of(snapshot))


def machine_cards(machine: Element) -> Iterator[Card]:
    """The network adapters that are enabled."""
    for adapter in machine.find("Hardware/Network/Adapter"):
        if adapter.get("enabled") in ("true", "1"):
            yield Card(_card_label(adapter), adapter.get("MACAddress"))


def disk_fields(source: Source, machine: Element) -> Iterator[Field]:
    """Location and UUID of each disk in the registry, and the UUIDs where they are attached."""
    known = media(machine)
    for medium in known.values():
        yield from _fields(source, rules.DISK, medium.element, "location", label=medium.label)
        yield from _fields(source, rules.DISK_UUID, medium.element, "uuid", disk=medium.label)
        for told in medium.element.find("Property[@name='InitiatorName']"):
            yield from _fields(source, rules.INITIATOR, told, "value")
    for kind in ("DVDImages", "FloppyImages"):
        for image in machine.find(f"MediaRegistry/{kind}/Image"):
            yield from _fields(source, rules.REMOVABLE, image, "location")
    contexts = [machine, *(each for each in machine.walk() if each.tag == "Snapshot")]
    for context in contexts:
        for _, image in attachments(context):
            medium_ = known.get(hexadecimal(image.get("uuid")))
            if medium_ is not None:
                scope = "" if context is machine else scope_of(context)
                yield from _fields(
                    source, rules.DISK_UUID, image, "uuid", scope=scope, disk=medium_.label
                )


def scope_of(snapshot: Element) -> str:
    """What the fields of a snapshot are in."""
    return f"snapshot {snapshot.get('name')}, {snapshot.get('uuid')}"


def _hardware(source: Source, context: Element, scope: str) -> Iterator[Field]:
    hardware = context.first("Hardware")
    if hardware is None:
        return
    for rule, path, attribute in _HARDWARE:
        for element in hardware.find(path) if path else (hardware,):
            wanted = "sport" if rule is rules.NETWORK_PORT else "TCP/Ports"
            if element.tag == "Property" and element.get("name") != wanted:
                continue
            label = _card_label(element) if rule is rules.MAC else ""
            yield from _fields(source, rule, element, attribute, scope=scope, label=label)
    for port in (*hardware.find("UART/Port"), *hardware.find("Uart/Port")):
        yield from _fields(source, _serial_rule(port), port, "path", scope=scope)
    for told in hardware.find("GuestProperties/GuestProperty"):
        rule, name = rules.GUEST_PROPERTY, told.attributes.get("name")
        if name is None or not name.value.startswith("/VirtualBox/"):
            rule = rules.USER_PROPERTY
        elif not name.value.startswith(_GUEST_SAID) or "RDONLYGUEST" in told.get("flags"):
            continue  # the host wrote it, of itself
        if name is not None:
            yield Field(
                rule,
                told.place,
                name.value,
                name.start,
                name.end,
                name.spell,
                scope=scope,
                removal=with_line(source, told),
            )


_PORTS = (rules.FORWARDED, rules.DISPLAY_PORT, rules.DEBUGGER_PORT, rules.NETWORK_PORT)


def _card_label(adapter: Element) -> str:
    return f"nic{adapter.get('slot') or adapter.number}"


def _serial_rule(port: Element) -> Rule:
    mode, is_server = port.get("hostMode"), port.get("server") in ("true", "1")
    if mode == "RawFile":
        return rules.LOG
    if mode == "HostPipe" and is_server:
        return rules.PIPE
    if mode == "TCP" and is_server and _NUMBER.fullmatch(port.get("path")):
        return rules.SERIAL_PORT
    return rules.SERIAL_PEER


def _extra(source: Source, item: Element) -> Iterator[Field]:
    name = item.get("name")
    if not name.startswith("VBoxInternal/"):
        return
    last = name.rpartition("/")[2]
    if last == "DmiSystemUuid":
        yield from _fields(source, rules.SYSTEM_UUID, item, "value")
    elif last in ("DmiSystemSerial", "DmiBoardSerial", "DmiChassisSerial"):
        yield from _fields(source, rules.SERIAL, item, "value")
    elif last in ("DmiBoardAssetTag", "DmiChassisAssetTag"):
        yield from _fields(source, rules.ASSET, item, "value")
    elif last == "HostPort":
        yield from _fields(source, rules.FORWARDED, item, "value")
    elif last == "SerialNumber":
        yield from _fields(source, rules.DISK_SERIAL, item, "value")


def _fields(
    source: Source,
    rule: Rule,
    element: Element,
    attribute: str,
    *,
    scope: str = "",
    label: str = "",
    disk: str = "",
) -> Iterator[Field]:
    """The field in *attribute*, if there is one and it says something."""
    found = element.attributes.get(attribute)
    if found is None or not found.value:
        return
    value, start = _said(source, found)
    if rule in _PORTS and not _NUMBER.fullmatch(value):
        return  # none, or a range that VirtualBox looks for a free one in
    if value == "<EMPTY>":
        return
    yield Field(
        rule,
        f"{element.place}/@{attribute}",
        value,
        start,
        found.end,
        found.spell,
        label=label,
        scope=scope,
        prefix=PREFIX,
        disk=disk,
    )


def _said(source: Source, found: Attribute) -> tuple[str, int]:
    """A value and where it starts: in "string:0123" only what follows is the value."""
    if found.value.startswith(_TYPED) and source.text.startswith(_TYPED, found.start):
        return found.value.removeprefix(_TYPED), found.start + len(_TYPED)
    return found.value, found.start
