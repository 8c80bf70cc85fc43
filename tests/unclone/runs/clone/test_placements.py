"""Where the machines of a fleet are."""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.unclone.runs.clone.test_batch import WEB
from unclone.images.errors import UncloneError
from unclone.runs.clone.ledger_rows import beside
from unclone.runs.clone.placements import Line, Placements, Whereabouts

if TYPE_CHECKING:
    from pathlib import Path

HERE = Whereabouts("p" * 32, "host-a", "/srv/vms", ".attempt")
DB = replace(WEB, name="db-01", instance_id="iid-db")


def test_a_machine_is_where_its_last_line_says(tmp_path: Path) -> None:
    placements = Placements(tmp_path)
    assert (placements.at("web-01"), placements.identity("web-01")) == (None, None)
    assert not placements.path.exists()
    there = HERE._replace(host="host-b")
    placements.add([Line(WEB, HERE, "0" * 64), Line(DB, HERE, "0" * 64)])
    placements.add([Line(replace(WEB, instance_id="iid-2"), there, "1" * 64)])
    for each in (placements, Placements(tmp_path)):
        assert each.at("web-01") == there
        assert each.identity("web-01") == replace(WEB, instance_id="iid-2")
        assert each.identity("db-01") == DB
        assert [one.instance_id for one in each.identities()] == ["iid-db", "iid-2"]


def test_a_line_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    Placements(tmp_path).add([Line(WEB, HERE, "0" * 64)])
    with (tmp_path / ".unclone-fleet.jsonl").open("a") as file:
        file.write('{"place": "cut')
    placements = Placements(tmp_path)
    placements.add([Line(DB, HERE, "0" * 64)])
    assert Placements(tmp_path).identity("db-01") == DB == placements.identity("db-01")
    assert Placements(tmp_path).identity("web-01") == WEB


def test_lines_that_do_not_fit_are_not_there_at_all(tmp_path: Path) -> None:
    placements = Placements(tmp_path)
    placements.add([Line(WEB, HERE, "0" * 64)])
    before = placements.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The first of the two lines would fit.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + len(before) * 3 // 2, limits[1]))
    try:
        with pytest.raises(UncloneError, match="write down where machines are"):
            placements.add([Line(DB, HERE, "0" * 64), Line(WEB, HERE, "1" * 64)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert placements.path.read_bytes() == before
    assert placements.at("db-01") is None


def test_values_of_machines_elsewhere_are_taken(tmp_path: Path) -> None:
    Placements(tmp_path).add([Line(WEB, HERE, "0" * 64)])
    taken, _ = beside(tmp_path)
    assert ("mac", "52:54:00:00:00:02") in taken


def test_a_file_that_was_changed_meanwhile_is_told(tmp_path: Path) -> None:
    placements = Placements(tmp_path)
    placements.add([Line(WEB, HERE, "0" * 64)])
    placements.path.write_text("{}\n")
    with pytest.raises(UncloneError, match="has changed"):
        placements.identity("web-01")
