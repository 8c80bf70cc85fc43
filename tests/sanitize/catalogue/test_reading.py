"""Catalogue files of people's own: read like the built-in ones, with errors that say where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from unclone.images.errors import ExitStatus, UsageError
from unclone.sanitize.catalogue import built_in_files, load
from unclone.sanitize.catalogue.reading import read_rows

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {
    "id": "my-agent",
    "title": "My agent's id",
    "why": "It is shared.",
    "action": "remove",
    "paths": ["/var/lib/my-agent/id"],
    "sources": ["https://example.org/docs"],
}


def written(folder: Path, *rows: object) -> str:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(list(rows)))
    return str(file)


def without(*fields: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key not in fields}


def test_adds_rows_after_the_built_in_ones(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump([{**GOOD, "id": "another"}]))
    mine = written(tmp_path, GOOD)
    ids = [step.info.id for step in load([mine, str(other)])]
    assert ids[:-2] == [step.info.id for step in load()]
    assert ids[-2:] == ["my-agent", "another"]


def test_reads_every_field(tmp_path: Path) -> None:
    text = """
- id: my-agent
  title: My agent's id
  why: >-
    It is
    shared.
  profile: golden
  off_because: It hurts.
  when: {exists: [/a], missing: [/b/*], distro: [debian]}
  action: drop-lines
  paths: [/etc/x, ~/.x]
  except: [/etc/x/y]
  lines: ['id=\\d+']
  sources: ["owner/repo: some/path.c", https://example.org/]
"""
    row = read_rows(text, "mine.yaml")[0]
    assert row.why == "It is shared."
    assert (row.profile.value, row.off_because) == ("golden", "It hurts.")
    assert (row.when.exists, row.when.missing, row.when.distro) == (("/a",), ("/b/*",), ("debian",))
    assert (row.paths, row.excepts, row.lines) == (("/etc/x", "~/.x"), ("/etc/x/y",), (r"id=\d+",))


PATH_RULE = "is not allowed here. A guest path"

BAD_ROWS = [
    (without("id"), "row number 1: id: is missing"),
    (without("title"), "row my-agent: title: is missing"),
    (without("why"), "row my-agent: why: is missing"),
    (without("action"), "row my-agent: action: is missing"),
    (without("paths"), "row my-agent: paths: is missing"),
    (without("sources"), "row my-agent: sources: is missing"),
    ({**GOOD, "pathes": []}, "row my-agent: pathes: no such field"),
    ({**GOOD, "when": {"exist": ["/a"]}}, "row my-agent: when: exist: no such field"),
    ({**GOOD, "id": "My Agent"}, "row My Agent: id: My Agent is not allowed here"),
    ({**GOOD, "id": 7}, "row number 1: id: has to be a string"),
    ({**GOOD, "why": ""}, "row my-agent: why: "),
    ({**GOOD, "off_because": ""}, "row my-agent: off_because: "),
    ({**GOOD, "profile": "gold"}, "row my-agent: profile: gold is not one of identity, golden"),
    (
        {**GOOD, "action": "delete"},
        "row my-agent: action: delete is not one of remove, clear, truncate, drop-lines, write",
    ),
    ({**GOOD, "paths": "/a/b"}, "row my-agent: paths: has to be a list"),
    ({**GOOD, "paths": []}, "row my-agent: paths: "),
    ({**GOOD, "paths": ["/a/b", "/a/b"]}, "row my-agent: paths: "),
    ({**GOOD, "paths": ["/a/b", 1]}, "row my-agent: paths[1]: has to be a string"),
    ({**GOOD, "paths": ["etc/x"]}, f"row my-agent: paths[0]: etc/x {PATH_RULE}"),
    ({**GOOD, "paths": ["/"]}, f"row my-agent: paths[0]: / {PATH_RULE}"),
    ({**GOOD, "paths": ["/etc"]}, f"row my-agent: paths[0]: /etc {PATH_RULE}"),
    ({**GOOD, "paths": ["/*"]}, f"row my-agent: paths[0]: /* {PATH_RULE}"),
    ({**GOOD, "paths": ["/e*/x"]}, f"row my-agent: paths[0]: /e*/x {PATH_RULE}"),
    ({**GOOD, "paths": ["/[e]tc/x"]}, f"row my-agent: paths[0]: /[e]tc/x {PATH_RULE}"),
    ({**GOOD, "paths": ["/etc/../usr"]}, f"row my-agent: paths[0]: /etc/../usr {PATH_RULE}"),
    ({**GOOD, "paths": ["/etc/./x"]}, f"row my-agent: paths[0]: /etc/./x {PATH_RULE}"),
    ({**GOOD, "paths": ["/etc//x"]}, f"row my-agent: paths[0]: /etc//x {PATH_RULE}"),
    ({**GOOD, "paths": ["/etc/x/"]}, f"row my-agent: paths[0]: /etc/x/ {PATH_RULE}"),
    ({**GOOD, "paths": ["~"]}, f"row my-agent: paths[0]: ~ {PATH_RULE}"),
    ({**GOOD, "paths": ["~/"]}, f"row my-agent: paths[0]: ~/ {PATH_RULE}"),
    ({**GOOD, "paths": ["~ada/x"]}, f"row my-agent: paths[0]: ~ada/x {PATH_RULE}"),
    ({**GOOD, "paths": ["/a/**"]}, "row my-agent: paths[0]: ** stands alone"),
    ({**GOOD, "paths": ["/a/**/b/c"]}, "row my-agent: paths[0]: ** stands alone"),
    ({**GOOD, "paths": ["/a/**/**/c"]}, "row my-agent: paths[0]: ** stands alone"),
    ({**GOOD, "paths": ["/a/b**/c"]}, "row my-agent: paths[0]: ** stands alone"),
    ({**GOOD, "paths": ["~/**/c"]}, "row my-agent: paths[0]: ** stands alone"),
    ({**GOOD, "except": ["/a/**"]}, "row my-agent: except[0]: ** stands alone"),
    ({**GOOD, "when": {}}, "row my-agent: when: "),
    ({**GOOD, "when": {"exists": ["a"]}}, "row my-agent: when.exists[0]: a is not allowed here"),
    ({**GOOD, "when": {"missing": []}}, "row my-agent: when.missing: "),
    ({**GOOD, "when": {"distro": ["Red Hat"]}}, "row my-agent: when.distro[0]: Red Hat is not"),
    ({**GOOD, "sources": []}, "row my-agent: sources: "),
    ({**GOOD, "sources": ["a book"]}, "row my-agent: sources[0]: a book is not allowed here"),
    ({**GOOD, "sources": ["http://x.org"]}, "row my-agent: sources[0]: http://x.org is not"),
    ({**GOOD, "action": "drop-lines"}, "row my-agent: lines: is missing"),
    (
        {**GOOD, "action": "drop-lines", "lines": ["ok", "id=("]},
        "row my-agent: lines[1]: is not a regular expression: missing ), unterminated subpattern",
    ),
    (
        {**GOOD, "action": "drop-lines", "lines": ["a\nb"]},
        "row my-agent: lines[0]: contains a line break",
    ),
    ({**GOOD, "lines": ["x"]}, "row my-agent: lines: does not go with this action; drop-lines"),
    ({**GOOD, "action": "write"}, "row my-agent: content: is missing"),
    ({**GOOD, "content": "x"}, "row my-agent: content: does not go with this action; write"),
    (
        {**GOOD, "action": "clear", "except": ["/a/b"]},
        "row my-agent: except: does not go with this action; remove FOLDER/* takes exceptions",
    ),
    ({**GOOD, "action": "tell"}, "row my-agent: remedy: is missing"),
    ({**GOOD, "remedy": "x"}, "row my-agent: remedy: does not go with this action; tell takes it"),
    (
        {**GOOD, "action": "tell", "remedy": "x", "off_because": "x"},
        "row my-agent: off_because: does not go with this action; what is told is never off",
    ),
    (
        {**GOOD, "action": "tell", "remedy": "x", "profile": "golden"},
        "row my-agent: profile: does not go with this action; what is told is told with every",
    ),
    ("text", "row number 1: has to be a mapping"),
    (None, "row number 1: has to be a mapping"),
]


@pytest.mark.parametrize(("bad", "says"), BAD_ROWS, ids=[says for _, says in BAD_ROWS])
def test_says_what_is_wrong_in_which_row(tmp_path: Path, bad: object, says: str) -> None:
    name = written(tmp_path, bad)
    with pytest.raises(UsageError) as caught:
        load([name])
    assert caught.value.message.startswith(f"{name}: {says}")
    assert "docs/catalogue.md" in caught.value.hint
    assert caught.value.status is ExitStatus.USAGE


def test_counts_rows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="row number 2: id: is missing"):
        load([written(tmp_path, GOOD, without("id"))])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- id: [", "is not valid YAML"),
        ("- id: a\n  id: b\n", "the key id appears twice"),
        ("- &a [*a]\n", "is not valid YAML|has to be a mapping"),
        ("- !!python/object/apply:os.system [id]\n", "is not valid YAML"),
        ("rows: []\n", "has to be a list"),
        ("", "has to be a list"),
        ("- id: a\x00b\n", "is not valid YAML"),
    ],
)
def test_says_when_the_file_is_no_catalogue(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        load([str(file)])
    assert str(file) in caught.value.message


def test_says_when_the_file_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UsageError, match=r"mine\.yaml is not UTF-8 text"):
        load([str(file)])


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.yaml", "No such file"), (".", "Is a directory")]
)
def test_says_when_the_file_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        load([os.fspath(tmp_path / name)])
    assert str(tmp_path) in caught.value.message


