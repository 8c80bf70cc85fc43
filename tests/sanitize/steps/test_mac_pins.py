"""The step as a whole: one map for every kind of file, and what is retired when it is applied."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.families import EL8, EL9, FAMILIES, OLD, grubenv, snapshot
from tests.support.initrds import archive, compress
from tests.support.mac_pins import MACS, NEW_A, OTHER, A, B, changed, renew
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.boot.initrd import survey
from unclone.sanitize.change import Level, Retired
from unclone.sanitize.mac_pins import NETWORK_FILES
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.residue import find_residue
from unclone.sanitize.steps import STEPS
from unclone.sanitize.steps.mac_pins import TEXT_LIMIT, MacPins
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unclone.sanitize.change import Plan

NETPLAN = f"network: {{ethernets: {{ens3: {{match: {{macaddress: {A}}}, dhcp4: true}}}}}}\n"
EVERYWHERE = {
    "/etc/netplan/50-cloud-init.yaml": NETPLAN,
    "/etc/sysconfig/network-scripts/ifcfg-eth0": f"DEVICE=eth0\nHWADDR={A.upper()}\n",
    "/etc/systemd/network/10.link": f"[Match]\nMACAddress={A.replace(':', '-')}\n",
    "/etc/udev/rules.d/70-persistent-net.rules": f'ATTR{{address}}=="{B}", NAME="eth1"\n',
    "/etc/network/interfaces": f"iface enx{A.replace(':', '')} inet dhcp\n hwaddress {A}\n",
    "/etc/dhcpcd.conf": f"clientid 01:{A}\n",
}


def run(folder: Path, macs: Mapping[str, str]) -> Plan:
    """A whole run without an engine: plan, apply, verify."""
    guest = guest_at(folder)
    plan = make_plan(guest, Options(macs=macs))
    verify(guest, plan, apply_plan(guest, plan))
    return plan


@pytest.mark.parametrize("family", FAMILIES)
def test_one_map_for_everything(tmp_path: Path, family: str) -> None:
    plant(tmp_path, {**FAMILIES[family], **EVERYWHERE})
    plan = run(tmp_path, MACS)
    after = snapshot(tmp_path)
    assert {path: after[path] for path in EVERYWHERE} == {
        path: renew(text).encode() for path, text in EVERYWHERE.items()
    }
    assert [r for r in plan.retired if r.kind == "mac-address"] == [
        Retired("mac-pins", "mac-address", A),
        Retired("mac-pins", "mac-address", B),
    ]


@pytest.mark.parametrize("spelled", [A, A.upper(), A.replace(":", "-"), "5254.0012.3456"])
def test_a_place_that_nobody_knows_is_found_afterwards(tmp_path: Path, spelled: str) -> None:
    plant(tmp_path, {**EVERYWHERE, "/etc/own-tool.conf": f"card={spelled}\n"})
    guest = guest_at(tmp_path)
    plan = make_plan(guest, Options(macs=MACS))
    verification = verify(guest, plan, apply_plan(guest, plan))
    assert [(r.kind, r.path, r.line) for r in verification.residue] == [
        ("mac-address", "/etc/own-tool.conf", 1)
    ]


def test_without_a_map_nothing_is_retired(tmp_path: Path) -> None:
    plant(tmp_path, EVERYWHERE)
    assert [r for r in run(tmp_path, {}).retired if r.kind == "mac-address"] == []


def test_the_map_may_be_spelled_as_the_definition_spells_it(tmp_path: Path) -> None:
    plant(tmp_path, EVERYWHERE)
    run(tmp_path, {A.upper().replace(":", ""): NEW_A.replace(":", "-")})
    assert NEW_A.upper() in (tmp_path / "etc/sysconfig/network-scripts/ifcfg-eth0").read_text()


def test_a_file_keeps_its_mode_and_its_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "etc/NetworkManager/system-connections/a.nmconnection"
    plant(
        tmp_path,
        {f"/{path.relative_to(tmp_path)}": b"[wifi]\npsk=\xff\0\nmac-address=" + A.encode()},
    )
    path.chmod(0o600)
    inode = path.stat().st_ino
    run(tmp_path, MACS)
    assert path.read_bytes() == b"[wifi]\npsk=\xff\0\nmac-address=" + NEW_A.encode()
    assert (path.stat().st_mode & 0o777, path.stat().st_ino) == (0o600, inode)


def test_the_plan_shows_no_secrets(tmp_path: Path) -> None:
    profile = f"[wifi]\nmac-address={A}\n\n[wifi-security]\npsk=hunter2\n"
    plant(tmp_path, {"/etc/NetworkManager/system-connections/a.nmconnection": profile})
    for macs in ({}, MACS):
        plan = make_plan(guest_at(tmp_path), Options(macs=macs))
        assert "mac-pins" in str(plan.to_json())
        assert "hunter2" not in str(plan.to_json())


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/netplan/a.yaml": NETPLAN.replace(A, OTHER)},
        {"/etc/systemd/network/a.link": f"[Match]\nMACAddress={OTHER}\n"},
        {"/etc/udev/rules.d/70-persistent-net.rules": f'ATTR{{address}}=="{OTHER}", NAME="e"\n'},
        {"/etc/sysconfig/network-scripts/ifcfg-eth0": f"HWADDR={OTHER}\n"},
    ],
    ids=["netplan", "link", "rules", "ifcfg"],
)
def test_a_match_for_no_card_of_the_definition_is_said(
    tmp_path: Path, files: dict[str, str]
) -> None:
    plant(tmp_path, files)
    assert changed(tmp_path, MACS) == {}
    guest = guest_at(tmp_path)
    (note,) = MacPins().plan(context(guest, Options(macs=MACS))).notes
    assert note.level is Level.WARNING
    assert f"is for the MAC address {OTHER}, which no card of the definition has" in note.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/etc/udev/rules.d/10-net.rules", 'ATTR{{address}}=="52:54:00:00:{:02x}:{:02x}"'),
        ("/etc/network/interfaces", "iface enx52540000{:02x}{:02x} inet dhcp"),
        ("/etc/network/interfaces", "  map 52:54:00:00:{:02x}:{:02x} lan"),
    ],
)
def test_a_file_full_of_addresses_is_one_note(tmp_path: Path, path: str, line: str) -> None:
    lines = [line.format(n >> 8, n & 255) for n in range(5000)]
    plant(tmp_path, {path: "\n".join(lines)})
    guest = guest_at(tmp_path)
    (note,) = MacPins().plan(context(guest)).notes
    assert " and 4997 more" in note.text


# -- kernel arguments ----------------------------------------------------------------------
ARGUMENTS = f"ro ifname=lan:{A} BOOTIF=01-{A.replace(':', '-')}"


def test_kernel_arguments_are_renewed_where_the_boot_entries_are_then(tmp_path: Path) -> None:
    entry = f"/boot/loader/entries/{OLD}-5.14.0-284.30.1.el9_2.x86_64.conf"
    plant(tmp_path, {**EL9, entry: f"linux /v\noptions {ARGUMENTS}\n"})
    run(tmp_path, MACS)
    (after,) = (tmp_path / "boot/loader/entries").glob("*-5.14.0*.conf")
    assert OLD not in after.name
    assert after.read_text() == f"linux /v\noptions {renew(ARGUMENTS)}\n"


def test_a_grub_environment_block_keeps_its_size(tmp_path: Path) -> None:
    plant(tmp_path, {**EL8, "/boot/grub2/grubenv": grubenv(kernelopts=ARGUMENTS)})
    run(tmp_path, MACS)
    assert (tmp_path / "boot/grub2/grubenv").read_text() == grubenv(kernelopts=renew(ARGUMENTS))


def test_without_a_map_a_kernel_argument_is_kept_and_said(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/default/grub": f'GRUB_CMDLINE_LINUX="{ARGUMENTS}"\n'})
    assert changed(tmp_path, {}) == {}
    guest = guest_at(tmp_path)
    (note,) = MacPins().plan(context(guest)).notes
    assert note.level is Level.KEPT
    assert f"/etc/default/grub has a kernel argument with the MAC address {A}" in note.text


def test_twelve_digits_in_a_kernel_argument_are_no_address(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/kernel/cmdline": "ro ostree=/boot.1/525400123456/0\n"})
    guest = guest_at(tmp_path)
    assert MacPins().plan(context(guest)).notes == ()


# -- initrds -------------------------------------------------------------------------------
LINK = f"[Match]\nMACAddress={A}\n[Link]\nName=lan0\n"


def make_initrd(folder: Path) -> Path:
    """An initrd as initramfs-tools makes it where /etc/systemd/network has a .link file."""
    tree = folder / "tree"
    plant(tree, {"/usr/lib/systemd/network/10-lan.link": LINK, "/init": "#!/bin/sh\n"})
    (folder / "guest/boot").mkdir(parents=True)
    path = folder / "guest/boot/initrd.img-6.1.0-13-amd64"
    path.write_bytes(compress(Compression.GZIP, archive(tree)))
    return path


def test_initrds_are_corrected(tmp_path: Path) -> None:
    path = make_initrd(tmp_path)
    before = path.read_bytes()
    plan = run(tmp_path / "guest", MACS)
    assert path.read_bytes().startswith(before)
    assert ("correct-initrd", A, NEW_A) in [(c.action, c.old, c.new) for c in plan.changes]
    (now,) = survey(path.read_bytes(), [NEW_A.encode()]).hits
    assert (now.path, now.harmless) == ("usr/lib/systemd/network/10-lan.link", False)
    assert find_residue(guest_at(tmp_path / "guest"), plan.retired) == []
    assert changed(tmp_path / "guest", MACS) == {}


def test_without_a_map_initrds_stay(tmp_path: Path) -> None:
    make_initrd(tmp_path)
    assert changed(tmp_path / "guest", {}) == {}


def test_an_initrd_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = make_initrd(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    guest = guest_at(tmp_path / "guest")
    (note,) = MacPins().plan(context(guest, Options(macs=MACS))).notes
    assert note.level is Level.WARNING
    assert "amd64 cannot be read" in note.text


# -- where files are -----------------------------------------------------------------------
def test_a_file_under_two_names_is_changed_once(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/etc/network/interfaces": "-> interfaces.d/lan",
            "/etc/network/interfaces.d/lan": f"iface eth0 inet dhcp\n hwaddress {A}\n",
        },
    )
    assert changed(tmp_path, {}) == {"/etc/network/interfaces.d/lan": "iface eth0 inet dhcp\n"}


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/etc/network/interfaces": "-> interfaces",
            "/etc/netplan/a.yaml": None,
            "/etc/systemd/network/a.link": "-> ../../../../outside",
        },
    )
    os.mkfifo(tmp_path / "etc/dhcpcd.conf")
    assert changed(tmp_path, MACS) == {}


def test_what_is_too_large_for_a_configuration_is_not_read(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/network/interfaces": f" hwaddress {A}\n" + "#" * TEXT_LIMIT})
    assert changed(tmp_path, MACS) == {}


def test_every_kind_was_asked() -> None:
    asked = {tuple(kind.globs) for kind in NETWORK_FILES}
    assert len(asked) == len(NETWORK_FILES) == 11
    assert any(isinstance(step, MacPins) for step in STEPS)
