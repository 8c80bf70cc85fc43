"""The inventory as a whole: before a run, after one, and of a guest that is after no good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.families import DEBIAN_12, OLD
from tests.support.tree import guest_at, plant
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.inventory.inventory import Inventory, MachineId
from unclone.sanitize.inventory.taking import take_inventory
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.ssh.key import KeyFormat, encode, generate

if TYPE_CHECKING:
    from pathlib import Path

NETPLAN = "network: {ethernets: {ens3: {match: {macaddress: '52:54:00:12:34:56'}, dhcp4: true}}}\n"


def test_what_a_run_takes_is_in_no_inventory_afterwards(tmp_path: Path) -> None:
    plant(tmp_path, {**DEBIAN_12, "/etc/netplan/a.yaml": NETPLAN})
    guest = guest_at(tmp_path)
    before = take_inventory(guest, Options())
    assert before.machine_ids == (
        MachineId("/etc/machine-id", "id", OLD),
        MachineId("/var/lib/dbus/machine-id", "id", OLD),
    )
    assert [each.value for each in before.macs] == ["52:54:00:12:34:56"]
    plan = make_plan(guest, Options())
    apply_plan(guest, plan)
    after = take_inventory(guest, Options())
    assert [(each.state, each.id) for each in after.machine_ids] == [("empty", ""), ("absent", "")]
    assert after.macs == ()
    assert [name.value for name in after.host_names] == ["template"]


def test_after_a_rehearsal_what_was_made_is_left_out(tmp_path: Path) -> None:
    key = encode(generate("ed25519", 256), KeyFormat.OPENSSH)
    plant(tmp_path, {**DEBIAN_12, "/etc/ssh/ssh_host_ed25519_key": key})
    guest, options = guest_at(tmp_path), Options(machine_id="random")
    plan = make_plan(guest, options)
    apply_plan(guest, plan)
    after = take_inventory(guest, options)
    assert after.ssh_host_keys
    assert after.machine_ids[0].id
    shown = after.without_new_values(plan.changes)
    assert shown.ssh_host_keys == ()
    assert shown.machine_ids[0] == MachineId("/etc/machine-id", "id", "")
    assert shown.host_names == after.host_names


def test_certificates_called_after_the_host_are_named(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {
        "/etc/hostname": "web\n",
        "/etc/ssl/private/web.key": "k",
        "/etc/ssl/certs/web.pem": "c",
        "/etc/ssl/certs/webmail.pem": "another's",
        "/etc/letsencrypt/live/web": None,
    }
    plant(tmp_path, files)
    found = take_inventory(guest_at(tmp_path), Options()).certificates
    assert set(found) == {
        "/etc/ssl/private/web.key",
        "/etc/ssl/certs/web.pem",
        "/etc/letsencrypt/live/web",
    }


def test_certificates_called_after_the_old_name_are_named(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/hostname": "golden\n", "/etc/ssl/certs/golden.pem": "c"})
    guest, options = guest_at(tmp_path), Options(hostname="web-01")
    plan = make_plan(guest, options)
    apply_plan(guest, plan)
    assert take_inventory(guest, options, plan).certificates == ("/etc/ssl/certs/golden.pem",)


def test_a_host_name_is_no_pattern(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/hostname": "*\n", "/etc/ssl/certs/a.pem": "c"})
    assert take_inventory(guest_at(tmp_path), Options()).certificates == ()


def test_an_empty_guest_has_nothing(tmp_path: Path) -> None:
    found = take_inventory(guest_at(tmp_path), Options())
    absent = tuple(
        MachineId(path, "absent", "") for path in ("/etc/machine-id", "/var/lib/dbus/machine-id")
    )
    assert found == Inventory(machine_ids=absent)


def test_a_machine_id_that_is_refused_is_left_out(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/machine-id": None})
    found = take_inventory(guest_at(tmp_path), Options())
    assert [each.path for each in found.machine_ids] == ["/var/lib/dbus/machine-id"]
