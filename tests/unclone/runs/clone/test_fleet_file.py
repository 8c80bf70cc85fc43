"""Fleet files: what they add up to, and what is said of each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.unclone.runs.clone.fleet_mistakes import MISTAKES, TOP
from unclone import schemas
from unclone.cli.commands.clone import command
from unclone.images.errors import UncloneError
from unclone.runs.clone import fleet_file
from unclone.runs.clone.fleet import How, orders_of
from unclone.runs.clone.order import Mode, Order, Own, SeedPolicy
from unclone.runs.clone.settings import ADDRESSES, FLEET, MACHINE, SETTINGS
from unclone.seeds.blueprint import Blueprint, Row

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"
VALIDATOR = Draft202012Validator(schemas.load("unclone.fleet/1"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("golden.qcow2", "other.qcow2", "golden.xml", "net.yaml"):
        (tmp_path / name).write_text("x")
    (tmp_path / "id.pub").write_text(f"{KEY} ops@host\n")
    (tmp_path / "pw").write_text("secret\n")
    (tmp_path / "sub").mkdir()
    return tmp_path


def orders(text: str | bytes, how: How | None = None) -> list[Order]:
    path = Path("fleet.yaml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return orders_of(fleet_file.read(path), how or How())


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_with_its_place(mistake: str, folder: Path) -> None:
    (folder / "empty").touch()
    text, message = MISTAKES[mistake]
    with pytest.raises(UncloneError) as raised:
        orders(text)
    said = raised.value.message.replace(f"{folder}/", "")
    assert said == message
    assert raised.value.status == 2


#: A table's mistakes: its text, the message.
TABLE_MISTAKES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "t.csv:1: the table has no machines"),
    "a header alone": ("name,user\n\n", "t.csv:1: the table has no machines"),
    "no names": ("user\nops\n", "t.csv:1: the first line names no column 'name'"),
    "an unknown column": ("name,hotsname\na,b\n", "t.csv:1: there is no setting hotsname"),
    "a column twice": ("name,user,user\na,b,c\n", "t.csv:1: the column user is there twice"),
    "too few fields": ("name,user\na\n", "t.csv:2: 1 fields, and the first line names 2"),
    "too many fields": ("name\na,b\n", "t.csv:2: 2 fields, and the first line names 1"),
    "no name": ("name,user\n,ops\n", "t.csv:2: a machine without a name"),
    "a name twice": ("name\na\nb\na\n", "t.csv:4: a is the name of a machine already: t.csv:2"),
    "a wrong mode": (
        "name,mode\na,\nb,clone\n",
        "t.csv:3: mode: clone is none of overlay, reflink, copy",
    ),
    "a wrong flag": (
        "name,strict\na,perhaps\n",
        "t.csv:2: strict: text, where true or false belongs",
    ),
    "a missing file": ("name,user-data\na,gone\n", "t.csv:2: user-data: there is no gone"),
    "a wrong value's name": ("name,set.1\na,x\n", "t.csv:2: set: 1 cannot be the name of a value"),
    "a quote": ('name\n"a"b\n', "t.csv:2: not valid CSV: ',' expected after '\"'"),
    "binary": (b"name\n\xff\n", "t.csv:2:1: this is no text in UTF-8"),
    "lines in a field": (
        'name,timezone\n"a","U\nC"\na,x\n',
        "t.csv:4: a is the name of a machine already: t.csv:2",
    ),
}


@pytest.mark.parametrize("mistake", TABLE_MISTAKES)
def test_a_mistake_in_a_table_is_said_with_its_line(mistake: str, folder: Path) -> None:
    text, message = TABLE_MISTAKES[mistake]
    (folder / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UncloneError) as raised:
        orders(f"{TOP}- table: t.csv\n")
    assert raised.value.message.replace(f"{folder}/", "") == message


def test_a_suggestion_is_made() -> None:
    with pytest.raises(UncloneError) as raised:
        orders(f"{TOP}- name: a\n  userdata: x\n")
    assert raised.value.hint == "Did you mean user-data or user?"


WHOLE = """\
schema: unclone.fleet/1
output-dir: vms
ledger: fleet.ledger
avoid: [golden.xml]
cache: sub
golden:
  debian: {image: golden.qcow2, definition: golden.xml, user: [debian]}
  other: other.qcow2
defaults: &usual
  mode: copy
  seed: always
  ssh-key: id.pub
machines:
- name: web-{:02}
  count: 3
  start: 9
  golden: debian
- name: db
  golden: other
  hostname: db.example.org
  user: [ops, dba]
  set: {role: db}
  oui: 02:00:5e
  uuids: keep
  strict: true
- name: bare
  golden: other
  mode: overlay
- <<: *usual
  table: t.csv
