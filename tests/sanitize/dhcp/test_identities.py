"""What a DHCP client is told to call itself: followed, taken out, or named."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.mac_pins import MACS, NEW_A, Golden, changed
from tests.support.mac_pins import A as MAC
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.change import Level
from unclone.sanitize.dhcp.places import PLACES
from unclone.sanitize.identities import mac
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.steps.dhcp_identities import DhcpIdentities
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.sanitize.change import Plan

PROFILE = "/etc/NetworkManager/system-connections/eth0.nmconnection"
NM_CONF = "/etc/NetworkManager/conf.d/50-dhcp.conf"
IFCFG = "/etc/sysconfig/network-scripts/ifcfg-eth1"
SUSE = "/etc/sysconfig/network/dhcp"
NETWORK = "/etc/systemd/network/10-ens3.network"
NETWORKD = "/etc/systemd/networkd.conf"
NETPLAN = "/etc/netplan/90-NM.yaml"
WICKED = "/etc/wicked/local.xml"
DHCLIENT = "/etc/dhcp/dhclient.conf"
DHCPCD = "/etc/dhcpcd.conf"
INTERFACES = "/etc/network/interfaces"
CONF_D = "/etc/conf.d/net"
UCI = "/etc/config/network"
CONNMAN = "/var/lib/connman/gadget_usb/settings"

UUID_DUID = "00:04:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99"
LL, LLT = f"00:03:00:01:{MAC}", f"00:01:00:01:2a:bb:cc:dd:{MAC}"
BARE = MAC.replace(":", "")


class Line(NamedTuple):
    """A line that fixes an identity, between *before* and *after*; *left* is what it becomes."""

    path: str
    line: str
    before: str = ""
    after: str = ""
    left: str = ""


#: Made of a MAC address: followed with a map that has it, else taken out.
WITH_MAC = [
    Line(PROFILE, f"dhcp-client-id=01:{MAC}\n", "[ipv4]\nmethod=auto\n", "\n[ipv6]\n"),
    Line(PROFILE, f"dhcp-duid={LL}\n", "[ipv6]\n", "method=auto\n"),
    Line(PROFILE, f"dhcp-duid={LLT.upper()}\r\n", "[ipv6]\r\n"),
    Line(NM_CONF, f"ipv6.dhcp-duid={LLT}\n", "[connection-dhcp]\n"),
    Line(IFCFG, f"DHCLIENT_CLIENT_ID=01:{MAC}\n", "BOOTPROTO=dhcp\nDEVICE=eth1\n"),
    Line(IFCFG, f'DHCP_CLIENT_ID="01:{MAC}"\n', "DEVICE=eth1\n"),
    Line(IFCFG, f"DHCPV6_DUID={LL}\n", "DEVICE=eth1\n"),
    Line(SUSE, f'DHCLIENT6_CLIENT_ID="{LL}"\n', "## Type: string\n"),
    Line(NETWORK, f"DUIDRawData=00:01:{MAC}\n", "[DHCPv6]\nDUIDType=link-layer\n"),
    Line(NETWORK, f"DUIDRawData=00:01:2a:bb:cc:dd:{MAC}\n", "[DHCPv4]\nDUIDType=link-layer-time\n"),
    Line(NETWORKD, f"DUIDRawData=00:01:{MAC}\n", "[DHCPv6]\nDUIDType=link-layer\n"),
    Line(WICKED, f"<default-duid>{LL}</default-duid>\n", "<config><addrconf><dhcp6>\n"),
    Line(DHCLIENT, f"send dhcp-client-identifier 1:{MAC};\n", "", 'send host-name "x";\n'),
    Line(DHCLIENT, f"  send dhcp6.client-id {LLT};\n", 'interface "eth0" {\n', "}\n"),
    Line(DHCPCD, f"clientid 01:{MAC}\n", "hostname\n", "persistent\n"),
    Line(DHCPCD, f"duid {LLT}\n", "hostname\n"),
    Line(DHCPCD, f"clientid ff:00:12:34:56:{LLT}\n"),
    Line(INTERFACES, f"  client 01:{MAC}\n", "iface eth0 inet dhcp\n"),
    Line(
        INTERFACES,
        f"  udhcpc_opts -x 0x3d:01{BARE}\n",
        "iface eth0 inet dhcp\n",
        left="  udhcpc_opts \n",
    ),
    Line(CONF_D, f'dhcpcd_eth0="-t 5 -I 01:{MAC} -L"\n', left='dhcpcd_eth0="-t 5 -L"\n'),
    Line(CONNMAN, f"IPv6.DHCP.DUID={LLT}\n", "[ethernet]\n"),
]
#: Bytes or a number that no card has: taken out, whatever the map.
OPAQUE = [
    Line(UCI, f"\toption clientid '01{BARE}'\n", "config interface 'wan'\n"),
    Line(UCI, "\toption dhcp_default_duid '0004aabbccddeeff0011'\n", "config globals 'globals'\n"),
    Line(PROFILE, f"dhcp-duid={UUID_DUID}\n", "[ipv6]\n"),
    Line(PROFILE, "dhcp-client-id=ff:aa:bb:cc:dd:00:04:11\n", "[ipv4]\n"),
    Line(PROFILE, "dhcp-iaid=12345\n", "[ipv6]\n"),
    Line(PROFILE, "dhcp-iaid=00:12:34:56\n", "[ipv4]\n"),
    Line(PROFILE, "dhcp-client-id=5f1d5a0c-4d5e-4f60-8a7b-9c0d1e2f3a4b\n", "[ipv4]\n"),
    Line(NM_CONF, f"ipv6.dhcp-duid={UUID_DUID}\n", "[connection]\n"),
    Line(IFCFG, f"DHCPv6_DUID='{UUID_DUID}'  # chosen\n", "DEVICE=eth1\n"),
    Line(IFCFG, "DHCPV6_IAID=12345\n", "DEVICE=eth1\n"),
    Line(
        IFCFG,
        'DHCLIENTARGS="-1 -C aa:bb:cc:dd -v"\n',
        "DEVICE=eth1\n",
        'ETHTOOL_OPTS="-C eth0 rx-usecs 3"\n',
        left='DHCLIENTARGS="-1 -v"\n',
    ),
    Line(SUSE, f'DHCLIENT6_CLIENT_ID="{UUID_DUID}"\n'),
    Line(
        NETWORK,
        "DUIDRawData=00:00:ab:11:f9:2a:c2:77:29:f9:5c:00\n",
        "[DHCPv4]\nClientIdentifier=duid\nDUIDType=vendor\n",
    ),
    Line(NETWORK, "DUIDType=6\nDUIDRawData=00:00:ab:11:f9:2a:c2:77\n", "[DHCPv6]\n"),
    Line(f"{NETWORK}.d/dhcp.conf", "IAID=12345\n", "[DHCPv4]\nDUIDType=uuid\n"),
    Line("/usr/lib/systemd/network/a.network", "DUIDRawData=aa:bb:cc:dd\n", "[DHCP]\n"),
    Line(
        NETPLAN,
        f'        ipv6.dhcp-duid: "{UUID_DUID}"\n',
        "network:\n  nm-devices:\n    NM-1:\n      passthrough:\n",
        '        connection.id: "12"\n',
        left="        ipv6.dhcp-duid: lease\n",
    ),
    Line(
        NETPLAN,
        "passthrough: {ipv4.dhcp-iaid: 12, a: 12}\n",
        left="passthrough: {ipv4.dhcp-iaid: ifname, a: 12}\n",
    ),
    Line(
        "/etc/wicked/ifconfig/eth0.xml",
        f"<ipv6:dhcp><client-id>{UUID_DUID}</client-id></ipv6:dhcp>\n",
        "<interface>\n",
        left="<ipv6:dhcp></ipv6:dhcp>\n",
    ),
    Line(DHCLIENT, r'send dhcp-client-identifier "\001RT\000\0224V";' + "\n"),
    Line(DHCLIENT, r'default-duid "\000\004\252\273\314";' + "\n"),
    Line(DHCLIENT, "send\n  dhcp-client-identifier\n  aa:bb:cc:dd;\n", left="\n"),
    Line(
        DHCLIENT,
        'interface "eth0" { send dhcp-client-identifier = aa:b:c:dd; }\n',
        left='interface "eth0" {  }\n',
    ),
    Line(DHCPCD, f"duid {UUID_DUID}\n", "hostname\n"),
    Line(DHCPCD, "  iaid 0a0b0c0d\n", "interface eth0\n"),
    Line("/etc/default/udhcpc", "OPTS='-x 61:00c0ffee'\n", left="OPTS=''\n"),
]
#: Words that make the client compute its own; and comments.
COMPUTED = [
    Line(PROFILE, "dhcp-client-id=mac\ndhcp-iaid=perm-mac\n", "[ipv4]\n"),
    Line(PROFILE, "dhcp-client-id=\ndhcp-client-id=ipv6-duid\n", "[ipv4]\n"),
    Line(PROFILE, f"dhcp-duid=stable-uuid\n#dhcp-duid={UUID_DUID}\n", "[ipv6]\n"),
    Line(NETWORK, "ClientIdentifier=duid-only\nDUIDType=link-layer-time:2019-01-01\n"),
    Line(NETWORK, "DUIDType=3\n", "[DHCPv6]\n"),
    Line(NETPLAN, "dhcp-identifier: mac\nipv4.dhcp-client-id: duid\n"),
    Line(SUSE, 'DHCLIENT_CLIENT_ID=""\n'),
    Line(WICKED, f"<!-- <default-duid>{UUID_DUID}</default-duid>\n -->\n"),
    Line(DHCLIENT, "send dhcp-client-identifier = hardware;\n"),
    Line(DHCLIENT, 'send dhcp-client-identifier = concat("x-", hardware);\n'),
    Line(DHCLIENT, '#send dhcp-client-identifier "golden";\nsend host-name "golden";\n'),
    Line(DHCPCD, "clientid\nduid\nduid ll\n"),
    Line(INTERFACES, "iface eth0 inet dhcp\n  up iptables -I INPUT -j ACCEPT\n"),
]
#: Chosen by a person: kept, and named.
NAMES = [
    Line(PROFILE, "dhcp-client-id=golden-client\n", "[ipv4]\n"),
    Line(NM_CONF, "ipv4.dhcp-client-id=golden-client\n", "[connection]\n"),
    Line(IFCFG, 'DHCP_CLIENT_ID="golden-client" # chosen\n'),
    Line(SUSE, "DHCLIENT_CLIENT_ID='golden-client'\n"),
    Line(NETPLAN, "  ipv4.dhcp-client-id: 'golden-client'\n"),
    Line(WICKED, "<client-id> golden-client </client-id>\n"),
    Line(DHCLIENT, 'send dhcp-client-identifier "golden-client";\n'),
    Line(DHCLIENT, 'send dhcp-client-identifier = "golden-client";\n'),
    Line(DHCPCD, "clientid golden-client\n"),
    Line(INTERFACES, "  client golden-client\n", "iface eth0 inet dhcp\n"),
    Line(CONF_D, 'config_eth0="dhcp"\ndhcpcd_eth0="-I golden-client"\n'),
]


def named(line: Line) -> str:
    return f"{line.path.rsplit('/', 1)[-1]}: {' '.join(line.line.split())}"


@pytest.mark.parametrize("line", WITH_MAC, ids=named)
class TestWithAMac:
    def test_alone(self, tmp_path: Path, line: Line) -> None:
        golden(line).check_alone(tmp_path)

    def test_with_a_map(self, tmp_path: Path, line: Line) -> None:
        golden(line).check_with_map(tmp_path)
        text = (tmp_path / line.path[1:]).read_text().lower()
        assert any(spelled.decode().lower() in text for spelled in mac.spellings(NEW_A))

    def test_with_a_map_of_other_cards(self, tmp_path: Path, line: Line) -> None:
        plant(tmp_path, {line.path: line.before + line.line + line.after})
        others = {"52:54:00:01:01:01": "52:54:00:02:02:02"}
        assert changed(tmp_path, others) == golden(line).alone


def golden(line: Line) -> Golden:
    whole = line.before + line.line + line.after
    return Golden({line.path: whole}, {line.path: line.before + line.left + line.after})


@pytest.mark.parametrize("line", OPAQUE, ids=named)
@pytest.mark.parametrize("macs", [{}, MACS], ids=["alone", "map"])
def test_what_no_card_has_goes(tmp_path: Path, line: Line, macs: dict[str, str]) -> None:
    plant(tmp_path, {line.path: line.before + line.line + line.after})
    assert changed(tmp_path, macs) == golden(line).alone
    assert changed(tmp_path, macs) == {}, "a second run changes something"


@pytest.mark.parametrize("line", COMPUTED, ids=named)
def test_what_the_client_computes_stays(tmp_path: Path, line: Line) -> None:
    Golden({line.path: line.before + line.line + line.after}, {}).check_alone(tmp_path)


@pytest.mark.parametrize("line", NAMES, ids=named)
@pytest.mark.parametrize("macs", [{}, MACS], ids=["alone", "map"])
def test_a_name_is_kept_and_named(tmp_path: Path, line: Line, macs: dict[str, str]) -> None:
    plant(tmp_path, {line.path: line.before + line.line + line.after})
    plan = DhcpIdentities().plan(context(guest_at(tmp_path), Options(macs=macs)))
    assert plan.changes == ()
    (note,) = plan.notes
    assert note.level is Level.KEPT
    assert note.text.startswith(f"{line.path} makes the machine call itself golden-client to")


def test_every_place_is_here() -> None:
    """Each row's own pattern finds something in a file of its own."""
    lines = [*WITH_MAC, *OPAQUE, *NAMES]
    for place in PLACES:
        found = [
            line
            for line in lines
            if place.pattern.search(line.before + line.line)
            and any(matches(pattern, line.path) for pattern in place.globs)
        ]
        assert found, place.pattern.pattern


