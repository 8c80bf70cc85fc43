"""The examples, run as their READMEs say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import command, readback

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HOOK = EXAMPLES / "post-clone-hook" / "post-clone"
TEMPLATE = EXAMPLES / "packer" / "clone.pkr.hcl"


def run(argv: Sequence[str | Path], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run an example in *folder*, with ``unclone`` on the PATH and Packer not calling home."""
    return subprocess.run(
        argv,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{command.PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
            "CHECKPOINT_DISABLE": "1",
            "PACKER_LOG": "",
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def packer(folder: Path, source: Path, output: str) -> subprocess.CompletedProcess[str]:
    variables = ["-var", f"source={source}", "-var", f"output={output}"]
    return run(["packer", "build", "-color=false", *variables, TEMPLATE], folder)


@pytest.mark.guest
@pytest.mark.appliance
@pytest.mark.timeout(1800)
def test_hook_sanitises_and_keeps_the_report(golden: Path, tmp_path: Path) -> None:
    image = tmp_path / "a clone's disk.qcow2"
    shutil.copyfile(golden, image)
    done = run([HOOK, image.name], tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / f"{image.name}.unclone.json").read_text())
    assert report["schema"] == "unclone.sanitize/1"
    assert [result["status"] for result in report["results"]] == ["done"]
    (found,) = readback.read([image], ["/etc/machine-id"])
    assert found["/etc/machine-id"].content == b""
    assert len(list(tmp_path.iterdir())) == 2  # the image and the report


@pytest.mark.guest
@pytest.mark.appliance
@pytest.mark.timeout(1800)
def test_demo_shows_two_machines(golden: Path, tmp_path: Path) -> None:
    demo: list[str | Path] = [sys.executable, "-m", "examples.demo.demo", tmp_path]
    done = run(demo, EXAMPLES.parent, COLUMNS="100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the copies shared 8 before and share 0 now" in done.stdout
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["web-01.json", "web-01.qcow2", "web-02.json", "web-02.qcow2"]


@pytest.mark.guest
@pytest.mark.appliance
@pytest.mark.timeout(1800)
def test_packer_builds_a_machine_of_its_own(golden: Path, tmp_path: Path) -> None:
    output = "web-01.qcow2"
    done = packer(tmp_path, golden, output)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / f"{output}.unclone.json").read_text())
    assert [result["status"] for result in report["results"]] == ["done"]
    (found,) = readback.read([tmp_path / output], ["/etc/machine-id"])
    assert found["/etc/machine-id"].content == b""


@pytest.mark.slow
def test_packer_lets_no_failed_copy_out(tmp_path: Path) -> None:
    source = tmp_path / "not-a-disk.qcow2"
    source.write_bytes(b"QFI\xfb\0\0\0\3" + b"\xff" * 504)
    done = packer(tmp_path, source, "web-01.qcow2")
    assert done.returncode == 1
    assert "Script exited with non-zero exit status" in done.stdout
    assert "web-01.qcow2" in done.stdout
    assert "internal error" not in done.stdout
    assert not (tmp_path / "web-01.qcow2").exists()


@pytest.mark.slow
def test_packer_template_is_valid_and_formatted(tmp_path: Path) -> None:
    variables = ["-var", "source=a", "-var", "output=b"]
    valid = run(["packer", "validate", *variables, TEMPLATE], tmp_path)
    assert valid.returncode == 0, valid.stdout + valid.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param([], "usage: post-clone IMAGE", id="no-image"),
        pytest.param(["a", "b"], "usage: post-clone IMAGE", id="two-images"),
        pytest.param(["absent.qcow2"], "absent.qcow2", id="missing-image"),
    ],
)
def test_hook_passes_on_what_is_wrong(tmp_path: Path, arguments: Sequence[str], says: str) -> None:
    done = run([HOOK, *arguments], tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert not list(tmp_path.glob("*.??????"))  # no unfinished report is left


@pytest.mark.slow
def test_hook_passes_options_on(tmp_path: Path) -> None:
    done = run([HOOK, "absent.qcow2"], tmp_path, UNCLONE_OPTIONS="--profile nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr
