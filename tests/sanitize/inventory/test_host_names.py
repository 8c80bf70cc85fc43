"""The names of a guest, and where they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.inventory.host_names import FILE_LIMIT, NAME_LIMIT, HostName, host_names

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path, files: dict[str, str | bytes | None]) -> dict[str, tuple[str, ...]]:
    plant(folder, files)
    return {found.value: found.paths for found in host_names(guest_at(folder))}


def test_one_name_in_several_files_is_one_name(tmp_path: Path) -> None:
    found = names(
        tmp_path,
        {
            "/etc/hostname": "# a comment\nweb\n",
            "/etc/hosts": "127.0.0.1 localhost\n127.0.1.1 web.example.org web # ours\n"
            "192.0.2.9 db.example.org db\n::1 ip6-localhost ip6-loopback\n",
            "/etc/mailname": "web.example.org\n",
            "/etc/postfix/main.cf": "mydomain = x\nmyhostname = web.example.org\n",
        },
    )
    assert found == {
        "web": ("/etc/hostname", "/etc/hosts"),
        "web.example.org": ("/etc/mailname", "/etc/postfix/main.cf", "/etc/hosts"),
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/HOSTNAME", "web\n"),
        ("/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=web\n"),
        ("/etc/conf.d/hostname", 'hostname="web"\n'),
        ("/etc/config/system", "config system\n\toption hostname 'web'\n"),
        ("/etc/cloud/cloud.cfg.d/99_hostname.cfg", "fqdn: web # x\npreserve_hostname: true\n"),
        ("/etc/exim4/update-exim4.conf.conf", "dc_readhost='web'\n"),
        ("/etc/rc.conf", 'HOSTNAME="web"\n'),
        ("/etc/NetworkManager/system-connections/a.nmconnection", "[ipv4]\ndhcp-hostname=web\n"),
        ("/etc/NetworkManager/conf.d/a.conf", "[connection]\nipv4.dhcp-fqdn = web\n"),
        ("/etc/systemd/network/a.network", "[DHCPv4]\nHostname=web\n"),
        ("/etc/netplan/a.yaml", "  dhcp4-overrides:\n    hostname: 'web'\n"),
        ("/etc/dhcp/dhclient.conf", '#send host-name "a";\nsend fqdn.fqdn "web.";\n'),
        ("/etc/dhcpcd.conf", "clientid\nhostname web\n"),
        ("/etc/network/interfaces", "iface eth0 inet dhcp\n  hostname web\n"),
        ("/etc/sysconfig/network/dhcp", 'DHCLIENT_HOSTNAME_OPTION="web"\n'),
    ],
)
def test_each_distribution_has_its_own_file(tmp_path: Path, path: str, text: str) -> None:
    assert names(tmp_path, {path: text}) == {"web": (path,)}


def test_an_address_of_the_machine_in_hosts_has_all_its_names(tmp_path: Path) -> None:
    files = {"/etc/hostname": "web\n", "/etc/hosts": "192.0.2.5 web.example.org web www\n"}
    assert set(names(tmp_path, {**files})) == {"web", "web.example.org", "www"}


@pytest.mark.parametrize("name", ["localhost", "localhost.localdomain", "LOCALHOST", "(none)"])
def test_a_name_of_every_machine_is_none_of_this_one(tmp_path: Path, name: str) -> None:
    assert names(tmp_path, {"/etc/hostname": f"{name}\n"}) == {}


def test_variables_and_comments_are_no_names(tmp_path: Path) -> None:
    files = {"/etc/postfix/main.cf": "#myhostname = a\nmyhostname = $mydomain\n"}
    assert names(tmp_path, {**files}) == {}


def test_what_a_client_computes_is_no_name(tmp_path: Path) -> None:
    files = {
        "/etc/dhcp/dhclient.conf": "send host-name = gethostname();\n",
        "/etc/dhcpcd.conf": "hostname\npersistent\n",
        "/etc/sysconfig/network/dhcp": 'DHCLIENT_HOSTNAME_OPTION="AUTO"\n',
    }
    assert names(tmp_path, {**files}) == {}


def test_a_hostile_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/hostname": "a" * 2 * FILE_LIMIT, "/etc/hosts": "/dev/zero\n" * 9999})
    (found,) = host_names(guest_at(tmp_path))
    assert found == HostName("a" * NAME_LIMIT, ("/etc/hostname",))


def test_a_folder_or_a_link_to_nowhere_has_no_name(tmp_path: Path) -> None:
    assert names(tmp_path, {"/etc/hostname": None, "/etc/mailname": "-> /nowhere"}) == {}
