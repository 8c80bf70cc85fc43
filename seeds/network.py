"""Network configuration of a seed: interfaces, and how both of cloud-init's versions spell them.

References: cloud-init ``doc/rtd/reference/network-config-format-v1.rst`` and ``-v2.rst``; netplan
YAML reference. Version 1 is the default because every release and renderer gets it right: what
version 2 says about a default route, cloud-init 22.4 gives ifupdown as a call of ``route``, which
newer systems do not have. ``0.0.0.0/0`` is written for it, as ``default`` breaks cloud-init before
23. An interface that is matched by its MAC is also named, because the renderers other than
netplan's know interfaces by name only.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unclone.seeds.errors import SeedError
from unclone.seeds.yaml_text import dump_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")

#: IFNAMSIZ less one; no '/', no space, and nothing a shell or YAML would take apart.
INTERFACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")

BOND_MODES = (
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
)


@dataclass(frozen=True, slots=True)
class Route:
    """Packets to ``to`` (a prefix) go by way of ``via``."""

    to: str
    via: str


@dataclass(frozen=True, slots=True)
class Bond:
    """An interface over others. ``monitor`` is the link check interval in milliseconds."""

    interfaces: tuple[str, ...]
    mode: str = "active-backup"
    monitor: int = 100


@dataclass(frozen=True, slots=True)
class Vlan:
    """802.1Q VLAN ``id`` (1 to 4094) on interface ``link``."""

    id: int
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One interface: a card (matched by ``mac`` and given ``name``), a bond or a VLAN.

    ``addresses`` carry their prefix length (``192.0.2.10/24``, ``2001:db8::a/64``). Without any,
    and with no ``dhcp4``/``dhcp6``, the interface is up and has no address.
    Raises :class:`SeedError` for values that cannot be right.
    """

    name: str
    mac: str = ""
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    dhcp4: bool = False
    dhcp6: bool = False
    mtu: int | None = None
    bond: Bond | None = None
    vlan: Vlan | None = None

    def __post_init__(self) -> None:
        """Refuse what no network stack would take."""
        _require(
            INTERFACE_NAME.fullmatch(self.name),
            f"{self.name!r} is no interface name",
            "Linux takes up to 15 letters, digits, '.', '_', '-'.",
        )
        if self.mac:
            _require(
                MAC.fullmatch(self.mac),
                f"{self.mac!r} is no MAC address",
                "Write it as 52:54:00:12:34:56.",
            )
        for address in self.addresses:
            _require(
                "/" in address,
                f"the address {address} has no prefix length",
                f"Write {address}/24, say.",
            )
            _checked(ipaddress.ip_interface, address, "an address with prefix length")
        for address in (*self.gateways, *self.nameservers, *(r.via for r in self.routes)):
            _checked(ipaddress.ip_address, address, "an IP address")
        for route in self.routes:
            _checked(ipaddress.ip_network, route.to, "a network, such as 198.51.100.0/24")
        if self.mtu is not None:
            _require(68 <= self.mtu <= 65535, f"an MTU of {self.mtu} is not possible", "")
        if self.vlan:
            _require(
                1 <= self.vlan.id <= 4094,
                f"there is no VLAN {self.vlan.id}",
                "VLAN ids go from 1 to 4094.",
            )
        if self.bond:
            _require(
                self.bond.mode in BOND_MODES,
                f"there is no bond mode {self.bond.mode!r}",
                f"One of: {', '.join(BOND_MODES)}.",
            )
            _require(
                self.bond.interfaces,
                f"the bond {self.name} has no interfaces",
                "Name them: links=eth0+eth1.",
            )


@dataclass(frozen=True, slots=True)
class Network:
    """The interfaces of one machine, and the version they are written in."""

    interfaces: tuple[Interface, ...]
    version: int = 1

    def __post_init__(self) -> None:
        """Refuse interfaces that contradict each other."""
        _require(
            self.version in {1, 2},
            f"there is no network configuration version {self.version}",
            "Versions 1 and 2 exist.",
        )
        names = [interface.name for interface in self.interfaces]
        cards = [each for each in self.interfaces if not each.bond and not each.vlan]
        macs = [card.mac for card in cards if card.mac]
        for what, values in (("name", names), ("MAC address", macs)):
            for value in values:
                _require(
                    values.count(value) == 1,
                    f"two interfaces have the {what} {value}",
                    f"Give each its own {what}.",
                )
        for interface in self.interfaces:
            for link in _links(interface):
                _require(
                    link in names and link != interface.name,
                    f"{interface.name} is on top of {link}, which is not defined",
                    f"Define it: --nic mac=...,name={link}",
                )

    def to_yaml(self) -> bytes:
        """The file ``network-config``."""
        data = self._version_1() if self.version == 1 else self._version_2()
        return dump_yaml(data).encode()

    def _version_2(self) -> dict[str, Any]:
        data: dict[str, Any] = {"version": 2}
        for interface in self.interfaces:
            data.setdefault(_section(interface), {})[interface.name] = _version_2(interface)
        return data

    def _version_1(self) -> dict[str, Any]:
        return {"version": 1, "config": [_version_1(i) for i in self.interfaces]}


