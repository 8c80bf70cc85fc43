"""netplan, and cloud-init's network configuration in ``/etc/cloud``, which looks the same.

The files are edited where PyYAML says that a key and its value are; nothing is written anew.

References: netplan-yaml(5) (``match``, ``set-name``, ``macaddress``, ``renderer``); cloud-init,
"Networking config Version 1" (``mac_address``) and "Version 2".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import yaml

from unclone.images.text import printable
from unclone.sanitize.change import Level
from unclone.sanitize.mac_pins.names import usual_names
from unclone.sanitize.mac_pins.networkd import ANY_CARD
from unclone.sanitize.mac_pins.pins import Role, addresses

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning

#: Characters, of all files together. What is longer is no network configuration, and is not parsed.
YAML_LIMIT = 256 * 1024
#: Opening brackets in one file: PyYAML takes minutes for a few thousand within each other.
BRACKETS_LIMIT = 1000

#: Something that an alias elsewhere repeats must not be taken away from it.
_ANCHOR = re.compile(r"(?:^|[:,\[{-])[ \t]*&\w", re.MULTILINE)
_NETWORK_MANAGER = re.compile(r"\brenderer[\"']?\s*:\s*[\"']?NetworkManager\b")


class _Pin(NamedTuple):
    """An address in ``parent``; *interface* is what the card is called once it is matched."""

    file: Text
    role: Role
    macs: tuple[str, ...]
    parent: yaml.MappingNode
    key: yaml.Node
    value: yaml.Node
    interface: str = ""
    #: Whether the key may just go: other keys, or the name of the entry, say which card it is.
    droppable: bool = True


class Netplan:
    """A match by address becomes one by name, where the name is known; assigned ones go."""

    globs: tuple[str, ...] = (
        "/etc/netplan/*.yaml",
        "/usr/lib/netplan/*.yaml",
        "/usr/local/lib/netplan/*.yaml",
    )

    def unpin(
        self,
        guest: Guest,
        facts: Facts,
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        pins: list[_Pin] = []
        cards = 0
        left = YAML_LIMIT
        for file in files:
            if not addresses(file.text) and "ethernets" not in file.text:
                continue
            left -= len(file.text)
            root = _parsed(file.text) if left >= 0 else None
            if root is None:
                if addresses(file.text) and not unpinning.renewed:
                    unpinning.keep(file.path, "has MAC addresses, and cannot be read as YAML")
                continue
            network = _get(root, "network") or root
            cards += sum(1 for _ in _entries(_get(network, "ethernets")))
            pins += _pins(file, network)
        by_manager = any(_NETWORK_MANAGER.search(file.text) for file in files)
        usual = usual_names(guest, facts, has_systemd=True)
        for pin in pins:
            if unpinning.goes(pin.role, pin.file.path, pin.macs):
                is_usual = usual.fullmatch(pin.interface) is not None
                _unpin(pin, unpinning, is_usual=is_usual, alone=cards == 1 and not by_manager)


class CloudConfig(Netplan):
    """The same in cloud-init's own configuration, from which it writes the network anew."""

    globs = ("/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg")


def _unpin(pin: _Pin, unpinning: Unpinning, *, is_usual: bool, alone: bool) -> None:
    path, text = pin.file.path, pin.file.text
    start, end = pin.key.start_mark.index, pin.value.end_mark.index
    if _ANCHOR.search(text):
        unpinning.keep(path, f"has the MAC address {pin.macs[0]} in a way that is not edited here")
        return
    if pin.droppable:
        place = _droppable(pin, text)
        if place is None:
            unpinning.keep(path, f"has nothing but the MAC address {pin.macs[0]} for an interface")
        else:
            unpinning.splice(path, *place)
    elif is_usual:
        unpinning.splice(path, start, end, f"name: {pin.interface}")
    elif alone:
        unpinning.splice(path, start, end, f'name: "{ANY_CARD}"')
        unpinning.note(Level.INFO, f"{printable(path)} is for any Ethernet card now")
    else:
        unpinning.keep(path, f"says by the MAC address {pin.macs[0]} alone which card it means")


def _pins(file: Text, network: yaml.Node) -> Iterator[_Pin]:
    for section, devices in _entries(network):
        for name, device in _entries(devices):
            match = _get(device, "match")
            if section.value in {"ethernets", "wifis"} and isinstance(match, yaml.MappingNode):
                given = _get(device, "set-name")
                interface = given.value if isinstance(given, yaml.ScalarNode) else name.value
                telling = _get(match, "name") is not None
                yield from _keyed(
                    file, Role.MATCH, match, "macaddress", interface, droppable=telling
                )
            if isinstance(device, yaml.MappingNode):
                yield from _keyed(file, Role.ASSIGNED, device, "macaddress")
    version_1 = _get(network, "config")
    for item in version_1.value if isinstance(version_1, yaml.SequenceNode) else ():
        kind = _get(item, "type")
        physical = kind is not None and kind.value == "physical"
        if isinstance(item, yaml.MappingNode):
            role = Role.MATCH if physical else Role.ASSIGNED
            yield from _keyed(file, role, item, "mac_address")


def _keyed(
    file: Text,
    role: Role,
    parent: yaml.MappingNode,
    key: str,
    interface: str = "",
    *,
    droppable: bool = True,
) -> Iterator[_Pin]:
    for name, value in parent.value:
        macs = addresses(value.value) if isinstance(value.value, str) else ()
        if name.value == key and macs:
            yield _Pin(file, role, macs, parent, name, value, interface, droppable)


def _droppable(pin: _Pin, text: str) -> tuple[int, int] | None:
    """The characters to take out so that the key is gone; None when it is the only one."""
    keys = [key for key, _ in pin.parent.value]
    at = keys.index(pin.key)
    if len(keys) == 1:
        return None
    start, end = pin.key.start_mark.index, pin.value.end_mark.index
    line = text.rfind("\n", 0, start) + 1
    if not pin.parent.flow_style and not text[line:start].strip():
        after = text.find("\n", end)
        return line, len(text) if after < 0 else after + 1
    if at + 1 < len(keys):
        return start, keys[at + 1].start_mark.index
    return pin.parent.value[at - 1][1].end_mark.index, end


def _parsed(text: str) -> yaml.MappingNode | None:
    if text.count("[") + text.count("{") > BRACKETS_LIMIT:
        return None
    try:
        # Nodes, not objects: aliases are not expanded, and tags mean nothing.
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    return root if isinstance(root, yaml.MappingNode) else None


def _entries(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode))


def _get(node: yaml.Node | None, key: str) -> yaml.Node | None:
    return next((value for name, value in _entries(node) if name.value == key), None)
