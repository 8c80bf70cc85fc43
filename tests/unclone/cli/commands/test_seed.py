"""``unclone seed``: what people type, what they read, and the exit status."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from unclone.cli.commands import seed as module
from unclone.cli.main import cli
from unclone.seeds.output import read_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.testing import Result


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a@b"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return tmp_path


def seed(*arguments: str | Path, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, ["seed", *map(str, arguments)], input=stdin)


def files(path: str | Path) -> dict[str, bytes]:
    return read_image(Path(path).read_bytes())


def said(path: str | Path) -> Any:
    return yaml.safe_load(files(path)["user-data"])


def test_a_host_name_and_a_key_are_enough() -> None:
    done = seed("--hostname", "web-01", "--ssh-key", KEY)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        "web-01.iso: iso, 69632 bytes, web-01, "
        "instance-id iid-11bdde8a-593f-5c5f-9d6f-8c32bcbf18b8\n"
    )
    assert stat.S_IMODE(Path("web-01.iso").stat().st_mode) == 0o600
    assert sorted(files("web-01.iso")) == ["meta-data", "user-data", "vendor-data"]


NO_LOGIN = (
    "user-data: warning: no account in this seed has a password or an SSH key, so it lets nobody "
    "log in [no-login]\n"
    "  Add --user with --ssh-key or --password-file, unless the image has accounts of its own.\n"
)


def test_a_seed_by_which_nobody_can_log_in_is_warned_about() -> None:
    done = seed("--hostname", "web-01", "--user", "admin")
    assert (done.exit_code, done.stderr) == (0, NO_LOGIN)
    assert done.stdout == (
        "web-01.iso: iso, 69632 bytes, web-01, "
        "instance-id iid-11bdde8a-593f-5c5f-9d6f-8c32bcbf18b8\n"
    )
    assert seed("--hostname", "a", "--strict", "--dry-run").exit_code == 0
    assert seed("--hostname", "a", "--quiet").stderr == ""
    (entry,) = json.loads(seed("--hostname", "b", "--json").stdout)["results"]
    assert [finding["code"] for finding in entry["findings"]] == ["no-login"]


@pytest.mark.slow
def test_a_seed_for_stdout_is_warned_about_as_well() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unclone", "seed", "--hostname", "web-01", "-o", "-"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stderr.decode() == NO_LOGIN


@pytest.mark.parametrize("options", [[], ["--format", "vfat"], ["--format", "folder"]])
def test_an_earlier_seed_is_replaced_only_when_asked(here: Path, options: list[str]) -> None:
    first = ("--hostname", "web-01", "--ssh-key", KEY, *options)
    assert seed(*first).exit_code == 0
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    (name,) = (p.name for p in here.iterdir())
    for dry_run in ([], ["--dry-run"]):
        done = seed(*first, "--timezone", "UTC", *dry_run)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == (
            f"unclone: {name} already exists\n"
            "  Name another file, remove this one first, or give --overwrite.\n"
        )
    assert {p: p.read_bytes() for p in here.rglob("*") if p.is_file()} == before
    assert seed(*first, "--timezone", "UTC", "--overwrite").exit_code == 0
    assert {p: p.read_bytes() for p in here.rglob("*") if p.is_file()} != before


def test_one_seed_of_a_fleet_that_is_there_stops_the_fleet(here: Path) -> None:
    (here / "f.csv").write_text(FLEET)
    assert seed("--hostname", "web-02").exit_code == 0
    before = Path("web-02.iso").read_bytes()
    done = seed("--machines", "f.csv", "-q")
    assert (done.exit_code, "web-02.iso already exists" in done.stderr) == (2, True)
    assert {p.name for p in here.iterdir()} == {"f.csv", "web-02.iso"}
    assert Path("web-02.iso").read_bytes() == before
    assert seed("--machines", "f.csv", "-q", "--overwrite").exit_code == 0
    assert {p.name for p in here.iterdir()} == {"f.csv", "web-01.iso", "web-02.iso"}


def test_the_output_folder_is_made(here: Path) -> None:
    done = seed("--hostname", "a", "--ssh-key", KEY, "--output-dir", "new/deep")
    assert (done.exit_code, done.stderr) == (0, "")
    assert sorted(files("new/deep/a.iso")) == ["meta-data", "user-data", "vendor-data"]


@pytest.mark.parametrize("more", [["--dry-run"], ["--user-data", "u"], ["--nic", "x"]])
def test_a_folder_for_no_seed_is_not_left(here: Path, more: list[str]) -> None:
    (here / "u").write_text("no header\n")
    seed("--hostname", "a", "--output-dir", "new/deep", *more)
    assert [p.name for p in here.iterdir()] == ["u"]


def test_a_folder_that_cannot_be_made_is_named(here: Path) -> None:
    (here / "notes").write_text("mine")
    done = seed("--hostname", "a", "--output-dir", "notes/seeds")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the folder notes/seeds cannot be made: Not a directory" in done.stderr


@pytest.mark.slow
def test_everything_that_can_be_asked_for(here: Path) -> None:
    (here / "key.pub").write_text(f"{KEY} one\n{KEY} two\n")
    (here / "pw").write_text("correct horse\n")
    (here / "base.yaml").write_text("#cloud-config\nruncmd: [from-file]\n")
    (here / "t.sh").write_text("#!/bin/sh\necho ${role} ${hostname} $HOME\n")
    (here / "vendor").write_text("#cloud-config\nbootcmd: [v]\n")
    done = seed(
        *("--hostname", "web-01", "--fqdn", "web-01.example.org", "--generation", "2"),
        *("--user", "admin", "--user", "ops", "--ssh-key", KEY, "--ssh-key", "key.pub"),
        *("--password-file", "pw", "--package", "vim", "--run", "from-option"),
        *("--timezone", "UTC", "--disk-grow", "--vendor-data", "vendor"),
        *("--user-data", "base.yaml", "--template", "t.sh", "--set", "role=front=1"),
        *("--nic", "mac=52:54:00:12:34:56,address=192.0.2.10/24", "--nic", "name=eth9,dhcp"),
        *("--bond", "name=bond0,links=eth9", "--vlan", "link=bond0,id=20"),
        *("--network-version", "2", "--output", "out.iso", "--strict", "--verbose"),
    )
    assert done.exit_code == 0, done.stderr
    assert "sha256" in done.stdout
    inside = files("out.iso")
    assert b"echo front=1 web-01 $HOME" in inside["user-data"]
    assert b"from-option" in inside["user-data"]
    assert b"hunter2" not in inside["user-data"]
    assert set(yaml.safe_load(inside["network-config"])) == {
        "version",
        "ethernets",
        "bonds",
        "vlans",
    }
    assert yaml.safe_load(inside["vendor-data"]) == {"bootcmd": ["v"]}
    assert yaml.safe_load(inside["meta-data"])["local-hostname"] == "web-01.example.org"


@pytest.mark.parametrize(
    ("kind", "name"), [("iso", "a.iso"), ("vfat", "a.img"), ("folder", "a.seed")]
)
def test_kinds_have_their_names(kind: str, name: str) -> None:
    assert seed("--hostname", "a", "--format", kind).exit_code == 0
    assert [p.name for p in Path().iterdir()] == [name]


def test_stdin_is_any_one_file() -> None:
    done = seed("--hostname", "a", "--user-data", "-", stdin="#cloud-config\nruncmd: [x]\n")
    assert done.exit_code == 0
    assert said("a.iso") == {"runcmd": ["x"]}
    done = seed("--hostname", "b", "--user", "u", "--password-file", "-", stdin="hunter2\n")
    assert said("b.iso")["users"][0]["passwd"].startswith("$6$")
    assert "hunter2" not in done.output


@pytest.mark.slow
def test_stdout_is_the_image_and_nothing_else() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "unclone",
            "seed",
            "--hostname",
            "web-01",
            "--ssh-key",
            KEY,
            "-o",
            "-",
        ],
        capture_output=True,
        check=True,
        timeout=60,
    )
    seed("--hostname", "web-01", "--ssh-key", KEY)
    assert done.stdout == Path("web-01.iso").read_bytes()
    assert done.stderr == b""


def test_a_seed_for_stdout_is_checked_as_well() -> None:
    done = seed("--hostname", "a", "--user-data", "-", "-o", "-", stdin="---\n#cloud-config\n")
    assert (done.exit_code, done.stdout_bytes) == (4, b"")
    assert "user-data:1:1: error: '---' comes first" in done.stderr
    assert "nothing was written" in done.stderr


def test_json_is_one_document(here: Path) -> None:
    (here / "u").write_text("#cloud-config\npassword: x\n")
    done = seed("--hostname", "web-01", "--json", "--user-data", "u")
    document = json.loads(done.stdout)
    assert document["schema"] == "unclone.seed/1"
    (entry,) = document["results"]
    assert set(entry) == {
        *("output", "status", "format", "size", "sha256", "hostname", "instance_id", "files"),
        "findings",
    }
    assert (entry["status"], entry["output"]) == ("done", "web-01.iso")
    assert entry["size"] == Path("web-01.iso").stat().st_size
    (finding,) = entry["findings"]
    assert finding["code"] == "plain-password"
    assert (finding["file"], finding["line"], finding["column"]) == ("user-data", 2, 11)


def test_a_dry_run_checks_and_writes_nothing(here: Path) -> None:
    done = seed("--hostname", "web-01", "--dry-run")
    assert "not written (--dry-run)" in done.stdout
    assert json.loads(seed("--hostname", "a", "--dry-run", "--json").stdout)["results"][0][
        "status"
    ] == ("planned")
    assert list(here.iterdir()) == []


def test_findings_go_to_stderr_with_their_hints(here: Path) -> None:
    (here / "u").write_text("#cloud-config\nhostname: 0x1f\npassword: x\n")
    done = seed("--hostname", "web-01", "--user-data", "u")
    assert done.exit_code == 4
    plain = "password holds a password that anybody who can read the seed can read"
    assert done.stderr.splitlines() == [
        "user-data:2:11: error: hostname: 0x1f is read as a number (31), not text [type-change]",
        "  Put it in quotes.",
        f"user-data:3:11: warning: {plain} [plain-password]",
        "  Use a hash: --password-file makes one, and so does `openssl passwd -6`.",
        "unclone: 1 of 1 seeds refused; nothing was written",
    ]
    assert done.stdout == "web-01.iso: refused\n"


def test_strict_and_quiet(here: Path) -> None:
    (here / "u").write_text("#cloud-config\npassword: x\n")
    options = ("--hostname", "a", "--user-data", "u")
    assert seed(*options, "--strict").exit_code == 4
    done = seed(*options, "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")


def test_the_schema_can_be_left_out(here: Path) -> None:
    (here / "u").write_text("#cloud-config\nruncmd: ls\n")
    assert seed("--hostname", "a", "--user-data", "u", "--strict", "--no-schema").exit_code == 0


# -- a fleet ---------------------------------------------------------------------------------

FLEET = "hostname,mac,role\nweb-01,52:54:00:00:00:01,front\nweb-02,52:54:00:00:00:02,back\n"


def test_a_fleet(here: Path) -> None:
    (here / "f.csv").write_text(FLEET)
    (here / "t").write_text("#cloud-config\nruncmd: [echo ${role}]\n")
    (here / "out").mkdir()
    done = seed("--machines", "f.csv", "--template", "t", "--output-dir", "out", "--json")
    assert done.exit_code == 0, done.stderr
    entries = json.loads(done.stdout)["results"]
    assert [entry["output"] for entry in entries] == ["out/web-01.iso", "out/web-02.iso"]
    assert len({entry["instance_id"] for entry in entries}) == 2
    assert said("out/web-02.iso") == {"runcmd": ["echo back"]}


def test_a_refused_fleet_is_not_written(here: Path) -> None:
    (here / "f.csv").write_text(FLEET.replace("back", "a: b"))
    (here / "t").write_text("#cloud-config\nx: ${role}\n")
    done = seed("--machines", "f.csv", "--template", "t")
    assert done.exit_code == 4
    assert done.stdout == "web-01.iso: not written\nweb-02.iso: refused\n"
    assert "1 of 2 seeds refused; nothing was written" in done.stderr
    assert {p.name for p in here.iterdir()} == {"f.csv", "t"}
    entries = json.loads(seed("--machines", "f.csv", "--template", "t", "--json").stdout)["results"]
    assert [(e["status"], e["size"]) for e in entries] == [("not-written", 0), ("refused", 0)]


# -- what makes no sense ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "nothing says which machine this is"),
        (["--hostname", "web_01"], 2, "an underscore is not allowed"),
        (["--hostname", "a", "--user", "Root"], 2, "cannot be a user name"),
        (["--hostname", "a", "--instance-id", "a/b"], 2, "cannot be an instance-id"),
        (["--hostname", "a", "--generation", "0"], 2, "generation"),
        (["--hostname", "a", "--nic", "mac"], 2, "--nic mac: 'mac' is not key=value"),
        (["--hostname", "a", "--vlan", "link=eth0,id=20"], 2, "eth0, which is not defined"),
        (["--hostname", "a", "--set", "role"], 2, "--set NAME=VALUE"),
        (["--hostname", "a", "--user-data", "missing"], 2, "missing cannot be read: No such file"),
        (["--hostname", "a", "--user-data", "."], 2, ". cannot be read: Is a directory"),
        (["--hostname", "a", "--user-data", "-", "--template", "-"], 2, "two options want stdin"),
        (["--hostname", "a", "--ssh-key", "missing.pub"], 2, "missing.pub cannot be read"),
        (["--hostname", "a", "--ssh-key", "notes"], 2, "notes holds a line that is no SSH public"),
        (["--hostname", "a", "--ssh-key", "secret"], 2, "secret holds a private key"),
        (["--hostname", "a", "--password-file", "empty"], 2, "empty is empty"),
        (["--hostname", "a", "--template", "tmpl"], 2, "tmpl:2: there is no value for ${role}"),
        (["--hostname", "a", "--output", "notes"], 2, "notes exists and is not a seed"),
        (["--hostname", "a", "--output", "no/a.iso"], 1, "No such file or directory"),
        (["--hostname", "a", "--output", "-", "--format", "folder"], 2, "folder cannot be written"),
        (["--hostname", "a", "--output", "-", "--json"], 2, "one seed to stdout, and nothing else"),
        (["--machines", "f.csv", "--output", "-"], 2, "one seed to stdout"),
        (["--machines", "f.csv", "--output", "x"], 2, "--output is for one seed"),
        (["--machines", "f.csv", "--hostname", "x"], 2, "--hostname is for one machine"),
        (["--machines", "empty"], 2, "empty holds no machine"),
        (["--machines", "latin"], 2, "latin is not UTF-8"),
        (["--hostname", "a", "-o", "x", "--output-dir", "."], 2, "two ways to say where"),
        (["--hostname", "a", "--password-file", "latin"], 2, "latin is not UTF-8"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_makes_no_sense_is_told(
    here: Path, arguments: Sequence[str], status: int, words: str
) -> None:
    contents = {
        "notes": b"hello\n",
        "empty": b"",
        "latin": b"gr\xfc\xdfe\n",
        "tmpl": b"#cloud-config\na: ${role}\n",
        "secret": b"-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n",
        "f.csv": FLEET.encode(),
    }
    for name, content in contents.items():
        (here / name).write_bytes(content)
    done = seed(*arguments)
    assert done.exit_code == status
    assert words in done.stderr
    if "--json" in arguments:
        assert json.loads(done.stdout)["results"][0]["status"] == "usage"
    else:
        assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert {p.name: p.read_bytes() for p in here.iterdir()} == contents


def test_input_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unclone.runs.seed.INPUT_LIMIT", 100)
    done = seed("--hostname", "a", "--user-data", "/dev/zero")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "/dev/zero is larger than" in done.stderr


def test_a_wrong_source_date_epoch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "now")
    done = seed("--hostname", "a")
    assert (done.exit_code, os.listdir()) == (2, [])
    assert "SOURCE_DATE_EPOCH is 'now'" in done.stderr


def test_every_example_of_the_help_can_be_typed(here: Path) -> None:
    """The options in the examples exist; the manual has every option."""
    names = {name for option in module.command.params for name in option.opts if "--" in name}
    typed = {word for word in module.EPILOG.split() if word.startswith("--")}
    assert typed <= names
    manual = (Path(__file__).parents[4] / "docs" / "seeds.md").read_text()
    shared = {"--json", "--verbose", "--quiet", "--debug"}
    assert sorted(name for name in names - shared if f"{name}" not in manual) == []
