"""netplan, and cloud-init's network configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.mac_pins import KERNEL_NAMES, A, B, Golden, changed, notes
from tests.support.tree import plant
from unclone.sanitize.mac_pins.netplan import YAML_LIMIT

if TYPE_CHECKING:
    from pathlib import Path

CLOUD_INIT = "/etc/netplan/50-cloud-init.yaml"
INSTALLER = "/etc/netplan/00-installer-config.yaml"
CURTIN = "/etc/cloud/cloud.cfg.d/50-curtin-networking.cfg"

UBUNTU_JAMMY = f"""\
# This file is generated from information provided by the datasource.  Changes
# to it will not persist across an instance reboot.
network:
    ethernets:
        ens3:
            dhcp4: true
            match:
                macaddress: {A}
            set-name: ens3
    version: 2
"""

TWO_CARDS = f"""\
network:
  version: 2
  renderer: networkd
  ethernets:
    enp1s0:
      match: {{macaddress: "{A}"}}
      addresses: [192.0.2.10/24]
    lan:
      match:
        driver: virtio_net
        macaddress: '{B}'   # the inner net
      set-name: lan0
      dhcp4: no
"""

CUSTOM_NAME = f"""\
network:
  version: 2
  ethernets:
    uplink:
      match:
        macaddress: {A.upper()}
      set-name: wan0
      dhcp4: true
"""

ASSIGNED = f"""\
network:
  version: 2
  ethernets:
    ens3: {{dhcp4: false, macaddress: {A}, mtu: 1400}}
    ens4: {{macaddress: {B}, mtu: 1400}}
    ens5: {{mtu: 1400, macaddress: {B}}}
    ens6:
      macaddress: {B}
      dhcp4: false
  bonds:
    bond0:
      interfaces: [ens3, ens4]
      macaddress: {A}
      dhcp4: true
  bridges:
    br0:
      macaddress: {A}
"""

CURTIN_V1 = f"""\
network:
  config:
  - mac_address: {A}
    name: ens3
    subnets:
    - type: dhcp4
    type: physical
  - type: bond
    name: bond0
    mac_address: {A}
  version: 1
