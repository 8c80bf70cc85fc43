"""What a dry run shows of values that the run itself will draw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.identified import (
    ALL,
    DISK,
    ROOT,
    SWAP,
    IdentifiedVolumes,
    identified_guest,
    olds,
)
from tests.support.tree import plant
from unclone.sanitize.change import SET_IDENTIFIER
from unclone.sanitize.identities.derivation import IdentityGenerator
from unclone.sanitize.identities.spellings import spellings
from unclone.sanitize.new_values import RANDOM, NewValues, mask_random
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Plan

ID = "0123456789abcdef0123456789abcdef"
KEY = b"0123456789abcdef"
UNIT = rf"dev-disk-by\x2duuid-{SWAP.old.replace('-', chr(92) + 'x2d')}.device"


def guest_in(folder: Path) -> Guest:
    plant(
        folder,
        {
            "/etc/fstab": f"UUID={ROOT.old} / ext4\nPARTUUID={DISK.old}-01 /srv ext4\n",
            "/etc/systemd/system/a.wants/" + UNIT: "-> /dev/null",
            "/boot/loader/entries/" + ID + "-6.1.conf": f"options root=UUID={ROOT.old}\n",
            "/etc/machine-id": f"{ID}\n",
            "/etc/os-release": "ID=debian\n",
        },
    )
    return identified_guest(IdentifiedVolumes(folder, olds()))


def masked(guest: Guest, options: Options) -> tuple[Plan, Plan, NewValues]:
    new_values = NewValues()
    plan = make_plan(guest, options, new_values)
    return plan, mask_random(plan, options, new_values), new_values


def test_two_dry_runs_show_the_same(tmp_path: Path) -> None:
    guest, options = guest_in(tmp_path), Options(machine_id="random")
    (one, first, _), (two, second, _) = masked(guest, options), masked(guest, options)
    assert one != two
    assert first == second
    assert len(first.changes) == len(one.changes)


def test_no_spelling_of_a_drawn_value_is_left(tmp_path: Path) -> None:
    plan, shown, new_values = masked(guest_in(tmp_path), Options(machine_id="random"))
    drawn = {c.new for c in plan.changes if c.action == SET_IDENTIFIER} | {new_values.machine_id}
    assert len(drawn) == len(ALL) + 1
    text = json.dumps(shown.to_json(), ensure_ascii=False)
    for value in drawn:
        for spelled in spellings(value):
            if spelled.isascii() and b"\0" not in spelled:
                assert spelled.decode() not in text
    assert {c.new for c in shown.changes if c.action == SET_IDENTIFIER} == {RANDOM}
    renamed = [c for c in shown.changes if c.action == "rename"]
    assert {c.details["to"] for c in renamed} == {
        rf"/etc/systemd/system/a.wants/dev-disk-by\x2duuid-{RANDOM}.device",
        f"/boot/loader/entries/{RANDOM}-6.1.conf",
    }


def test_old_values_are_shown_as_they_are(tmp_path: Path) -> None:
    plan, shown, _ = masked(guest_in(tmp_path), Options(machine_id="random"))
    assert [c.old for c in shown.changes] == [c.old for c in plan.changes]
    assert shown.retired == plan.retired


def test_values_that_another_run_has_too_are_shown(tmp_path: Path) -> None:
    derived = Options(machine_id=ID[::-1], identities=IdentityGenerator("web-01", KEY))
    guest = guest_in(tmp_path)
    for options in (derived, Options(uuids="keep")):
        plan, shown, _ = masked(guest, options)
        assert shown == plan
    named = Options(machine_id="random", identities=IdentityGenerator("web-01", KEY))
    plan, shown, new_values = masked(guest, named)
    assert new_values.machine_id not in str(shown)
    assert [c for c in plan.changes if c.action == SET_IDENTIFIER] == [
        c for c in shown.changes if c.action == SET_IDENTIFIER
    ]


NVME = "2222abcd-3333-4444-8555-666666666666"


def with_nvme(folder: Path) -> Guest:
    plant(
        folder,
        {
            "/etc/nvme/discovery.conf": f"--hostid={NVME}\n",
            "/etc/nvme/config.json": f'[{{"hostid": "{NVME}"}}, {{"hostid": "{NVME.upper()}"}}]',
            "/etc/sysconfig/rhn/up2date-uuid": "rhnuuid=AB-CD\n",
        },
    )
    return guest_in(folder)


def test_one_uuid_in_several_files_stays_one(tmp_path: Path) -> None:
    plan, shown, new_values = masked(with_nvme(tmp_path), Options())
    new = new_values.uuid(NVME, Options())
    assert new != NVME
    shown_there = {c.target: c.new for c in plan.changes if c.step == "nvme-host-config"}
    assert shown_there == {
        "/etc/nvme/config.json": f"{new}, {new.upper()}",
        "/etc/nvme/discovery.conf": new,
    }
    text = json.dumps(shown.to_json())
    assert new not in text
    assert new.upper() not in text
    assert new_values.uuid("AB-CD", Options()) not in text
    assert [c.new for c in shown.changes if c.step == "rhn-uuid"] == [RANDOM]


def test_a_uuid_in_a_file_follows_from_a_key(tmp_path: Path) -> None:
    options = Options(identities=IdentityGenerator("web-01", KEY))
    guest = with_nvme(tmp_path)
    (one, shown, _), (two, _, _) = masked(guest, options), masked(guest, options)
    files = ("nvme-host-config", "rhn-uuid")
    found = [[c for c in plan.changes if c.step in files] for plan in (one, two, shown)]
    assert len(found[0]) == 3
    assert found[0] == found[1] == found[2]
    other = Options(identities=IdentityGenerator("web-02", KEY))
    assert NewValues().uuid(NVME, other) != NewValues().uuid(NVME, options)
