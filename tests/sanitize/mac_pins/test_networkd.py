"""systemd's .link, .network and .netdev files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.mac_pins import OTHER, A, B, Golden

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "/etc/systemd/network"
LINK = f"{FOLDER}/10-lan.link"
NETWORK = f"{FOLDER}/10-cloud-init-ens3.network"
NETDEV = f"{FOLDER}/br0.netdev"

#: As cloud-init writes it.
CLOUD_INIT = f"""\
[Match]
MACAddress={A}
Name=ens3

[Network]
DHCP=ipv4

[DHCPServerStaticLease]
MACAddress={OTHER}
Address=192.0.2.7
"""
BY_ADDRESS = f"[Match]\nPermanentMACAddress={A.replace(':', '-')}\n\n[Network]\nDHCP=yes\n"
RENAME = f"# the uplink\n[Match]\nMACAddress={A}\n\n[Link]\nName=lan0\n"
ASSIGNED = f"[Match]\nName=ens3\n\n[Link]\nMACAddress={A}\nMTUBytes=1400\n"
BRIDGE = f"[NetDev]\nName=br0\nKind=bridge\nMACAddress={A.upper()}\n"

GOLDEN = {
    "as cloud-init writes it": Golden(
        {NETWORK: CLOUD_INIT}, {NETWORK: CLOUD_INIT.replace(f"MACAddress={A}\n", "")}
    ),
    "by address alone": Golden(
        {NETWORK: BY_ADDRESS},
        {NETWORK: BY_ADDRESS.replace(f"PermanentMACAddress={A.replace(':', '-')}", "Name=e*")},
    ),
    "in the folder of packages": Golden(
        {"/usr/lib/systemd/network/70-x.network": CLOUD_INIT},
        {"/usr/lib/systemd/network/70-x.network": CLOUD_INIT.replace(f"MACAddress={A}\n", "")},
    ),
    "two by address alone": Golden(
        {NETWORK: BY_ADDRESS, f"{FOLDER}/20.network": BY_ADDRESS.replace("12-34-56", "ab-cd-ef")},
        {},
        kept=("ens3.network says by MAC address alone", "20.network says by MAC address alone"),
    ),
    "a link that renames": Golden(
        {LINK: RENAME}, {LINK: RENAME.replace(f"MACAddress={A}", "OriginalName=e*")}
    ),
    "two links that rename": Golden(
        {LINK: RENAME, f"{FOLDER}/11.link": RENAME.replace(A, B).replace("lan0", "wan0")},
        {},
        kept=("10-lan.link says by MAC", "11.link says by MAC"),
    ),
    "a link and the network of its name": Golden(
        {LINK: RENAME, NETWORK: BY_ADDRESS},
        {
            LINK: RENAME.replace(f"MACAddress={A}", "OriginalName=e*"),
            NETWORK: BY_ADDRESS.replace(f"PermanentMACAddress={A.replace(':', '-')}", "Name=lan0"),
        },
    ),
    "a link with a path": Golden(
        {LINK: RENAME.replace("\n\n", "\nPath=pci-0000:00:03.0\n\n")},
        {LINK: RENAME.replace(f"MACAddress={A}\n\n", "Path=pci-0000:00:03.0\n\n")},
    ),
    "a link for every name": Golden(
        {LINK: RENAME.replace("\n\n", "\nOriginalName=*\n\n")},
        {},
        kept=("10-lan.link says by MAC",),
    ),
    "assigned in a network": Golden(
        {NETWORK: ASSIGNED}, {NETWORK: ASSIGNED.replace(f"MACAddress={A}\n", "")}
    ),
    "assigned to a bridge": Golden(
        {NETDEV: BRIDGE}, {NETDEV: BRIDGE.replace(f"MACAddress={A.upper()}\n", "")}
    ),
    "in a drop-in": Golden(
        {
            NETWORK: "[Match]\nName=ens3\n",
            f"{NETWORK}.d/mac.conf": f"[Match]\nMACAddress={A} {B}\n",
        },
        {f"{NETWORK}.d/mac.conf": "[Match]\n"},
    ),
    "the same line in two sections": Golden(
        {NETWORK: f"[Match]\nMACAddress={A}\nName=ens3\n[DHCPServerStaticLease]\nMACAddress={A}\n"},
        {NETWORK: f"[Match]\nName=ens3\n[DHCPServerStaticLease]\nMACAddress={A}\n"},
    ),
    "every card but one": Golden({NETWORK: f"[Match]\nName=en*\nMACAddress=!{A}\n"}, {}),
    "a mask": Golden({f"{FOLDER}/99-default.link": "-> /dev/null"}, {}),
}


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
class TestGolden:
    def test_alone(self, tmp_path: Path, golden: Golden) -> None:
        golden.check_alone(tmp_path)

    def test_with_a_map(self, tmp_path: Path, golden: Golden) -> None:
        golden.check_with_map(tmp_path)
