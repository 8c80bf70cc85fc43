"""``packer build`` with the post-processor, by Debian's Packer."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.packaging.conftest import ROOT
from tests.support import archives, command
from tests.support.disks import BARE_ROOT, Part, make_disk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.slow

OLD = "1" * 32
FILE = 'source "file" "x" {\n  source = "golden.qcow2"\n  target = "web-01.qcow2"\n}\n'
NULL = 'source "null" "x" {\n  communicator = "none"\n}\n'


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = {
        **BARE_ROOT,
        "/usr/lib/systemd/systemd": "ELF",
        "/etc/fstab": "",
        "/etc/machine-id": f"{OLD}\n",
    }
    path = tmp_path_factory.mktemp("golden") / "golden.qcow2"
    return make_disk(path, [Part("ext4", tree=tree)], form="qcow2")


class Project(NamedTuple):
    """A folder with a golden image, and the plugin where Packer finds it."""

    folder: Path
    env: Mapping[str, str]

    def packer(self, *arguments: str, status: int = 0) -> str:
        """What Packer prints on standard output; words are not broken across lines."""
        done = subprocess.run(
            ["packer", *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return " ".join((done.stdout + done.stderr).split())

    def build(self, template: str, *, name: str = "t.pkr.hcl", status: int = 0) -> str:
        (self.folder / name).write_text(template)
        return self.packer("build", "-color=false", name, status=status)

    def identity(self, name: str) -> str:
        return command.unclone("inspect", self.folder / name).stdout


@pytest.fixture
def project(golden: Path, tmp_path: Path) -> Project:
    (tmp_path / "golden.qcow2").write_bytes(golden.read_bytes())
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    for name in ("packer-post-processor-unclone", "packer-plugin-unclone"):
        script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][name]
        module, _, function = script.partition(":")
        plugin = plugins / name
        plugin.write_text(f"#!{sys.executable}\nfrom {module} import {function} as f\nf()\n")
        plugin.chmod(0o755)
    env = {
        **os.environ,
        "CHECKPOINT_DISABLE": "1",  # Packer asks nobody for a newer version
        "PACKER_PLUGIN_PATH": str(plugins),
        "PACKER_NO_COLOR": "1",
        "PACKER_LOG": "",
        "PACKER_CONFIG_DIR": str(tmp_path),
        "HOME": str(tmp_path),
    }
    return Project(tmp_path, env)


def hcl(source: str, *processors: str) -> str:
    kind = source.split('"')[1]
    return f'{source}build {{\n  sources = ["source.{kind}.x"]\n{"".join(processors)}}}\n'


def unclone(**settings: object) -> str:
    """A ``post-processor`` block of HCL2."""
    lines = "".join(f"    {key} = {json.dumps(value)}\n" for key, value in settings.items())
    return f'  post-processor "unclone" {{\n{lines}  }}\n'


def digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_artifact_of_a_builder_becomes_a_machine_of_its_own(project: Project) -> None:
    """HCL2, in place; the next post-processor gets the same file, and its checksum as the id."""
    golden = digest(project.folder / "golden.qcow2")
    chain = unclone(profile="golden", disable=["shell-history"], strict=False, hostname="web-01")
    manifest = '  post-processor "manifest" {}\n'
    text = hcl(FILE, f"  post-processors {{\n{chain}{manifest}  }}\n")
    said = project.build(text)
    image = project.folder / "web-01.qcow2"
    assert "file.x (unclone): web-01.qcow2: reading everything back" in said
    assert "profile golden" in said
    assert f"--> file.x: web-01.qcow2 ({digest(image)})" in said
    (build,) = json.loads((project.folder / "packer-manifest.json").read_text())["builds"]
    assert build["artifact_id"] == digest(image)
    assert [each["name"] for each in build["files"]] == ["web-01.qcow2"]
    assert OLD not in project.identity("web-01.qcow2")
    assert digest(project.folder / "golden.qcow2") == golden


def test_a_json_template_makes_a_new_file(project: Project) -> None:
    """Variables are told; the builder's file is kept as it was."""
    template = {
        "variables": {"profile": "golden"},
        "builders": [{"type": "file", "source": "golden.qcow2", "target": "a.qcow2"}],
        "post-processors": [
            {
                "type": "unclone",
                "profile": "{{user `profile`}}",
                "output": "{{ build_name }}.qcow2",
                "disable": ["shell-history", "tor-keys"],
                "strict": "false",
            }
        ],
    }
    said = project.build(json.dumps(template), name="t.json")
    made = project.folder / "file.qcow2"
    assert "profile golden" in said
    assert f"--> file: file.qcow2 ({digest(made)})" in said
    assert OLD not in project.identity("file.qcow2")
    assert digest(project.folder / "a.qcow2") == digest(project.folder / "golden.qcow2")


