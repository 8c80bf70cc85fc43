"""What the wheel and the source distribution hold, and what they say about themselves."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.packaging.conftest import ROOT

if TYPE_CHECKING:
    from tests.packaging.conftest import Distributions

pytestmark = [pytest.mark.packaging, pytest.mark.slow]

ROOMS = ("images", "sanitize", "seeds")

#: Folders and files of the repository that only its developers need.
NOT_IN_SDIST = ("tests", ".ci", ".pre-commit-config.yaml")


def files_of_the_repository() -> set[str]:
    """Every file that git tracks or would track; the links in unclone/ are none."""
    listed = subprocess.run(
        [
            *("git", "-c", "safe.directory=*", "ls-files", "-z"),
            *("--cached", "--others", "--exclude-standard"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return {
        str(path.relative_to(ROOT)) for path in paths if path.is_file() and not path.is_symlink()
    }


def members_of_wheel(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if not name.endswith("/")}


def test_wheel_holds_the_package_and_nothing_else(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        found = members_of_wheel(wheel)
    top = {PurePosixPath(name).parts[0] for name in found}
    (metadata,) = top - {"unclone"}
    assert metadata.endswith(".dist-info")
    expected = {
        f"unclone/{name}" if name.split("/")[0] in ROOMS else name
        for name in files_of_the_repository()
        if name.split("/")[0] in (*ROOMS, "unclone")
    }
    assert {name for name in found if not name.startswith(metadata)} == expected


@pytest.mark.parametrize(
    "path",
    [
        "unclone/py.typed",
        "unclone/sanitize/catalogue/schema.json",
        "unclone/sanitize/catalogue/systemd.yaml",
        "unclone/seeds/schemas/NOTICE",
        "unclone/seeds/schemas/schema-cloud-config-v1.json",
    ],
)
def test_wheel_holds_package_data(distributions: Distributions, path: str) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        assert len(wheel.read(path)) == (ROOT / path).stat().st_size


def test_sdist_holds_what_is_built_and_documented(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as sdist:
        members = sdist.getmembers()
    # pip refuses links that lead out of the archive; this one has none at all.
    assert [member.name for member in members if not member.isfile()] == []
    top = distributions.sdist.name.removesuffix(".tar.gz")
    found = {str(PurePosixPath(member.name).relative_to(top)) for member in members}
    expected = {
        name for name in files_of_the_repository() if name.split("/")[0] not in NOT_IN_SDIST
    }
    assert found == expected | {"PKG-INFO"}


def test_licence_is_an_spdx_expression_with_its_text(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        metadata = HeaderParser().parsestr(wheel.read(name).decode())
        (licence,) = metadata.get_all("License-File", [])
        text = wheel.read(f"{PurePosixPath(name).parent}/licenses/{licence}")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License"] is None
    assert not [line for line in metadata.get_all("Classifier", []) if line.startswith("License")]
    assert text == (ROOT / "LICENSE").read_bytes()


def test_metadata_names_no_address(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as sdist:
        (member,) = (member for member in sdist.getmembers() if member.name.endswith("/PKG-INFO"))
        file = sdist.extractfile(member)
        assert file is not None
        metadata = HeaderParser().parsestr(file.read().decode())
    assert metadata["Project-URL"] is None
    assert metadata["Home-page"] is None
