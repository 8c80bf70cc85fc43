"""The host name, given with ``--hostname``: in every place that has the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.families import Tree, difference, snapshot
from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError, ResidueError
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.change import Level
from unclone.sanitize.hostname.places import PLACES
from unclone.sanitize.options import HOST_NAME, Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unclone.sanitize.change import Plan

SYSTEMD: Tree = {"/usr/lib/systemd/systemd": "ELF"}
DEBIAN: Tree = {
    **SYSTEMD,
    "/etc/hostname": "golden\n",
    "/etc/hosts": "127.0.0.1 localhost\n127.0.1.1 golden.example.org golden\n::1 ip6-localhost\n",
}


def run(folder: Path, files: Tree, name: str) -> tuple[dict[str, str | bytes | None], Plan]:
    """A whole run without an engine; what is different afterwards."""
    plant(folder, files)
    before = snapshot(folder)
    guest = guest_at(folder)
    plan = make_plan(guest, Options(hostname=name))
    verify(guest, plan, apply_plan(guest, plan))
    after = difference(before, snapshot(folder))
    again = make_plan(guest_at(folder), Options(hostname=name))
    assert [c for c in again.changes if c.step == "hostname"] == [], (
        "a second run changes something"
    )
    return {p: c.decode() if isinstance(c, bytes) else c for p, c in after.items()}, plan


def notes(plan: Plan, level: Level) -> list[str]:
    return [note.text for note in plan.notes if note.step == "hostname" and note.level is level]


MAIN_CF = """\
# golden
myhostname = golden.example.org
mydestination = $myhostname,
  golden.example.org, golden, localhost
relayhost = golden
"""
MAIN_CF_AFTER = """\
# golden
myhostname = web-01.example.org
mydestination = $myhostname,
  web-01.example.org, web-01, localhost
