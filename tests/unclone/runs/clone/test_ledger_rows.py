"""What machines in the same folder have is not given again, without a ledger too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from unclone.runs.clone.batch import RECORD, SCHEMA
from unclone.runs.clone.ledger_rows import pool_for
from unclone.runs.clone.order import Order
from unclone.runs.request import Request
from unclone.sanitize.identities.allocation import Replaced
from unclone.sanitize.identities.machine import MachineIdentity

if TYPE_CHECKING:
    from pathlib import Path

MAC, SERIAL = "52:54:00:01:02:03", "1A2B-3C4D"
OTHER = "52:54:00:0a:0b:0c"
IDENTITY = MachineIdentity(
    "web-1",
    "web-1",
    "iid-1",
    "0" * 32,
    replaced=(Replaced("mac", "net0", "", MAC), Replaced("number port", "port", "1", "2")),
    identifiers={"fat-serial /dev/vda1": SERIAL},
)


def write_record(folder: Path) -> None:
    folder.mkdir()
    document = {
        "schema": SCHEMA,
        "machine": IDENTITY.to_json(),
        "files": [],
        "backing": [],
    }
    (folder / RECORD).write_text(json.dumps(document))


def test_what_is_beside_is_taken(tmp_path: Path) -> None:
    write_record(tmp_path / "web-1")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / RECORD).write_text(f'{{"mac": "{OTHER}"}}')
    (tmp_path / "notes").mkdir()
    with pool_for([Order(Request(tmp_path / "golden"), ("b",), tmp_path)], tmp_path) as (pool, _):
        taken = [("mac", MAC), ("fat-serial", SERIAL), ("instance-id", "iid-1"), ("mac", OTHER)]
        assert [each for each in taken if pool.takes(*each, "b")] == []
        assert pool.takes("number port", "2", "b")  # there are few of them


def test_what_a_killed_run_has_not_finished_is_free(tmp_path: Path) -> None:
    write_record(tmp_path / ".web-1.unclone-clone")
    with pool_for([Order(Request(tmp_path / "golden"), ("b",), tmp_path)], tmp_path) as (pool, _):
        assert pool.takes("mac", MAC, "b")
