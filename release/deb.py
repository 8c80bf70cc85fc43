"""The Debian package, built from the tree with the tools and the libraries of the distribution.

python -m release.deb [FOLDER]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from email.utils import formatdate
from pathlib import Path

from click.shell_completion import BashComplete, FishComplete, ZshComplete

from release.man_pages import write_pages
from unclone import __version__
from unclone.cli.main import cli

ROOT = Path(__file__).parents[1]
SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}

CHANGELOG = """\
unclone ({version}) unstable; urgency=medium

  * CHANGELOG.md has what is new.

 -- {maintainer}  {day}
"""


def source_date() -> int:
    """Seconds since 1970 of the commit that is built: the time that everything built bears."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    return int(_git("log", "-1", "--format=%ct"))


def copy_tree(target: Path) -> None:
    """Copy every file that git tracks, or would track, into the empty folder *target*."""
    for name in _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and os.path.lexists(ROOT / name):  # not one that was deleted, and that is staged
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path, follow_symlinks=False)


def write_completions(folder: Path) -> None:
    """Write the completion scripts of all shells into *folder*, each called by its shell."""
    folder.mkdir()
    for shell, complete in SHELLS.items():
        (folder / shell).write_text(complete(cli, {}, "unclone", "_UNCLONE_COMPLETE").source())


def build_deb(folder: Path) -> Path:
    """Build the package into *folder*, and return its path.

    Raises :class:`subprocess.CalledProcessError`; what the tools said is then on stderr.
    """
    with tempfile.TemporaryDirectory(prefix="unclone-deb.") as scratch:
        tree = Path(scratch) / f"unclone-{__version__}"
        tree.mkdir()
        copy_tree(tree)
        debian = tree / "debian"
        shutil.copytree(tree / "release" / "debian", debian)
        _, _, maintainer = (debian / "control").read_text().partition("Maintainer: ")
        changelog = CHANGELOG.format(
            version=__version__,
            maintainer=maintainer.splitlines()[0],
            day=formatdate(source_date()),
        )
        (debian / "changelog").write_text(changelog)
        write_pages(debian / "man")
        write_completions(debian / "completion")
        done = subprocess.run(
            ["dpkg-buildpackage", "--build=binary", "--unsigned-source", "--unsigned-changes"],
            cwd=tree,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(source_date())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.stderr.write(done.stdout)
            done.check_returncode()
        (built,) = Path(scratch).glob("*.deb")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(built, folder / built.name))


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "safe.directory=*", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


if __name__ == "__main__":
    sys.stdout.write(f"{build_deb(Path(sys.argv[1] if len(sys.argv) > 1 else 'dist'))}\n")
