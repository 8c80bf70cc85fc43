"""Where the machines of a fleet are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.unclone.runs.clone.test_batch import WEB
from unclone.images.errors import UncloneError
from unclone.runs.clone.book import Book, Line, Whereabouts
from unclone.runs.clone.ledger_rows import beside

if TYPE_CHECKING:
    from pathlib import Path

HERE = Whereabouts("p" * 32, "host-a", "/srv/vms", ".attempt")
DB = replace(WEB, name="db-01", instance_id="iid-db")


def test_a_machine_is_where_its_last_line_says(tmp_path: Path) -> None:
    book = Book(tmp_path)
    assert (book.at("web-01"), book.identity("web-01")) == (None, None)
    assert not book.path.exists()
    there = HERE._replace(host="host-b")
    book.add([Line(WEB, HERE, "0" * 64), Line(DB, HERE, "0" * 64)])
    book.add([Line(replace(WEB, instance_id="iid-2"), there, "1" * 64)])
    for each in (book, Book(tmp_path)):
        assert each.at("web-01") == there
        assert each.identity("web-01") == replace(WEB, instance_id="iid-2")
        assert each.identity("db-01") == DB
        assert [one.instance_id for one in each.identities()] == ["iid-db", "iid-2"]


def test_a_line_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    Book(tmp_path).add([Line(WEB, HERE, "0" * 64)])
    with (tmp_path / ".unclone-fleet.jsonl").open("a") as file:
        file.write('{"place": "cut')
    book = Book(tmp_path)
    book.add([Line(DB, HERE, "0" * 64)])
    assert Book(tmp_path).identity("db-01") == DB == book.identity("db-01")
    assert Book(tmp_path).identity("web-01") == WEB


def test_values_of_machines_elsewhere_are_taken(tmp_path: Path) -> None:
    Book(tmp_path).add([Line(WEB, HERE, "0" * 64)])
    taken, _ = beside(tmp_path)
    assert ("mac", "52:54:00:00:00:02") in taken


def test_a_file_that_was_changed_meanwhile_is_told(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.add([Line(WEB, HERE, "0" * 64)])
    book.path.write_text("{}\n")
    with pytest.raises(UncloneError, match="has changed"):
        book.identity("web-01")
