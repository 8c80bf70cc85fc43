"""Interfaces: what is refused, what is written, and how options describe them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from unclone.seeds import Bond, Interface, Network, Route, SeedError, Vlan
from unclone.seeds.nic_option import describe, interfaces, parse_option

MAC = "52:54:00:12:34:56"
CARD = Interface(
    name="eth0",
    mac=MAC,
    addresses=("192.0.2.10/24", "192.0.2.11/24", "2001:db8::a/64"),
    gateways=("2001:db8::1", "192.0.2.1"),
    nameservers=("192.0.2.53",),
    search=("example.org",),
    routes=(Route("198.51.100.0/24", "192.0.2.254"), Route("2001:db8:1::/48", "2001:db8::2")),
    mtu=9000,
)


def written(*cards: Interface, version: int = 1) -> Any:
    return yaml.safe_load(Network(cards, version).to_yaml())


def test_version_1() -> None:
    assert written(CARD) == {
        "version": 1,
        "config": [
            {
                "type": "physical",
                "name": "eth0",
                "mac_address": MAC,
                "mtu": 9000,
                "subnets": [
                    {
                        "type": "static",
                        "address": "192.0.2.10/24",
                        "gateway": "192.0.2.1",
                        "routes": [{"destination": "198.51.100.0/24", "gateway": "192.0.2.254"}],
                        "dns_nameservers": ["192.0.2.53"],
                        "dns_search": ["example.org"],
                    },
                    {"type": "static", "address": "192.0.2.11/24"},
                    {
                        "type": "static6",
                        "address": "2001:db8::a/64",
                        "gateway": "2001:db8::1",
                        "routes": [{"destination": "2001:db8:1::/48", "gateway": "2001:db8::2"}],
                    },
                ],
            }
        ],
    }


def test_version_2() -> None:
    assert written(CARD, version=2) == {
        "version": 2,
        "ethernets": {
            "eth0": {
                "match": {"macaddress": MAC},
                "set-name": "eth0",
                "dhcp4": False,
                "dhcp6": False,
                "addresses": ["192.0.2.10/24", "192.0.2.11/24", "2001:db8::a/64"],
                "routes": [
                    {"to": "::/0", "via": "2001:db8::1"},
                    {"to": "0.0.0.0/0", "via": "192.0.2.1"},
                    {"to": "198.51.100.0/24", "via": "192.0.2.254"},
                    {"to": "2001:db8:1::/48", "via": "2001:db8::2"},
                ],
                "nameservers": {"addresses": ["192.0.2.53"], "search": ["example.org"]},
                "mtu": 9000,
            }
        },
    }


def test_bonds_and_vlans() -> None:
    cards = (
        Interface(name="eth0", mac=MAC),
        Interface(name="bond0", mac=MAC, bond=Bond(("eth0",), "802.3ad", 50), dhcp4=True),
        Interface(name="v20", mac="52:54:00:00:00:02", vlan=Vlan(20, "bond0"), dhcp6=True),
    )
    first, second = written(*cards[1:2], cards[0], cards[2]), written(*cards, version=2)
    bond, _, vlan = first["config"]
    assert bond["bond_interfaces"] == ["eth0"]
    assert bond["params"] == {"bond-mode": "802.3ad", "bond-miimon": 50}
    assert (vlan["vlan_link"], vlan["vlan_id"]) == ("bond0", 20)
    assert vlan["subnets"] == [{"type": "dhcp6"}]
    assert second["bonds"]["bond0"]["parameters"] == {"mode": "802.3ad", "mii-monitor-interval": 50}
    assert second["bonds"]["bond0"]["macaddress"] == MAC
    assert second["vlans"]["v20"]["id"] == 20
    assert second["vlans"]["v20"]["link"] == "bond0"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": ""}, "no interface name"),
        ({"name": "a" * 16}, "no interface name"),
        ({"name": "eth 0"}, "no interface name"),
        ({"name": "../x"}, "no interface name"),
        ({"mac": "52:54:00:12:34"}, "no MAC address"),
        ({"mac": MAC.upper().replace("5", "A")}, "no MAC address"),
        ({"addresses": ("192.0.2.10",)}, "no prefix length"),
        ({"addresses": ("192.0.2.256/24",)}, "not an address with prefix length"),
        ({"gateways": ("gateway",)}, "not an IP address"),
        ({"nameservers": ("192.0.2.53/24",)}, "not an IP address"),
        ({"routes": (Route("192.0.2.1/24", "192.0.2.1"),)}, "not a network"),
        ({"routes": (Route("192.0.2.0/24", "x"),)}, "not an IP address"),
        ({"mtu": 67}, "MTU of 67"),
        ({"vlan": Vlan(4095, "eth0")}, "no VLAN 4095"),
        ({"vlan": Vlan(0, "eth0")}, "no VLAN 0"),
        ({"bond": Bond(("eth0",), "best")}, "no bond mode"),
        ({"bond": Bond(())}, "has no interfaces"),
    ],
)
def test_an_interface_that_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SeedError, match=words):
        Interface(**{"name": "eth0", **values})


@pytest.mark.parametrize(
    ("cards", "version", "words"),
    [
        ((Interface(name="a"), Interface(name="a")), 1, "two interfaces have the name a"),
        ((Interface(name="a", mac=MAC), Interface(name="b", mac=MAC)), 1, "the MAC address"),
        ((Interface(name="v", vlan=Vlan(1, "eth0")),), 1, "on top of eth0, which is not defined"),
        ((Interface(name="b", bond=Bond(("b",))),), 1, "on top of b"),
        ((Interface(name="a"),), 3, "no network configuration version 3"),
    ],
)
def test_interfaces_that_contradict_each_other_are_refused(
    cards: tuple[Interface, ...], version: int, words: str
) -> None:
    with pytest.raises(SeedError, match=words):
        Network(cards, version)


def test_a_bond_may_carry_the_address_of_its_card() -> None:
    Network((Interface(name="a", mac=MAC), Interface(name="b", mac=MAC, bond=Bond(("a",)))))


def described(*texts: str) -> tuple[Interface, ...]:
    return interfaces([parse_option(*text.split(" ", 1)) for text in texts])


def test_options_describe_a_card() -> None:
    (card,) = described(
        f"nic mac={MAC.upper()},address=192.0.2.10/24,address=192.0.2.11/24,gateway=192.0.2.1,"
        "dns=192.0.2.53,search=example.org,route=198.51.100.0/24@192.0.2.254,mtu=1400"
    )
    assert card == Interface(
        name="eth0",
        mac=MAC,
        addresses=("192.0.2.10/24", "192.0.2.11/24"),
        gateways=("192.0.2.1",),
        nameservers=("192.0.2.53",),
        search=("example.org",),
        routes=(Route("198.51.100.0/24", "192.0.2.254"),),
        mtu=1400,
    )


def test_cards_are_named_in_order_around_the_names_given() -> None:
    cards = described(
        "nic mac=52-54-00-00-00-01",
        "nic mac=52:54:00:00:00:02,name=eth1",
        "nic mac=52:54:00:00:00:03",
    )
    assert [card.name for card in cards] == ["eth0", "eth1", "eth2"]
    assert cards[0].mac == "52:54:00:00:00:01"


def test_a_machine_without_addresses_uses_dhcp() -> None:
    cards = described(
        "nic mac=52:54:00:00:00:01,name=eth0",
        "nic mac=52:54:00:00:00:02,name=eth1",
        "nic mac=52:54:00:00:00:03,dhcp=no",
        "nic mac=52:54:00:00:00:04,address=192.0.2.1/24,dhcp=6",
        "nic name=ens5,dhcp",
        "bond name=bond0,links=eth0+eth1",
        "vlan link=bond0,id=20,dhcp=both",
    )
    asked = {card.name: (card.dhcp4, card.dhcp6) for card in cards}
    assert asked == {
        "eth0": (False, False),
        "eth1": (False, False),
        "eth2": (False, False),
        "eth3": (False, True),
        "ens5": (True, False),
        "bond0": (False, False),
        "bond0.20": (True, True),
    }
    assert cards[5].bond == Bond(("eth0", "eth1"))
    assert cards[6].vlan == Vlan(20, "bond0")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nic mac", "'mac' is not key=value"),
        ("nic mac=", "'mac=' is not key=value"),
        ("nic ", "'' is not key=value"),
        ("nic ip=192.0.2.1", "no key 'ip'"),
        ("nic links=a+b", "no key 'links'"),
        ("nic mac=a,mac=b", "mac is given twice"),
        ("nic address=192.0.2.1/24", "nothing says which card"),
        ("nic name=a,dhcp=maybe", "dhcp=maybe"),
        ("nic name=a,mtu=big", "mtu=big is not a number"),
        ("nic name=a,route=192.0.2.0/24", "route=192.0.2.0/24"),
        ("nic name=a,mac=nonsense", "no MAC address"),
        ("bond links=a+b", "it has no name"),
        ("bond name=b,links=a,mode=fast", "no bond mode"),
        ("bond name=b,links=a,monitor=x", "monitor=x is not a number"),
        ("vlan link=a", "it has no name"),
        ("vlan name=v,link=a", "is not a number"),
        ("vlan name=v,link=a,id=²", "is not a number"),
    ],
)
def test_an_option_that_makes_no_sense_is_quoted_back(text: str, words: str) -> None:
    with pytest.raises(SeedError) as refused:
        described(text)
    assert words in refused.value.message
    assert f"--{text.split(' ', maxsplit=1)[0]}" in refused.value.message


def test_a_description_can_come_from_elsewhere() -> None:
    (card,) = interfaces([describe("nic", [("mac", MAC), ("name", "lan")], "fleet.yaml:3")])
    assert (card.name, card.mac) == ("lan", MAC)
