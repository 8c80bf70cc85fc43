"""Every command, output and Python example of docs/ and examples/, run with the files they name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from release import console
from tests.packaging.conftest import ROOT
from tests.support import postgresql
from tests.support.archives import VMX, archive, ova
from tests.support.command import PROGRAM
from tests.support.disks import BARE_ROOT, Part, make_disk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
DOCUMENTS = {path.name: path.read_text() for path in ROOT.glob("docs/*.md")} | {
    f"{path.parent.name}/README.md": path.read_text() for path in EXAMPLES.glob("*/README.md")
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a@b\n"

#: An Ubuntu as its installer leaves it: it takes no seed any more.
INSTALLED = {
    **BARE_ROOT,
    "/etc/os-release": 'ID=ubuntu\nID_LIKE=debian\nPRETTY_NAME="Ubuntu 22.04.4 LTS"\n',
    "/usr/lib/systemd/systemd": "elf",
    "/sbin/init": "-> /usr/lib/systemd/systemd",
    "/usr/bin/cloud-init": "#!/usr/bin/python3\n",
    "/usr/lib/systemd/system-generators/cloud-init-generator": "#!/bin/sh\n",
    "/usr/lib/systemd/system/cloud-init.service": "[Service]\nExecStart=cloud-init init\n",
    "/usr/lib/python3/dist-packages/cloudinit/version.py": '__VERSION__ = "23.4"\n',
    "/etc/systemd/system/cloud-init.target.wants/cloud-init.service": (
        "-> /usr/lib/systemd/system/cloud-init.service"
    ),
    "/etc/cloud/cloud.cfg": "cloud_init_modules: [set_hostname, update_hostname, update_etc_hosts, "
    "users-groups, ssh]\n",
    "/etc/cloud/cloud.cfg.d/99-installer.cfg": "datasource_list: [None]\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the documents' commands work on, and an empty home."""
    for path in [*(EXAMPLES / "first-steps").iterdir(), EXAMPLES / "packer" / "clone.pkr.hcl"]:
        shutil.copy(path, tmp_path)
    subprocess.run(["./make-guest", "golden.qcow2"], cwd=tmp_path, check=True, capture_output=True)
    shutil.copy(tmp_path / "golden.qcow2", tmp_path / "web-01.qcow2")
    for name in ("id.pub", "home/.ssh/id_ed25519.pub"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(KEY)
    for name in (".local/share/bash-completion/completions", ".config/fish/completions", "zsh"):
        (tmp_path / "home" / name).mkdir(parents=True)
    return tmp_path


def run(document: str, folder: Path) -> list[console.Outcome]:
    env = {
        **os.environ,
        "HOME": str(folder / "home"),
        "COLUMNS": "120",
        "PATH": f"{PROGRAM.parent}:{EXAMPLES / 'post-clone-hook'}:{os.environ['PATH']}",
        "CHECKPOINT_DISABLE": "1",  # Packer asks nobody for a newer version
    }
    zsh = console.Command('fpath=("" "$HOME/zsh")')  # an array of zsh
    shown = console.commands(DOCUMENTS[document])
    assert shown
    (folder / "scripts").mkdir()
    return console.run_all([zsh, *shown], folder, folder / "scripts", env)[1:]


def test_every_document_with_commands_is_run_here() -> None:
    """Those of the tutorial are run for its pictures, which are made with the site."""
    with_commands = {name for name, text in DOCUMENTS.items() if "```console" in text}
    others = {"audit.md", "fleets.md", "mac-addresses.md", "seeds.md", "tutorial.md"}
    assert with_commands == {*WORK, *PLACES, *others}


WORK = (
    *("clone.md", "completion.md", "definitions.md", "hostname.md"),
    *("packer/README.md", "post-clone-hook/README.md"),
)


def vagrant(folder: Path) -> None:
    members = {
        "metadata.json": b'{"provider": "libvirt", "format": "qcow2", "virtual_size": 1}',
        "Vagrantfile": b"# none\n",
        "box.img": (folder / "golden.qcow2").read_bytes(),
    }
    archive(folder / "debian.box", members, mode="w:gz")


def vmware(folder: Path) -> None:
    convert = ("qemu-img", "convert", "-O", "vmdk", "golden.qcow2", "golden.vmdk")
    subprocess.run(convert, cwd=folder, check=True)
    (folder / "golden.vmx").write_text(VMX.replace("disk.vmdk", "golden.vmdk"))
    ova(folder).rename(folder / "appliance.ova")


def kubevirt(folder: Path) -> None:
    (machine,) = re.findall(
        r"^```yaml\n(.*?)^```$", DOCUMENTS["kubevirt.md"], re.MULTILINE | re.DOTALL
    )
    (folder / "vm.yaml").write_text(machine)


#: How-to pages, and what makes the files that they are about.
PLACES = {
    "libvirt.md": lambda folder: None,
    "vagrant.md": vagrant,
    "vmware.md": vmware,
    "kubevirt.md": kubevirt,
}


@pytest.mark.parametrize("document", [*WORK, *PLACES])
def test_every_command_works(folder: Path, document: str) -> None:
    PLACES.get(document, PLACES["libvirt.md"])(folder)
    for each in run(document, folder):
        assert each.status == 0, f"$ {each.command.text}\n{each.errors}"
        assert each.command.output in {None, each.output}


def test_an_audit_is_as_shown(folder: Path) -> None:
    shutil.copy(folder / "golden.qcow2", folder / "web-02.qcow2")
    made, audited = run("audit.md", folder)
    assert made.status == 0, made.errors
    assert (audited.status, audited.output) == (5, audited.command.output)


def test_seeds_are_as_shown(folder: Path) -> None:
    table = re.search(r"^```csv\n(.*?)^```$", DOCUMENTS["seeds.md"], re.MULTILINE | re.DOTALL)
    assert table is not None
    (folder / "fleet.csv").write_text(table[1])
    make_disk(folder / "golden.qcow2", [Part("ext4", INSTALLED)], form="qcow2")
    *others, checked = run("seeds.md", folder)
    for each in others:
        assert each.status == 0, f"$ {each.command.text}\n{each.errors}"
        assert each.command.output in {None, each.errors + each.output}
    assert (checked.status, checked.output) == (4, checked.command.output)


@pytest.mark.parametrize("document", ["fleets.md", "mac-addresses.md"])
def test_a_ledger_moves_to_a_server(folder: Path, document: str) -> None:
    with postgresql.running() as server:
        service = server.service("fleet", server.new_database())
        (folder / "home/.pg_service.conf").write_text(service)
        for each in run(document, folder):
            assert each.status == 0, f"$ {each.command.text}\n{each.errors}"


def test_a_fleet_in_yaml_is_written(folder: Path) -> None:
    fleet = re.search(r"^```yaml\n(.*?)^```$", DOCUMENTS["seeds.md"], re.MULTILINE | re.DOTALL)
    assert fleet is not None
    (folder / "fleet.yaml").write_text(fleet[1])
    options = ("--machines", "fleet.yaml", "--output-dir", "seeds")
    subprocess.run([PROGRAM, "seed", *options], cwd=folder, check=True, capture_output=True)
    assert {path.name for path in (folder / "seeds").iterdir()} == {
        "web-01.iso",
        "db-01.example.org.iso",
    }


def test_the_fleet_that_clone_shows_is_planned(folder: Path) -> None:
    for kind, name in (("yaml", "fleet.yaml"), ("csv", "workers.csv")):
        shown = re.search(
            rf"^```{kind}\n(.*?)^```$", DOCUMENTS["clone.md"], re.MULTILINE | re.DOTALL
        )
        assert shown is not None
        (folder / name).write_text(shown[1])
    shutil.copy(folder / "golden.qcow2", folder / "data.qcow2")
    argv = [str(PROGRAM), "clone", "fleet.yaml", "--dry-run", "--json"]
    planned = json.loads(subprocess.check_output(argv, cwd=folder))["results"]
    names = [*(f"web-{number:03}" for number in range(1, 21)), "db-01", "worker-a", "worker-b"]
    assert [each["machine"]["name"] for each in planned] == names
    assert planned[0]["machine"]["hostname"] == "web-001.example.org"


@pytest.mark.parametrize(
    ("document", "example"),
    [
        pytest.param(name, code, id=name)
        for name, text in sorted(DOCUMENTS.items())
        for code in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ],
)
def test_every_python_example_runs(folder: Path, document: str, example: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