"""


def test_a_whole_fleet(folder: Path) -> None:
    (folder / "t.csv").write_text(
        "name,golden,user,mode,set.role,disk-grow\n"
        'x,debian,ops; dba,,"a, b",yes\n'
        "y,debian,,overlay,,\n"
    )
    VALIDATOR.validate(yaml.safe_load(WHOLE))
    found = orders(WHOLE)
    web, db, bare, x, y = found
    assert [order.names for order in found] == [
        ("web-09", "web-10", "web-11"),
        ("db",),
        ("bare",),
        ("x",),
        ("y",),
    ]
    for order in found:
        assert order.folder == folder / "vms"
        assert order.ledger == folder / "fleet.ledger"
        assert order.avoid == (folder / "golden.xml",)
        assert order.cache == folder / "sub"
        assert order.seed is SeedPolicy.ALWAYS
    keys = (f"{KEY} ops@host",)
    assert web.own["web-10"] == Own("", Row(users=("debian",), ssh_keys=keys))
    assert (web.request.image, web.definition) == (folder / "golden.qcow2", folder / "golden.xml")
    assert web.blueprint == Blueprint()
    assert (db.hostname_of("db"), db.oui, db.definition) == ("db.example.org", b"\x02\0\x5e", None)
    assert db.own["db"].row == Row(users=("ops", "dba"), ssh_keys=keys, values={"role": "db"})
    assert (db.request.options.uuids, db.request.options.strict) == ("keep", True)
    assert (bare.mode, db.mode, x.mode, y.mode) == (
        Mode.OVERLAY,
        Mode.COPY,
        Mode.COPY,
        Mode.OVERLAY,
    )
    assert x.own["x"].row.users == ("ops", "dba")
    assert x.own["x"].row.values == {"role": "a, b"}
    assert x.blueprint == Blueprint(disk_grow=True)


def test_machines_of_one_kind_are_one_order_whatever_their_seeds_say(folder: Path) -> None:
    """So that many are stamped."""
    lines = "".join(f"m-{number},user-{number},{number}\n" for number in range(500))
    (folder / "t.csv").write_text(f"name,user,set.port\n{lines}")
    (order,) = orders(
        f"{TOP}- table: t.csv\n- name: more\n  hostname: more.example.org\n  run: [ls]\n"
    )
    assert len(order.names) == 501
    assert order.own["m-7"].row == Row(users=("user-7",), values={"port": "7"})
    assert order.hostname_of("more") == "more.example.org"


def test_a_run_says_where_to_and_how(folder: Path) -> None:
    (order,) = orders(f"{TOP}- name: a\n", How(folder / "x", replace=True, dry_run=True))
    assert (order.folder, order.replace, order.dry_run) == (folder / "x", True, True)
    (order,) = orders(f"{TOP}- name: a\n")
    assert order.folder.absolute() == folder


@pytest.mark.slow
def test_what_an_alias_stands_for_is_there_once() -> None:
    listed = "".join(f"- {{name: m-{number}, package: *p}}\n" for number in range(3000))
    packages = ", ".join(f"package-{number}" for number in range(300))
    (order,) = orders(
        f"golden: golden.qcow2\ndefaults: {{package: &p [{packages}]}}\nmachines:\n{listed}"
    )
    assert len(order.names) == 3000
    assert order.own["m-1"].row.packages is order.own["m-2999"].row.packages


def test_every_option_of_the_command_can_be_said() -> None:
    """But those of a run, and those that the file has another way to say."""
    options = {max(each.opts, key=len).removeprefix("--") for each in command.params}
    of_a_run = {
        *("golden", "output-dir", "replace", "remove", "dry-run", "jobs", "ask-passphrase"),
        *("register", "unregister", "prove", "executor", "scheduler", "prometheus"),
        *("json", "json-lines", "verbose", "quiet", "debug"),
    }
    of_a_file = {"table", "golden", "output-dir", *ADDRESSES}
    assert options - of_a_run == {*SETTINGS, *FLEET, *MACHINE} - of_a_file


def test_the_schema_names_every_setting_and_choice() -> None:
    schema: dict[str, Any] = schemas.load("unclone.fleet/1")
    defs = schema["$defs"]
    assert {*schema["properties"]} == {"schema", *FLEET, "golden", "defaults", "machines"}
    assert {*defs["settings"]["properties"]} == {*SETTINGS}
    assert {*defs["machine"]["properties"]} == {*MACHINE, *SETTINGS}
    assert {*defs["golden"]["properties"]} == {"image", *SETTINGS}
    for name, setting in SETTINGS.items():
        choices = defs["settings"]["properties"][name].get("enum", ())
        assert tuple(choices) == setting.choices, name


@pytest.mark.parametrize(
    "mistake",
    [
        "an unknown setting",
        "a number as name",
        "count 0",
        "a wrong mode",
        "a flag as user",
        "text as values",
        "a start alone",
        "a table and a name",
        "machines are none",
    ],
)
def test_the_schema_sees_the_same_mistakes(mistake: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(MISTAKES[mistake][0]))


def test_a_key_for_one_user_and_a_file_for_the_guest_are_of_the_fleet_s_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{TOP}- {{name: a, user-key: [ops=id.pub, 'root={KEY}'], write-file: /etc/x=pw}}\n"
    Path("fleet.yaml").write_text(text + "- {name: b, dsmode: net}\n")
    VALIDATOR.validate(yaml.safe_load(Path("fleet.yaml").read_text()))
    monkeypatch.chdir(folder / "sub")
    first, second = orders_of(fleet_file.read(folder / "fleet.yaml"), How())
    assert first.blueprint is not None
    assert second.blueprint == Blueprint(dsmode="net")
    assert first.blueprint.user_keys == {"ops": (f"{KEY} ops@host",), "root": (KEY,)}
    (written,) = first.blueprint.write_files
    assert (written.path, written.content) == ("/etc/x", b"secret\n")


def test_a_line_of_a_table_has_a_file_for_the_guest() -> None:
    Path("t.csv").write_text("name,write-file,user-key\na,/etc/x=pw;/etc/y=net.yaml,ops=id.pub\n")
    (order,) = orders(f"{TOP}- table: t.csv\n")
    assert order.blueprint is not None
    assert [each.path for each in order.blueprint.write_files] == ["/etc/x", "/etc/y"]
    assert list(order.blueprint.user_keys) == ["ops"]
