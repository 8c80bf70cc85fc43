"""Every row of the catalogue is exercised: found, applied, verified, and nothing else touched."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.planning import context
from tests.support.row_trees import (
    PASSWD,
    asked_for,
    concrete,
    covers,
    matches,
    plant_beside,
    plant_row,
    plant_spared,
    within,
)
from tests.support.tree import guest_at, plant
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.catalogue import load
from unclone.sanitize.catalogue.row import RENEW_UUIDS, TELL
from unclone.sanitize.facts import Facts

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.sanitize.catalogue.row import CatalogueRow, CatalogueStep
    from unclone.sanitize.change import StepPlan

ALL = load()

#: Rows that change something; what the others tell is below.
STEPS = tuple(step for step in ALL if step.row.action != TELL)
TELLING = tuple(step for step in ALL if step.row.action == TELL)

#: Files that no row may touch.
BYSTANDERS: dict[str, str | bytes | None] = {
    "/boot/grub/grub.cfg": "linux /vmlinuz\n",
    "/etc/fstab": "UUID=x / ext4 defaults 0 1\n",
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/etc/passwd": PASSWD,
    "/etc/shadow": "root:*:1::::::\n",
    "/etc/ssh/ssh_host_ed25519_key": "a key\n",
    "/etc/ssh/sshd_config": "PermitRootLogin no\n",
    "/home/ada/notes": "mine\n",
    "/usr/bin/env": "\x7fELF",
    "/var/lib/dpkg/status": "Package: x\n",
    "/var/lib/rpm/rpmdb.sqlite": "rpm",
}

#: A line that each drop-lines row has to find, and one beside it that has to stay.
LINES = {
    "apt-machine-id": ('APT::Machine-ID "0123";', "APT::Get::Assume-Yes true;"),
    "chef-node-name": ("  node_name 'web-01'", "chef_server_url 'https://chef'"),
    "cups-printer-uuid": ("UUID urn:uuid:3333", "<Printer p>"),
    "datadog-hostname": ("hostname: web-01", "# hostname: <HOSTNAME>"),
    "ifcfg-hostname": ("DHCP_HOSTNAME=web-01", "NAME=eth0"),
    "popularity-contest-id": ('MY_HOSTID="0123456789abcdef"', 'PARTICIPATE="yes"'),
    "puppet-agent-certname": ("  certname = web-01.example.org", "server = puppet"),
    "salt-minion-config-id": ("id: web-01", "#id:"),
    "snmp-engine-id": ("oldEngineID 0x80001f88", "engineBoots 3"),
    "splunk-forwarder-name": ("serverName = web-01", "[general]"),
    "splunk-name": ("serverName = web-01", "pass4SymmKey = x"),
    "zabbix-agent-hostname": ("Hostname=web-01", "HostnameItem=system.hostname"),
}

#: A text that each row with ``values`` has to find something in, what it becomes, and what of it
#: has to be gone. Everything else in it stays.
UUID = "22222222-3333-4444-8555-666666666666"
NQN = "nqn.2014-08.org.nvmexpress:uuid:"
NVME = "\n".join(
    (
        f'[{{{{"hostnqn": "{NQN}{{0}}", "hostid":"{{0}}", "nqn": "{NQN}{"9" * 8}"}}}}]',
        f"-t tcp -q {NQN}{{0}} -I {{0}}",
        f"--hostnqn={NQN}{{0}} --hostid {{0}}",
        "hostid = {0}",
    )
)
VALUES = {
    "libvirt-host-uuid": (
        f'#host_uuid = "x"\nhost_uuid = "{UUID}"\nhost_uuid_source = "smbios"\n',
        '#host_uuid = "x"\nhost_uuid = "{}"\nhost_uuid_source = "smbios"\n',
    ),
    "netbird-keys": (
        '{\n    "PrivateKey": "QUFB=",\n    "PreSharedKey": "x",\n    "SSHKey": "-----\\n"\n}\n',
        '{\n    "PrivateKey": "",\n    "PreSharedKey": "x",\n    "SSHKey": ""\n}\n',
    ),
    "nfs-client-id": (
        f"# nfs4_unique_id=x\noptions nfs nfs4_unique_id={UUID}\n",
        "# nfs4_unique_id=x\noptions nfs nfs4_unique_id={}\n",
    ),
    "nvme-host-config": (
        NVME.format(UUID),
        NVME,
    ),
    "rhn-uuid": ("uuid[comment]=x\nrhnuuid=" + UUID, "uuid[comment]=x\nrhnuuid={}"),
}


def by_id(value: CatalogueStep | str) -> str:
    return value if isinstance(value, str) else value.row.id


every_row = pytest.mark.parametrize("step", STEPS, ids=by_id)


def content_for(row: CatalogueRow) -> str:
    if row.values:
        return VALUES[row.id][0]
    return "\n".join(LINES[row.id]) + "\n" if row.lines else "old\n"


def plan_of(step: CatalogueStep, guest: Guest) -> StepPlan:
    return step.plan(context(guest))


def read(folder: Path, path: str) -> bytes:
    return (folder / path[1:]).read_bytes()


def test_finds_nothing_in_a_guest_without_it(tmp_path: Path) -> None:
    plant(tmp_path, BYSTANDERS)
    same = context(guest_at(tmp_path))
    for step in STEPS:
        plan = step.plan(same)
        assert (plan.changes, plan.notes) == ((), ()), step.row.id


@every_row
def test_plans_every_path_it_names(tmp_path: Path, step: CatalogueStep) -> None:
    row = step.row
    planted = plant_row(tmp_path, row, content_for(row))
    plant_spared(tmp_path, row)

    same = context(guest_at(tmp_path))
    plan = step.plan(same)

    targets = [change.target for change in plan.changes]
    assert targets == sorted(targets)
    assert plan == step.plan(same)
    assert plan.notes == ()
    for path in planted:
        assert any(within(path, target) or within(target, path) for target in targets), path
    assert not any(within(a, b) for a in targets for b in targets if a != b)
    for change in plan.changes:
        action = "replace-text" if row.action == RENEW_UUIDS else row.action
        assert (change.step, change.action, change.why) == (row.id, action, row.why)
        assert change.old


@every_row
def test_applies_verifies_and_touches_nothing_else(tmp_path: Path, step: CatalogueStep) -> None:
    row = step.row
    plant(tmp_path, BYSTANDERS)
    planted = plant_row(tmp_path, row, content_for(row))
    stays = plant_spared(tmp_path, row)
    stays += plant_beside(tmp_path, row, [*planted, *stays])
    stays += [path for path in BYSTANDERS if not matches(row.paths, path)]
    before = {path: read(tmp_path, path) for path in stays}
    guest = guest_at(tmp_path)
    changes = plan_of(step, guest).changes
    skipped = [ACTIONS[c.action].verify(guest_at(tmp_path), c, "") for c in changes]
    assert changes
    assert all(skipped), "verify has to see that nothing was done"

    for change in changes:
        ACTIONS[change.action].apply(guest, change)

    problems = [ACTIONS[c.action].verify(guest_at(tmp_path), c, "") for c in changes]
    assert problems == [""] * len(changes)
    assert {path: read(tmp_path, path) for path in before} == before
    for path in planted:
        assert_done(tmp_path, row, path)
    again = plan_of(step, guest_at(tmp_path)).changes
    assert bool(again) == (row.action == RENEW_UUIDS)  # new ones look like old ones


def assert_done(folder: Path, row: CatalogueRow, path: str) -> None:
    file = folder / path[1:]
    match row.action:
        case "remove":
            left = [p for p in [file, *file.rglob("*")] if p.is_file()]
            assert all(p.read_bytes() == b"spared" for p in left), left
        case "truncate":
            assert file.read_bytes() == b""
        case "drop-lines":
            assert file.read_text() == LINES[row.id][1] + "\n"
        case "blank":
            assert file.read_text() == VALUES[row.id][1]
        case "renew-uuids":
            text = file.read_text()
            new = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)
            assert new is not None
            assert new[0] != UUID
            assert text == VALUES[row.id][1].format(new[0])
        case "write":
            assert file.read_text() == row.content
        case other:
            pytest.fail(f"this test does not know the action {other}")


@pytest.mark.parametrize("step", [s for s in STEPS if s.row.when.exists], ids=by_id)
def test_needs_what_it_asks_for(tmp_path: Path, step: CatalogueStep) -> None:
    plant_row(tmp_path, step.row, content_for(step.row))
    assert plan_of(step, guest_at(tmp_path)).changes
    for path in asked_for(step.row):
        (tmp_path / path[1:]).unlink()
    assert plan_of(step, guest_at(tmp_path)).changes == ()


OBSTACLES = [
    (step, path) for step in STEPS for glob in step.row.when.missing for path in concrete(glob)
]


@pytest.mark.parametrize(("step", "obstacle"), OBSTACLES, ids=by_id)
def test_stops_at_an_obstacle(tmp_path: Path, step: CatalogueStep, obstacle: str) -> None:
    plant_row(tmp_path, step.row, content_for(step.row))
    assert plan_of(step, guest_at(tmp_path)).changes
    shutil.rmtree(tmp_path / obstacle[1:], ignore_errors=True)
    plant(tmp_path, {obstacle: ""})
    assert plan_of(step, guest_at(tmp_path)).changes == ()


@pytest.mark.parametrize("step", TELLING, ids=by_id)
def test_names_what_it_tells_and_changes_nothing(tmp_path: Path, step: CatalogueStep) -> None:
    row = step.row
    plant(tmp_path, BYSTANDERS)
    assert step.places(guest_at(tmp_path), Facts(guest_at(tmp_path))) == ()
    planted = plant_row(tmp_path, row, "old\n")
    stays = plant_spared(tmp_path, row)
    plant_beside(tmp_path, row, [*planted, *stays])
    guest = guest_at(tmp_path)
    places = step.places(guest, Facts(guest), limit=1000)
    for path in planted:
        assert any(within(path, place) or within(place, path) for place in places), path
    assert [p for p in places if not covers(row.paths, p)] == []
    assert plan_of(step, guest).changes == ()
    assert step.info.kind == "tell"
    assert row.remedy


def test_every_drop_lines_row_has_its_lines_here() -> None:
    assert {step.row.id for step in STEPS if step.row.lines} == LINES.keys()
    assert {step.row.id for step in STEPS if step.row.values} == VALUES.keys()


def test_every_kind_of_action_is_met() -> None:
    # clear is for people's own rows: test_row.py meets it.
    assert TELLING
    assert {step.row.action for step in STEPS} | {"clear"} == {
        "blank",
        "clear",
        "drop-lines",
        "remove",
        "renew-uuids",
        "truncate",
        "write",
    }
