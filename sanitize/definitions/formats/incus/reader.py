"""An instance of Incus or LXD: ``incus config show``, the API's instance, and backup.yaml.

References: Incus doc/config_options.txt, doc/rest-api.yaml (Instance), internal/server/backup.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.cloud_init_fields import seed_fields
from unclone.sanitize.definitions.definition import Active, Card, Definition, Field
from unclone.sanitize.definitions.formats.incus import FORMAT
from unclone.sanitize.definitions.formats.incus.rules import (
    INSTANCE,
    RAW,
    SEED,
    STORAGE,
    WITHIN_RAW,
)
from unclone.sanitize.definitions.formats.qemu import passed_on
from unclone.sanitize.definitions.text.tree import Node, Shape
from unclone.sanitize.definitions.text.yaml_tree import read_documents
from unclone.sanitize.definitions.tree_definition import TreeDefinition, fields, mentions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source

#: Incus' own; addresses of LXD (00:16:3e) stay LXD's.
PREFIX = bytes.fromhex("10666a")

#: An Ethernet address in its longest spelling; those of InfiniBand have 8 or 20 octets.
MAC_LENGTH = len("00:16:3e:00:00:00")

#: Devices of the host that any number of instances use at a time.
_SHARED = re.compile(
    r"/dev/(?:null|zero|full|u?random|tty|fuse|kvm|ppp|net/tun|vhost-net|vhost-vsock|vsock|loop.*)"
)
_RAW_NOTE = (
    "raw.qemu and the like: names, UUIDs, MAC addresses and serial numbers were looked for; "
    "check disks, ports and sockets in them"
)
_RUNNING = ("Running", "Frozen", "Freezing", "Thawed", "Starting", "Stopping")
#: What `config` and `devices` are called where those of the profiles are worked in.
_EXPANDED = {"config": "expanded_config", "devices": "expanded_devices"}


def read(source: Source) -> Definition:
    """The instance in *source*, with the copies of it that snapshots and profiles make."""
    documents = read_documents(source)
    if len(documents) != 1 or documents[0].shape is not Shape.MAPPING:
        raise RefusedError(
            f"{source.shown} is not one instance of Incus or LXD",
            hint="Give what `incus config show NAME` prints, or a backup.yaml.",
        )
    root = documents[0]
    main = next((n for key in ("instance", "container") for n in root.find(key)), root)
    if not {"config", "devices"} & main.entries.keys():
        raise RefusedError(
            f"{source.shown} has neither config nor devices: it is no instance of Incus or LXD",
            hint="Give what `incus config show NAME` prints, or a backup.yaml.",
        )
    name = main.get("name")
    found: list[Field] = []
    notes: list[Note] = []
    for instance, scope in _copies(root, main):
        copied = scope.startswith("snapshot")
        rules = [rule for rule in INSTANCE if not (copied and rule.id in ("name", "uuid"))]
        here = fields(
            rules,
            instance,
            applies=_applies,
            label=_label,
            secret=lambda rule, _: rule.id == "guest-input",
            scope=scope,
            prefix=PREFIX,
        )
        # One card has its address in `devices` and in `volatile`.
        found += (replace(each, team=each.label) for each in here)
        for rule in RAW:
            for path in rule.where.split(" | "):
                for node in instance.find(path):
                    found += _arguments(rule, node, source.text, name, scope)
        for each in seed_fields(SEED, instance, source.text, name, scope):
            if isinstance(each, Field):
                found.append(each)
            elif not scope:
                notes.append(each)
    found += fields(STORAGE, root)
    if any(main.get(path) for rule in RAW for path in rule.where.split(" | ")):
        notes.append(Note(RAW[0].id, Level.WARNING, _RAW_NOTE))
    return TreeDefinition(
        FORMAT,
        source,
        name,
        tuple(sorted(found, key=lambda field: (field.start, field.end))),
        active=_active(main),
        notes=tuple(notes),
        cards=tuple(_cards(main)),
        roots=(root,),
    )


def _arguments(rule: Rule, node: Node, text: str, name: str, scope: str) -> Iterator[Field]:
    """Identities in what Incus passes on to QEMU or LXC, and what repeats others."""
    first, last = node.inner

    def at(start: int, end: int) -> tuple[int, int]:
        return first + start, first + end

    own = [*passed_on.found(WITHIN_RAW, text[first:last], node.place, at, scope=scope)]
    yield from own
    for each in mentions(rule, node, text, name, scope=scope):
        if not any(one.start < each.end and each.start < one.end for one in own):
            yield each


def _copies(root: Node, main: Node) -> Iterator[tuple[Node, str]]:
    """The instance itself, and each place where it stands once more, with a scope's name."""
    snapshots = list(root.find("snapshots[]"))
    snapshots += [] if main is root else main.find("snapshots[]")
    for number, node in enumerate((main, *snapshots)):
        scope = f"snapshot {node.get('name', str(number))}" if number else ""
        yield node, scope
        expanded = {
            key: node.entries[other] for key, other in _EXPANDED.items() if other in node.entries
        }
        if expanded:
            both = Node(Shape.MAPPING, node.start, node.end, entries=expanded)
            yield both, f"{scope}, expanded" if scope else "expanded"


def _applies(rule: Rule, node: Node) -> bool:
    device = node.parent
    kind = device.get("type") if device is not None else ""
    match rule.id:
        case "disk":
            return kind == "disk"
        case "mac" | "infiniband-address" if node.step.endswith("hwaddr"):
            fits = (rule.id == "mac") == (len(node.value) <= MAC_LENGTH)
            return fits and ".last_state." not in node.step
        case "tpm":
            return node.value == "tpm"
        case "address":
            return bool(node.value) and node.value not in ("auto", "none")
        case "host-device" if node.step == "parent":
            return device is not None and device.get("nictype") == "physical"
        case "host-device" if node.step in ("source", "path"):
            is_device = kind in ("unix-char", "unix-block") and not _SHARED.fullmatch(node.value)
            return is_device and (node.step == "source" or not device or not device.get("source"))
        case "host-device":
            return kind in ("pci", "gpu", "usb", "infiniband", "nic", "unix-hotplug")
        case "last-state":
            return node.step != "volatile.last_state.idmap"
        case _:
            return True


def _label(node: Node) -> str:
    """The device: eth0, in ``volatile.eth0.hwaddr`` and in ``devices``."""
    if node.step.startswith("volatile."):
        return node.step.split(".")[1]
    device = node.parent
    return device.step if device is not None else ""


def _cards(main: Node) -> Iterator[Card]:
    """The cards of the instance and, where the file shows them, of its profiles.

    Where it does not, their names are those of the addresses that Incus has given to them.
    """
    devices = {
        node.step: node.get("hwaddr")
        for key in ("expanded_devices", "devices")
        for node in main.find(f"{key}/*")
        if node.get("type") == "nic"
    }
    volatile = {
        _label(node): node.value
        for key in ("expanded_config", "config")
        for node in main.find(f"{key}/volatile.*.hwaddr")
        if len(node.value) <= MAC_LENGTH and ".last_state." not in node.step
    }
    named = devices if "expanded_devices" in main.entries else (*devices, *volatile)
    for name in dict.fromkeys(named):
        yield Card(name, devices.get(name) or volatile.get(name, ""))


def _active(main: Node) -> Active | None:
    status = main.get("status")
    if status in _RUNNING:
        return Active(f"its status is {status}", running=True)
    if main.get("config/volatile.last_state.power") == "RUNNING":
        return Active("volatile.last_state.power is RUNNING", running=True)
    if main.get("stateful") == "true":
        return Active("it was stopped with its state (stateful: true)", running=False)
    return None
