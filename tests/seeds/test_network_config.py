"""network-config: what netplan and cloud-init take has no findings, the rest is an error."""

from __future__ import annotations

import pytest

from unclone.seeds import Seed, Severity

META = b'instance-id: "i-1"\n'

GOOD = {
    "a long label": """version: 2
ethernets:
  provisioning-port-1:
    match: {macaddress: '52:54:00:12:34:56'}
    set-name: prov0
    dhcp4: true
""",
    "a driver": """version: 2
ethernets:
  lan: {match: {driver: virtio_net}, set-name: lan0, dhcp4: true}
  one: {match: {driver: [a, b], name: 'en*'}, set-name: one0, dhcp4: 'yes'}
""",
    "a wildcard": """version: 2
ethernets: {all: {match: {name: 'en*'}, set-name: eth0, dhcp4: true}}
""",
    "links to every kind of device": """version: 2
renderer: networkd
ethernets: {renderer: networkd, eth0: {dhcp4: true}, eth1: {}}
dummy-devices: {dm0: {addresses: [192.0.2.1/24]}}
virtual-ethernets: {veth0: {peer: veth1}, veth1: {peer: veth0}}
tunnels: {tun0: {mode: gre, local: 192.0.2.1, remote: 192.0.2.2}}
wifis: {wl0: {access-points: {home: {password: '12345678'}}}}
bonds: {bond0: {interfaces: [eth1], parameters: {mode: 802.3ad, mii-monitor-interval: 100}}}
bridges: {br0: {interfaces: [dm0, veth0, tun0, bond0]}}
vlans: {v5: {id: 5, link: br0}, v6: {id: 6, link: wl0}}
vrfs: {vrf1: {table: 7, interfaces: [v5]}}
""",
    "InfiniBand": """version: 2
ethernets:
  ib0:
    match: {macaddress: '11:22:33:44:55:66:77:88:99:00:11:22:33:44:55:66:77:88:99:00'}
    infiniband-mode: connected
    macaddress: '11:22:33:44:55:66:77:88:99:00:11:22:33:44:55:66:77:88:99:00'
""",
    "InfiniBand in version 1": """version: 1
config:
- type: infiniband
  name: ib0
  mac_address: '11:22:33:44:55:66:77:88:99:00:11:22:33:44:55:66:77:88:99:00'
""",
    "an address of the card's own choice": """version: 2
ethernets: {eth0: {macaddress: random, dhcp4: true}}
""",
    "routes": """version: 2
ethernets:
  eth0:
    addresses: [192.0.2.5/24, {192.0.2.6/24: {label: 'eth0:1', lifetime: 0}}]
    routes: [{to: default, via: 192.0.2.1, on-link: true}, {to: 198.51.100.0/24, scope: link}]
    nameservers: {addresses: [192.0.2.53], search: [example.org]}
    dhcp4-overrides: {use-dns: false, route-metric: 100}
""",
    "a given address in capitals": """version: 2
bridges: {br0: {interfaces: [], macaddress: '52:54:00:AB:CD:EF'}}
""",
    "netmasks": """version: 1
config:
- type: physical
  name: eth0
  subnets:
  - {type: static, address: 192.0.2.10, netmask: '24'}
  - {type: static, address: 192.0.2.11, netmask: 255.255.255.128}
  - {type: static6, address: '2001:db8::1', netmask: 'ffff:ffff:ffff:ffff::'}
""",
    "a bridge without parameters": """version: 1
config:
- {type: physical, name: eth0}
- {type: bridge, name: br0, bridge_interfaces: [eth0], subnets: [{type: ipv6_slaac}]}
""",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_what_is_right_has_no_findings(text: str) -> None:
    assert Seed(b"", META, text.encode()).check() == ()


SETTINGS = {
    "addresses: 192.0.2.5/24": "network-form",
    "dhcp4: flase": "network-value",
    "adresses: [192.0.2.5/24]": "network-key",
    "mtu: big": "network-value",
    "mtu: -1": "network-value",
    "match: [a]": "network-form",
    "nameservers: [192.0.2.1]": "network-form",
    "nameservers: {address: [192.0.2.1]}": "network-key",
    "routes: {to: default}": "network-form",
    "routes: [{to: deflt, via: 192.0.2.1}]": "route",
    "routes: [{to: 192.0.2.0/24, via: 192.0.2.1, metric: low}]": "network-value",
    "link-local: ipv6": "network-form",
    "dhcp4-overrides: {use-dns: maybe}": "network-value",
    "renderer: ifupdown": "network-value",
    "dhcp-identifier: serial": "network-value",
}


@pytest.mark.parametrize(("setting", "code"), SETTINGS.items(), ids=SETTINGS)
def test_what_netplan_refuses_is_an_error(setting: str, code: str) -> None:
    text = f"version: 2\nethernets:\n  eth0:\n    {setting}\n".encode()
    (finding,) = Seed(b"", META, text).check()
    assert (finding.code, finding.severity, finding.line) == (code, Severity.ERROR, 4)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("version: '2'\nethernets: {}\n", "network-version"),
        ("version: '1'\nconfig: []\n", "network-version"),
        ("version: 3\n", "network-version"),
        ("version: 2\nethernets:\n- eth0: {dhcp4: true}\n", "network-form"),
        ("version: 2\nethernets:\n  eth0: dhcp\n", "network-form"),
        ("version: 2\nethernets:\n  eth0:\n", "network-form"),
        ("version: 2\nethernets: {e: {}}\nvlans: {v: {id: 5000, link: e}}\n", "network-value"),
        ("version: 1\nconfig: {type: physical, name: eth0}\n", "network-config-list"),
        ("version: 1\nconfig: [eth0]\n", "network-form"),
        ("version: 1\nconfig: [{type: bond, name: b, bond_interfaces: [a]}]\n", "network-required"),
        ("version: 1\nconfig: [{type: physical, name: e, subnets: dhcp}]\n", "network-form"),
        ("version: 1\nconfig: [{type: physical, name: e, subnets: [dhcp]}]\n", "network-form"),
        ("network: [version, 2]\n", "not-a-mapping"),
        (
            (
                "version: 1\nconfig:\n- type: physical\n  name: e\n  subnets:\n"
                "  - {type: static, address: 192.0.2.1, netmask: 255.0.255.0}\n"
            ),
            "address",
        ),
        (
            "version: 2\nethernets: {e: {match: {macaddress: '52:54:00:AB:CD:EF'}}}\n",
            "mac",
        ),
    ],
)
def test_a_wrong_form_is_an_error(text: str, code: str) -> None:
    found = Seed(b"", META, text.encode()).check()
    assert code in {f.code for f in found if f.severity is Severity.ERROR}
