"""cloud-hypervisor's VmConfig: what ``PUT /api/v1/vm.create`` takes and a snapshot keeps.

References: cloud-hypervisor docs/api.md, docs/snapshot_restore.md (config.json, memory-ranges and
state.json), vmm/src/api/openapi/cloud-hypervisor.yaml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.definitions.definition import Active, Card, Definition, Disk
from unclone.sanitize.definitions.formats.cloud_hypervisor import FORMAT
from unclone.sanitize.definitions.formats.cloud_hypervisor.rules import RULES
from unclone.sanitize.definitions.text.json_tree import read_json
from unclone.sanitize.definitions.tree_definition import TreeDefinition, fields

if TYPE_CHECKING:
    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source
    from unclone.sanitize.definitions.text.tree import Node

#: What its own random addresses begin with (net_util/src/mac.rs).
PREFIX = bytes.fromhex("2e")

#: What `ch-remote snapshot` writes beside config.json: the memory and the devices' state.
_SAVED = ("state.json", "memory-ranges")


def read(source: Source) -> Definition:
    """The machine in *source*."""
    root = read_json(source)
    config = root
    if "payload" not in config.entries and "cpus" not in config.entries:
        raise RefusedError(
            f"{source.shown} has neither payload nor cpus: it is no VmConfig of cloud-hypervisor",
            hint="Give what PUT /api/v1/vm.create takes.",
        )
    found = fields(RULES, config, applies=_applies, label=_label, secret=_is_secret, prefix=PREFIX)
    return TreeDefinition(
        FORMAT,
        source,
        "",
        tuple(sorted(found, key=lambda field: field.start)),
        tuple(
            Disk(_label(node), node.value, read_only=_is_read_only(node))
            for node in config.find("disks[]/path")
            if node.value
        ),
        _active(source),
        cards=tuple(Card(_named(node), node.get("mac")) for node in config.find("net[]")),
        roots=(root,),
    )


def _applies(rule: Rule, node: Node) -> bool:
    if rule.id in ("disk", "disk-shared"):
        return (rule.id == "disk-shared") == _is_read_only(node)
    if rule.id == "kernel-arguments":
        return "UUID=" in node.value
    return True


def _is_secret(rule: Rule, _node: Node) -> bool:
    return rule.id in ("kernel-arguments", "oem-strings")


def _is_read_only(node: Node) -> bool:
    disk = node.parent
    return disk is not None and "true" in (disk.get("readonly"), disk.get("discard_writes"))


def _label(node: Node) -> str:
    """The name of the device that a value belongs to."""
    device = node.parent
    return _named(device) if device is not None and device.step.startswith("[") else ""


def _named(device: Node) -> str:
    """The device's id, else its list and number: net0, disks1."""
    return device.get("id") or f"{device.parent.step if device.parent else ''}{device.step[1:-1]}"


def _active(source: Source) -> Active | None:
    folder = source.path.parent
    for name in _SAVED:
        if (folder / name).exists():
            message = f"{printable(name)} beside it: it is part of a snapshot with memory"
            return Active(message, running=False)
    return None
