"""``examples/libvirt/post-virt-clone``: after virt-clone, with libvirt's driver for tests.

That driver forgets, after each command, what was defined in it. So virt-clone says what it defines
(``--print-xml``), and the commands that follow find that in the driver's file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.packaging.conftest import ROOT
from tests.support import command
from tests.support.disks import Part, make_disk
from tests.unclone.test_clone import DOMAIN, MAC, TREE, UUID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.slow

HOOK = ROOT / "examples" / "libvirt" / "post-virt-clone"
GENID = "11111111-2222-4333-8444-555555555555"
TEST = "http://libvirt.org/schemas/domain/test/1.0"
SNAPSHOT = (
    "<test:domainsnapshot><name>one</name><state>shutoff</state><creationTime>1</creationTime>"
    "<active>0</active><disks><disk name='vda' snapshot='no'/></disks></test:domainsnapshot>"
)


class Host(NamedTuple):
    """A folder with a golden image, and the libvirt of its domains."""

    folder: Path

    def run(self, *argv: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env={
                **os.environ,
                "HOME": str(self.folder),
                "LIBVIRT_DEFAULT_URI": f"test://{self.folder}/node.xml",
                "PATH": f"{command.PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
                "TMPDIR": str(self.folder / "tmp"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def define(self, name: str, text: str, *, state: int = 5, more: str = "") -> None:
        """Have libvirt know the domain *text*, shut off (5) or running (1)."""
        head = f"<domain type='test' xmlns:test='{TEST}'><test:runstate>{state}</test:runstate>"
        (self.folder / f"{name}.xml").write_text(re.sub(r"<domain [^>]*>", head + more, text))
        names = sorted(path.name for path in self.folder.glob("*.xml") if path.stem != "node")
        node = "".join(f'<domain file="{self.folder / each}"/>' for each in names)
        (self.folder / "node.xml").write_text(f"<node>{node}</node>")

    def clone(self, *, state: int = 5, more: str = "") -> str:
        """Have virt-clone make web-01, and return its definition."""
        argv = ("virt-clone", "--original", "golden", "--name", "web-01", "--auto-clone")
        made = self.run(*argv, "--print-xml").stdout
        self.run(*argv)
        self.define("web-01", made, state=state, more=more)
        return made


@pytest.fixture
def host(tmp_path: Path) -> Host:
    make_disk(tmp_path / "golden.qcow2", [Part("ext4", uuid=UUID, tree=TREE)], form="qcow2")
    (tmp_path / "tmp").mkdir()
    domain = DOMAIN.format(folder=tmp_path, mac=MAC)
    host = Host(tmp_path)
    host.define("golden", domain.replace("<memory", f"<genid>{GENID}</genid><memory", 1))
    return host


def test_a_clone_becomes_a_machine_of_its_own(host: Host) -> None:
    made = host.clone()
    assert GENID in made  # what virt-clone leaves
    golden = (host.folder / "golden.qcow2").read_bytes()
    done = host.run(HOOK, "web-01")
    (uuid,) = re.findall(r"web-01: defined anew as ([0-9a-f-]{36})", done.stdout)
    assert uuid not in made
    assert UUID not in command.unclone("inspect", host.folder / "web-01.qcow2").stdout
    assert (host.folder / "golden.qcow2").read_bytes() == golden
    assert list((host.folder / "tmp").iterdir()) == []


def test_options_are_passed_on_and_a_refusal_leaves_the_clone(host: Host) -> None:
    host.clone()
    hook = ("env", "UNCLONE_OPTIONS=--profile nonsense", HOOK, "web-01")
    assert "nonsense" in host.run(*hook, status=2).stderr
    shutil.copyfile(os.devnull, host.folder / "web-01.qcow2")
    assert "web-01.qcow2" in host.run(HOOK, "web-01", status=4).stderr
    assert list((host.folder / "tmp").iterdir()) == []


def test_a_running_clone_is_left(host: Host) -> None:
    host.clone(state=1)
    before = (host.folder / "web-01.qcow2").read_bytes()
    assert "web-01 is not shut off: running" in host.run(HOOK, "web-01", status=1).stderr
    assert (host.folder / "web-01.qcow2").read_bytes() == before


def test_what_libvirt_does_not_take_is_no_success(host: Host) -> None:
    """libvirt does not undefine a domain that has a snapshot."""
    host.clone(more=SNAPSHOT)
    done = host.run(HOOK, "web-01", status=1)
    assert "libvirt did not take the new definition" in done.stderr
    assert "defined anew" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "usage: post-virt-clone NAME"),
        (["a", "b"], "usage: post-virt-clone NAME"),
        (["it's"], "the domain's name has a quote in it: it's"),
    ],
)
def test_what_makes_no_sense_is_said(host: Host, arguments: Sequence[str], says: str) -> None:
    assert says in host.run(HOOK, *arguments, status=2).stderr
