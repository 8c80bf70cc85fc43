"""network-config: what leaves a machine without its network, and without a word about it.

References: cloud-init ``doc/rtd/reference/network-config-format-v1.rst`` and ``-v2.rst``; issues
2955, 3672, 3678 (how MAC addresses are compared), 3229 (``set-name`` needs a MAC); the wrapper
``network:`` is understood by every source since cloud-init 22.2 only.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import yaml

from unclone.seeds.checks import netplan, netplan_devices, values
from unclone.seeds.checks.guard import guarded
from unclone.seeds.checks.text import decoded
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.network import INTERFACE_NAME
from unclone.seeds.yaml_text import ParsedYaml, entries, is_null, is_string, scalars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from yaml.nodes import Node

    from unclone.seeds.schema import Schema

_FILE = "network-config"
_TYPES_1 = frozenset(
    {"physical", "infiniband", "bond", "bridge", "vlan", "nameserver", "route", "loopback"}
)
_SUBNETS_1 = frozenset(
    [
        *("dhcp", "dhcp4", "dhcp6", "static", "static6", "manual", "loopback"),
        *("ipv6_slaac", "ipv6_dhcpv6-stateful", "ipv6_dhcpv6-stateless"),
    ]
)
#: Without these cloud-init skips the item (``ensure_command_keys``).
_REQUIRED_1: dict[str, dict[str, type[Node]]] = {
    "bond": {"bond_interfaces": yaml.SequenceNode, "params": yaml.MappingNode},
    "bridge": {"bridge_interfaces": yaml.SequenceNode},
    "vlan": {"vlan_link": yaml.ScalarNode, "vlan_id": yaml.ScalarNode},
    "nameserver": {"address": yaml.Node},
    "route": {"destination": yaml.ScalarNode},
}
_NAMED_1 = frozenset({"physical", "infiniband", "bond", "bridge", "vlan"})
_MAC_KEYS = frozenset({"mac_address", "macaddress"})


def check(content: bytes | None, schema: Schema | None) -> Iterator[Finding]:
    """Findings for the file *content*; none when there is no file."""
    if content is None:
        return
    text, problems = decoded(_FILE, content, "YAML readers differ in what they make of it")
    yield from problems
    if problems or not text.strip():
        return
    parsed = ParsedYaml(_FILE, text)
    yield from parsed.problems
    root = parsed.root
    if root is None or is_null(root):
        return
    if not isinstance(root, yaml.MappingNode):
        yield _at(root, "not-a-mapping", "network-config is key: value, not a list or text")
        return
    top = {name: (key, value) for name, key, value in entries(root)}
    data = parsed.data
    if set(top) == {"network"}:
        yield _at(
            top["network"][0],
            "network-wrapper",
            "the key network: around it is understood since cloud-init 22.2 only",
            "Leave the key out and move everything below it to the left.",
            Severity.WARNING,
        )
        root, data = top["network"][1], data["network"]
        if not isinstance(root, yaml.MappingNode):
            yield _at(root, "not-a-mapping", "network: is key: value, not a list or text")
            return
        top = {name: (key, value) for name, key, value in entries(root)}
    config = top.get("config", (None, None))[1]
    if isinstance(config, yaml.ScalarNode) and config.value == "disabled":
        return
    yield from _check_macs(root)
    yield from _check_version(root, top)
    if schema is not None and data.get("version") == 1 and isinstance(data.get("config"), list):
        yield from guarded(_FILE, lambda: schema.check_network(parsed, root, data, 1))


def _check_version(root: Node, top: dict[str, tuple[Node, Node]]) -> Iterator[Finding]:
    config = top.get("config", (None, None))[1]
    if "version" not in top:
        yield _at(root, "network-version", "there is no version, so it is ignored", "version: 2")
        return
    version = top["version"][1]
    if is_string(version) and version.value in {"1", "2"}:
        message = f"version is the text {version.value!r}, and cloud-init compares it with a number"
        yield _at(version, "network-version", message, f"version: {version.value}")
    elif version.value == "1":
        yield from _check_version_1(version, config)
    elif version.value == "2":
        yield from netplan.check(root)
        yield from _check_version_2(top)
    else:
        yield _at(version, "network-version", "there are versions 1 and 2", "version: 2")


def _check_macs(root: Node) -> Iterator[Finding]:
    for path, node in scalars(root):
        if path and path[-1] in _MAC_KEYS:
            # netplan's macaddress outside of match: is given to a device, and compared with none.
            is_compared = path[-1] != "macaddress" or "match" in path[-2:]
            problem = values.mac_problem(node, is_compared=is_compared)
            if problem:
                severity, message, hint = problem
                yield _at(node, "mac", message, hint, severity)


def _check_duplicates(cards: list[Node]) -> Iterator[Finding]:
    """*cards* are the MAC addresses by which cards are matched; a bond may share one of them."""
    seen: dict[str, int] = {}
    for node in cards:
        mac = str(node.value).lower()
        if mac in seen:
            yield _at(
                node,
                "duplicate-mac",
                f"{node.value} is also in line {seen[mac]}; both cannot be this card",
                "Give each card its own MAC address.",
            )
        seen.setdefault(mac, node.start_mark.line + 1)


def _check_version_1(version: Node, config: Node | None) -> Iterator[Finding]:
    if not isinstance(config, yaml.SequenceNode):
        hint = "config: [{type: physical, name: eth0, ...}]"
        yield _at(config or version, "network-config-list", "version 1 needs a list: config:", hint)
        return
    cards = []
    for item in config.value:
        if not isinstance(item, yaml.MappingNode):
            yield _at(item, "network-form", "an item of config: is no mapping", "- type: physical")
            continue
        given = {name: value for name, _, value in entries(item)}
        kind = given.get("type")
        if kind is None or str(kind.value) not in _TYPES_1:
            shown = "there is no type" if kind is None else f"there is no type {kind.value!r}"
            yield _at(
                kind or item, "network-type", shown, f"One of: {', '.join(sorted(_TYPES_1))}."
            )
            continue
        if str(kind.value) == "physical" and "mac_address" in given:
            cards.append(given["mac_address"])
        if str(kind.value) in _NAMED_1:
            yield from _check_name(given.get("name"), item)
        for name, form in _REQUIRED_1.get(str(kind.value), {}).items():
            if not isinstance(given.get(name), form):
                what = "has no" if name not in given else "has a wrong form of"
                yield _at(
                    given.get(name, item), "network-required", f"this {kind.value} {what} {name}"
                )
        subnets = given.get("subnets")
        if subnets is not None and not isinstance(subnets, yaml.SequenceNode):
            yield _at(subnets, "network-form", "subnets is no list", "subnets: [{type: dhcp}]")
        for subnet in _items(subnets, yaml.Node):
            yield from _check_subnet(subnet)
    yield from _check_duplicates(cards)


def _check_subnet(subnet: Node) -> Iterator[Finding]:
    if not isinstance(subnet, yaml.MappingNode):
        yield _at(subnet, "network-form", "a subnet is no mapping", "- type: dhcp")
        return
    fields = {name: value for name, _, value in entries(subnet)}
    kind = fields.get("type")
    if kind is None or str(kind.value) not in _SUBNETS_1:
        shown = (
            "has no type" if kind is None else f"has the type {kind.value!r}, which does not exist"
        )
        hint = f"One of: {', '.join(sorted(_SUBNETS_1))}."
        yield _at(kind or subnet, "network-type", f"a subnet {shown}", hint)
    static = "type" in fields and str(fields["type"].value) in {"static", "static6"}
    if static and "address" not in fields:
        yield _at(subnet, "address", "a static subnet without an address", "address: 192.0.2.10/24")
    prefix = static and not {"netmask", "prefix"} & fields.keys()
    mask = fields.get("netmask")
    if mask is not None and not (_parses(_ipv4_mask, mask) or _parses(_ipv6_mask, mask)):
        yield _at(mask, "address", f"{mask.value!r} is no netmask", "Such as 255.255.255.0, or 24.")
    yield from _check_address(fields.get("address"), prefix=prefix, version=1)
    yield from _check_ip(fields.get("gateway"))
    for server in _items(fields.get("dns_nameservers")):
        yield from _check_ip(server)


def _check_version_2(top: dict[str, tuple[Node, Node]]) -> Iterator[Finding]:
    cards = [
        mac
        for _, _, node in _section(top, "ethernets")
        for field, _, match in entries(node)
        if field == "match"
        for name, _, mac in entries(match)
        if name == "macaddress"
    ]
    yield from _check_duplicates(cards)
    sections = [(name, top[name][1]) for name in netplan.DEVICES if name in top]
    renderer = str(top["renderer"][1].value) if "renderer" in top else ""
    found = list(netplan_devices.devices(sections, renderer))
    defined = {device.name for device in found} | set(map(str, _switch_ports(top)))
    yield from netplan_devices.check(found)
    yield from _check_switch_ports(top)
    for device in found:
        given = device.fields
        # With match, and for NetworkManager, the key is only a label.
        if len(device.name) > 15 and "match" not in given and device.section != "nm-devices":
            yield from _check_name(device.key, device.key)
        if "set-name" in given:
            yield from _check_match(given)
        # NetworkManager looks for what is below a VLAN or a pair by itself.
        elsewhere = device.renderer == "NetworkManager"
        for below in (*_items(given.get("interfaces")), *(() if elsewhere else _links(given))):
            if str(below.value) not in defined:
                yield _at(
                    below,
                    "undefined-interface",
                    f"{device.name} is on top of {below.value!r}, which is not defined",
                    "Define it under ethernets.",
                )
        yield from _check_addressing(device.node, given)


def _check_match(given: Mapping[str, Node]) -> Iterator[Finding]:
    if not {name for name, _, _ in entries(given.get("match"))}:
        yield _at(
            given["set-name"],
            "set-name",
            "set-name without match: netplan refuses the file",
            "Add match: {macaddress: '52:54:00:12:34:56'}.",
        )
    yield from _check_name(given["set-name"], given["set-name"])


def _switch_ports(top: dict[str, tuple[Node, Node]]) -> list[str]:
    """The patch ports of Open vSwitch, which may be interfaces of bridges."""
    return [str(port.value) for ends in _pairs(top) for port in _items(ends)]


def _pairs(top: dict[str, tuple[Node, Node]]) -> list[Node]:
    ports = [value for name, _, value in _section(top, "openvswitch") if name == "ports"]
    return [ends for pair in ports for ends in _items(pair, yaml.SequenceNode)]


def _check_switch_ports(top: dict[str, tuple[Node, Node]]) -> Iterator[Finding]:
    all_ports = _switch_ports(top)
    for ends in _pairs(top):
        ports = [str(port.value) for port in _items(ends)]
        if len(ports) != 2 or any(all_ports.count(port) > 1 for port in ports):
            yield _at(ends, "network-value", "a pair of ports is two names, each used once")


def _check_addressing(node: Node, given: Mapping[str, Node]) -> Iterator[Finding]:
    for name, key, value in entries(node):
        if name in {"gateway4", "gateway6"}:
            yield _at(
                key,
                "deprecated-gateway",
                f"{name} is deprecated",
                "routes: [{to: 0.0.0.0/0, via: ...}] (or ::/0)",
                Severity.WARNING,
            )
            yield from _check_ip(value)
    described = _items(given.get("addresses"), yaml.MappingNode)
    keys = [key for one in described for _, key, _ in entries(one)]
    addresses = [*_items(given.get("addresses")), *keys]
    for address in addresses:
        yield from _check_address(address, prefix=True, version=2)
    for route in _items(given.get("routes"), yaml.MappingNode):
        fields = {name: value for name, _, value in entries(route)}
        yield from _check_ip(fields.get("via"))
        to = fields.get("to")
        if to is not None and not (to.value == "default" or _parses(ipaddress.ip_interface, to)):
            hint = "default, or a network such as 198.51.100.0/24."
            yield _at(to, "route", f"a route to {to.value!r}", hint)
    for name, _, value in entries(given.get("nameservers")):
        if name == "addresses":
            for server in _items(value):
                yield from _check_ip(server)


def _check_name(node: Node | None, item: Node) -> Iterator[Finding]:
    if node is None:
        yield _at(item, "interface-name", "the interface has no name", "name: eth0")
    elif not is_string(node):
        yield values.changed_type(_FILE, node, "name")
    elif not INTERFACE_NAME.fullmatch(node.value):
        yield _at(
            node,
            "interface-name",
            f"{node.value!r} is no interface name",
            "Linux takes up to 15 letters, digits, '.', '_', '-'.",
        )


def _check_address(node: Node | None, *, prefix: bool, version: int) -> Iterator[Finding]:
    if node is None:
        return
    if not is_string(node):
        yield values.changed_type(_FILE, node, "address")
    elif not _parses(ipaddress.ip_interface, node.value):
        yield _at(node, "address", f"{node.value!r} is no IP address", "Such as 192.0.2.10/24.")
    elif version == 2 and not re.fullmatch(r"\d*", node.value.partition("/")[2]):
        yield _at(node, "address", f"{node.value!r} has no number of bits behind the /")
    elif prefix and "/" not in node.value:
        # netplan refuses it; in version 1 cloud-init takes a usual length, which may be wrong.
        severity = Severity.WARNING if version == 1 else Severity.ERROR
        message = f"the address {node.value} has no prefix length"
        hint = f"Write {node.value}/24, say."
        yield _at(node, "address-prefix", message, hint, severity)


def _check_ip(node: Node | None) -> Iterator[Finding]:
    if node is None:
        return
    if not is_string(node):
        yield values.changed_type(_FILE, node, "address")
    elif not _parses(ipaddress.ip_address, node.value):
        yield _at(node, "address", f"{node.value!r} is no IP address", "Such as 192.0.2.1.")


def _ipv4_mask(text: str) -> object:
    return ipaddress.IPv4Network(f"0.0.0.0/{text}")


def _ipv6_mask(text: str) -> object:
    """A number of bits, or as an address."""
    bits = text.isdecimal()
    return ipaddress.IPv6Network(f"::/{text}") if bits else ipaddress.IPv6Address(text)


def _parses(parse: Callable[[str], object], text: str | Node) -> bool:
    try:
        parse(text if isinstance(text, str) else str(text.value))
    except ValueError:
        return False
    return True


def _section(top: dict[str, tuple[Node, Node]], name: str) -> Iterator[tuple[str, Node, Node]]:
    """The devices of a section, or the settings of ``openvswitch``."""
    found = entries(top[name][1]) if name in top else iter(())
    return (entry for entry in found if entry[0] != "renderer")  # it is for the section


def _items(node: Node | None, kind: type[Node] = yaml.ScalarNode) -> list[Node]:
    """The items of a list that are of *kind*; a scalar alone counts as a list of itself."""
    found = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return [item for item in found if isinstance(item, kind)]


def _links(given: Mapping[str, Node]) -> list[Node]:
    return [node for name in ("link", "peer") for node in _items(given.get(name))]


def _at(
    node: Node, code: str, message: str, hint: str = "", severity: Severity = Severity.ERROR
) -> Finding:
    return values.at(_FILE, node, severity, code, message, hint)
