"""``unclone ledger``: list, find, release."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from unclone.cli.main import cli
from unclone.images.errors import ExitStatus
from unclone.sanitize.identities.ledger import Ledger
from unclone.sanitize.identities.records import Identity

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

MACS = {"web-01": "52:54:00:00:00:01", "web-02": "52:54:00:00:00:02"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with two machines."""
    made = tmp_path / "fleet.ledger"
    with Ledger.open(made) as ledger, ledger.transaction():
        for name, mac in MACS.items():
            ledger.record(name, "golden.xml", [Identity("mac", mac, "net0")])
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["ledger", *map(str, arguments)])


def listed(path: Path, *arguments: object) -> list[str]:
    done = run(path, *arguments, "--json")
    assert done.exit_code == ExitStatus.DONE, done.output
    document = json.loads(done.stdout)
    assert document["schema"] == "unclone.ledger/1"
    return [one["name"] for one in document["results"]]


def test_everything_is_listed(path: Path) -> None:
    done = run(path)
    assert done.exit_code == ExitStatus.DONE
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("web-01 made 20")
    assert first.endswith("Z from golden.xml")
    assert second.split() == ["mac", "52:54:00:00:00:01", "net0"]
    assert listed(path) == ["web-01", "web-02"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["web-02"], ["web-02"]),
        (["web-02", "web-01", "web-02"], ["web-02", "web-01"]),
        (["--find", "52-54-00-00-00-02"], ["web-02"]),
        (["--find", "52:54:00:00:00:03"], []),
    ],
)
def test_some_are_listed(path: Path, arguments: list[str], names: list[str]) -> None:
    assert listed(path, *arguments) == names


def test_the_document(path: Path) -> None:
    (entry,) = json.loads(run(path, "web-01", "--json").stdout)["results"]
    assert entry.pop("allocated").endswith("Z")
    assert entry == {
        "name": "web-01",
        "source": "golden.xml",
        "identities": [{"kind": "mac", "value": "52:54:00:00:00:01", "field": "net0"}],
    }


def test_what_is_released_is_gone(path: Path) -> None:
    done = run(path, "--release", "web-01")
    assert done.exit_code == ExitStatus.DONE
    assert done.stdout.startswith("web-01 released; was made 20")
    assert listed(path) == ["web-02"]


def test_nothing_is_released_when_one_is_not_known(path: Path) -> None:
    done = run(path, "--release", "web-01", "--release", "web-03")
    assert done.exit_code == ExitStatus.USAGE
    assert "knows no machine called web-03" in done.stderr
    assert listed(path) == ["web-01", "web-02"]


def test_what_makes_no_sense(path: Path, tmp_path: Path) -> None:
    both = run(path, "web-01", "--find", "x")
    assert (both.exit_code, "not several of them" in both.stderr) == (ExitStatus.USAGE, True)
    missing = run(tmp_path / "missing")
    assert (missing.exit_code, "there is no ledger" in missing.stderr) == (ExitStatus.USAGE, True)
    assert not (tmp_path / "missing").exists()
    (tmp_path / "text").write_text("not a ledger\n" * 1000)
    foreign = run(tmp_path / "text")
    assert foreign.exit_code == ExitStatus.REFUSED
    assert "is not a ledger" in foreign.stderr
    told = run(tmp_path / "text", "--json")
    assert told.exit_code == ExitStatus.REFUSED
    (entry,) = json.loads(told.stdout)["results"]
    assert (entry["status"], entry["image"]) == ("refused", str(tmp_path / "text"))


def test_one_ledger_is_taken_over_by_another(path: Path, tmp_path: Path) -> None:
    document = tmp_path / "fleet.json"
    document.write_text(run(path, "--json").stdout)
    other = tmp_path / "other.ledger"
    done = run(other, "--import", document, "--json")
    assert done.exit_code == ExitStatus.DONE
    assert done.stdout == document.read_text() == run(other, "--json").stdout
    again = run(other, "--import", document)
    assert again.exit_code == ExitStatus.REFUSED
    assert "already has a machine called web-01" in again.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ('{"schema": "unclone.define/1", "results": []}', "was expected"),
        ('{"schema": "unclone.ledger/1", "results": 1}', "1 is not of type 'array'"),
        ("[" * 100_000, "RecursionError"),
    ],
)
def test_what_cannot_be_imported(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "fleet.json").write_text(text)
    done = run(tmp_path / "ledger", "--import", tmp_path / "fleet.json")
    assert done.exit_code == ExitStatus.USAGE
    assert "is not what a ledger prints" in done.stderr
    assert words in done.stderr
