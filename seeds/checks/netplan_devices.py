"""What netplan's parser demands of devices beyond the form of each value: what excludes what.

References: netplan 1.2 ``src/parse.c`` (``handle_routes``, ``handle_ip_rules``,
``netplan_state_finish_nonauth``, adoption of undefined interfaces), ``src/validation.c``.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

import yaml

from unclone.seeds.checks import values
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.yaml_text import entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from yaml.nodes import Node

_FILE = "network-config"
#: Sections whose devices take interfaces for themselves, and in which groups one may be once.
_OWNERS = {"bonds": "bond or bridge", "bridges": "bond or bridge", "vrfs": "vrf"}
_TUNNELS_6 = frozenset({"vti6", "ipip6", "ip6ip6", "ip6gre", "ip6gretap"})
_TUNNELS_4 = frozenset({"ipip", "gre", "gretap", "sit", "isatap", "vti"})
_KEYED = frozenset({"gre", "gretap", "ip6gre", "ip6gretap", "vti", "vti6", "wireguard"})
_SWITCH_BRIDGE = frozenset({"fail-mode", "mcast-snooping", "rstp", "protocols", "controller"})
_PROTOCOLS = re.compile(r"OpenFlow1[0-6]")
_TARGET = re.compile(r"(p?(tcp|ssl):[^\s]*|unix:.+|punix:.+)")
_WAKE = {
    *("default", "any", "disconnect", "magic_pkt", "gtk_rekey_failure", "eap_identity_req"),
    *("four_way_handshake", "rfkill_release", "tcp"),
}


class Device(NamedTuple):
    """One device of a file."""

    section: str
    name: str
    key: Node
    node: Node
    fields: Mapping[str, Node]
    #: Its own renderer, its section's, or the file's; empty where none is chosen.
    renderer: str


def devices(sections: Iterable[tuple[str, Node]], renderer: str) -> Iterator[Device]:
    """The devices in *sections*; *renderer* is that of the file."""
    for section, node in sections:
        chosen = {name: str(value.value) for name, _, value in entries(node) if name == "renderer"}
        for name, key, device in entries(node):
            if name != "renderer":
                fields = {field: value for field, _, value in entries(device)}
                own = str(fields["renderer"].value) if "renderer" in fields else ""
                backend = own or chosen.get("renderer", renderer)
                if section == "nm-devices":
                    backend = "NetworkManager"
                yield Device(section, name, key, device, fields, backend)


def check(found: Iterable[Device]) -> Iterator[Finding]:
    """Findings for all devices of one file."""
    found = list(found)
    owners: dict[tuple[str, str], str] = {}
    below = {str(each.fields["link"].value) for each in found if "link" in each.fields}
    for device in found:
        yield from _check_functions(device, below)
        if device.section in _OWNERS:
            yield from _check_owner(device, owners)
        for route in _mappings(device.fields.get("routes")):
            yield from _check_route(route)
        for rule in _mappings(device.fields.get("routing-policy")):
            yield from _check_rule(rule)
        yield from _check_names(device)
        yield from _check_addresses(device)
        yield from _check_switch(device)
        if device.section == "tunnels":
            yield from _check_tunnel(device)
        if device.section == "wifis":
            yield from _check_wifi(device)


def _check_owner(device: Device, owners: dict[tuple[str, str], str]) -> Iterator[Finding]:
    members = _scalars(device.fields.get("interfaces"))
    for member in members:
        place = (_OWNERS[device.section], str(member.value))
        if place in owners:
            yield _at(
                member, "interface-twice", f"{member.value} belongs to {owners[place]} already"
            )
        owners[place] = device.name
    listed = {str(member.value) for member in members}
    parameters = {name: value for name, _, value in entries(device.fields.get("parameters"))}
    named = [parameters["primary"]] if "primary" in parameters else []
    for target in _scalars(parameters.get("arp-ip-targets")):
        if _family(str(target.value)) != 4:
            yield _at(target, "address", f"{target.value!r} is no address of IPv4")
    for field in ("path-cost", "port-priority"):
        for name, key, value in entries(parameters.get(field)):
            named.append(key)
            text = str(value.value) if field == "port-priority" and name else ""
            if text.isdigit() and int(text) > 63:
                yield _at(value, "network-value", f"port-priority is {text}; the most is 63")
    for node in named:
        if str(node.value) not in listed:
            message = f"{node.value} is no interface of {device.name}"
            yield _at(node, "undefined-interface", message, "Name one of its interfaces.")


def _check_route(route: Node) -> Iterator[Finding]:
    given = {name: str(value.value) for name, _, value in entries(route)}
    # Without via and scope it is a route to neighbours, of scope link.
    both = given.get("type", "unicast") == "unicast" and given.get("scope") == "global"
    missing = [key for key in ("to", "via") if key not in given and (both or key == "to")]
    if missing:
        yield _at(
            route, "route", f"a route without {' and '.join(missing)}", "- {to: ..., via: ...}"
        )
    families = {_family(given[key]) for key in ("to", "via", "from") if key in given}
    if families >= {4, 6}:
        yield _at(route, "route", "a route with addresses of IPv4 and of IPv6")


def _check_rule(rule: Node) -> Iterator[Finding]:
    given = {name: value for name, _, value in entries(rule)}
    ends = [given[key] for key in ("from", "to") if key in given]
    if {_family(str(end.value)) for end in ends} >= {4, 6}:
        yield _at(rule, "routing-policy", "a rule with addresses of IPv4 and of IPv6")
    if not ends:
        yield _at(rule, "routing-policy", "a rule without from and without to")
    for end in ends:
        if not _family(str(end.value)):
            yield _at(end, "address", f"{end.value!r} is no IP address", "Such as 192.0.2.0/24.")


def _check_names(device: Device) -> Iterator[Finding]:
    match = {name: value for name, _, value in entries(device.fields.get("match"))}
    if re.search(r"\s", device.name):
        yield _at(device.key, "interface-name", f"{device.name!r} has a space in it")
    if re.search(r"[*?\[]", device.name) and not match and device.section in {"ethernets", "wifis"}:
        hint = "Add match: {name: ...}, and call it by a label."
        yield _at(device.key, "interface-name", f"{device.name} is a pattern", hint)
    drivers = _scalars(match.get("driver"))
    names = _scalars(match.get("name"))
    wrong = [node for node in (*drivers, *names) if re.search(r"\s", str(node.value))]
    if isinstance(match.get("driver"), yaml.SequenceNode) and not drivers:
        wrong = [match["driver"]]
    for node in wrong:
        yield _at(node, "network-value", "this matches no card: names have no spaces")


def _check_functions(device: Device, below: set[str]) -> Iterator[Finding]:
    key = "delay-virtual-functions-rebind"
    has_some = device.fields.keys() & {"virtual-function-count", "embedded-switch-mode"}
    if key in device.fields and not has_some and device.name not in below:
        message = f"{key} is for cards with virtual functions, and {device.name} has none"
        yield _at(device.fields[key], "network-key", message)


def _check_addresses(device: Device) -> Iterator[Finding]:
    fields = device.fields
    for key, version in (("gateway4", 4), ("gateway6", 6)):
        if key in fields and _family(str(fields[key].value)) not in {0, version}:
            yield _at(fields[key], "address", f"{key} is no address of IPv{version}")
    if {"ipv6-address-generation", "ipv6-address-token"} <= fields.keys():
        message = "ipv6-address-generation and ipv6-address-token exclude each other"
        yield _at(fields["ipv6-address-token"], "network-value", message)
    backend = {name: value for name, _, value in entries(fields.get("networkmanager"))}
    if device.section == "nm-devices":
        given = {name for name, _, _ in entries(backend.get("passthrough"))}
        if "connection.type" not in given:
            message = f"{device.name} has no connection.type in its passthrough"
            yield _at(device.key, "network-required", message)
    elif backend and str(getattr(fields.get("renderer"), "value", "")) != "NetworkManager":
        # cloud-init sorts the keys, so netplan meets the file's own renderer too late.
        message = "networkmanager needs its renderer in the device itself"
        yield _at(device.key, "network-key", message, "renderer: NetworkManager")
    token = fields.get("ipv6-address-token")
    if token is not None and _family(str(token.value)) != 6:
        yield _at(
            token, "network-value", "ipv6-address-token is no address of IPv6", "Such as ::5."
        )
    for name, _, value in entries(fields.get("ra-overrides")):
        words = {"true", "false", "yes", "no", "on", "off", "y", "n", "route"}
        if name == "use-domains" and str(value.value).lower() not in words:
            yield _at(
                value, "network-value", f"use-domains is {value.value!r}", "true, false, route"
            )
    for trigger in _scalars(fields.get("wakeonwlan")):
        if str(trigger.value) not in _WAKE:
            yield _at(trigger, "network-value", f"wakeonwlan cannot be {trigger.value!r}")
    for mac in [v for n, _, v in entries(fields.get("match")) if n == "macaddress"]:
        if "-" in str(mac.value):
            hint = f"Write '{str(mac.value).replace('-', ':').lower()}'."
            yield _at(mac, "mac", f"{mac.value} has hyphens", hint)
    policy = fields.get("macaddress")
    if policy is not None and policy.value == "stable-ssid" and device.section != "wifis":
        yield _at(policy, "network-value", "stable-ssid is for wifis alone")


def _check_switch(device: Device) -> Iterator[Finding]:
    for name, key, value in entries(device.fields.get("openvswitch")):
        if name in _SWITCH_BRIDGE and device.section != "bridges":
            yield _at(key, "network-key", f"{name} is for bridges alone")
        if name == "lacp" and device.section != "bonds":
            yield _at(key, "network-key", "lacp is for bonds alone")
        for node in _scalars(value) if name == "protocols" else ():
            if not _PROTOCOLS.fullmatch(str(node.value)):
                yield _at(node, "network-value", f"protocols has no {node.value!r}")
        for inner, _, nodes in entries(value) if name == "controller" else ():
            for node in _scalars(nodes) if inner == "addresses" else ():
                yield from _check_target(node)


def _check_target(node: Node) -> Iterator[Finding]:
    text = str(node.value)
    port = re.search(r":(\d+)$", text)
    open_zone = re.search(r"\[[^]]*%|\[(?![^]]*:[^]]*:)", text)
    too_high = port is not None and int(port[1]) > 65535
    if not _TARGET.fullmatch(text) or open_zone or too_high:
        yield _at(node, "network-value", f"{text!r} is no target of a controller")


def _check_tunnel(device: Device) -> Iterator[Finding]:
    fields = device.fields
    mode = str(fields["mode"].value) if "mode" in fields else ""
    ends = {key: fields[key] for key in ("local", "remote") if key in fields}
    wanted = 6 if mode in _TUNNELS_6 else 4 if mode in _TUNNELS_4 else 0
    families = {_family(str(node.value)) for node in ends.values()}
    for key, node in ends.items():
        if "/" in str(node.value):
            yield _at(node, "address", f"{key} is an address without a prefix length")
        elif wanted and _family(str(node.value)) != wanted:
            yield _at(node, "address", f"{key} is no address of IPv{wanted}, as {mode} needs")
    if not wanted and families >= {4, 6}:
        yield _at(device.key, "address", "local and remote are of IPv4 and of IPv6")
    if wanted and "remote" not in ends:
        yield _at(device.key, "network-required", f"{device.name} has no remote", "remote: ...")
    if mode == "vxlan" and "id" not in fields:
        yield _at(device.key, "network-required", f"{device.name} has no id", "id: ...")
    for key in ("key", "keys"):
        if key in fields and mode in (_TUNNELS_4 | _TUNNELS_6) - _KEYED:
            yield _at(fields[key], "network-key", f"{key} is not for tunnels of mode {mode}")
        for name, _, flags in entries(fields.get(key)):
            for flag in _scalars(flags) if name == "private-key-flags" else ():
                if flag.value not in {"agent-owned", "not-saved", "not-required"}:
                    yield _at(flag, "network-value", f"there is no flag {flag.value!r}")


def _check_wifi(device: Device) -> Iterator[Finding]:
    if not list(entries(device.fields.get("access-points"))):
        yield _at(device.key, "network-required", f"{device.name} has no access-points")
    triggers = [str(node.value) for node in _scalars(device.fields.get("wakeonwlan"))]
    if "default" in triggers and len(triggers) > 1:
        yield _at(device.fields["wakeonwlan"], "network-value", "default excludes other triggers")


def _family(text: str) -> int:
    """4 or 6; 0 when *text* is no address and no network."""
    try:
        return ipaddress.ip_interface(text).version
    except ValueError:
        return 0


def _mappings(node: Node | None) -> list[Node]:
    found = node.value if isinstance(node, yaml.SequenceNode) else []
    return [item for item in found if isinstance(item, yaml.MappingNode)]


def _scalars(node: Node | None) -> list[Node]:
    found = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return [item for item in found if isinstance(item, yaml.ScalarNode)]


def _at(node: Node, code: str, message: str, hint: str = "") -> Finding:
    return values.at(_FILE, node, Severity.ERROR, code, message, hint)