def test_an_id_is_taken_once(tmp_path: Path) -> None:
    name = written(tmp_path, GOOD, GOOD)
    with pytest.raises(UsageError, match="row my-agent: id: appears twice"):
        load([name])


def test_an_id_of_the_catalogue_is_taken(tmp_path: Path) -> None:
    name = written(tmp_path, {**GOOD, "id": "random-seed"})
    with pytest.raises(UsageError, match="row random-seed: id: is taken by the built-in") as caught:
        load([name])
    assert "--disable random-seed" in caught.value.hint


def test_an_id_of_another_file_is_taken(tmp_path: Path) -> None:
    first = tmp_path / "first.yaml"
    first.write_text(yaml.safe_dump([GOOD]))
    with pytest.raises(UsageError, match=r"is taken by .*first\.yaml"):
        load([str(first), written(tmp_path, GOOD)])


@pytest.mark.parametrize("name", [name for name, _ in built_in_files()])
def test_every_built_in_file_passes_the_checks_of_peoples_own(name: str) -> None:
    assert read_rows(dict(built_in_files())[name], name)


def test_a_new_row_that_lacks_a_field_is_named_though_a_test_checks_the_rest() -> None:
    row = {key: value for key, value in GOOD.items() if key != "sources"}
    with pytest.raises(UsageError, match=r"agents\.yaml: row my-agent: sources: is missing"):
        read_rows(yaml.safe_dump([row]), "agents.yaml", checked=True)
