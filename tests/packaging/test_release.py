"""``make release``: each file is there with its sum, and a second build gives the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.packaging.conftest import ROOT
from tests.packaging.test_environments import lowest_versions
from unclone import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from tests.packaging.conftest import Distributions

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(1800)]

SBOM = f"unclone-{__version__}.cdx.json"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    run(sys.executable, "-m", "release", folder, cwd=ROOT)
    return folder


def test_every_file_has_its_sum(release: Path) -> None:
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=release)
    named = {line.split()[1] for line in (release / "SHA256SUMS").read_text().splitlines()}
    assert named == {path.name for path in release.iterdir()} - {"SHA256SUMS"}
    assert len(named) == 4


def test_another_build_gives_the_same_bytes(
    release: Path, distributions: Distributions, deb: Path
) -> None:
    for built in (distributions.sdist, distributions.wheel, deb):
        assert built.read_bytes() == (release / built.name).read_bytes(), built.name


def test_the_sbom_has_what_pip_installs_and_nothing_of_this_host(release: Path) -> None:
    text = (release / SBOM).read_text()
    document = json.loads(text)
    assert document["metadata"]["component"]["name"] == "unclone"
    components = {each["name"].lower() for each in document["components"]}
    assert {name.lower() for name in lowest_versions()} <= components
    assert not components & {"pip", "setuptools", "pytest"}
    assert str(ROOT) not in text


def run(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