"""

GOLDEN = {
    "as cloud-init writes it": Golden(
        {CLOUD_INIT: UBUNTU_JAMMY},
        {CLOUD_INIT: UBUNTU_JAMMY.replace(f"macaddress: {A}", "name: ens3")},
    ),
    "eth0, which systemd calls otherwise": Golden(
        {CLOUD_INIT: UBUNTU_JAMMY.replace("ens3", "eth0")},
        {
            CLOUD_INIT: UBUNTU_JAMMY.replace("ens3", "eth0").replace(
                f"macaddress: {A}", 'name: "e*"'
            )
        },
    ),
    "eth0, as the kernel calls it": Golden(
        {CLOUD_INIT: UBUNTU_JAMMY.replace("ens3", "eth0"), **KERNEL_NAMES},
        {
            CLOUD_INIT: UBUNTU_JAMMY.replace("ens3", "eth0").replace(
                f"macaddress: {A}", "name: eth0"
            )
        },
    ),
    "two cards": Golden(
        {INSTALLER: TWO_CARDS},
        {INSTALLER: TWO_CARDS.replace(f'macaddress: "{A}"', "name: enp1s0")},
        kept=(f"says by the MAC address {B} alone which card it means",),
    ),
    "a name of one's own": Golden(
        {INSTALLER: CUSTOM_NAME},
        {INSTALLER: CUSTOM_NAME.replace(f"macaddress: {A.upper()}", 'name: "e*"')},
    ),
    "a name of one's own, NetworkManager": Golden(
        {INSTALLER: CUSTOM_NAME, "/etc/netplan/01.yaml": "network: {renderer: NetworkManager}\n"},
        {},
        kept=("alone which card it means",),
    ),
    "a name of one's own among others": Golden(
        {INSTALLER: CUSTOM_NAME, "/etc/netplan/01.yaml": "network: {ethernets: {ens4: {}}}\n"},
        {},
        kept=("alone which card it means",),
    ),
    "a name beside the address": Golden(
        {INSTALLER: CUSTOM_NAME.replace("match:\n", "match:\n        name: en*\n")},
        {
            INSTALLER: CUSTOM_NAME.replace("match:\n", "match:\n        name: en*\n").replace(
                f"        macaddress: {A.upper()}\n", ""
            )
        },
    ),
    "assigned": Golden(
        {INSTALLER: ASSIGNED},
        {
            INSTALLER: ASSIGNED.replace(f"dhcp4: false, macaddress: {A}, ", "dhcp4: false, ")
            .replace(f"{{macaddress: {B}, ", "{")
            .replace(f", macaddress: {B}}}", "}")
            .replace(f"      macaddress: {B}\n      dhcp4", "      dhcp4")
            .replace(f"      macaddress: {A}\n      dhcp4", "      dhcp4")
        },
        kept=(f"has nothing but the MAC address {A}",),
    ),
    "version 1, of the installer": Golden(
        {CURTIN: CURTIN_V1},
        {
            CURTIN: CURTIN_V1.replace(f"- mac_address: {A}\n    name", "- name").replace(
                f"    mac_address: {A}\n", ""
            )
        },
    ),
    "version 2, in cloud.cfg.d": Golden(
        {CURTIN: UBUNTU_JAMMY},
        {CURTIN: UBUNTU_JAMMY.replace(f"macaddress: {A}", "name: ens3")},
    ),
    "dos line ends": Golden(
        {CLOUD_INIT: UBUNTU_JAMMY.replace("\n", "\r\n")},
        {CLOUD_INIT: UBUNTU_JAMMY.replace(f"macaddress: {A}", "name: ens3").replace("\n", "\r\n")},
    ),
    "an interface named by its address": Golden(
        {INSTALLER: "network: {ethernets: {enx525400123456: {dhcp4: true}}}\n"},
        {},
        kept=("calls an interface by its MAC address (enx525400123456)",),
    ),
    "an anchor": Golden(
        {
            INSTALLER: UBUNTU_JAMMY.replace("dhcp4: true", "<<: *x").replace(
                "network:", "x: &x {}\nnetwork:", 1
            )
        },
        {},
        kept=("in a way that is not edited here",),
    ),
    "no YAML": Golden(
        {INSTALLER: f"network: [\n macaddress: {A}\n"}, {}, kept=("cannot be read as YAML",)
    ),
    "nested without end": Golden(
        {INSTALLER: "[" * 5000 + f" {A} \n"}, {}, kept=("cannot be read as YAML",)
    ),
    "nothing pinned": Golden({INSTALLER: "network:\n  ethernets:\n    e: {dhcp4: true}\n"}, {}),
}


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
class TestGolden:
    def test_alone(self, tmp_path: Path, golden: Golden) -> None:
        golden.check_alone(tmp_path)

    def test_with_a_map(self, tmp_path: Path, golden: Golden) -> None:
        golden.check_with_map(tmp_path)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        (UBUNTU_JAMMY, "ens3", {"name": "ens3"}),
        (CUSTOM_NAME, "uplink", {"name": "e*"}),
        (TWO_CARDS, "enp1s0", {"name": "enp1s0"}),
    ],
    ids=["cloud-init", "custom", "flow"],
)
def test_what_comes_out_is_valid(tmp_path: Path, text: str, path: str, value: object) -> None:
    plant(tmp_path, {INSTALLER: text})
    changed(tmp_path, {})
    after = yaml.safe_load((tmp_path / INSTALLER[1:]).read_text())
    assert after["network"]["ethernets"][path]["match"] == value


def test_an_assigned_address_that_no_card_has_goes_although_there_is_a_map(tmp_path: Path) -> None:
    bridge = (
        "network:\n  bridges:\n    br0:\n      macaddress: 02:00:00:00:00:01\n      mtu: 9000\n"
    )
    golden = Golden(
        {INSTALLER: bridge},
        {},
        renewed={INSTALLER: bridge.replace("      macaddress: 02:00:00:00:00:01\n", "")},
    )
    golden.check_with_map(tmp_path)


@pytest.mark.slow
def test_a_long_file_is_not_parsed(tmp_path: Path) -> None:
    kept, _ = notes(tmp_path, {INSTALLER: f"# {A}\n" + "#" * YAML_LIMIT, CLOUD_INIT: UBUNTU_JAMMY})
    assert len(kept) == 2
