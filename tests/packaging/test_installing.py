"""The built package, installed as people install it: a fresh environment and the current pip.

Two interpreters: the host's own, on which `make` builds the development environment, and the one of
a Debian 13 root, the newest that Debian's stable packages give. The root has no network; what
pip would fetch there is fetched by the host's pip, for that interpreter.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.packaging.conftest import ROOT
from tests.support import debian_root

if TYPE_CHECKING:
    from pathlib import Path

    from tests.packaging.conftest import Distributions

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(1800)]

#: Install $1 with the interpreter $2, then use it in an empty folder on the guest that $3 makes.
INSTALL_AND_USE = r"""
set -eu
export PIP_DISABLE_PIP_VERSION_CHECK=1 PATH="$PATH:/usr/sbin:/sbin"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$2" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --upgrade pip
"$work/venv/bin/python" -m pip install --quiet "$1"
"$work/venv/bin/python" -m pip --version
mkdir "$work/empty"
cd "$work/empty"
for name in images sanitize seeds; do
    if "$work/venv/bin/python" -c "import $name" 2>error; then
        echo "a module called $name was installed"
        exit 1
    fi
    grep "No module named '$name'" error
    "$work/venv/bin/python" -c "import unclone.$name"
done
"$work/venv/bin/python" - <<'END'
import importlib.metadata
import sys
files = importlib.metadata.files("unclone")
top = {file.parts[0] for file in files if not file.parts[0].endswith(".dist-info")}
assert top == {"..", "unclone"}, top  # ../../../bin/unclone
print("one top-level name on Python %d.%d" % sys.version_info[:2])
END
"$work/venv/bin/unclone" --version
"$work/venv/bin/unclone" steps >steps
grep -q '^machine-id ' steps
"$3" web-01.qcow2
"$work/venv/bin/unclone" sanitize --quiet --json web-01.qcow2 >report.json
grep '"status": "done"' report.json
qemu-img convert -f qcow2 -O raw web-01.qcow2 disk
e2fsck -fn 'disk?offset=1048576' >check 2>&1 || { cat check; exit 1; }
debugfs -R 'stat /etc/machine-id' 'disk?offset=1048576' 2>&1 | grep 'Size: 0'
debugfs -R 'stat /var/lib/dbus/machine-id' 'disk?offset=1048576' 2>&1 | grep 'File not found'
echo "used from $2"
"""

GUEST = ROOT / "examples" / "first-steps"


def chosen(distributions: Distributions, kind: str) -> Path:
    return distributions.wheel if kind == "wheel" else distributions.sdist


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_installs_on_the_python_of_debian_12(
    distributions: Distributions, tmp_path: Path, kind: str
) -> None:
    python = "/usr/bin/python3"
    done = subprocess.run(
        [
            *("sh", "-c", INSTALL_AND_USE, "install"),
            *(chosen(distributions, kind), python, GUEST / "make-guest"),
        ],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    assert f"used from {python}" in done.stdout


def test_uv_installs_the_command(distributions: Distributions, tmp_path: Path) -> None:
    """``uv tool install``, which README names beside pipx; the libguestfs binding is not there."""
    tools = tmp_path / "tools"
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    subprocess.run([tools / "bin/python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    env = {**os.environ, "HOME": str(tmp_path), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    uv = (tools / "bin" / "uv", "tool", "install", "--quiet", "--python", "/usr/bin/python3")
    subprocess.run([*uv, distributions.wheel], env=env, check=True, timeout=900)
    subprocess.run([GUEST / "make-guest", "web-01.qcow2"], cwd=tmp_path, env=env, check=True)
    command = tmp_path / ".local" / "bin" / "unclone"
    said = subprocess.check_output(
        [command, "sanitize", "--json", "web-01.qcow2"], cwd=tmp_path, env=env
    )
    assert [each["status"] for each in json.loads(said)["results"]] == ["done"]


@pytest.fixture(scope="module")
def wheels(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that pip needs to install either distribution on Python 3.13, without an index."""
    folder = tmp_path_factory.mktemp("wheels")
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in (34, 28, 17)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder),
            *("--only-binary=:all:", "--implementation=cp", "--python-version=3.13"),
            *(f"--platform={platform}" for platform in (*platforms, "manylinux2014_x86_64")),
            *("pip", "hatchling", distributions.wheel),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    (folder / distributions.wheel.name).unlink()
    return folder


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_installs_on_the_python_of_debian_13(
    distributions: Distributions, wheels: Path, tmp_path: Path, kind: str
) -> None:
    package = chosen(distributions, kind)
    shutil.copy(package, tmp_path)
    done = debian_root.run_in_root(
        [
            *("sh", "-c", INSTALL_AND_USE, "install"),
            *(f"/package/{package.name}", "/usr/bin/python3", "/first-steps/make-guest"),
        ],
        folders={tmp_path: "/package", wheels: "/wheels", GUEST: "/first-steps"},
        env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"},
    )
    assert done.returncode == 0, done.stdout
    assert "one top-level name on Python 3.13" in done.stdout
    assert "used from /usr/bin/python3" in done.stdout
