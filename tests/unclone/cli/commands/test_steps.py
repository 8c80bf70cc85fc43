"""``unclone steps``: the list, one row in full, JSON, profiles, rows of one's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from unclone.cli.main import cli
from unclone.sanitize.options import Options
from unclone.sanitize.step_selection import all_steps

if TYPE_CHECKING:
    from pathlib import Path

OWN = """\
- id: acme-agent
  title: "Registration of the [bold]Acme[/bold] agent"
  why: The licence server counts machines by it.
  action: remove
  paths: [/etc/acme/id, "/var/lib/acme/*.key"]
  off_because: the agent must be registered again by hand
  sources: ["https://example.com/acme"]
"""


def steps(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["steps", *arguments], env={"COLUMNS": "300"})
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def as_json(*arguments: str) -> list[dict[str, object]]:
    document = json.loads(steps("--json", *arguments))
    assert document["schema"] == "unclone.steps/1"
    results = document["results"]
    assert isinstance(results, list)
    return results


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return str(path)


@pytest.mark.slow
def test_every_step_is_listed_once_in_its_order() -> None:
    known = [step.info.id for step in all_steps(Options())]
    listed = [line.split()[0] for line in steps().splitlines()[2:] if line.strip()]
    assert listed == known
    assert [entry["id"] for entry in as_json()] == known


@pytest.mark.slow
def test_the_golden_profile_runs_more() -> None:
    identity = {entry["id"] for entry in as_json() if entry["runs"]}
    golden = {entry["id"] for entry in as_json("--profile", "golden") if entry["runs"]}
    assert identity < golden
    assert {e["id"] for e in as_json() if e["profile"] == "golden"} & identity == set()


@pytest.mark.slow
def test_what_is_off_says_why() -> None:
    assert [e["id"] for e in as_json() if e["off_because"] and e["runs"]] == []
    assert [e["id"] for e in as_json("--profile", "golden") if e["runs"] == bool(e["off_because"])] == []  # fmt: skip  # noqa: E501


def test_a_row_in_full(own: str) -> None:
    text = steps("acme-agent", "--catalogue", own)
    for words in (
        "acme-agent: Registration of the [bold]Acme[/bold] agent",
        "The licence server counts machines by it.",
        "the agent must be registered again by hand",
        "/etc/acme/id",
        "/var/lib/acme/*.key",
        "remove",
        "https://example.com/acme",
    ):
        assert words in text


def test_a_row_in_json(own: str) -> None:
    (entry,) = as_json("acme-agent", "--catalogue", own)
    assert entry["paths"] == ["/etc/acme/id", "/var/lib/acme/*.key"]
    assert (entry["action"], entry["runs"]) == (["remove"], False)


def test_a_step_that_is_code_is_described_too() -> None:
    text = steps("ssh-host-keys")
    assert "ssh-host-keys: SSH host keys" in text
    assert "https://man.openbsd.org/sshd.8#FILES" in text


@pytest.mark.slow
def test_every_step_says_what_it_does_and_where_that_was_learned() -> None:
    entries = as_json()
    assert {str(entry["kind"]) for entry in entries} == {"remove", "renew", "keep", "tell"}
    assert [entry["id"] for entry in entries if not entry["sources"]] == []
    assert [e["id"] for e in entries if e["off_because"] and e["kind"] != "keep"] == []
    tells = [entry for entry in entries if entry["kind"] == "tell"]
    assert len(tells) > 100
    assert [e["id"] for e in tells if not e["remedy"] or e["action"] != ["tell"]] == []


def test_what_gives_a_clone_its_own_is_shown() -> None:
    text = steps("tor-keys")
    assert "kind" in text
    assert "Tor makes new keys at start." in text
