"""What a machine should say of itself: read from its image, and from a sanitize report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.disks import BARE_ROOT
from tests.support.tree import guest_at, plant
from unclone.images.errors import UsageError
from unclone.runs.prove.expected import (
    Expected,
    read_offline,
    read_report,
    result_for,
    with_report,
)

ID = "0123456789abcdef" * 2


def expected(folder: Path, init: str = "systemd", **files: str) -> Expected:
    tree = {f"/etc/{name.replace('__', '/')}": text for name, text in files.items()}
    plant(folder, {**BARE_ROOT, **tree})
    return read_offline(guest_at(folder), init)


FSTAB = """\
UUID=1 / ext4 defaults 0 1
UUID=2 /srv ext4 nofail 0 2
UUID=3 /backup ext4 noauto 0 2
server:/home /home nfs defaults 0 0
//server/a /mnt/a cifs nofail 0 0
UUID=4 /iscsi xfs _netdev 0 0
UUID=5 none swap sw 0 0
/swapfile none swap sw 0 0
UUID=6 none swap noauto 0 0
"""


def test_what_fstab_mounts_is_expected_but_for_what_needs_a_network(tmp_path: Path) -> None:
    found = expected(tmp_path, fstab=FSTAB)
    assert [place for place, *_ in found.mounts] == ["/", "/srv"]
    assert found.swaps == ("UUID=5", "/swapfile")
    assert [note.partition(" ")[0] for note in found.notes] == ["/home", "/mnt/a", "/iscsi"]


UNIT = "[Mount]\nWhat=/dev/disk/by-uuid/7\nWhere=/data\nType=ext4\n"


@pytest.mark.parametrize(
    ("init", "started", "places"),
    [("systemd", True, ["/", "/data"]), ("systemd", False, ["/"]), ("sysvinit", True, ["/"])],
)
def test_mount_units_of_the_guest_count_where_something_starts_them(
    tmp_path: Path, init: str, started: bool, places: list[str]
) -> None:
    plant(tmp_path, {"/etc/systemd/system/data.mount": UNIT})
    if started:
        link = "/etc/systemd/system/local-fs.target.requires/data.mount"
        plant(tmp_path, {link: "-> ../data.mount"})
    found = expected(tmp_path, init)
    assert [place for place, *_ in found.mounts] == places


def test_what_crypttab_opens_is_expected(tmp_path: Path) -> None:
    table = "# a comment line\ndata UUID=1 none luks\nlater UUID=2 none luks,noauto\n"
    table += "far UUID=3 none _netdev\nswap /dev/vda3 /dev/urandom swap\nlone\na/b UUID=4\n"
    assert expected(tmp_path, crypttab=table).mapped == ("data", "swap")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("# a comment\n\nweb-01\n", "web-01"),
        ("localhost\n", ""),  # systemd replaces it by what DHCP says
        ("web-????\n", ""),
        ("", ""),
    ],
)
def test_a_host_name_that_another_may_give_is_not_expected(
    tmp_path: Path, text: str, name: str
) -> None:
    assert expected(tmp_path, hostname=text).host_name == name


EMPTY: dict[str, Any] = {
    "inventory": {"machine_ids": [], "ssh_host_keys": []},
    "changes": [],
    "retired": [],
}


def test_the_ids_in_a_report(tmp_path: Path) -> None:
    ids = [{"path": "/etc/machine-id", "id": ""}, {"path": "/var/lib/dbus/machine-id", "id": ID}]
    result = {**EMPTY, "identifiers": [], "inventory": {"machine_ids": ids, "ssh_host_keys": []}}
    found = with_report(Expected("sysvinit", machine_id="old"), result, str(tmp_path))
    assert (found.machine_id, found.dbus_machine_id) == ("", ID)


#: Parts of a result that are of another type than ours.
WRONG: tuple[dict[str, Any], ...] = (
    {"result": 1, "inventory": []},
    {"inventory": {"machine_ids": 1, "ssh_host_keys": []}},
    {"inventory": {"machine_ids": [{"path": [], "id": None}], "ssh_host_keys": []}},
    {"host_name": {"new": None}},
    {"host_name": "a"},
    {"retired": [{"kind": "a", "value": None}]},
    {"changes": [{"action": "set-identifier", "details": [], "old": "a"}]},
    {"changes": [{"action": "set-identifier", "details": {}, "old": 1}]},
)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"schema": "unclone.sanitize/1"},
        {"schema": "unclone.sanitize/1", "results": None},
        {"schema": "unclone.sanitize/1", "results": ["identifiers"]},
        {"schema": "unclone.sanitize/1", "results": [["identifiers"]]},
        *(
            {"schema": "unclone.sanitize/1", "results": [{"identifiers": [], **EMPTY, **result}]}
            for result in WRONG
        ),
    ],
)
def test_a_report_of_another_form_is_a_usage_error(tmp_path: Path, document: object) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"is no (complete )?report of unclone sanitize"):
        with_report(Expected("systemd"), result_for(Path("a"), read_report(report), report), "r")
