"""``unclone clone fleet.yaml``: many machines, described in a file."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import PROGRAM, unclone
from tests.support.disks import Part, make_disk
from tests.support.documents import check_document
from tests.unclone.test_clone import DOMAIN, MAC, TREE, UUID
from tests.unclone.test_clone_stamped import golden_image
from unclone.sanitize.identities.ledger import Ledger
from unclone.seeds.output import read_image

#: A process for each machine: a second or two.
pytestmark = pytest.mark.slow

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0eP3WKyO2mGxN6lX6Zs7f0sYbJ2jQe3m8sX5Ue8c2b"
FLEET = f"""\
output-dir: vms
ledger: fleet.ledger
golden:
  web: {{image: golden.qcow2, definition: golden.xml}}
  data: {{image: data/other.qcow2, mode: copy}}
defaults: {{user: ops, ssh-key: {KEY}, password-file: pw, user-key: root={KEY} boss}}
machines:
- {{name: 'web-{{}}', count: 2, golden: web}}
- {{name: db, golden: data, hostname: db.example.org, user: [dba], write-file: /etc/pw=pw}}
- {{table: more.csv, golden: web}}
"""
NAMES = ["web-1", "web-2", "db", "x"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "golden.qcow2"
    return make_disk(path, [Part("ext4", uuid=UUID, tree=TREE)], form="qcow2")


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A folder with a fleet file; the commands run elsewhere."""
    (tmp_path / "data").mkdir()
    shutil.copy(template, tmp_path / "golden.qcow2")
    shutil.copy(template, tmp_path / "data/other.qcow2")
    (tmp_path / "golden.xml").write_text(DOMAIN.format(folder=tmp_path, mac=MAC))
    (tmp_path / "pw").write_text("not in any record\n")
    (tmp_path / "more.csv").write_text("name,set.role,template\nx,queue,base.yaml\n")
    (tmp_path / "base.yaml").write_text(
        "#cloud-config\nwrite_files: [{path: /role, content: '${role}'}]\n"
    )
    (tmp_path / "fleet.yaml").write_text(FLEET)
    return tmp_path


def clone(folder: Path, *options: str, status: int = 0) -> dict[str, str]:
    """The status of each machine, in the order they were told."""
    done = unclone("clone", folder / "fleet.yaml", "--json", *options)
    assert done.returncode == status, done.stderr
    return {name_of(each): each["status"] for each in json.loads(done.stdout)["results"]}


def name_of(result: dict[str, Any]) -> str:
    return Path(result.get("path") or result["image"]).name


def record(folder: Path, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "vms" / name / "machine.json").read_text())
    check_document(document)
    return document


def records(folder: Path) -> list[Path]:
    """Those of the machines that have appeared."""
    return list((folder / "vms").glob("[!.]*/machine.json"))


def said_in_seed(folder: Path, name: str) -> str:
    seed = read_image((folder / "vms" / name / "seed.iso").read_bytes())
    return (seed["user-data"] + seed["meta-data"]).decode()


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "fleet.yaml").read_text()
    assert old in text
    (folder / "fleet.yaml").write_text(text.replace(old, new))