def matches(pattern: str, path: str) -> bool:
    return fnmatchcase(path, pattern) and pattern.count("/") == path.count("/")


# -- the whole kind ------------------------------------------------------------------------
def steps_on(folder: Path) -> Iterator[tuple[str, bool]]:
    """Each change, and whether its verification notices that it was not made."""
    guest = guest_at(folder)
    for change in DhcpIdentities().plan(context(guest)).changes:
        yield change.target, bool(ACTIONS[change.action].verify(guest, change, ""))


@pytest.mark.parametrize("line", [*WITH_MAC, *OPAQUE], ids=named)
def test_a_change_that_was_not_made_is_noticed(tmp_path: Path, line: Line) -> None:
    plant(tmp_path, {line.path: line.before + line.line + line.after})
    noticed = dict(steps_on(tmp_path))
    assert noticed == {line.path: True}


def test_a_file_behind_a_link_is_changed_where_it_is(tmp_path: Path) -> None:
    real = f"[DHCPv6]\nDUIDRawData={UUID_DUID}\n"
    plant(tmp_path, {"/srv/net/a.network": real, NETWORK: "-> ../../../srv/net/a.network"})
    assert changed(tmp_path, {}) == {"/srv/net/a.network": "[DHCPv6]\n"}


def test_an_identity_and_a_pinned_address_in_one_file(tmp_path: Path) -> None:
    """Lines around a change are not part of another's."""
    text = (
        f"[connection]\ninterface-name=eth0\n\n[ethernet]\nmac-address={MAC}\n\n[ipv4]\n"
        f"dhcp-client-id=aa:bb:cc:dd\n\n[ipv6]\ndhcp-duid={UUID_DUID}\nmac-address={MAC}\n"
    )
    gone = text.replace("dhcp-client-id=aa:bb:cc:dd\n", "").replace(f"dhcp-duid={UUID_DUID}\n", "")
    Golden(
        {PROFILE: text},
        {PROFILE: gone.replace(f"mac-address={MAC}\n", "")},
        renewed={PROFILE: gone.replace(MAC, NEW_A)},
    ).check_alone(tmp_path / "alone")
    plant(tmp_path / "map", {PROFILE: text})
    assert changed(tmp_path / "map", MACS) == {PROFILE: gone.replace(MAC, NEW_A)}


