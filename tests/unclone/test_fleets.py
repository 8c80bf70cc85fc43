"""Fleets on several hosts with one ledger: the playbook for Ansible, and the Job for Kubernetes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.packaging.conftest import ROOT
from tests.support import command, postgresql
from tests.support.disks import Part, make_disk
from tests.unclone.test_ansible_role import KEY
from tests.unclone.test_clone_stamped import SWAP, TREE, UUID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.slow


class Host:
    """The folder of the test, and where its programs find the ledger."""

    def __init__(self, folder: Path, server: postgresql.Server) -> None:
        self.folder = folder
        self.ledger = server.new_database()
        (folder / "pg_service.conf").write_text(server.service("fleet", self.ledger))
        self.env = {
            **os.environ,
            "HOME": str(folder),
            "PATH": f"{command.PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
            "PGSERVICEFILE": str(folder / "pg_service.conf"),
        }

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env={**self.env, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def machines(self) -> list[Path]:
        """The folders of those that are complete: half-made ones are hidden."""
        found = [path.parent for path in self.folder.rglob("machine.json")]
        return [folder for folder in found if not folder.name.startswith(".")]

    def records(self) -> dict[str, Mapping[str, Any]]:
        """Who each machine is that is there, by its name."""
        texts = [(each / "machine.json").read_text() for each in self.machines()]
        found = [json.loads(text)["machine"] for text in texts]
        assert len({each["name"] for each in found}) == len(found)
        return {each["name"]: each for each in found}

    def require_own_identities(self) -> None:
        """Of all machines, on whichever host: in the ledger, and in what was made."""
        listed = json.loads(command.unclone("ledger", self.ledger, "--json").stdout)["results"]
        assert {each["name"] for each in listed} == set(self.records())
        given = Counter((one["kind"], one["value"]) for m in listed for one in m["identities"])
        assert given
        assert set(given.values()) == {1}
        audited = command.unclone("audit", *self.machines())
        assert audited.returncode == 0, audited.stdout


def end(process: subprocess.Popen[str], status: int = 0) -> str:
    said, errors = process.communicate(timeout=1200)
    assert process.returncode == status, said + errors
    return said


@pytest.fixture(scope="module")
def server() -> Iterator[postgresql.Server]:
    with postgresql.running() as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: postgresql.Server) -> Host:
    parts = [Part("ext4", uuid=UUID, tree=TREE), Part("swap", uuid=SWAP)]
    make_disk(tmp_path / "golden.qcow2", parts, form="qcow2")
    return Host(tmp_path, server)


def test_hypervisors_with_one_ledger_share_no_identity(host: Host) -> None:
    """One of them cannot work at first; a second run makes its machines, and no others."""
    shutil.copytree(ROOT / "examples" / "ansible", host.folder, dirs_exist_ok=True)
    (host.folder / "id.pub").write_text(KEY)
    own = "{{ playbook_dir }}/{{ inventory_hostname }}"
    given = {"fleet_golden": f"{own}.qcow2", "fleet_folder": own, "fleet_count": 2}
    play = (
        *("ansible-playbook", "-c", "local", "-i", "hypervisors.yml", "-l", "hv-1,hv-2"),
        *("-e", json.dumps(given), "fleet.yml"),
    )
    local = {"ANSIBLE_LOCAL_TEMP": str(host.folder / "ansible"), "ANSIBLE_NOCOLOR": "1"}
    (host.folder / "golden.qcow2").rename(host.folder / "hv-1.qcow2")
    said = end(host.start(*play, **local), status=2)
    assert "hv-2.qcow2" in said.partition("PLAY RECAP")[0].partition("fatal: [hv-2]")[2]
    made = host.records()
    assert sorted(made) == ["hv-1-0001", "hv-1-0002"], said
    shutil.copyfile(host.folder / "hv-1.qcow2", host.folder / "hv-2.qcow2")
    recap = end(host.start(*play, **local)).partition("PLAY RECAP")[2].splitlines()
    changed = [re.findall(r"^(\S+) .*changed=(\d+)", line) for line in recap if "ok=" in line]
    assert changed == [[("hv-1", "0")], [("hv-2", "1")]]
    after = host.records()
    assert sorted(after) == ["hv-1-0001", "hv-1-0002", "hv-2-0001", "hv-2-0002"]
    assert {name: after[name] for name in made} == made
    host.require_own_identities()


def test_pods_with_one_ledger_share_no_identity(host: Host) -> None:
    """One of them is killed, and started again, as Kubernetes does it."""
    text = (ROOT / "examples" / "containers" / "fleet-jobs.yaml").read_text()
    (container,) = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
    words = [*container["command"], *container["args"]]

    def pod(index: int) -> subprocess.Popen[str]:
        return host.start(*words, MACHINES="8", JOB_COMPLETION_INDEX=str(index))

    first, second = pod(0), pod(1)
    while not list(host.folder.glob("pod-1/*/machine.json")):
        assert second.poll() is None
    second.kill()
    second.communicate()
    end(first)
    before = host.records()
    end(pod(1))
    after = host.records()
    assert sorted(after) == [f"web-{number:04}" for number in range(1, 17)]
    assert {name: after[name] for name in before} == before
    assert len(list(host.folder.glob("golden.prepared-*.qcow2"))) == 1
    assert {path.name for path in host.folder.glob("pod-*/*")} == set(after)
    host.require_own_identities()
