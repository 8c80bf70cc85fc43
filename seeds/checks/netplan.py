"""What netplan's parser takes: every key of network-config version 2, and the form of its value.

cloud-init hands version 2 to netplan as it is, where the guest has it, and netplan refuses the
whole file for one unknown key, or one list where a mapping belongs. The table is netplan's: a key
maps to the name of a form (see ``_value``), to a table of further keys, or to a list with the one
form that its items have; ``"*"`` stands for any key.

References: netplan 1.2 ``src/parse.c`` (the tables of handlers), ``src/names.c``,
``src/validation.c``, ``doc/netplan-yaml.md``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from unclone.seeds.checks import values
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.yaml_text import entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from yaml.nodes import Node

_FILE = "network-config"


def _keys(form: object, names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), form)


def _choice(words: str) -> frozenset[str]:
    return frozenset(words.split())


_BACKEND = {"networkmanager": {**_keys("text", "name uuid stable-id device"), "passthrough": "map"}}
_AUTH = {
    "key-management": _choice(
        "none psk psk-sha256 eap eap-sha256 eap-suite-b-192 sae 802.1x"  # names.c
    ),
    "method": _choice("tls peap ttls leap pwd"),
    **_keys("text", "identity anonymous-identity password ca-certificate client-certificate"),
    **_keys("text", "client-key client-key-password phase2-auth"),
}
_ROUTE = {
    **_keys("text", "from to via"),
    **_keys("number", "table metric mtu congestion-window advertised-receive-window"),
    "advertised-mss": "number",
    "on-link": "bool",
    "scope": _choice("global link host"),
    "type": _choice(
        "unicast anycast blackhole broadcast local multicast nat prohibit throw unreachable "
        "xresolve"
    ),
}
_POLICY = {**_keys("text", "from to"), **_keys("number", "mark priority table type-of-service")}
_DHCP = {
    **_keys("text", "hostname use-domains"),
    "route-metric": "number",
    **_keys("bool", "send-hostname use-dns use-hostname use-mtu use-ntp use-routes"),
}
_OVS_CONTROLLER = {"addresses": ["text"], "connection-mode": _choice("in-band out-of-band")}
_OVS = {
    "external-ids": "map",
    "other-config": "map",
    "lacp": _choice("active passive off"),
    "fail-mode": _choice("secure standalone"),
    **_keys("bool", "mcast-snooping rstp"),
    "protocols": ["text"],
    "controller": _OVS_CONTROLLER,
}
_COMMON = {
    **_keys("bool", "accept-ra critical ignore-carrier dhcp4 dhcp6 ipv6-privacy optional hairpin"),
    **_keys("bool", "port-mac-learning neigh-suppress"),
    **_keys("number", "mtu ipv6-mtu"),
    **_keys("text", "gateway4 gateway6 ipv6-address-token macaddress"),
    **_keys(_DHCP, "dhcp4-overrides dhcp6-overrides"),
    "activation-mode": _choice("manual off"),
    "addresses": ["address"],
    "dhcp-identifier": _choice("mac duid"),
    "ra-overrides": {"use-dns": "bool", "use-domains": "text", "table": "number"},
    "ipv6-address-generation": _choice("eui64 stable-privacy"),
    "link-local": [_choice("ipv4 ipv6")],
    "nameservers": {"search": ["text"], "addresses": ["text"]},
    "optional-addresses": [_choice("ipv4-ll ipv6-ra dhcp4 dhcp6 static")],
    "renderer": _choice("networkd NetworkManager sriov"),
    "routes": [_ROUTE],
    "routing-policy": [_POLICY],
    "openvswitch": _OVS,
    **_BACKEND,
}
_PHYSICAL = {
    **_COMMON,
    "match": {"driver": "texts", "macaddress": "text", "name": "text"},
    "set-name": "text",
    **_keys("bool", "wakeonlan emit-lldp receive-checksum-offload transmit-checksum-offload"),
    **_keys("bool", "tcp-segmentation-offload tcp6-segmentation-offload"),
    **_keys("bool", "generic-segmentation-offload generic-receive-offload large-receive-offload"),
    "wakeonwlan": ["text"],
}
_ETHERNET = {
    **_PHYSICAL,
    "auth": _AUTH,
    "link": "text",
    "virtual-function-count": "number",
    "embedded-switch-mode": _choice("switchdev legacy"),
    "delay-virtual-functions-rebind": "bool",
    "infiniband-mode": _choice("datagram connected"),
}
_ACCESS_POINT = {
    "band": _choice("5GHz 5G 2.4GHz 2.4G"),
    **_keys("text", "bssid password"),
    "hidden": "bool",
    "channel": "number",
    "mode": _choice("infrastructure ap adhoc"),
    "auth": _AUTH,
    **_BACKEND,
}
_WIFI = {
    **_PHYSICAL,
    "access-points": {"*": _ACCESS_POINT},
    "auth": _AUTH,
    "regulatory-domain": "text",
}
_BOND_PARAMETERS = {
    "mode": _choice(
        "balance-rr active-backup balance-xor broadcast 802.3ad balance-tlb balance-alb "
        "balance-tcp balance-slb"  # the last two are Open vSwitch's
    ),
    "lacp-rate": _choice("slow fast"),
    **_keys(
        "text", "mii-monitor-interval transmit-hash-policy ad-select arp-interval arp-validate"
    ),
    **_keys("text", "arp-all-targets up-delay down-delay fail-over-mac-policy primary"),
    **_keys("text", "primary-reselect-policy learn-packet-interval"),
    **_keys("number", "min-links gratuitous-arp gratuitious-arp packets-per-slave resend-igmp"),
    "packets-per-member": "number",
    **_keys("bool", "all-slaves-active all-members-active"),
    "arp-ip-targets": ["text"],
}
_BRIDGE_PARAMETERS = {
    **_keys("text", "ageing-time aging-time forward-delay hello-time max-age"),
    **_keys({"*": "number"}, "path-cost port-priority"),
    "priority": "number",
    "stp": "bool",
}
_PEER = {
    "keys": {"public": "text", "shared": "text"},
    "keepalive": "number",
    "endpoint": "text",
    "allowed-ips": ["text"],
}
_TUNNEL_KEYS = {**_keys("text", "input output private"), "private-key-flags": ["text"]}
_TUNNEL = {
    **_COMMON,
    "mode": _choice(
        "ipip gre sit isatap vti ip6ip6 ipip6 ip6gre vti6 gretap ip6gretap vxlan wireguard"
    ),
    **_keys("text", "local remote link"),
    **_keys("number", "ttl mark port ageing aging id limit type-of-service flow-label"),
    **_keys(("text", _TUNNEL_KEYS), "key keys"),
    "peers": [_PEER],
    **_keys("bool", "do-not-fragment short-circuit arp-proxy mac-learning"),
    **_keys(["text"], "notifications checksums extensions port-range"),
}
_MODEM = {
    **_PHYSICAL,
    **_keys("text", "apn device-id network-id number password pin sim-id sim-operator-id username"),
    "auto-config": "bool",
}
_VRF = {
    **_COMMON,
    "interfaces": ["text"],
    "table": "number",
}
#: The sections that define devices, and the keys of a device in each.
DEVICES: Mapping[str, Mapping[str, Any]] = {
    "ethernets": _ETHERNET,
    "wifis": _WIFI,
    "modems": _MODEM,
    "bonds": {**_COMMON, "interfaces": ["text"], "parameters": _BOND_PARAMETERS},
    "bridges": {**_COMMON, "interfaces": ["text"], "parameters": _BRIDGE_PARAMETERS},
    "vlans": {**_COMMON, "id": "number", "link": "text"},
    "vrfs": _VRF,
    "tunnels": _TUNNEL,
    "dummy-devices": _COMMON,
    "virtual-ethernets": {**_COMMON, "peer": "text"},
    "nm-devices": {**_PHYSICAL, **_COMMON},
}
#: Keys without which netplan refuses a device.
_REQUIRED = {
    "vlans": ("id", "link"),
    "vrfs": ("table",),
    "tunnels": ("mode",),
    "virtual-ethernets": ("peer",),
}
_NETWORK: dict[str, Any] = {
    "version": "number",
    "renderer": _choice("networkd NetworkManager"),
    **{
        name: {"*": keys, "renderer": _choice("networkd NetworkManager")}
        for name, keys in DEVICES.items()
    },
    "openvswitch": {
        **_keys("map", "external-ids other-config"),
        "protocols": ["text"],
        "ports": [["text"]],
        "ssl": _keys("text", "ca-cert certificate private-key"),
    },
}
#: Largest values, where netplan or the kernel has them.
_LIMITS = {
    "id": 16_777_215,  # VXLAN; of a VLAN 4094 (see check)
    "type-of-service": 255,
    "ttl": 255,
    "keepalive": 65_535,
    "port": 65_535,
    "flow-label": 1_048_575,
    "mtu": 4_294_967_295,
}
_TRUE = _choice("true on yes y")
_BOOLEANS = _TRUE | _choice("false off no n")
_DIGITS = re.compile(r"\d{1,10}")
_HINT = "docs: https://netplan.readthedocs.io/en/stable/netplan-yaml/"


def check(root: Node) -> Iterator[Finding]:
    """Findings for the mapping *root*, network configuration of version 2."""
    yield from _mapping(root, _NETWORK, "")
    for section, required in _REQUIRED.items():
        for _, _, devices in (e for e in entries(root) if e[0] == section):
            for name, key, device in (e for e in entries(devices) if e[0] != "renderer"):
                given = {field: value for field, _, value in entries(device)}
                for missing in (field for field in required if field not in given):
                    yield _at(
                        key, "network-required", f"{name} has no {missing}", f"{missing}: ..."
                    )
                number = given.get("id") if section == "vlans" else None
                if isinstance(number, yaml.ScalarNode) and _DIGITS.fullmatch(number.value):
                    yield from _limited(number, "id", 4094)


def _value(node: Node, form: Any, key: str) -> Iterator[Finding]:  # noqa: ANN401 (see the module)
    if isinstance(form, dict):
        yield from _mapping(node, form, key)
    elif isinstance(form, list):
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield from _value(item, form[0], key)
        else:
            yield _wrong(node, key, "a list")
    elif isinstance(form, tuple):  # one scalar, or a mapping
        yield from _value(node, form[not isinstance(node, yaml.ScalarNode)], key)
    elif form == "map":
        if not isinstance(node, yaml.MappingNode):
            yield _wrong(node, key, "a mapping")
    elif form == "address" and isinstance(node, yaml.MappingNode):
        yield from _mapping(node, {"*": {"label": "text", "lifetime": _choice("0 forever")}}, key)
    elif form == "texts" and isinstance(node, yaml.SequenceNode):
        yield from _value(node, ["text"], key)
    elif not isinstance(node, yaml.ScalarNode):
        yield _wrong(node, key, "one value")
    else:
        yield from _scalar(node, form, key)


def _mapping(node: Node, keys: Mapping[str, Any], where: str) -> Iterator[Finding]:
    if not isinstance(node, yaml.MappingNode):
        yield _wrong(node, where, "a mapping")
        return
    for name, key, value in entries(node):
        form = keys.get(name, keys.get("*"))
        if form is not None:
            yield from _value(value, form, name)
        else:
            inside = f" in {where}" if where else ""
            yield _at(
                key, "network-key", f"netplan knows no key {name!r}{inside}", _near(name, keys)
            )


def _scalar(node: yaml.ScalarNode, form: object, key: str) -> Iterator[Finding]:
    text = node.value
    if node.tag.endswith(":bool"):  # cloud-init reads it, and writes it anew for netplan
        text = "true" if text.lower() in _TRUE else "false"
    if isinstance(form, frozenset):
        if text.lower() not in {word.lower() for word in form}:
            yield _at(
                node,
                "network-value",
                f"{key} cannot be {text!r}",
                f"One of: {', '.join(sorted(form))}.",
            )
    elif form == "bool" and text.lower() not in _BOOLEANS:
        yield _at(node, "network-value", f"{key} is {text!r}, not true or false", "true or false")
    elif form == "number":
        if _DIGITS.fullmatch(text):
            yield from _limited(node, key, _LIMITS.get(key, 4_294_967_295))
        else:
            yield _at(node, "network-value", f"{key} is {text!r}, not a number", "Digits alone.")


def _limited(node: yaml.ScalarNode, key: str, most: int) -> Iterator[Finding]:
    if int(node.value) > most:
        yield _at(node, "network-value", f"{key} is {node.value}; the most is {most}")


def _near(name: str, keys: Mapping[str, Any]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 (only for a mistake)

    close = get_close_matches(name, [key for key in keys if key != "*"], n=1, cutoff=0.7)
    return f"Did you mean {close[0]}?" if close else _HINT


def _wrong(node: Node, key: str, kind: str) -> Finding:
    if isinstance(node, yaml.ScalarNode):
        what = "one value" if node.value else "empty"
    else:
        what = "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
    return _at(node, "network-form", f"{key} is {what}, and has to be {kind}", _HINT)


def _at(node: Node, code: str, message: str, hint: str = "") -> Finding:
    return values.at(_FILE, node, Severity.ERROR, code, message, hint)