def test_the_step_can_be_left_out(tmp_path: Path) -> None:
    plant(tmp_path, {PROFILE: f"[ipv4]\ndhcp-client-id=01:{MAC}\n"})
    plan = make_plan(guest_at(tmp_path), Options(disable=frozenset({"dhcp-identities"})))
    assert [change for change in plan.changes if change.target == PROFILE] == []


PROFILES = "/etc/NetworkManager/system-connections"
#: Client ids and DUIDs that are pinned in configuration, by every program that a machine may have.
PINNED = {
    f"{PROFILES}/eth0.nmconnection": "[connection]\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n"
    "dhcp-client-id=golden-client\ndhcp-hostname=golden\n\n[ipv6]\n"
    f"dhcp-duid={UUID_DUID}\nmethod=auto\n",
    f"{PROFILES}/eth1.nmconnection": "[connection]\ninterface-name=eth1\n\n[ipv4]\nmethod=auto\n"
    f"dhcp-client-id=01:{MAC}\n\n[ipv6]\ndhcp-duid={LL}\nmethod=auto\n",
    DHCLIENT: 'send dhcp-client-identifier "golden-client";\nsend host-name "golden";\n',
    DHCPCD: "interface eth0\nclientid ff:aa:bb:cc:dd:00:04:11\nduid\n",
    NETWORK: "[Match]\nName=ens3\n[Network]\nDHCP=yes\n[DHCPv4]\nClientIdentifier=duid\n"
    "DUIDType=vendor\nDUIDRawData=00:00:ab:11:f9:2a:c2:77:29:f9:5c:00\nIAID=12345\n",
    INTERFACES: "auto eth0\niface eth0 inet dhcp\n  client golden-client\n  hostname golden\n"
    f"  hwaddress ether {MAC}\n",
    IFCFG: f"DEVICE=eth1\nHWADDR={MAC.upper()}\nDHCLIENT_CLIENT_ID=01:{MAC}\n",
}
FIXED = (f"dhcp-duid={UUID_DUID}", "clientid ff:aa", "DUIDRawData", "IAID=12345")


