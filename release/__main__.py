"""Everything that a release has: sdist, wheel, Debian package, SBOM, and their SHA-256 sums.

``python -m release [FOLDER]`` writes them into FOLDER, which is ``dist`` by itself. The same commit
gives the same files, byte for byte; the SBOM names the versions of the dependencies that pip
installs on the day.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from release.deb import ROOT, build_deb, source_date
from unclone import __version__

SBOM_TOOL = "cyclonedx-bom>=7,<8"


def build_release(folder: Path) -> list[Path]:
    """Build all files of a release into *folder*, and return their paths, the sums last."""
    os.environ["SOURCE_DATE_EPOCH"] = str(source_date())
    folder.mkdir(parents=True, exist_ok=True)
    _run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    sdist = folder / f"unclone-{__version__}.tar.gz"
    wheel = folder / f"unclone-{__version__}-py3-none-any.whl"
    sbom = folder / f"unclone-{__version__}.cdx.json"
    write_sbom(wheel, sbom)
    files = [sdist, wheel, build_deb(folder), sbom]
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(f"{_digest(each)}  {each.name}\n" for each in files))
    return [*files, sums]


def write_sbom(wheel: Path, out: Path) -> None:
    """Write which packages *wheel* brings along, as CycloneDX 1.6 JSON.

    The tool that writes it has an environment of its own: what it needs is no part of unclone.
    """
    with tempfile.TemporaryDirectory(prefix="unclone-sbom.") as scratch:
        installed, tool = Path(scratch) / "installed", Path(scratch) / "tool"
        for folder, requirement in ((installed, str(wheel)), (tool, SBOM_TOOL)):
            venv.create(folder, with_pip=True)
            pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
            _run(*pip, "install", "--quiet", requirement)
        of_venv = ("setuptools", "pip")
        _run(installed / "bin" / "python", "-m", "pip", "uninstall", "--quiet", "--yes", *of_venv)
        _run(
            *(tool / "bin" / "cyclonedx-py", "environment", "--output-reproducible"),
            *("--pyproject", ROOT / "pyproject.toml", "--output-format", "JSON"),
            *("--output-file", out, installed / "bin" / "python"),
        )


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        done.check_returncode()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    for made in build_release(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")):
        sys.stdout.write(f"{made}\n")
