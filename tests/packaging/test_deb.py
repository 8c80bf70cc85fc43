"""The Debian package: judged by lintian and man, installed in fresh roots and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from release.deb import SHELLS
from tests.guests import debian
from tests.support import debian_root
from unclone.cli.main import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(1800)]

#: In a fresh root: install the package as people do, and use it on the guest of the demo.
USE = r"""
set -eu
apt-get -qq install --yes --no-install-recommends /package/unclone_*_all.deb
cd /guest
unclone --version
for name in images sanitize seeds unclone; do
    if python3 -c "import $name" 2>error; then
        echo "a module called $name was installed"
        exit 1
    fi
    grep "No module named '$name'" error
done
python3 -c 'import pip' 2>error && exit 1
unclone doctor --quiet
unclone sanitize --json web-01.qcow2 >report.json
grep '"status": "done"' report.json
apt-get -qq remove --yes unclone
test ! -e /usr/share/unclone
"""


def test_lintian_finds_nothing(deb: Path) -> None:
    done = run("lintian", "--allow-root", "--display-info", "--fail-on=error,warning,info", deb)
    assert done == ""


def test_every_command_has_a_page_and_every_shell_a_completion(deb: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "--extract", deb, tmp_path)
    share = tmp_path / "usr" / "share"
    found = sorted((share / "man" / "man1").iterdir())
    pages = [page for page in found if not page.is_symlink()]
    plugins = {page.name.removesuffix(".1.gz") for page in found if page.is_symlink()}
    assert plugins == {path.name for path in (tmp_path / "usr" / "bin").glob("packer-*")}
    wanted = ["unclone", *(f"unclone-{command}" for command in COMMANDS)]
    assert [page.name for page in pages] == sorted(f"{name}.1.gz" for name in wanted)
    for page in pages:
        shown = run("man", "--encoding=UTF-8", "--local-file", page)
        assert run("sh", "-c", 'man --warnings -Tutf8 -l "$1" 2>&1 >/dev/null', "sh", page) == ""
        command = page.name.removesuffix(".1.gz").replace("-", " ")
        assert f"{command} [OPTIONS]" in shown
        assert "EXIT STATUS" in shown
    installed = [
        share / "bash-completion" / "completions" / "unclone",
        share / "zsh" / "vendor-completions" / "_unclone",
        share / "fish" / "vendor_completions.d" / "unclone.fish",
    ]
    assert len(installed) == len(SHELLS)
    assert all("_UNCLONE_COMPLETE" in script.read_text() for script in installed)


@pytest.mark.guest
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_installs_in_a_fresh_root_and_sanitises_the_guest_of_the_demo(
    deb: Path, tmp_path: Path, suite: str
) -> None:
    guest = tmp_path / "guest"
    guest.mkdir()
    image = guest / "web-01.qcow2"
    shutil.copyfile(debian.cached(), image)
    (guest / "use").write_text(USE)
    debian_root.make_and_forget(
        suite,
        'mkdir "$1/guest" "$1/package"',
        f"sync-in {guest} /guest",
        f"sync-in {deb.parent} /package",
        'chroot "$1" sh /guest/use',
        f"sync-out /guest {guest}",
        scratch=tmp_path,
    )
    assert file_in_root(image, "/var/lib/dbus/machine-id", tmp_path) == "File not found"
    assert file_in_root(image, "/etc/machine-id", tmp_path) == "Size: 0"


def file_in_root(image: Path, path: str, scratch: Path) -> str:
    """What debugfs says of *path* in the largest partition, and e2fsck nothing bad about that."""
    disk = scratch / "disk"
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, disk)
    table = json.loads(run("sfdisk", "--json", disk))["partitiontable"]
    start = max(table["partitions"], key=lambda each: int(each["size"]))["start"]
    partition = f"{disk}?offset={start * 512}"
    run("e2fsck", "-fn", partition)
    said = run("debugfs", "-R", f"stat {path}", partition)
    found = re.search(r"Size: \d+|File not found", said)
    assert found is not None, said
    return found[0]


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, "MANWIDTH": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
