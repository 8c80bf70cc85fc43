"""A /var partition whose GUID is made from the machine-id, on guests that are folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.identified import IdentifiedVolumes
from tests.support.tree import plant
from unclone.images.discoverable import VAR, var_partition_uuid
from unclone.images.errors import RefusedError
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount
from unclone.images.volumes import FileSystem, Identifier, IdentifierKind
from unclone.sanitize import var_partition
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.change import Plan
from unclone.sanitize.facts import Facts
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan

if TYPE_CHECKING:
    from pathlib import Path

ID, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
GUID = var_partition_uuid(ID)
DEVICE = "/dev/sda3"
ENTRY = "/boot/loader/entries/a.conf"


def guest(folder: Path, guid: str = GUID, *, text: str = ID, arguments: str = "") -> Guest:
    plant(
        folder,
        {
            "/etc/machine-id": f"{text}\n",
            "/etc/fstab": "",
            "/usr/lib/systemd/systemd": "ELF",
            "/var/lib": None,
            ENTRY: f"options ro {arguments}\n",
        },
    )
    partition = FileSystem(DEVICE, "ext4", partition_uuid=guid, partition_type=VAR)
    found = Identifier(IdentifierKind.PARTITION_GUID, DEVICE, guid)
    volumes = IdentifiedVolumes(folder, [found], file_systems=[partition])
    mounts = (Mount("/dev/sda2", "/", "ext4"), Mount(DEVICE, "/var", "ext4"))
    return Guest(volumes, Layout(mounts, var_partitions=(partition,)))


def planned(opened: Guest, **options: object) -> Plan:
    return make_plan(opened, Options(**options))  # type: ignore[arg-type]


def new_values(plan: Plan) -> dict[str, str]:
    return {change.target: change.new for change in plan.changes}


def lost(opened: Guest, plan: Plan) -> str:
    return var_partition.lost(opened, Facts(opened), plan)


def test_the_guid_is_made_from_the_id_that_is_given(tmp_path: Path) -> None:
    opened = guest(tmp_path)
    plan = planned(opened)
    new = new_values(plan)
    assert new[DEVICE] == var_partition_uuid(new["/etc/machine-id"]) != GUID
    apply_plan(opened, plan)
    assert lost(opened, plan) == ""


@pytest.mark.parametrize("left_out", ["/etc/machine-id", DEVICE])
def test_one_without_the_other_is_noticed(tmp_path: Path, left_out: str) -> None:
    opened = guest(tmp_path)
    plan = planned(opened)
    changes = tuple(change for change in plan.changes if change.target != left_out)
    apply_plan(opened, Plan(plan.profile, changes, plan.notes, plan.retired))
    assert "/var would not be mounted" in lost(opened, plan)


def test_an_id_that_a_kernel_command_line_gives_counts(tmp_path: Path) -> None:
    opened = guest(tmp_path, arguments=f"systemd.machine_id={ID}")
    plan = planned(opened)
    changes = tuple(change for change in plan.changes if change.target != ENTRY)
    apply_plan(opened, Plan(plan.profile, changes, plan.notes, plan.retired))
    assert ID in lost(opened, plan)


@pytest.mark.parametrize(
    "argument", [f"systemd.machine_id={ID}", f"systemd.set_credential=system.machine_id:{ID}"]
)
def test_the_partition_of_a_guest_with_its_id_elsewhere_is_found(
    tmp_path: Path, argument: str
) -> None:
    new = new_values(planned(guest(tmp_path, text="", arguments=argument)))
    assert new[DEVICE] == var_partition_uuid(new["/etc/machine-id"])


def test_an_id_that_stays_on_the_command_line_keeps_the_guid(tmp_path: Path) -> None:
    opened = guest(tmp_path, arguments=f"systemd.machine_id={ID}")
    plan = planned(opened, disable=frozenset({"kernel-machine-id"}))
    assert DEVICE not in new_values(plan)
    apply_plan(opened, plan)
    assert lost(opened, plan) == ""


@pytest.mark.parametrize("given", [ID, OTHER])
def test_the_id_that_is_asked_for_is_the_one_it_is_made_from(tmp_path: Path, given: str) -> None:
    new = new_values(planned(guest(tmp_path), machine_id=given))
    assert new.get(DEVICE, GUID) == var_partition_uuid(given)


@pytest.mark.parametrize("word", ["0", "no", "OFF", "false"])
def test_without_discovery_the_guid_means_nothing(tmp_path: Path, word: str) -> None:
    opened = guest(tmp_path, arguments=f"systemd.gpt_auto={word}")
    plan = planned(opened)
    assert new_values(plan)["/etc/machine-id"] == "(empty)"
    apply_plan(opened, plan)
    assert lost(opened, plan) == ""


@pytest.mark.parametrize("mode", ["empty", "remove", "uninitialized"])
def test_no_id_is_refused(tmp_path: Path, mode: str) -> None:
    with pytest.raises(RefusedError, match="start without its /var") as refused:
        planned(guest(tmp_path), machine_id=mode)
    assert "--machine-id random" in refused.value.hint


@pytest.mark.parametrize("options", [{"uuids": "keep"}, {"disable": frozenset({"partition-guid"})}])
def test_a_guid_that_stays_while_the_id_changes_is_refused(
    tmp_path: Path, options: dict[str, object]
) -> None:
    with pytest.raises(RefusedError, match="not the partition GUID of /dev/sda3"):
        planned(guest(tmp_path), **options)
