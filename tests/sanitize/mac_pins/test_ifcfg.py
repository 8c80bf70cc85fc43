"""ifcfg files of Red Hat and SUSE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.families import systemd
from tests.support.mac_pins import KERNEL_NAMES, NEW_A, OTHER, A, B, Golden

if TYPE_CHECKING:
    from pathlib import Path

ETH0 = "/etc/sysconfig/network-scripts/ifcfg-eth0"
SYSTEM = "/etc/sysconfig/network-scripts/ifcfg-System_eth0"
SUSE = "/etc/sysconfig/network/ifcfg-eth0"
SLES10 = "/etc/sysconfig/network/ifcfg-eth-id-52:54:00:12:34:56"

EL7 = f"""\
# Created by cloud-init on instance boot automatically, do not edit.
#
BOOTPROTO=dhcp
DEVICE=eth0
HWADDR={A}
ONBOOT=yes
TYPE=Ethernet
"""
EL6 = f"""\
DEVICE="eth0"
HWADDR="{A.upper()}"
NM_CONTROLLED="yes"
ONBOOT="yes"
"""
NO_DEVICE = f"TYPE=Ethernet\nHWADDR={A}\nBOOTPROTO=none\nIPADDR=192.0.2.1\n"
BOND = f"DEVICE=bond0\nMACADDR={B}\nBONDING_OPTS=mode=1\nHWADDR={A}"

GOLDEN = {
    "el7, cloud-init": Golden({ETH0: EL7}, {ETH0: EL7.replace(f"HWADDR={A}\n", "")}),
    "el6, quoted upper case": Golden(
        {ETH0: EL6}, {ETH0: EL6.replace(f'HWADDR="{A.upper()}"\n', "")}
    ),
    "dos line ends": Golden(
        {ETH0: EL7.replace("\n", "\r\n")},
        {ETH0: EL7.replace(f"HWADDR={A}\n", "").replace("\n", "\r\n")},
    ),
    "no device": Golden({ETH0: NO_DEVICE}, {ETH0: NO_DEVICE.replace(f"HWADDR={A}", "DEVICE=eth0")}),
    "no device, and no name either": Golden(
        {SYSTEM: NO_DEVICE},
        {SYSTEM: NO_DEVICE.replace(f"HWADDR={A}\n", "")},
        warned=("names no DEVICE",),
    ),
    "assigned, and no newline at the end": Golden(
        {ETH0: BOND}, {ETH0: "DEVICE=bond0\nBONDING_OPTS=mode=1\n"}
    ),
    "a name that systemd would not give": Golden(
        {ETH0: EL7, **systemd(219)},
        {ETH0: EL7.replace(f"HWADDR={A}\n", "")},
        warned=("eth0 was called so by its MAC address",),
    ),
    "net.ifnames=0, as in cloud images": Golden(
        {ETH0: EL7, **systemd(219), **KERNEL_NAMES}, {ETH0: EL7.replace(f"HWADDR={A}\n", "")}
    ),
    "suse": Golden(
        {SUSE: f"BOOTPROTO='dhcp'\nLLADDR='{A}'\nSTARTMODE='auto'\n"},
        {SUSE: "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n"},
    ),
    "sles 10, named by its address": Golden(
        {SLES10: "BOOTPROTO='dhcp'\n"},
        {},
        kept=("is named by a MAC address",),
        renewed={SLES10: None, SLES10.replace(A, NEW_A): "BOOTPROTO='dhcp'\n"},
    ),
    "comments and others": Golden(
        {ETH0: f"#HWADDR={A}\nDEVICE=eth0\nHWADDR={A}\nMY_HWADDR={OTHER}\nMACADDR=stable\n"},
        {ETH0: f"#HWADDR={A}\nDEVICE=eth0\nMY_HWADDR={OTHER}\nMACADDR=stable\n"},
    ),
    "no address at all": Golden({ETH0: "DEVICE=eth0\nHWADDR=\n"}, {ETH0: "DEVICE=eth0\n"}),
    "not utf-8": Golden(
        {ETH0: f"# caf\udce9\nDEVICE=eth0\nHWADDR={A}\n"}, {ETH0: "# caf\udce9\nDEVICE=eth0\n"}
    ),
}


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
class TestGolden:
    def test_alone(self, tmp_path: Path, golden: Golden) -> None:
        golden.check_alone(tmp_path)

    def test_with_a_map(self, tmp_path: Path, golden: Golden) -> None:
        golden.check_with_map(tmp_path)
