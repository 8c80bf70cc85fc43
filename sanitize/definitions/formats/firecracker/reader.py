"""Firecracker's configuration, as ``firecracker --config-file`` reads it.

References: Firecracker docs/getting-started.md ("without sending API requests"),
src/firecracker/swagger/firecracker.yaml.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Card, Definition, Disk
from unclone.sanitize.definitions.formats.firecracker import FORMAT
from unclone.sanitize.definitions.formats.firecracker.rules import RULES
from unclone.sanitize.definitions.text.json_tree import read_json
from unclone.sanitize.definitions.tree_definition import TreeDefinition, fields

if TYPE_CHECKING:
    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source
    from unclone.sanitize.definitions.text.tree import Node

#: What the addresses in its documentation begin with: administered locally.
PREFIX = bytes.fromhex("060000")

_NO_UUID = (
    "a Firecracker machine has no name and no UUID: guests are told apart by MAC address, disk and "
    "what the metadata service says; --id of the firecracker command has to be another too"
)
_ENCODED = (
    "where the guest runs fcnet-setup, it takes its IPv4 address from the last four octets of a "
    "MAC address that begins with 06:00: choose such addresses with --mac"
)
#: What of the kernel's arguments is one machine's own: a fixed address, a disk by its id.
_OWN_ARGUMENT = re.compile(r"(?:^|\s)(?:ip=\d|ip=\[|\S*UUID=)")


def read(source: Source) -> Definition:
    """The machine in *source*."""
    root = read_json(source)
    if "boot-source" not in root.entries:
        raise RefusedError(
            f"{source.shown} has no boot-source: it is no configuration of Firecracker",
            hint="Give the file that --config-file names.",
        )
    found = list(
        fields(RULES, root, applies=_applies, label=_label, secret=_is_secret, prefix=PREFIX)
    )
    notes = [Note("machine", Level.INFO, _NO_UUID)]
    if any(f.rule.id == "guest-mac" and f.value.startswith("06:00:") for f in found):
        notes.append(Note("guest-mac", Level.WARNING, _ENCODED))
    return TreeDefinition(
        FORMAT,
        source,
        "",
        tuple(sorted(found, key=lambda field: field.start)),
        tuple(
            Disk(_label(node), node.value, "raw", read_only=_is_read_only(node))
            for node in root.find("drives[]/path_on_host")
            if node.value
        ),
        notes=tuple(notes),
        cards=tuple(
            Card(node.get("iface_id"), node.get("guest_mac"))
            for node in root.find("network-interfaces[]")
        ),
        roots=(root,),
    )


def _applies(rule: Rule, node: Node) -> bool:
    if rule.id in ("disk", "disk-shared"):
        return (rule.id == "disk-shared") == _is_read_only(node)
    if rule.id == "kernel-arguments":
        return bool(_OWN_ARGUMENT.search(node.value))
    return True


def _is_secret(rule: Rule, _node: Node) -> bool:
    return rule.id == "kernel-arguments"


def _is_read_only(node: Node) -> bool:
    drive = node.parent
    return drive is not None and "true" in (drive.get("is_read_only"), drive.get("read_only"))


def _label(node: Node) -> str:
    device = node.parent
    if device is None:
        return ""
    return device.get("drive_id") or device.get("iface_id") or device.get("id")