def sanitized(folder: Path, macs: dict[str, str]) -> tuple[str, Plan]:
    """A whole run without an engine; every file of PINNED afterwards, as one text."""
    plant(folder, PINNED)
    guest = guest_at(folder)
    plan = make_plan(guest, Options(macs=macs))
    verify(guest, plan, apply_plan(guest, plan))
    return "".join((folder / path[1:]).read_text() for path in PINNED), plan


def test_a_copy_shares_no_identity_that_is_not_named(tmp_path: Path) -> None:
    text, plan = sanitized(tmp_path, {})
    assert [one for one in (*FIXED, MAC, MAC.upper(), LL) if one in text] == []
    kept = [n.text for n in plan.notes if n.level is Level.KEPT and n.step == "dhcp-identities"]
    assert [text.split()[0] for text in kept] == [
        f"{PROFILES}/eth0.nmconnection",
        DHCLIENT,
        INTERFACES,
    ]


def test_identities_with_a_mac_follow_the_definition(tmp_path: Path) -> None:
    text, _ = sanitized(tmp_path, MACS)
    assert [one for one in (*FIXED, MAC, MAC.upper()) if one in text] == []
    for line in (
        f"dhcp-client-id=01:{NEW_A}",
        f"dhcp-duid={LL.replace(MAC, NEW_A)}",
        f"HWADDR={NEW_A.upper()}",
        f"DHCLIENT_CLIENT_ID=01:{NEW_A}",
        f"hwaddress ether {NEW_A}",
    ):
        assert f"{line}\n" in text