def test_disks_that_no_builder_made(project: Project) -> None:
    """The null builder has no files: ``paths`` says them. Packer may remove new files only."""
    (project.folder / "data.qcow2").write_bytes((project.folder / "golden.qcow2").read_bytes())
    compress = (
        '    post-processor "compress" {\n      output = "out.tar"\n'
        "      keep_input_artifact = false\n    }\n"
    )
    new = unclone(paths=["golden.qcow2"], output=["new.qcow2"])
    before = digest(project.folder / "golden.qcow2")
    project.build(hcl(NULL, f"  post-processors {{\n{new}{compress}  }}\n"))
    assert not (project.folder / "new.qcow2").exists()
    assert digest(project.folder / "golden.qcow2") == before
    (project.folder / "out.tar").unlink()
    same = unclone(paths=["golden.qcow2"])
    said = project.build(hcl(NULL, f"  post-processors {{\n{same}{compress}  }}\n"))
    assert "golden.qcow2: done" in said
    assert OLD not in project.identity("golden.qcow2")
    assert OLD in project.identity("data.qcow2")


def test_an_appliance_is_changed_as_a_whole(project: Project) -> None:
    archives.ova(project.folder)
    said = project.build(hcl(FILE.replace(".qcow2", ".ova"), unclone()))
    assert digest(project.folder / "web-01.ova") in said
    assert digest(project.folder / "web-01.ova") != digest(project.folder / "golden.ova")


def test_a_refusal_fails_the_build(project: Project) -> None:
    """Packer removes the artifact of its builder then, and no other file."""
    (project.folder / "golden.qcow2").write_bytes(bytes(4096))
    before = digest(project.folder / "golden.qcow2")
    said = project.build(hcl(FILE, unclone()), status=1)
    why = "Post-processor failed: web-01.qcow2: the disk has no partition table and no file system"
    assert why in said
    assert "Is this the right disk?" in said
    assert "no artifacts were created" in said
    assert digest(project.folder / "golden.qcow2") == before
    assert not (project.folder / "web-01.qcow2").exists()


def kept() -> str:
    """The post-processor after one that has Packer keep the builder's files whatever happens."""
    first = '    post-processor "artifice" {\n      files = ["web-01.qcow2"]\n    }\n'
    return f"  post-processors {{\n{first}{unclone()}  }}\n"


def test_a_file_that_packer_keeps_is_untouched_after_a_refusal(project: Project) -> None:
    (project.folder / "golden.qcow2").write_bytes(bytes(4096))
    said = project.build(hcl(FILE, kept()), status=1)
    assert "Post-processor failed" in said
    assert digest(project.folder / "web-01.qcow2") == digest(project.folder / "golden.qcow2")


def test_ctrl_c_leaves_the_image_as_it_was(project: Project) -> None:
    """Ctrl-C while qemu-img works, which is held up until the run has been interrupted."""
    programs, held, go = (project.folder / name for name in ("bin", "held", "go"))
    programs.mkdir()
    tool = programs / "qemu-img"
    wait = f'while [ ! -e "{go}" ]; do sleep 0.05; done'
    tool.write_text(f'#!/bin/sh\n: >"{held}"\n{wait}\nexec /usr/bin/qemu-img "$@"\n')
    tool.chmod(0o755)
    env = {**project.env, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    (project.folder / "t.pkr.hcl").write_text(hcl(FILE, kept()))
    with subprocess.Popen(
        ["packer", "build", "-color=false", "t.pkr.hcl"],
        cwd=project.folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as build:
        assert build.stdout is not None
        while not held.exists():
            assert build.poll() is None
            time.sleep(0.05)
        os.killpg(build.pid, signal.SIGINT)  # as a terminal does
        said = ""
        for line in build.stdout:
            said += line
            if "interrupting the run" in line:
                go.touch()
    assert build.returncode == 1
    assert "web-01.qcow2: interrupted; the image is as it was" in said
    assert "Cleanly cancelled builds after being interrupted." in said
    names = {path.name for path in project.folder.iterdir() if "unclone" in path.name}
    assert names == set()
    assert digest(project.folder / "web-01.qcow2") == digest(project.folder / "golden.qcow2")


def test_validate_says_what_is_wrong(project: Project) -> None:
    """Packer itself knows the settings and their types; the plugin knows what values make sense."""
    for settings, why in (
        ({"profile": "gold"}, "Invalid value for 'profile': 'gold' is not one of"),
        ({"profil": "golden"}, 'An argument named "profil" is not expected here'),
        ({"disable": "tor-keys"}, "list of string required"),
    ):
        (project.folder / "t.pkr.hcl").write_text(hcl(NULL, unclone(**settings)))
        assert why in project.packer("validate", "t.pkr.hcl", status=1)


def test_the_example_is_valid(project: Project) -> None:
    variables = ["-var", "source=golden.qcow2", "-var", "output=web-01.qcow2"]
    template = str(ROOT / "examples" / "packer" / "plugin.pkr.hcl")
    project.packer("build", *variables, template)
    assert OLD not in project.identity("web-01.qcow2")
