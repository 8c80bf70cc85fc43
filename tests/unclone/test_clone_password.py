"""A generated password is told once, by its machine alone: only its hash is kept."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.command import unclone
from tests.support.documents import check_document
from tests.unclone.cli.commands.test_seed_accounts_and_files import is_hash_of
from tests.unclone.test_clone_stamped import golden_image
from unclone.seeds.output import read_image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

GENERATE = ("--user", "ops", "--generate-password")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    golden_image(folder, "no checksums")
    return folder


def told(text: str) -> dict[str, str]:
    """The passwords in *text*, by machine."""
    return dict(re.findall(r"^\S*/([^/\s]+): password (\w{20})$", text, re.MULTILINE))


def assert_in_seed_alone(folder: Path, name: str, password: str) -> None:
    user_data = read_image((folder / name / "seed.iso").read_bytes())["user-data"]
    (account,) = [each for each in yaml.safe_load(user_data)["users"] if each["name"] == "ops"]
    assert is_hash_of(password, account["passwd"])
    written = b"".join(each.read_bytes() for each in (folder / name).iterdir())
    assert password.encode() not in written


def test_one_machine(folder: Path, tmp_path: Path) -> None:
    one = ("clone", folder / "golden.qcow2", "--name", "web-01", "-o", tmp_path)
    planned = unclone(*one, *GENERATE, "--dry-run", "-v")
    assert (planned.returncode, told(planned.stdout)) == (0, {})
    done = unclone(*one, *GENERATE, "-q")
    ((name, password),) = told(done.stdout).items()
    assert (done.stdout + done.stderr).count(password) == 1
    assert_in_seed_alone(tmp_path, name, password)
    again = unclone(*one, *GENERATE)
    assert (again.returncode, told(again.stdout)) == (0, {})
    assert "is there already" in again.stdout
    other = unclone(*one, "--user", "ops")
    assert (other.returncode, "another generate-password" in other.stderr) == (4, True)


def test_json_has_it(folder: Path, tmp_path: Path) -> None:
    for form in ("--json", "--json-lines"):
        golden = folder / "golden.qcow2"
        name = f"web{form}"
        done = unclone("clone", golden, "--name", name, "-o", tmp_path, *GENERATE, form)
        document = json.loads(done.stdout)
        check_document(document)
        (result,) = document["results"]
        assert_in_seed_alone(tmp_path, name, result["generated_password"])
        again = unclone("clone", golden, "--name", name, "-o", tmp_path, *GENERATE, form)
        assert "generated_password" not in json.loads(again.stdout)["results"][0]


def test_each_machine_of_a_fleet_has_its_own(folder: Path, tmp_path: Path) -> None:
    """Stamped together; one has a password of a file, and one gets none."""
    (tmp_path / "pw").write_text("of a file")
    (tmp_path / "fleet.yaml").write_text(
        f"golden: {folder / 'golden.qcow2'}\n"
        "output-dir: vms\n"
        "defaults: {user: ops, generate-password: true}\n"
        "machines:\n"
        "- {name: 'web-{}', count: 8}\n"
        "- {name: file, generate-password: false, password-file: pw}\n"
        "- {name: bare, seed: never}\n"
    )
    done = unclone("clone", tmp_path / "fleet.yaml", "-q")
    assert done.returncode == 0, done.stderr
    passwords = told(done.stdout)
    assert {*passwords} == {f"web-{n}" for n in range(1, 9)}
    assert len({*passwords.values()}) == 8
    for name in ("web-1", "web-8"):
        assert_in_seed_alone(tmp_path / "vms", name, passwords[name])
    assert_in_seed_alone(tmp_path / "vms", "file", "of a file")
    assert not (tmp_path / "vms/bare/seed.iso").exists()


def test_two_passwords_are_refused(folder: Path, tmp_path: Path) -> None:
    one = ("clone", folder / "golden.qcow2", "--name", "web-01", "-o", tmp_path / "vms")
    (tmp_path / "pw").write_text("of a file")
    done = unclone(*one, *GENERATE, "--password-file", tmp_path / "pw")
    assert (done.returncode, "give one" in done.stderr) == (2, True)
    done = unclone(*one, *GENERATE, "--seed", "never")
    assert (done.returncode, "--seed never makes none" in done.stderr) == (2, True)
    assert not (tmp_path / "vms").exists()
