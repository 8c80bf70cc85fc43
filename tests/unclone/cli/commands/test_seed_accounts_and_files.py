"""``unclone seed``: passwords made here, keys of single accounts, files, types of parts."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from unclone.cli.main import cli
from unclone.seeds import Seed
from unclone.seeds.output import read_image
from unclone.seeds.password import sha512_crypt

if TYPE_CHECKING:
    from click.testing import Result

BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
KEY, OTHER = f"ssh-ed25519 {BLOB} a@b", f"ssh-ed25519 {BLOB} other"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seed(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["seed", "--hostname", "web-01", *map(str, arguments)])


def files(path: str | Path = "web-01.iso") -> dict[str, bytes]:
    return read_image(Path(path).read_bytes())


def said(path: str | Path = "web-01.iso") -> Any:
    return yaml.safe_load(files(path)["user-data"])


def is_hash_of(password: str, given: str) -> bool:
    rounds, salt = re.fullmatch(r"\$6\$rounds=(\d+)\$([^$]+)\$.*", given).groups()  # type: ignore[union-attr]
    return sha512_crypt(password.encode(), salt, int(rounds)) == given


@pytest.mark.slow
def test_a_password_is_made_and_printed_once() -> None:
    done = seed("--user", "admin", "--generate-password")
    (password,) = re.findall(r"web-01\.iso: password (\w{20})\n", done.stdout)
    assert (done.stdout + done.stderr).count(password) == 1
    (account,) = said()["users"]
    assert is_hash_of(password, account["passwd"])
    assert not account["lock_passwd"]
    assert password.encode() not in Path("web-01.iso").read_bytes()


@pytest.mark.slow
def test_json_has_the_password_that_was_made() -> None:
    done = seed("--generate-password", "--json")
    (entry,) = json.loads(done.stdout)["results"]
    assert is_hash_of(entry["generated_password"], said()["password"])


@pytest.mark.slow
def test_each_machine_gets_its_own_password() -> None:
    Path("m.csv").write_text("hostname\na\nb\n")
    done = CliRunner().invoke(cli, ["seed", "--machines", "m.csv", "--generate-password"])
    made = dict(re.findall(r"(\w)\.iso: password (\w+)", done.stdout))
    assert len(set(made.values())) == 2
    for name, password in made.items():
        assert is_hash_of(password, said(f"{name}.iso")["password"])


def test_no_password_is_printed_when_nothing_is_written() -> None:
    assert "password" not in seed("--generate-password", "--dry-run").stdout
    Path("p").write_text("secret\n")
    done = seed("--generate-password", "--password-file", "p")
    assert (done.exit_code, "give one" in done.stderr) == (2, True)
    assert seed("--generate-password", "-o", "-").exit_code == 2


def test_a_key_for_root_beside_a_users() -> None:
    done = seed("--user", "admin", "--ssh-key", KEY, "--user-key", f"root={OTHER}")
    assert done.exit_code == 0
    admin, root = said()["users"]
    assert (admin["name"], admin["ssh_authorized_keys"]) == ("admin", [KEY])
    assert root == {"name": "root", "lock_passwd": False, "ssh_authorized_keys": [OTHER]}


def test_a_key_for_root_beside_the_default_users() -> None:
    seed("--ssh-key", KEY, "--user-key", f"root={OTHER}")
    assert said()["users"][0] == "default"
    assert said()["ssh_authorized_keys"] == [KEY]
    assert "disable_root" not in said()
    seed("--overwrite", "--ssh-key", KEY, "--user-key", f"root={KEY}")
    assert said()["disable_root"] is False
    done = seed("--ssh-key", KEY, "--ssh-key", OTHER, "--user-key", f"root={KEY}", "--overwrite")
    assert (done.exit_code, "some keys of the default user" in done.stderr) == (2, True)


def test_keys_of_single_users() -> None:
    Path("ops.pub").write_text(f"{OTHER}\n")
    options = ("--user", "admin", "--user", "ops", "--ssh-key", KEY, "--user-key", "ops=ops.pub")
    assert seed(*options).exit_code == 0
    assert [user["ssh_authorized_keys"] for user in said()["users"]] == [[KEY], [KEY, OTHER]]
    done = seed("--user", "admin", "--user-key", f"nobody={KEY}")
    assert (done.exit_code, "no user of this machine" in done.stderr) == (2, True)
    assert seed("--user-key", KEY).exit_code == 2


def test_files_are_written_in_the_guest() -> None:
    Path("motd").write_text("hello: 'you'\n\tand # more\n")
    Path("motd").chmod(0o644)
    Path("key").write_bytes(b"\0\xff\r\n")
    Path("key").chmod(0o600)
    assert seed("--write-file", "/etc/motd=motd", "--write-file", "/root/k=key").exit_code == 0
    motd, key = said()["write_files"]
    assert motd == {
        "path": "/etc/motd",
        "permissions": "0644",
        "content": "hello: 'you'\n\tand # more\n",
    }
    assert base64.b64decode(key.pop("content")) == b"\0\xff\r\n"
    assert key == {"path": "/root/k", "permissions": "0600", "encoding": "b64"}
    content = files()
    assert Seed(content["user-data"], content["meta-data"]).check() == ()


@pytest.mark.parametrize("path", ["etc/motd", "/etc/../motd", "/etc//motd", "/etc/", "/", ""])
def test_a_path_in_the_guest_is_absolute(path: str) -> None:
    Path("motd").write_text("x")
    assert seed("--write-file", f"{path}=motd").exit_code == 2


def test_a_file_of_ones_own_may_write_the_same_path_only_alike() -> None:
    Path("motd").write_text("x")
    Path("u").write_text("#cloud-config\nwrite_files: [{path: /etc/motd, content: y}]\n")
    done = seed("--user-data", "u", "--write-file", "/etc/motd=motd")
    assert (done.exit_code, "write_files has '/etc/motd'" in done.stderr) == (2, True)


def test_a_part_has_the_type_that_is_given() -> None:
    Path("each").write_text("#!/bin/sh\nls\n")
    Path("once").write_text("#cloud-config\nruncmd: [ls]\n")
    kind = "text/x-shellscript-per-boot"
    done = seed("--user-data", f"each:{kind}", "--user-data", "once")
    assert (done.exit_code, "refused" in done.stdout) == (0, False)
    parts = message_from_bytes(files()["user-data"]).get_payload()
    found = [(p.get_filename(), p.get_content_type()) for p in parts]  # type: ignore[union-attr]
    assert found == [("each", kind), ("once", "text/cloud-config")]
    assert seed("--overwrite", "--user-data", f"each:{kind}").exit_code == 0
    assert kind.encode() in files()["user-data"]
    assert seed("--overwrite", "--user", "admin", "--user-data", f"each:{kind}").exit_code == 0
    assert b"text/cloud-config" in files()["user-data"]


def test_a_file_may_have_a_colon_in_its_name() -> None:
    Path("a:text").mkdir()
    Path("a:text/plain").write_text("#cloud-config\n{}\n")
    assert seed("--user-data", "a:text/plain").exit_code == 0
    assert files()["user-data"] == b"#cloud-config\n{}\n"
    done = seed("--overwrite", "--user-data", "b:text/plain")
    assert (done.exit_code, "b cannot be read" in done.stderr) == (2, True)


@pytest.mark.parametrize("mode", ["local", "net"])
def test_the_stage_at_which_the_seed_is_used(mode: str) -> None:
    assert seed("--dsmode", mode).exit_code == 0
    assert yaml.safe_load(files()["meta-data"])["dsmode"] == mode


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_a_table_of_any_spreadsheet(mark: str) -> None:
    rows = [("hostname", "packages"), ("a", '"vim;git"'), ("b", "curl")]
    Path("m.csv").write_text("".join(f"{mark.join(row)}\n" for row in rows))
    assert CliRunner().invoke(cli, ["seed", "--machines", "m.csv"]).exit_code == 0
    assert said("a.iso")["packages"] == ["vim", "git"]
    assert said("b.iso")["packages"] == ["curl"]


@pytest.mark.parametrize(
    ("options", "what"), [(("-n", "admin"), "a user's certificate"), (("-h",), "a host's")]
)
def test_a_certificate_is_no_key(options: tuple[str, ...], what: str) -> None:
    for name in ("ca", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name], check=True)
    subprocess.run(["ssh-keygen", "-q", "-s", "ca", "-I", "id", *options, "key.pub"], check=True)
    done = seed("--ssh-key", "key-cert.pub")
    assert done.exit_code == 2
    assert f"key-cert.pub holds {what}" in done.stderr
    assert "ssh-ed25519-cert-v01@openssh.com" in done.stderr
    assert what in seed("--ssh-key", Path("key-cert.pub").read_text()).stderr
