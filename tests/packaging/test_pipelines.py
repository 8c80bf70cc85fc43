"""The examples for pipelines and containers: checked against schemas, their commands run.

Neither GitLab, GitHub, podman nor Kubernetes runs here. Their schemas come with two tools from
PyPI, which get an environment of their own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.packaging.conftest import ROOT
from tests.support import command, debian_root
from tests.support.disks import BARE_ROOT, Part, make_disk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(1800)]

PIPELINES = ROOT / "examples" / "pipelines"
CONTAINERS = ROOT / "examples" / "containers"

#: $1 the root, $2 the folder of images; then the command. As job.yaml says: an ordinary user
#: without capabilities, a read-only root, /tmp and /images to write to.
AS_THE_JOB = """
set -eu
root=$1 images=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 scratch "$root/tmp"
mount --bind "$images" "$root/images"
exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin setpriv --reuid=1000 --regid=1000 \\
    --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \\
    sh -c 'cd /images && touch /etc/of-the-root 2>/dev/null && exit 99; exec "$@"' sh "$@"
"""


@pytest.fixture(scope="module")
def checkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment with check-jsonschema and kubernetes-validate."""
    folder = tmp_path_factory.mktemp("checkers")
    run(sys.executable, "-m", "venv", folder)
    packages = ("check-jsonschema", "kubernetes-validate")
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages)
    return folder / "bin"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    tree = {
        **BARE_ROOT,
        "/usr/lib/systemd/systemd": "ELF",
        "/etc/fstab": "",
        "/etc/machine-id": f"{'1' * 32}\n",
    }
    folder = tmp_path / "images"
    folder.mkdir()
    return make_disk(folder / "golden.qcow2", [Part("ext4", tree=tree)], form="qcow2")


@pytest.mark.parametrize(
    ("name", "schema"),
    [("gitlab-ci.yml", "vendor.gitlab-ci"), ("github-workflow.yml", "vendor.github-workflows")],
)
def test_a_job_is_as_its_schema_says(checkers: Path, name: str, schema: str) -> None:
    run(checkers / "check-jsonschema", "--builtin-schema", schema, PIPELINES / name)


@pytest.mark.parametrize("path", sorted(CONTAINERS.glob("*.yaml")), ids=lambda path: path.name)
def test_what_is_for_kubernetes_is_as_its_schema_says(checkers: Path, path: Path) -> None:
    run(checkers / "kubernetes-validate", "--strict", path)


@pytest.mark.parametrize("name", ["gitlab-ci.yml", "github-workflow.yml"])
def test_the_script_of_a_job_makes_a_machine_of_its_own(golden: Path, name: str) -> None:
    script, variables = job(name)
    run("sh", "-ec", script, cwd=golden.parent, **variables)
    assert says_done(golden.with_name("web-01.json"))
    assert "1" * 32 not in command.unclone("inspect", golden.with_name("web-01.qcow2")).stdout


@pytest.mark.parametrize("name", ["gitlab-ci.yml", "github-workflow.yml"])
def test_a_job_that_cannot_do_so_fails(tmp_path: Path, name: str) -> None:
    (tmp_path / "golden.qcow2").write_bytes(bytes(1024))
    script, variables = job(name)
    with pytest.raises(AssertionError):
        run("sh", "-ec", script, cwd=tmp_path, **variables)


def test_the_rule_for_make(golden: Path) -> None:
    make = ("make", "-f", PIPELINES / "Makefile", "web-01.qcow2")
    run(*make, cwd=golden.parent)
    assert "1" * 32 not in command.unclone("inspect", golden.with_name("web-01.qcow2")).stdout
    golden.write_bytes(bytes(1024))
    golden.with_name("web-01.qcow2").unlink()
    with pytest.raises(AssertionError):
        run(*make, cwd=golden.parent)
    assert not golden.with_name("web-01.qcow2").exists()


def test_the_container_is_built_and_runs_as_the_job_says(
    deb: Path, golden: Path, tmp_path: Path
) -> None:
    text = (CONTAINERS / "Containerfile").read_text().replace("\\\n", " ")
    lines = re.findall(r"^RUN (.*)", text, re.MULTILINE)
    assert lines
    (container,) = yaml.safe_load((CONTAINERS / "job.yaml").read_text())["spec"]["template"][
        "spec"
    ]["containers"]
    golden.rename(golden.with_name("web-01.qcow2"))
    for path in (golden.parent, golden.with_name("web-01.qcow2")):
        os.chown(path, 1000, 1000)
    entry = (*json.loads(text.partition("ENTRYPOINT ")[2]), *container["args"])
    script = tmp_path / "as-the-job"
    script.write_text(AS_THE_JOB)
    debian_root.make_and_forget(
        "bookworm",
        'mkdir "$1/images"',
        f"sync-in {deb.parent} /tmp",
        *(f'chroot "$1" sh -ec {shlex.quote(line)}' for line in lines),
        f'unshare --mount sh {script} "$1" {golden.parent} {shlex.join(entry)}',
        scratch=tmp_path,
    )
    shown = command.unclone("inspect", golden.with_name("web-01.qcow2")).stdout
    assert "template" in shown
    assert "1" * 32 not in shown


def job(name: str) -> tuple[str, dict[str, str]]:
    """The commands that make the machine, and the variables they get."""
    document = yaml.safe_load((PIPELINES / name).read_text())
    if "jobs" in document:
        found: dict[str, Any] = document["jobs"]["clone"]
        (script,) = (
            step["run"] for step in found["steps"] if "unclone sanitize" in step.get("run", "")
        )
        return script, found["env"]
    found = document["clone"]
    return "\n".join(found["script"]), found["variables"]


def says_done(report: Path) -> bool:
    return [each["status"] for each in json.loads(report.read_text())["results"]] == ["done"]


def run(*argv: str | Path, cwd: Path = ROOT, **variables: str) -> None:
    path = f"{command.PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, "PATH": path, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