def test_a_fleet_is_made_and_finished_and_changes_are_told(folder: Path) -> None:
    planned = clone(folder, "--dry-run")
    assert planned == dict.fromkeys(NAMES, "planned")
    assert not (folder / "vms").exists()
    assert not (folder / "fleet.ledger").exists()

    assert clone(folder) == dict.fromkeys(NAMES, "done")
    assert "dba" in said_in_seed(folder, "db")
    assert "boss" in said_in_seed(folder, "web-1")
    assert "/etc/pw" in said_in_seed(folder, "db")
    assert "/etc/pw" not in said_in_seed(folder, "web-1")
    assert 'local-hostname: "db.example.org"' in said_in_seed(folder, "db")
    assert "queue" in said_in_seed(folder, "x")
    assert (folder / "vms/web-2/domain.xml").is_file()
    records = {name: record(folder, name) for name in NAMES}
    assert records["db"]["made_from"]["mode"] == "copy"
    values = [
        value for each in records.values() for value in each["machine"]["identifiers"].values()
    ]
    assert len(set(values)) == len(values)
    assert "not in any record" not in json.dumps(records)
    with Ledger.open(folder / "fleet.ledger") as ledger:
        assert [each.name for each in ledger.machines()] == sorted(NAMES)

    # Again: nothing is made. A machine is missing: it is made, and the others stay.
    assert clone(folder) == dict.fromkeys(NAMES, "present")
    removed = unclone(
        "clone", "--remove", "web-2", "-o", folder / "vms", "--ledger", folder / "fleet.ledger"
    )
    assert removed.returncode == 0
    missing = {**dict.fromkeys(NAMES, "present"), "web-2": "planned"}
    assert clone(folder, "--dry-run") == missing
    assert clone(folder) == {**missing, "web-2": "done"}
    assert record(folder, "web-1") == records["web-1"]

    # Two entries have changed, and a machine is new: it is made, they are told.
    change(folder, "user: [dba]", "user: [dba, ops], uuids: keep")
    (folder / "base.yaml").write_text("#cloud-config\nruncmd: ['echo ${role}']\n")
    change(folder, "- {table", "- {name: new, golden: web}\n- {table")
    told = {
        "web-1": "present",
        "web-2": "present",
        "db": "refused",
        "new": "planned",
        "x": "refused",
    }
    assert clone(folder, "--dry-run", status=4) == told
    done = unclone("clone", folder / "fleet.yaml")
    assert done.returncode == 4
    assert (
        f"unclone: {folder}/vms/db is there, and was made from something else: another user and "
        "uuids" in done.stderr
    )
    assert "5 machines: 1 done, 2 failed, 2 present" in done.stdout
    from_else = "is there, and was made from something else: another template"
    assert f"  ! {folder}/vms/x {from_else}" in done.stdout
    assert record(folder, "db") == records["db"]

    # --replace makes anew what has changed, and nothing else.
    told |= {"new": "present", "db": "planned", "x": "planned"}
    assert clone(folder, "--dry-run", "--replace") == told
    assert clone(folder, "--replace") == told | {"db": "done", "x": "done"}
    assert record(folder, "web-1") == records["web-1"]
    assert record(folder, "db")["machine"]["instance_id"] != records["db"]["machine"]["instance_id"]
    assert clone(folder) == dict.fromkeys([*NAMES[:3], "new", "x"], "present")


def test_what_fails_for_one_machine_stops_no_other(folder: Path) -> None:
    (folder / "data/other.qcow2").write_bytes(b"QFI\xfb" + bytes(2000))
    (folder / "base.yaml").write_text("#cloud-config\nruncmd: ['${nothing}']\n")
    for options, made in ((["--dry-run"], "planned"), ([], "done")):
        done = unclone("clone", folder / "fleet.yaml", "--json-lines", *options)
        documents = [json.loads(line) for line in done.stdout.splitlines()]
        for document in documents:
            check_document(document)
        *results, summary = [document["results"][0] for document in documents]
        assert summary["counts"] == {made: 2, "failed": 2}
        statuses = {name_of(each): each["status"] for each in results}
        assert statuses == {"web-1": made, "web-2": made, "db": "refused", "x": "usage"}
        assert done.returncode == 4
        assert (
            "x: base.yaml: there is no value for ${nothing}" in done.stderr
            or "nothing" in done.stderr
        )
        assert sorted(each.name for each in (folder / "vms").glob("*")) == (
            ["web-1", "web-2"] if made == "done" else []
        )
    with Ledger.open(folder / "fleet.ledger") as ledger:
        assert [each.name for each in ledger.machines()] == ["web-1", "web-2"]


def test_a_killed_run_is_finished(folder: Path) -> None:
    change(folder, "count: 2", "count: 6")
    with subprocess.Popen([PROGRAM, "clone", folder / "fleet.yaml", "-q"]) as running:
        until = time.monotonic() + 120
        while not records(folder):
            assert running.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    before = {path.parent.name: path.read_bytes() for path in records(folder)}
    planned = clone(folder, "--dry-run")
    finished = clone(folder)
    assert len(finished) == 8
    for name, status in finished.items():
        assert status == ("present" if name in before else "done")
        assert planned[name] == ("present" if name in before else "planned")
        document = record(folder, name)
        assert name not in before or json.loads(before[name]) == document
    assert [each.name for each in (folder / "vms").glob(".*")] == []
    with Ledger.open(folder / "fleet.ledger") as ledger:
        assert len(list(ledger.machines())) == 8