def test_strict_refuses_a_name_that_copies_share(tmp_path: Path) -> None:
    plant(tmp_path, {DHCPCD: "clientid golden-client\n"})
    with pytest.raises(RefusedError, match="golden-client"):
        make_plan(guest_at(tmp_path), Options(strict=True))


# -- hostile files -------------------------------------------------------------------------
HOSTILE = {
    "identities": (PROFILE, "".join(f"dhcp-iaid={n}\n" for n in range(5_000))),
    "names": (DHCPCD, "".join(f"clientid name-{n}\n" for n in range(5_000))),
    "quotes": (DHCLIENT, 'send dhcp-client-identifier "' * 5_000),
    "white space": (DHCLIENT, "send dhcp-client-identifier" + " " * 200_000 + "x"),
    "comments in XML": (WICKED, "<!-- " * 40_000),
    "tags": (WICKED, "<duid>" + " " * 200_000),
    "options": (CONF_D, "dhcp " + " -I x" * 20_000),
    "spaces in a value": (IFCFG, "DHCP_CLIENT_ID=a" + " " * 200_000 + "b\n"),
    "octets": (DHCPCD, "clientid " + "01:" * 60_000 + f"{MAC}\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("path", "text"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_takes_no_time(tmp_path: Path, path: str, text: str) -> None:
    plant(tmp_path, {path: text})
    guest = guest_at(tmp_path)
    plan = make_plan(guest, Options(macs=MACS))
    changes = [change for change in plan.changes if change.step == "dhcp-identities"]
    notes = [note for note in plan.notes if note.step == "dhcp-identities"]
    assert len(changes) + len(notes) <= 1
    for change in changes:
        ACTIONS[change.action].apply(guest, change)
        assert ACTIONS[change.action].verify(guest, change, "") == ""


def test_too_many_identities_are_said(tmp_path: Path) -> None:
    plant(tmp_path, {PROFILE: HOSTILE["identities"][1]})
    (note,) = DhcpIdentities().plan(context(guest_at(tmp_path))).notes
    assert (note.level, "more than 200 DHCP identities" in note.text) == (Level.KEPT, True)
