"""The fast tests in other environments: the lowest versions allowed, and Debian 13's own.

The fast tests are those that `make test-fast` runs. Left out are the linters (they judge the
source, whatever runs it) and, in the Debian 13 root, what NOT_IN_THE_ROOT names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.conftest import ROOT
from tests.support import debian_root

if TYPE_CHECKING:
    from tests.packaging.conftest import Distributions

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(3600)]

FAST = "not appliance and not guest and not boot and not slow"
#: Beside the other workers of a whole run there is no processor left for workers of its own, which
#: collect the tests once each and report every one of them.
WORKERS = "0" if "PYTEST_XDIST_WORKER" in os.environ else "auto"
PYTEST = (
    *("-m", "pytest", "-q", "-n", WORKERS, "-p", "tests.support.no_skips"),
    *("-p", "no:cacheprovider"),
)
NOT_SOURCE = ("--ignore=tests/test_linters.py", "--ignore=tests/packaging")

#: Without these there would be nothing to say: a run that collects too little has proven nothing.
AT_LEAST = 6000

#: In Debian 12 the binding of libguestfs, which is not on PyPI.
BINDING = Path("/usr/lib/python3/dist-packages")


def lowest_versions() -> dict[str, str]:
    """The lowest version that pyproject.toml allows of each dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = {}
    for requirement in project["dependencies"]:
        matched = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement)
        assert matched is not None, f"{requirement} has no lowest version"
        found[matched[1]] = matched[2]
    return found


def passed(output: str) -> int:
    """How many tests passed, by pytest's last line; the whole output is shown when any did not."""
    last = output.rstrip().rpartition("\n")[2]
    matched = re.fullmatch(r"(\d+) passed(?:, \d+ (?:deselected|warnings?))* in .*", last)
    assert matched is not None, output[-20_000:]
    return int(matched[1])


@pytest.fixture(scope="module")
def metadata(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip writes about unclone: the program reads there which versions it needs."""
    folder = tmp_path_factory.mktemp("metadata")
    with zipfile.ZipFile(distributions.wheel) as wheel:
        wheel.extractall(folder, [name for name in wheel.namelist() if ".dist-info/" in name])
    return folder


def test_fast_tests_pass_with_the_lowest_versions(metadata: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    pinned = [f"{name}=={version}" for name, version in lowest_versions().items()]
    plugins = ["hypothesis", "pytest<10", "pytest-timeout", "pytest-xdist"]
    run("/usr/bin/python3", "-m", "venv", tmp_path / "venv")
    run(python, "-m", "pip", "install", "--quiet", *pinned, *plugins)
    # `--editable` would write into the source tree of other runs: a path and a script do the same.
    (packages,) = (tmp_path / "venv" / "lib").glob("python3*/site-packages")
    (packages / "unclone.pth").write_text(f"{ROOT}\n")
    shutil.copytree(metadata, packages, dirs_exist_ok=True)
    for file in (BINDING / "guestfs.py", *BINDING.glob("libguestfsmod*.so")):
        (packages / file.name).symlink_to(file)
    script = python.with_name("unclone")
    script.write_text(f"#!{python}\nfrom unclone.__main__ import main\nmain()\n")
    script.chmod(0o755)
    output = run(python, *PYTEST, "-m", FAST, *NOT_SOURCE, check=False)
    assert passed(output) >= AT_LEAST


#: $@: what pytest gets, after the command and the way to the source were put where Python looks.
IN_THE_ROOT = r"""
set -e
printf '%s\n' '#!/usr/bin/python3' 'from unclone.__main__ import main' 'main()' >/usr/bin/unclone
chmod 755 /usr/bin/unclone
packages=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$packages"
echo /source >"$packages/unclone.pth"
cp -r /metadata/. "$packages"
cd /source
exec python3 "$@"
"""

#: What cannot be in the Debian 13 root, or is not there.
NOT_IN_THE_ROOT = (
    # Neither the binding of libguestfs nor an appliance is installed.
    "--ignore=tests/images/engines/guestfs",
    "--deselect=tests/unclone/runs/test_doctor.py::test_this_host_can_run_the_tests",
    # No kernel is installed there.
    (
        "--deselect=tests/images/engines/appliance/test_frozen.py"
        "::test_no_space_for_the_memory_is_found_before_a_boot"
    ),
    # Debian 13 has no Packer.
    "--deselect=tests/unclone/test_examples.py::test_packer_lets_no_failed_copy_out",
    "--deselect=tests/unclone/test_examples.py::test_packer_template_is_valid_and_formatted",
    # Its libvirt knows the element that the test takes for one that no schema knows.
    (
        "--deselect=tests/sanitize/definitions/formats/libvirt/test_oracles.py"
        "::test_what_the_schema_does_not_know_is_no_more_wrong_than_before"
    ),
    # Its lsinitramfs (3cpio) fails on the archives that this test makes up.
    "--deselect=tests/sanitize/boot/test_overriding.py::test_the_tools_that_list_an_initrd_still_do",
    # Its cloud-init (25.1) warns about keys that Debian 12's (22.4) leaves to others.
    (
        "--deselect=tests/seeds/test_checks.py::test_what_is_right_has_no_findings"
        "[a name only others know]"
    ),
)


def test_what_is_left_out_is_there() -> None:
    for option in NOT_IN_THE_ROOT:
        path, _, test = option.partition("=")[2].partition("::")
        assert (ROOT / path).exists(), path
        assert test.partition("[")[0] in "".join(
            p.read_text() for p in [ROOT / path] if p.is_file()
        )


def test_fast_tests_pass_with_the_libraries_and_tools_of_debian_13(
    metadata: Path, tmp_path: Path
) -> None:
    listed = run(
        "git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"
    )
    (tmp_path / "names").write_text(listed)
    (tmp_path / "source").mkdir()
    run("sh", "-c", 'tar -c -T "$1/names" | tar -x -C "$1/source"', "copy", tmp_path)
    done = debian_root.run_in_root(
        [
            *("sh", "-c", IN_THE_ROOT, "fast-tests"),
            *PYTEST,
            *("-m", FAST, *NOT_SOURCE, *NOT_IN_THE_ROOT),
        ],
        folders={tmp_path / "source": "/source", metadata: "/metadata"},
        env={"CI": "true"},
        timeout=3000,
    )
    assert passed(done.stdout) >= AT_LEAST


def run(*command: str | Path, check: bool = True) -> str:
    """Run *command* in the source tree; return what it printed."""
    # What pytest-xdist says to this process is not for the one inside.
    environment = {n: value for n, value in os.environ.items() if not n.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "CI": "true", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=3000,
    )
    assert done.returncode == 0 or not check, done.stdout
    return done.stdout
