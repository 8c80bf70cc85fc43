"""README, followed line by line by somebody who has only this repository and an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from release import console
from tests.packaging.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text()

#: Stands for sudo: installing needs root and changes the host, so it looks whether all is there.
SUDO = """#!/bin/sh
[ "$1 $2" = "apt-get install" ] || exit 1
shift 2
for package; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package")
    [ "$status" = installed ] || exit 1
done
"""

#: Stands for make: the demo and the tests take half an hour, and this is one of the tests.
MAKE = f"#!/bin/sh\nexec /usr/bin/make --dry-run --silent -C '{ROOT}' SYSTEM_PACKAGES=no \"$@\"\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with nothing in it but stand-ins for what changes the host."""
    folder = tmp_path_factory.mktemp("home")
    stand_ins = folder / "stand-ins"
    stand_ins.mkdir()
    for name, text in {"sudo": SUDO, "make": MAKE}.items():
        (stand_ins / name).write_text(text)
        (stand_ins / name).chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def outcomes(home: Path, tmp_path_factory: pytest.TempPathFactory) -> list[console.Outcome]:
    """Every command of README, run in order, beginning in the source folder."""
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
        "HOME": str(home),
        "COLUMNS": "80",
        "PATH": f"{home}/stand-ins:/usr/bin:/bin",
    }
    scripts = tmp_path_factory.mktemp("scripts")
    return console.run_all(console.commands(README), ROOT, scripts, env)


@pytest.mark.packaging
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_works(outcomes: list[console.Outcome]) -> None:
    failed = [each for each in outcomes if each.status != 0]
    assert not failed, "\n".join(
        f"$ {each.command.text}\n{each.output}{each.errors}" for each in failed
    )
    assert len(outcomes) >= 20


@pytest.mark.packaging
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_output_is_as_shown(outcomes: list[console.Outcome]) -> None:
    shown = [each for each in outcomes if each.command.output is not None]
    assert shown
    for each in shown:
        assert each.command.output is not None
        assert without_time(each.output) == without_time(each.command.output)


def without_time(text: str) -> str:
    return re.sub(r"\b\d+\.\d s\b", "N s", text)


@pytest.mark.packaging
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("outcomes")
def test_the_commands_leave_what_readme_says(home: Path) -> None:
    trial = home / "unclone-trial"
    report = json.loads((trial / "report.json").read_text())
    plan = json.loads((trial / "web-03.plan").read_text())
    assert [result["status"] for result in report["results"]] == ["done"]
    assert json.dumps(report["results"][0]["changes"][0]["new"]) in json.dumps(plan)
    new_mac = re.search(r"mac address='(.*?)'", (trial / "web-04.xml").read_text())
    assert new_mac is not None
    assert new_mac[1] != "52:54:00:6b:3c:58"
    assert "/srv/web-01.qcow2" in (trial / "web-01.xml").read_text()
    assert {path.name for path in (trial / "seeds").iterdir()} == {
        "web-01.iso",
        "web-02.iso",
        "db-01.iso",
    }


@pytest.mark.packaging
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("outcomes")
def test_the_python_example_works(home: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    trial = home / "unclone-trial"
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=trial,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "/etc/fstab" in done.stdout