relayhost = golden
"""

#: A file, the name it has, the new name, and what it has afterwards; /etc/hostname says "golden".
EDITED: Mapping[str, tuple[str, str, str, str]] = {
    "hosts": (
        *("/etc/hosts", "127.0.1.1\tgolden.example.org golden # own\n10.0.0.9 golden2 x\n"),
        *("web-01", "127.0.1.1\tweb-01.example.org web-01 # own\n10.0.0.9 golden2 x\n"),
    ),
    "hosts, an FQDN": (
        *("/etc/hosts", "127.0.1.1 golden.example.org golden\n"),
        *("web-01.example.net", "127.0.1.1 web-01.example.net web-01\n"),
    ),
    "hosts, a static address": (
        *("/etc/hosts", "192.0.2.5 GOLDEN.example.org golden\n192.0.2.6 golden.other.org\n"),
        *("web-01", "192.0.2.5 web-01.example.org web-01\n192.0.2.6 golden.other.org\n"),
    ),
    "hosts, the name of an earlier template": (
        *("/etc/hosts", "127.0.1.1 base.localdomain base\n127.0.0.1 localhost golden\n"),
        *("web-01", "127.0.1.1 web-01.localdomain web-01\n127.0.0.1 localhost web-01\n"),
    ),
    "hosts, twice in a line": (
        *("/etc/hosts", "127.0.1.1 golden golden.lan golden.example.org\n"),
        *("web-01.example.org", "127.0.1.1 web-01 web-01.example.org\n"),
    ),
    "mailname": ("/etc/mailname", "golden.example.org\n", "web-01", "web-01.example.org\n"),
    "mailname of the domain": ("/etc/mailname", "example.org\n", "web-01", "example.org\n"),
    "postfix": ("/etc/postfix/main.cf", MAIN_CF, "web-01", MAIN_CF_AFTER),
    "exim": (
        "/etc/exim4/update-exim4.conf.conf",
        "dc_other_hostnames='golden.example.org;golden'\ndc_relay_nets='golden'\n",
        "web-01",
        "dc_other_hostnames='web-01.example.org;web-01'\ndc_relay_nets='golden'\n",
    ),
    "nullmailer": ("/etc/nullmailer/me", "golden\n", "web-01", "web-01\n"),
    "ssmtp": ("/etc/ssmtp/ssmtp.conf", "hostname=golden\n", "web-01", "hostname=web-01\n"),
    "avahi": (
        *("/etc/avahi/avahi-daemon.conf", "[server]\n#host-name=golden\nhost-name=golden\n"),
        *("web-01", "[server]\n#host-name=golden\nhost-name=web-01\n"),
    ),
    "samba": (
        *("/etc/samba/smb.conf", "   netbios name = GOLDEN\n", "web-01"),
        "   netbios name = WEB-01\n",
    ),
    "networkmanager": (
        "/etc/NetworkManager/system-connections/a.nmconnection",
        "[ipv4]\ndhcp-hostname=golden\ndhcp-fqdn=golden.example.org\n",
        "web-01.example.org",
        "[ipv4]\ndhcp-hostname=web-01\ndhcp-fqdn=web-01.example.org\n",
    ),
    "networkd": (
        *("/etc/systemd/network/a.network", "[DHCPv4]\nHostname=golden\n", "web-01"),
        "[DHCPv4]\nHostname=web-01\n",
    ),
    "netplan": (
        *("/etc/netplan/a.yaml", "      dhcp4-overrides:\n        hostname: golden\n", "web-01"),
        "      dhcp4-overrides:\n        hostname: web-01\n",
    ),
    "cloud-init": (
        *("/etc/cloud/cloud.cfg.d/9.cfg", "fqdn: golden.example.org\n", "web-01.example.org"),
        "fqdn: web-01.example.org\n",
    ),
    "suse-dhcp": (
        *("/etc/sysconfig/network/dhcp", 'DHCLIENT_HOSTNAME_OPTION="golden"\n', "web-01"),
        'DHCLIENT_HOSTNAME_OPTION="web-01"\n',
    ),
    "dhclient": (
        "/etc/dhcp/dhclient.conf",
        '#send host-name "golden";\nsend host-name = gethostname();\nsend host-name "golden";\n',
        "web-01",
        '#send host-name "golden";\nsend host-name = gethostname();\nsend host-name "web-01";\n',
    ),
    "dhcpcd": ("/etc/dhcpcd.conf", "hostname golden\n", "web-01", "hostname web-01\n"),
    "ifupdown": (
        *("/etc/network/interfaces", "iface eth0 inet dhcp\n  hostname golden\n", "web-01"),
        "iface eth0 inet dhcp\n  hostname web-01\n",
    ),
}


@pytest.mark.parametrize(("path", "text", "name", "after"), EDITED.values(), ids=EDITED)
def test_a_place_that_has_the_old_name(
    tmp_path: Path, path: str, text: str, name: str, after: str
) -> None:
    plant(tmp_path, {**DEBIAN, path: text})
    run(tmp_path, {}, name)
    assert (tmp_path / path[1:]).read_text() == after


def test_every_place_is_here() -> None:
    decide = {key for key, place in PLACES.items() if place.decides}
    assert {*PLACES} - decide <= {*EDITED}
    assert decide == {"hostname", "HOSTNAME", "sysconfig", "openrc", "openwrt", "rc.conf"}


#: What a machine takes its name from, as it is, and afterwards.
DECIDING: Mapping[str, tuple[Tree, str, Mapping[str, str | None]]] = {
    "an FQDN for a short name": (
        {**SYSTEMD, "/etc/hostname": "golden\n"},
        *("web-01.example.org", {"/etc/hostname": "web-01\n"}),
    ),
    "an FQDN for an FQDN": (
        {**SYSTEMD, "/etc/hostname": "golden.lan"},
        *("web-01.example.org", {"/etc/hostname": "web-01.example.org"}),
    ),
    "a short name for an FQDN": (
        {**SYSTEMD, "/etc/hostname": "golden.lan\n"},
        *("web-01", {"/etc/hostname": "web-01\n"}),
    ),
    "after a comment": (
        {**SYSTEMD, "/etc/hostname": "# name\n\n  golden\n"},
        *("web-01", {"/etc/hostname": "# name\n\n  web-01\n"}),
    ),
    "no name yet": (
        {**SYSTEMD, "/etc/hostname": "localhost\n"},
        *("web-01.example.org", {"/etc/hostname": "web-01.example.org\n"}),
    ),
    "an empty file": (
        {**SYSTEMD, "/etc/hostname": ""},
        *("web-01", {"/etc/hostname": "web-01\n"}),
    ),
    "no file": ({**SYSTEMD, "/etc/os-release": "ID=x\n"}, "web-01", {"/etc/hostname": "web-01\n"}),
    "behind a link": (
        {**SYSTEMD, "/etc/hostname": "-> ../srv/name", "/srv/name": "golden\n"},
        *("web-01", {"/srv/name": "web-01\n"}),
    ),
    "SUSE": (
        {
            **SYSTEMD,
            "/etc/sysconfig/network/dhcp": "",
            "/etc/HOSTNAME": "-> hostname",
            "/etc/hostname": "golden\n",
        },
        *("web-01", {"/etc/hostname": "web-01\n"}),
    ),
    "SUSE 11": (
        {"/etc/HOSTNAME": "golden.example.org\n"},
        *("web-01.example.org", {"/etc/HOSTNAME": "web-01.example.org\n"}),
    ),
    "Red Hat 6": (
        {"/etc/sysconfig/network": 'NETWORKING=yes\nHOSTNAME="golden.example.org"\n'},
        "web-01.example.org",
        {"/etc/sysconfig/network": 'NETWORKING=yes\nHOSTNAME="web-01.example.org"\n'},
    ),
    "Red Hat 7, after an upgrade from 6": (
        {**SYSTEMD, "/etc/sysconfig/network": "HOSTNAME=golden\n"},
        "web-01",
        {"/etc/sysconfig/network": "HOSTNAME=web-01\n", "/etc/hostname": "web-01\n"},
    ),
    "OpenRC": (
        {"/etc/conf.d/hostname": '# Set\nhostname="golden"\n'},
        *("web-01", {"/etc/conf.d/hostname": '# Set\nhostname="web-01"\n'}),
    ),
    "OpenWrt": (
        {"/etc/config/system": "config system\n\toption hostname 'golden'\n\toption x '0'\n"},
        "web-01",
        {"/etc/config/system": "config system\n\toption hostname 'web-01'\n\toption x '0'\n"},
    ),
    "Arch, long ago": (
        {"/etc/rc.conf": 'HOSTNAME="golden"\nUSE="x"\n'},
        *("web-01", {"/etc/rc.conf": 'HOSTNAME="web-01"\nUSE="x"\n'}),
    ),
}


@pytest.mark.parametrize(("files", "name", "after"), DECIDING.values(), ids=DECIDING)
def test_what_the_machine_takes_its_name_from(
    tmp_path: Path, files: Tree, name: str, after: Mapping[str, str | None]
) -> None:
    found, plan = run(tmp_path, files, name)
    assert found == after
    assert {change.target for change in plan.changes} == {*after}


def test_it_is_off_unless_a_name_is_given(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    plan = make_plan(guest_at(tmp_path), Options())
    assert [change for change in plan.changes if change.step == "hostname"] == []


def test_the_same_name_again_changes_nothing(tmp_path: Path) -> None:
    found, plan = run(tmp_path, DEBIAN, "golden")
    assert found == {}
    assert notes(plan, Level.INFO) == ["the host name is golden already"]


@pytest.mark.parametrize(
    "target", ["-> /run/hostname", None], ids=["a link to nothing", "a folder"]
)
def test_where_nothing_can_be_written_is_refused(tmp_path: Path, target: str | None) -> None:
    plant(tmp_path, {**SYSTEMD, "/etc/hostname": target})
    with pytest.raises(RefusedError, match="/etc/hostname leads to no file of the guest"):
        make_plan(guest_at(tmp_path), Options(hostname="web-01"))


@pytest.mark.parametrize(("argument", "refused"), [("golden", True), ("web-01", False)])
def test_a_name_on_the_kernel_command_line_wins(
    tmp_path: Path, argument: str, refused: bool
) -> None:
    plant(tmp_path, {**DEBIAN, "/etc/kernel/cmdline": f"ro systemd.hostname={argument}\n"})
    guest = guest_at(tmp_path)
    if not refused:
        assert make_plan(guest, Options(hostname="web-01")).changes
        return
    with pytest.raises(RefusedError, match=r"/etc/kernel/cmdline has systemd\.hostname=golden"):
        make_plan(guest, Options(hostname="web-01"))


def test_cloud_init_that_sets_it_again_is_said(tmp_path: Path) -> None:
    unit = "/usr/lib/systemd/system/cloud-init.service"
    cloud: Tree = {
        "/sbin/init": "-> /usr/lib/systemd/systemd",
        "/usr/bin/cloud-init": "#!/usr/bin/python3\n",
        "/usr/lib/systemd/system-generators/cloud-init-generator": "#!/bin/sh\n",
        "/usr/lib/cloud-init/ds-identify": "#!/bin/sh\n",
        unit: "[Service]\nExecStart=cloud-init init\n",
        "/etc/systemd/system/cloud-init.target.wants/cloud-init.service": f"-> {unit}",
        "/etc/cloud/cloud.cfg": "a: 1\n",
    }
    for extra, said in ({}, 1), ({"/etc/cloud/cloud.cfg": "preserve_hostname: true\n"}, 0):
        folder = tmp_path / str(said)
        plant(folder, {**DEBIAN, **cloud, **extra})
        plan = make_plan(guest_at(folder), Options(hostname="web-01"))
        found = [text for text in notes(plan, Level.WARNING) if "unclone seed --hostname" in text]
        assert len(found) == said


def test_a_name_that_another_host_has_is_said(tmp_path: Path) -> None:
    files = {**DEBIAN, "/etc/hosts": "127.0.1.1 golden\n192.0.2.6 web-01\n"}
    _, plan = run(tmp_path, files, "web-01")
    assert notes(plan, Level.WARNING) == ["/etc/hosts has web-01 for 192.0.2.6 already"]


@pytest.mark.parametrize("path", ["/etc/hostname", "/etc/hosts", "/etc/mailname"])
def test_a_change_that_was_not_made_is_noticed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """By the change's own verification, and by the inventory, which looks for itself."""
    plant(tmp_path, {**DEBIAN, "/etc/mailname": "golden.example.org\n"})
    guest = guest_at(tmp_path)
    plan = make_plan(guest, Options(hostname="web-01"))
    before = (tmp_path / path[1:]).read_bytes()
    outcomes = tuple(apply_plan(guest, plan))
    (tmp_path / path[1:]).write_bytes(before)
    with pytest.raises(ResidueError, match=f"{path} still has the old host name"):
        verify(guest_at(tmp_path), plan, outcomes)
    monkeypatch.setattr(ACTIONS["set-host-name"], "verify", lambda *_: "")
    with pytest.raises(ResidueError, match=r"still has the host name golden|the host name is gol"):
        verify(guest_at(tmp_path), plan, outcomes)


@pytest.mark.parametrize("name", ["web-01", "a", "web-01.example.org", "0a.b", "x" * 63, "9"])
def test_names_of_hosts(name: str) -> None:
    assert bool(HOST_NAME.fullmatch(name)) == (name != "9")


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a-", "a_b", "a..b", ".a", "a b", "192.0.2.1", "x" * 64, "a." * 33 + "a", "ä"],
)
def test_what_is_no_name(name: str) -> None:
    assert not HOST_NAME.fullmatch(name)
