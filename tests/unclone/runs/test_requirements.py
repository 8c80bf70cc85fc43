"""An installation that lacks a package, or has an old one, is no bug in unclone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from unclone.runs import failures
from unclone.runs.requirements import unmet_requirement

ROOT = Path(__file__).resolve().parents[3]


def run_with(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run unclone with the packages in *folder* before all others."""
    return subprocess.run(
        [sys.executable, "-m", "unclone", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        check=False,
    )


def install(folder: Path, name: str, version: str, code: str) -> None:
    """A package *name* with *code*, installed in *folder* as pip does."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_here_nothing_is_missing() -> None:
    assert unmet_requirement(ZeroDivisionError()) == ""


@pytest.mark.parametrize("arguments", [["--help"], ["doctor"]])
def test_a_package_that_is_too_old_is_named(tmp_path: Path, arguments: list[str]) -> None:
    install(tmp_path, "click", "7.1.2", "class ParamType: ...\n")
    done = run_with(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert re.fullmatch(
        r"unclone: unclone needs click>=8\.[\d.]+; click 7\.1\.2 is installed", first
    )
    assert second == f"  {failures.INSTALL_IT}"


@pytest.mark.slow
def test_an_old_package_that_fails_in_a_command_is_named(tmp_path: Path) -> None:
    install(tmp_path, "rich", "9.0", "")
    done = run_with(tmp_path, "steps")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"unclone needs rich>=13[\d.]*; rich 9\.0 is installed", done.stderr)
    assert "bug" not in done.stderr


@pytest.mark.slow
def test_a_package_that_does_not_load_is_named(tmp_path: Path) -> None:
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("import no_such_library\n")
    done = run_with(tmp_path, "steps")
    assert done.returncode == 1
    assert "the Python package no_such_library cannot be loaded" in done.stderr
    assert "bug" not in done.stderr


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "unclone-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: unclone\nVersion: 1\n"
        'Requires-Dist: no-such-package>=2; extra == "dev"\nRequires-Dist: no-such-package>=1.5\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    error = ModuleNotFoundError("No module named 'no_such_package'", name="no_such_package")
    message = "the Python package no-such-package is missing; unclone needs no-such-package>=1.5"
    assert failures.describe(error) == message
    assert failures.hint_of(error) == failures.INSTALL_IT


def test_a_mistake_of_our_own_stays_a_bug() -> None:
    error = ImportError("cannot import name 'x' from 'unclone.runs'", name="unclone.runs")
    assert "internal error: ImportError" in failures.describe(error)
    assert failures.hint_of(error) == failures.REPORT_IT
