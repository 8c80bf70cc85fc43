"""KubeVirt's VirtualMachine, in YAML or JSON, alone or among other objects of one file.

References: KubeVirt user guide ("Creating VirtualMachines", "Startup Scripts"); API reference.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.change import Note
from unclone.sanitize.definitions.cloud_init_fields import seed_fields
from unclone.sanitize.definitions.definition import Active, Card, Definition, Disk, Field
from unclone.sanitize.definitions.formats.kubevirt import FORMAT
from unclone.sanitize.definitions.formats.kubevirt.rules import (
    ANNOTATION,
    ANNOTATION_ADDRESS,
    ANNOTATION_MAC,
    MACHINE,
    OTHER_OBJECT,
    SEED,
)
from unclone.sanitize.definitions.text.yaml_tree import read_documents
from unclone.sanitize.definitions.tree_definition import TreeDefinition, fields, mentions
from unclone.sanitize.identities import mac as addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source
    from unclone.sanitize.definitions.text.tree import Node

#: KubeVirt takes its addresses from a pool, if there is one; 02 is the one that its guide shows.
PREFIX = bytes.fromhex("020000")

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: An IPv4 address; one of IPv6 stands where the annotation speaks of addresses.
_ADDRESS = re.compile(
    r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])|\"ips?\"|(?<!:)\b[0-9a-f]{1,4}::"
)
_KINDS = ("VirtualMachine", "VirtualMachineInstance")
_RUNNING = ("Running", "Paused", "Starting", "Stopping", "Migrating", "Terminating", "Scheduled")
#: RFC 1123, as Kubernetes asks of most names.
_OBJECT_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")


def read(source: Source) -> Definition:
    """The one machine in *source*."""
    documents = read_documents(source)
    objects = [each for document in documents for each in _objects(document)]
    machines = [each for each in objects if _is_machine(each)]
    if len(machines) != 1:
        raise RefusedError(
            f"{source.shown} has {len(machines) or 'no'} VirtualMachine objects, not one",
            hint="Give a file with one machine; other objects may stand beside it.",
        )
    machine = machines[0]
    name = machine.get("metadata/name")
    if not name:
        raise RefusedError(
            f"{source.shown}: the VirtualMachine has no metadata.name", hint="Give it one first."
        )
    templates = {n.value for n in machine.find("spec/dataVolumeTemplates[]/metadata/name")}
    found = [
        _named(field, source)
        for field in fields(
            MACHINE,
            machine,
            applies=_applies(templates),
            label=_label,
            secret=_is_secret,
            prefix=PREFIX,
        )
    ]
    seeds = list(seed_fields(SEED, machine, source.text, name))
    found += [each for each in seeds if isinstance(each, Field)]
    found += _annotations(machine, source.text, name)
    for other in objects:
        if other is not machine:
            found += fields(OTHER_OBJECT, other, scope=other.get("kind", "object"))
    return TreeDefinition(
        FORMAT,
        source,
        name,
        tuple(sorted(found, key=lambda field: (field.start, field.end))),
        tuple(_disks(machine)),
        _active(machine),
        tuple(each for each in seeds if isinstance(each, Note)),
        tuple(
            Card(card.get("name"), card.get("macAddress"))
            for spec in ("spec/template/spec", "spec")
            for card in machine.find(f"{spec}/domain/devices/interfaces[]")
        ),
        roots=tuple(documents),
    )


def _annotations(machine: Node, text: str, name: str) -> Iterator[Field]:
    """The machine's addresses, names and UUIDs in annotations, whatever stands around them."""
    for path in ANNOTATION.where.split(" | "):
        for node in machine.find(path):
            if node.step == _LAST_APPLIED:
                continue
            for field in mentions(ANNOTATION, node, text, name, scope="annotation"):
                is_mac = any(f.text == field.value for f in addresses.find(field.value))
                rule = ANNOTATION_MAC if is_mac else ANNOTATION
                yield replace(field, rule=rule, prefix=PREFIX)
            if _ADDRESS.search(node.value):
                yield Field(ANNOTATION_ADDRESS, node.place, node.value, node.start, node.start, str)


def _objects(document: Node) -> Iterator[Node]:
    if document.get("kind").endswith("List"):
        yield from document.find("items[]")
    else:
        yield document


def _is_machine(node: Node) -> bool:
    return node.get("apiVersion").startswith("kubevirt.io/") and node.get("kind") in _KINDS


def _applies(templates: set[str]) -> Callable[[Rule, Node], bool]:
    def applies(rule: Rule, node: Node) -> bool:
        if rule.id in ("data-volume-used", "disk"):
            return (rule.id == "data-volume-used") == (node.value in templates)
        if rule.id == "state":
            return node.value == "true"
        return True

    return applies


def _is_secret(rule: Rule, node: Node) -> bool:
    return rule.id == "last-applied" or node.step.endswith("Base64")


def _named(field: Field, source: Source) -> Field:
    """Names of objects have few characters: others are refused when they are written."""
    if field.rule.id not in ("name", "data-volume", "data-volume-used"):
        return field

    def spell(value: str) -> str:
        if not _OBJECT_NAME.fullmatch(value):
            raise RefusedError(
                f"{source.shown}: '{printable(value, 80)}' cannot be a name in Kubernetes",
                hint="Use lower case letters, digits and dashes.",
            )
        return field.spell(value)

    return Field(
        field.rule, field.place, field.value, field.start, field.end, spell, label=field.label
    )


def _label(node: Node) -> str:
    """What the machine calls the volume or card."""
    while node.parent is not None:
        if node.step.startswith("["):
            return node.get("name")
        node = node.parent
    return ""


def _disks(machine: Node) -> Iterator[Disk]:
    for spec in ("spec/template/spec", "spec"):
        for volume in machine.find(f"{spec}/volumes[]"):
            path = volume.get("hostDisk/path")
            if path:
                yield Disk(volume.get("name"), path, "raw")


def _active(machine: Node) -> Active | None:
    status = machine.get("status/printableStatus") or machine.get("status/phase")
    if status in _RUNNING:
        return Active(f"its status is {status}", running=True)
    return None