@pytest.mark.parametrize(
    "option", [("--name", "a"), ("--user", "ops"), ("--mode", "copy"), ("--ledger", "l")]
)
def test_what_a_fleet_file_says_is_no_option(folder: Path, option: tuple[str, str]) -> None:
    done = unclone("clone", folder / "fleet.yaml", *option)
    assert done.returncode == 2
    assert f"{option[0]} is for one golden image" in done.stderr


def test_a_mistake_is_said_before_anything_is_made(folder: Path) -> None:
    change(folder, "count: 2", "count: none")
    done = unclone("clone", folder / "fleet.yaml", "--json-lines")
    assert done.returncode == 2
    place = f"{folder}/fleet.yaml:8:27"
    assert f"{place}: count: none, where a whole number from 1 belongs" in done.stderr
    (line,) = done.stdout.splitlines()
    check_document(json.loads(line))
    assert not (folder / "vms").exists()


def test_machines_that_differ_in_their_seeds_are_stamped_together(tmp_path: Path) -> None:
    """One of ten has no value for the template: it fails, and the others are made."""
    golden_image(tmp_path, "no checksums")
    lines = [f"m-{number},user-{number},role-{number}" for number in range(10)]
    lines[4] = "m-4,user-4,"
    (tmp_path / "t.csv").write_text("\n".join(["name,user,set.role", *lines, ""]))
    (tmp_path / "base.yaml").write_text("#cloud-config\nruncmd: ['echo ${role}']\n")
    (tmp_path / "fleet.yaml").write_text(
        "golden: golden.qcow2\noutput-dir: vms\ndefaults: {template: base.yaml}\n"
        "machines: [table: t.csv]\n"
    )
    told = {f"m-{number}": "done" for number in range(10)} | {"m-4": "usage"}
    assert clone(tmp_path, status=2) == told
    assert len(list(tmp_path.glob("golden.prepared-*.qcow2"))) == 1
    for number in {*range(10)} - {4}:
        machine = record(tmp_path, f"m-{number}")
        assert [Path(path).name[:15] for path in machine["backing"]] == ["golden.prepared"]
        said = said_in_seed(tmp_path, f"m-{number}")
        assert f"user-{number}" in said
        assert f"echo role-{number}" in said
    assert not [each for each in (tmp_path / "vms").iterdir() if each.name.startswith(".")]


def test_each_machine_has_its_own_address(folder: Path) -> None:
    (folder / "t.csv").write_text(
        "name,address,dns\na,192.0.2.10/24;2001:db8::a/64,192.0.2.53\nb,192.0.2.11/24,\nc,,\n"
    )
    (folder / "fleet.yaml").write_text(
        "output-dir: vms\ngolden: {g: {image: golden.qcow2, definition: golden.xml}}\n"
        "defaults: {gateway: 192.0.2.1}\n"
        "machines: [table: t.csv]\n"
    )
    assert clone(folder, "--dry-run") == dict.fromkeys("abc", "planned")
    assert clone(folder) == dict.fromkeys("abc", "done")
    said = {}
    for name in "abc":
        seed = folder / "vms" / name / "seed.iso"
        said[name] = read_image(seed.read_bytes())["network-config"].decode()
        (mac,) = [v["new"] for v in record(folder, name)["machine"]["values"] if v["kind"] == "mac"]
        assert mac in said[name]
    for text in ("192.0.2.10/24", "2001:db8::a/64", "192.0.2.1", "192.0.2.53"):
        assert text in said["a"]
    assert "192.0.2.11/24" in said["b"]
    assert "192.0.2.53" not in said["b"]
    assert "dhcp" not in said["a"] + said["b"]
    assert "dhcp" in said["c"]
    # An address that has changed is told.
    text = (folder / "t.csv").read_text()
    (folder / "t.csv").write_text(text.replace("192.0.2.11/24", "192.0.2.12/24"))
    done = unclone("clone", folder / "fleet.yaml")
    assert done.returncode == 4
    assert "vms/b is there, and was made from something else: another address" in done.stderr