def _section(interface: Interface) -> str:
    if interface.bond:
        return "bonds"
    return "vlans" if interface.vlan else "ethernets"


def _links(interface: Interface) -> Sequence[str]:
    if interface.bond:
        return interface.bond.interfaces
    return (interface.vlan.link,) if interface.vlan else ()


def _version_2(interface: Interface) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if interface.bond:
        data["interfaces"] = list(interface.bond.interfaces)
        data["parameters"] = {
            "mode": interface.bond.mode,
            "mii-monitor-interval": interface.bond.monitor,
        }
        if interface.mac:
            data["macaddress"] = interface.mac
    elif interface.vlan:
        data |= {"id": interface.vlan.id, "link": interface.vlan.link}
        if interface.mac:
            data["macaddress"] = interface.mac
    elif interface.mac:
        data |= {"match": {"macaddress": interface.mac}, "set-name": interface.name}
    data |= {"dhcp4": interface.dhcp4, "dhcp6": interface.dhcp6}
    if interface.addresses:
        data["addresses"] = list(interface.addresses)
    routes = [{"to": _everywhere(via), "via": via} for via in interface.gateways]
    routes += [{"to": route.to, "via": route.via} for route in interface.routes]
    if routes:
        data["routes"] = routes
    names = {
        "addresses": list(interface.nameservers),
        "search": list(interface.search),
    }
    if any(names.values()):
        data["nameservers"] = {key: value for key, value in names.items() if value}
    if interface.mtu is not None:
        data["mtu"] = interface.mtu
    return data


def _version_1(interface: Interface) -> dict[str, Any]:
    data: dict[str, Any] = {"type": "physical", "name": interface.name}
    if interface.bond:
        data |= {
            "type": "bond",
            "bond_interfaces": list(interface.bond.interfaces),
            "params": {
                "bond-mode": interface.bond.mode,
                "bond-miimon": interface.bond.monitor,
            },
        }
    elif interface.vlan:
        data |= {
            "type": "vlan",
            "vlan_link": interface.vlan.link,
            "vlan_id": interface.vlan.id,
        }
    if interface.mac:
        data["mac_address"] = interface.mac
    if interface.mtu is not None:
        data["mtu"] = interface.mtu
    subnets = [{"type": "dhcp4"}] if interface.dhcp4 else []
    subnets += [{"type": "dhcp6"}] if interface.dhcp6 else []
    subnets += _static_subnets(interface)
    if subnets:
        data["subnets"] = subnets
    return data


def _static_subnets(interface: Interface) -> list[dict[str, Any]]:
    """Gateways and routes go with the first address of their family, names with the first."""
    subnets: list[dict[str, Any]] = []
    gateways, routes = list(interface.gateways), list(interface.routes)
    for address in interface.addresses:
        version = ipaddress.ip_interface(address).version
        subnet: dict[str, Any] = {"type": "static6" if version == 6 else "static"}
        subnet["address"] = address
        for gateway in [g for g in gateways if ipaddress.ip_address(g).version == version][:1]:
            subnet["gateway"] = gateway
            gateways.remove(gateway)
        own = [route for route in routes if ipaddress.ip_address(route.via).version == version]
        if own:
            subnet["routes"] = [{"destination": r.to, "gateway": r.via} for r in own]
            routes = [route for route in routes if route not in own]
        if not subnets and interface.nameservers:
            subnet["dns_nameservers"] = list(interface.nameservers)
        if not subnets and interface.search:
            subnet["dns_search"] = list(interface.search)
        subnets.append(subnet)
    return subnets


def _everywhere(gateway: str) -> str:
    return "::/0" if ipaddress.ip_address(gateway).version == 6 else "0.0.0.0/0"


def _require(condition: object, message: str, hint: str) -> None:
    if not condition:
        raise SeedError(message, hint=hint)


def _checked(parse: Callable[[str], object], value: str, what: str) -> None:
    try:
        parse(value)
    except ValueError:
        raise SeedError(f"{value!r} is not {what}") from None
