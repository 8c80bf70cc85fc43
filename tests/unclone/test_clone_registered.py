"""``--register`` and ``--unregister``, with libvirt's own test driver."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import unclone
from tests.support.disks import Part, make_disk
from tests.support.documents import check_output
from tests.unclone.test_clone import DOMAIN, MAC, TREE, UUID

if TYPE_CHECKING:
    from pathlib import Path

#: A process for each command, and for each call of virsh.
pytestmark = pytest.mark.slow


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    domain = DOMAIN.format(folder=tmp_path, mac=MAC).replace("type='qemu'", "type='test'")
    (tmp_path / "golden.xml").write_text(domain)
    return make_disk(tmp_path / "golden.qcow2", [Part("ext4", uuid=UUID, tree=TREE)], form="qcow2")


def libvirt(folder: Path, *domains: Path) -> dict[str, str]:
    """The environment for a libvirt that has *domains*, from its driver for tests (no daemon)."""
    node = "".join(f'<domain file="{path}"/>' for path in domains)
    (folder / "node.xml").write_text(f"<node>{node}</node>")
    return {**os.environ, "LIBVIRT_DEFAULT_URI": f"test://{folder}/node.xml"}


def clone(
    golden: Path, env: dict[str, str], *options: str | Path, status: int = 0
) -> dict[str, Any]:
    vms, definition = golden.parent / "vms", golden.parent / "golden.xml"
    arguments = ("clone", golden, "--name", "web-1", "-o", vms, "--definition", definition)
    done = unclone(*arguments, "--json", *options, env=env)
    assert done.returncode == status, done.stderr
    check_output(["--json"], done.stdout)
    (result,) = json.loads(done.stdout)["results"]
    assert isinstance(result, dict)
    return result


def stopped(domain: Path) -> Path:
    """The same domain, shut off: the test driver starts what it is given."""
    text = domain.read_text().replace(
        "<domain type='test'>",
        "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
        "<test:runstate>5</test:runstate>",
    )
    path = domain.parent.parent / "stopped.xml"
    path.write_text(text)
    return path


def test_a_machine_is_registered_once_and_forgotten_on_request(golden: Path) -> None:
    folder, machine = golden.parent, golden.parent / "vms/web-1"
    nowhere = {**os.environ, "LIBVIRT_DEFAULT_URI": f"test://{folder}/none.xml"}
    assert clone(golden, nowhere, "--dry-run", "--register")["registration"] is None
    # It is made, and virsh fails: that is told, and the machine is there.
    made = clone(golden, nowhere, "--register", status=1)
    assert (made["status"], made["registration"]["status"]) == ("done", "failed")
    assert "none.xml" in made["registration"]["message"]
    again = unclone(
        *("clone", golden, "--name", "web-1", "-o", folder / "vms", "--register"),
        *("--definition", folder / "golden.xml"),
        env=nowhere,
    )
    assert again.returncode == 1
    assert "! not registered in libvirt: virsh failed" in again.stdout
    # The next run registers it; one that libvirt has is left as it is.
    empty = libvirt(folder)
    assert clone(golden, empty)["registration"] is None
    registered = clone(golden, empty, "--register")
    assert (registered["status"], registered["registration"]["status"]) == ("present", "registered")
    known = libvirt(folder, machine / "domain.xml")
    assert clone(golden, known, "--register")["registration"]["status"] == "present"
    # A domain of the same name that is another machine's is virsh's to refuse.
    (folder / "other.xml").write_text(
        (folder / "golden.xml").read_text().replace(">golden<", ">web-1<")
    )
    other = libvirt(folder, folder / "other.xml")
    refused = clone(golden, other, "--register", status=1)["registration"]
    assert "domain 'web-1' already exists with uuid" in refused["message"]

    remove = ("clone", "--remove", "web-1", "-o", folder / "vms", "--unregister")
    done = unclone(*remove, env=other)
    assert done.returncode == 4
    assert "is not the machine in" in done.stderr
    done = unclone(*remove, env=libvirt(folder, machine / "domain.xml"))
    assert done.returncode == 3
    assert "the domain web-1 is not shut off: running" in done.stderr
    assert (machine / "disk.qcow2").is_file()
    env = libvirt(folder, stopped(machine / "domain.xml"))
    state = subprocess.check_output(["virsh", "domstate", "web-1"], env=env, text=True)
    assert state.strip() == "shut off"
    done = unclone(*remove, env=env)
    assert done.returncode == 0, done.stderr
    assert not machine.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["golden.qcow2", "--name", "a", "--register"], "--register needs --definition"),
        (["golden.qcow2", "--name", "a", "--unregister"], "--unregister is for --remove"),
    ],
)
def test_what_cannot_be_registered_is_said_first(arguments: list[str], said: str) -> None:
    done = unclone("clone", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_without_virsh_nothing_is_made(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    env = {**os.environ, "PATH": str(tmp_path / "bin")}
    done = unclone(
        *("clone", golden, "--name", "a", "--register", "-o", tmp_path / "vms"),
        *("--definition", tmp_path / "golden.xml"),
        env=env,
    )
    assert done.returncode == 2
    assert "virsh is not installed" in done.stderr
    assert not (tmp_path / "vms").exists()
