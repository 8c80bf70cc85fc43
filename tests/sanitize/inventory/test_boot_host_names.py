"""Host names among kernel arguments and credentials are named with the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.facts import Facts
from unclone.sanitize.inventory.boot_host_names import boot_host_names
from unclone.sanitize.inventory.host_names import HostName
from unclone.sanitize.inventory.taking import take_inventory
from unclone.sanitize.options import Options

if TYPE_CHECKING:
    from pathlib import Path

CMDLINE = "/etc/kernel/cmdline"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("ro systemd.hostname=golden", ["golden"]),
        ("ip=10.0.0.2::10.0.0.1:255.255.255.0:golden:eth0:none", ["golden"]),
        ("ip=[fd00::2]::[fd00::1]:64:golden:eth0:none", ["golden"]),
        ("ip=::::golden::dhcp", ["golden"]),
        ("ip=:::::eth0:dhcp ip=dhcp", [""]),
        ("ip=eth0:dhcp:1500:52:54:00:12:34:56", []),
        ("systemd.set_credential=system.hostname:golden", ["golden"]),
        ("systemd.set_credential_binary=system.hostname:Z29sZGVu", ["golden"]),
        ("systemd.set_credential=other:golden hostname2=x", []),
    ],
)
def test_kernel_arguments(tmp_path: Path, arguments: str, names: list[str]) -> None:
    plant(tmp_path, {CMDLINE: f"{arguments}\n"})
    assert list(boot_host_names(Facts(guest_at(tmp_path)))) == [(name, CMDLINE) for name in names]


def test_they_are_in_the_inventory(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/etc/hostname": "golden\n",
            CMDLINE: "systemd.hostname=golden ip=::::::dhcp systemd.hostname=localhost\n",
            "/etc/credstore/system.hostname": "other\n",
            "/etc/credstore/firstboot.hostname": "other\n",
        },
    )
    found = take_inventory(guest_at(tmp_path), Options()).host_names
    stores = ("/etc/credstore/firstboot.hostname", "/etc/credstore/system.hostname")
    assert found == (HostName("golden", ("/etc/hostname", CMDLINE)), HostName("other", stores))
