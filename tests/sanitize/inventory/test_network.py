"""Static addresses and MAC addresses in the files of each network configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.inventory.network import ADDRESSES_LIMIT, Fixed, network

if TYPE_CHECKING:
    from pathlib import Path

NETPLAN = """\
network:
  version: 2
  ethernets:
    ens3:
      match: {macaddress: "52:54:00:12:34:56"}
      addresses:
        # - 192.0.2.99/24
        - 192.0.2.10/24
        - "2001:db8::10/64":
            label: x
        - 192.0.2.20/24
      nameservers:
        addresses: [192.0.2.53, 2001:db8::53]
      routes:
        - to: 198.51.100.0/24
          via: 192.0.2.1
    ens4: {addresses: [10.0.0.4/8], dhcp4: false}
"""
IN_NETPLAN = ["192.0.2.10/24", "2001:db8::10/64", "192.0.2.20/24", "10.0.0.4/8"]
CLOUD = """\
network:
  version: 1
  config:
    - type: physical
      mac_address: 52:54:00:12:34:56
      subnets:
        - type: static
          address: 192.0.2.11
          netmask: 255.255.255.0
"""

KEYFILE = """\
[connection]
id=lan
[ipv4]
address1=192.0.2.12/24,192.0.2.1
dns=192.0.2.53;
[ipv6]
addresses=2001:db8::12/64;2001:db8::13/64
[proxy]
address1=192.0.2.98/24
"""

NETWORKD = """\
[Match]
Name=ens3
[Network]
Address=192.0.2.13/24
Gateway=192.0.2.1
DNS=192.0.2.53
[Address]
Address = 2001:db8::13/64
[Route]
Destination=10.0.0.0/8
[DHCPServer]
ServerAddress=192.0.2.97/24
"""

IFCFG = """\
BOOTPROTO=none
IPADDR=192.0.2.14
PREFIX=24
GATEWAY=192.0.2.1
IPADDR1='10.0.0.1'
IPV6ADDR=2001:db8::14/64
DNS1=192.0.2.53
"""

INTERFACES = """\
iface lo inet loopback
iface eth0 inet static
    address 192.0.2.15/24
    gateway 192.0.2.1
# address 192.0.2.96
"""


@pytest.mark.parametrize(
    ("path", "text", "addresses"),
    [
        ("/etc/netplan/a.yaml", NETPLAN, IN_NETPLAN),
        ("/etc/cloud/cloud.cfg.d/50.cfg", CLOUD, ["192.0.2.11"]),
        (
            "/etc/NetworkManager/system-connections/lan.nmconnection",
            KEYFILE,
            ["192.0.2.12/24", "2001:db8::12/64", "2001:db8::13/64"],
        ),
        (
            "/etc/systemd/network/10.network",
            NETWORKD,
            ["192.0.2.13/24", "2001:db8::13/64"],
        ),
        (
            "/etc/sysconfig/network-scripts/ifcfg-eth0",
            IFCFG,
            ["192.0.2.14", "10.0.0.1", "2001:db8::14/64"],
        ),
        (
            "/etc/network/interfaces",
            INTERFACES,
            ["192.0.2.15/24"],
        ),
        ("/etc/dhcpcd.conf", "static ip_address=192.0.2.16/24\nstatic routers=192.0.2.1\n",
         ["192.0.2.16/24"]),
        ("/etc/conf.d/net", 'config_eth0="192.0.2.17/24"\nroutes_eth0="default via 192.0.2.1"\n',
         ["192.0.2.17/24"]),
        ("/etc/netctl/lan", "Address=('192.0.2.18/24')\nGateway='192.0.2.1'\n", ["192.0.2.18/24"]),
    ],
)  # fmt: skip
def test_the_addresses_of_interfaces_are_found(
    tmp_path: Path, path: str, text: str, addresses: list[str]
) -> None:
    plant(tmp_path, {path: text})
    found = network(guest_at(tmp_path)).addresses
    assert found == tuple(Fixed(address, (path,)) for address in addresses)


def test_a_mac_address_is_named_once_with_all_its_files(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/etc/netplan/a.yaml": NETPLAN,
            "/etc/udev/rules.d/70.rules": 'ATTR{address}=="52:54:00:12:34:56", NAME="lan"\n',
        },
    )
    (found,) = network(guest_at(tmp_path)).macs
    assert found.value == "52:54:00:12:34:56"
    assert set(found.paths) == {"/etc/netplan/a.yaml", "/etc/udev/rules.d/70.rules"}


@pytest.mark.parametrize(
    "address", ["127.0.0.1/8", "::1/128", "fe80::1/64", "0.0.0.0/0", "300.1.1.1/24", "::/0"]
)
def test_what_every_machine_may_have_is_left_out(tmp_path: Path, address: str) -> None:
    plant(tmp_path, {"/etc/netplan/a.yaml": f"addresses: ['{address}']\n"})
    assert network(guest_at(tmp_path)).addresses == ()


@pytest.mark.parametrize(
    "text",
    [
        "addresses: [" * 50_000,
        "addresses:\n" + "- x\n" * 50_000,
        "addresses: " + "1." * 100_000,
        "{" * 100_000,
    ],
)
def test_a_hostile_file_is_no_trouble(tmp_path: Path, text: str) -> None:
    plant(tmp_path, {"/etc/netplan/a.yaml": text})
    assert network(guest_at(tmp_path)).addresses == ()


def test_thousands_of_addresses_are_not_all_named(tmp_path: Path) -> None:
    items = ", ".join(f"10.{n // 256}.{n % 256}.1/8" for n in range(5000))
    plant(tmp_path, {"/etc/netplan/a.yaml": f"addresses: [{items}]\n"})
    assert len(network(guest_at(tmp_path)).addresses) == ADDRESSES_LIMIT


def test_one_file_by_two_paths_is_read_once(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/etc/network/interfaces.d/a": "address 192.0.2.1/24\n",
            "/etc/network/interfaces.d/b": "-> a",
        },
    )
    (found,) = network(guest_at(tmp_path)).addresses
    assert found.paths == ("/etc/network/interfaces.d/a",)
