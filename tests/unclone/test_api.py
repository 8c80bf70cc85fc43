"""``import unclone``: the functions, their types, the documented examples, and what is loaded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, assert_type

import pytest

import unclone
from tests.support.disks import BARE_ROOT, Part, make_disk

if TYPE_CHECKING:
    from unclone.runs.define import Defined
    from unclone.sanitize.report import Inspection, Report
    from unclone.seeds.fleet import Result

ROOT = Path(__file__).resolve().parents[2]
ID = "0123456789abcdef0123456789abcdef"
DOMAIN = """<domain type='kvm'>
  <name>golden</name>
  <uuid>0aabbccd-1122-4333-8444-555566667777</uuid>
  <devices>
    <interface type='network'><mac address='52:54:00:12:34:56'/></interface>
  </devices>
</domain>
"""


def types_that_mypy_sees(path: Path) -> tuple[Report, Inspection, Defined, Result]:
    """Never called: the linter test checks that none of these is Any."""
    report = unclone.sanitize("a.qcow2")
    inspection = unclone.inspect(path)
    defined = unclone.define(path, "web-01")
    result = unclone.seed("web-01")
    assert_type(report.dry_run, bool)
    assert_type(inspection.virtual_size, int)
    assert_type(defined.identities.name, str)
    assert_type(result.refused, bool)
    return report, inspection, defined, result


def python(program: str, folder: Path, *options: str) -> str:
    """What *program* prints, run in *folder* by a Python of its own."""
    argv = [sys.executable, *options, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def example(document: str) -> str:
    """The program in *document* that imports from unclone."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    (found,) = [block for block in blocks if "from unclone import" in block]
    return str(found)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tree = {**BARE_ROOT, "/etc/machine-id": f"{ID}\n", "/usr/lib/systemd/systemd": "ELF"}
    return make_disk(tmp_path / "web-01.qcow2", [Part("ext4", tree=tree)], form="qcow2")


@pytest.mark.slow
def test_the_example_of_the_readme_works(image: Path) -> None:
    assert "/etc/machine-id" in python(example("README.md"), image.parent)
    assert ID not in str(unclone.inspect(image).to_json())


@pytest.mark.slow
def test_the_example_of_the_definitions_works(tmp_path: Path) -> None:
    (tmp_path / "golden.xml").write_text(DOMAIN)
    assert "52:54:00:12:34:56" in python(example("docs/definitions.md"), tmp_path)
    written = (tmp_path / "web-01.xml").read_text()
    assert "<name>web-01</name>" in written
    assert "52:54:00:12:34:56" not in written


@pytest.mark.slow
def test_the_image_is_told_by_text_or_path(image: Path) -> None:
    found = unclone.inspect(str(image), profile="golden")
    assert found.image == str(image)
    report = unclone.sanitize(image, output=image.with_name("web-02.qcow2"), engine="direct")
    assert (report.dry_run, report.result) == (False, str(image.with_name("web-02.qcow2")))
    assert ID in str(unclone.inspect(image).to_json())


def test_a_seed_is_written_and_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = unclone.seed("web-01", users=["admin"], nics=["mac=52:54:00:12:34:56"])
    assert result.path == Path("web-01.iso")
    assert result.written is not None
    assert Path("web-01.iso").stat().st_size == result.written.size
    with pytest.raises(unclone.UncloneError):
        unclone.seed("web-01")
    assert unclone.seed("web-01", overwrite=True).machine.name == "web-01"


def refused_seed(path: Path) -> None:
    path.with_suffix(".data").write_text("#cloud-config\nusers: 5\n: [\n")
    unclone.seed("web-01", user_data=[path.with_suffix(".data")], output=path)


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (unclone.inspect, 2),
        (lambda path: unclone.sanitize(path, enable=["ssh-hostkeys"]), 2),
        (lambda path: unclone.sanitize(path, machine_id="x"), 2),
        (lambda path: unclone.sanitize(path, ssh_host_keys="burn"), 2),
        (lambda path: unclone.sanitize(path, profile="gold"), 2),
        (lambda path: unclone.sanitize(path, engine="magic"), 2),
        (lambda path: unclone.define(path, "web-01"), 2),
        (lambda path: unclone.define(path, "web-01", uuid="x"), 2),
        (lambda path: unclone.seed("-", output=path), 2),
        (refused_seed, 4),
    ],
)
def test_every_mistake_is_an_unclone_error(tmp_path: Path, call: object, status: int) -> None:
    assert callable(call)
    with pytest.raises(unclone.UncloneError) as caught:
        call(tmp_path / "missing")
    assert (caught.value.status, caught.value.message != "") == (status, True)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    "imports",
    [
        "import unclone; import unclone.sanitize.options",
        "from unclone.sanitize.options import Options; import unclone",
        "import unclone.sanitize; import unclone.sanitize.change, unclone",
    ],
)
def test_sanitize_is_the_function_whatever_is_imported(tmp_path: Path, imports: str) -> None:
    program = f"{imports}; print(unclone.sanitize.__name__, callable(unclone.sanitize))"
    assert python(program, tmp_path) == "sanitize True\n"


def test_the_package_itself_loads_next_to_nothing(tmp_path: Path) -> None:
    program = (
        f"import __future__, importlib, sys, typing; sys.path.insert(0, {str(ROOT)!r})\n"
        "before = {*sys.modules}\n"
        "import unclone; print(*sorted({*sys.modules} - before))"
    )
    assert python(program, tmp_path, "-I", "-S") == "unclone unclone.sanitize\n"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(unclone, "sanitise")
