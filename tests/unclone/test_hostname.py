"""``unclone sanitize --hostname`` through the installed command, on real images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import unclone as library
from tests.support.command import sanitized, unclone
from tests.support.direct import open_direct
from tests.support.disk_images import digest
from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone.images.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

TREE = {
    **BARE_ROOT,
    "/usr/lib/systemd/systemd": "ELF",
    "/etc/fstab": "",
    "/etc/hostname": "-> ../srv/name",
    "/srv/name": "golden\n",
    "/etc/hosts": "127.0.0.1 localhost\n127.0.1.1 golden.example.org golden\n",
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_disk(tmp_path / "web.raw", [Part("ext4", tree=TREE)])


def read(image: Path, *paths: str) -> str:
    volumes = open_direct(image, read_only=True)
    try:
        volumes.mount("/dev/sda1", "/", subvolume="", read_only=True)
        return "".join(volumes.read(path, 4096).decode() for path in paths)
    finally:
        volumes.close()


def result(*arguments: str | Path) -> dict[str, Any]:
    return sanitized("--engine", "direct", *arguments)


@pytest.mark.slow
def test_a_run_a_dry_run_and_a_saved_plan_say_the_same(image: Path, tmp_path: Path) -> None:
    plan, before = tmp_path / "plan", digest(image)
    names = {"old": "golden", "new": "web-01"}
    asked = ("--hostname", "web-01.example.net")
    dry = result(image, "--dry-run", "--save-plan", plan, *asked)
    assert (dry["status"], dry["host_name"]) == ("planned", names)
    assert json.loads(plan.read_text())["options"]["hostname"] == "web-01.example.net"
    assert digest(image) == before
    done = result(image, "--plan", plan)
    assert (done["status"], done["host_name"]) == ("done", names)
    assert [c["target"] for c in done["changes"] if c["step"] == "hostname"] == [
        "/srv/name",
        "/etc/hosts",
    ]
    assert read(image, "/srv/name", "/etc/hosts") == (
        "web-01\n127.0.0.1 localhost\n127.0.1.1 web-01.example.net web-01\n"
    )
    assert [each["value"] for each in done["inventory"]["host_names"]] == [
        "web-01",
        "web-01.example.net",
    ]


@pytest.mark.slow
def test_the_report_names_the_old_and_the_new_name(image: Path) -> None:
    kept = unclone("sanitize", "--engine", "direct", "--dry-run", image).stdout
    kept = " ".join(kept.split())
    assert "host name golden, golden.example.org (--hostname NAME changes it)" in kept
    said = unclone("sanitize", "--engine", "direct", "--hostname", "web-01", image).stdout
    assert "host name      golden -> web-01 (/srv/name, /etc/hosts)" in said
    assert "kept           host name" not in said


@pytest.mark.slow
def test_an_old_plan_without_a_name_is_read(image: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    result(image, "--dry-run", "--save-plan", plan)
    found = json.loads(plan.read_text())
    del found["options"]["hostname"]
    plan.write_text(json.dumps(found))
    assert result(image, "--plan", plan)["host_name"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "b", "--hostname", "web-01"], "--hostname is for exactly one image"),
        (["a", "--hostname", "web_01"], "an underscore is not allowed in a host name"),
        (["a", "--hostname", "192.0.2.1"], "it is an IP address"),
        (["a", "--hostname", "localhost"], "every machine is called so"),
        (["a", "--hostname", "a." * 40 + "b"], "longer than the 64 characters"),
        (["a", "--hostname", "web-01", "--disable", "hostname"], "its step disabled at once"),
        (["a", "--hostname", "web-01", "--plan", "p"], "--hostname cannot change a saved plan"),
    ],
)
def test_nonsense_is_a_usage_error(arguments: list[str], words: str) -> None:
    done = unclone("sanitize", *arguments)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())


@pytest.mark.slow
def test_from_python(image: Path) -> None:
    with pytest.raises(UsageError, match="cannot be a host name"):
        library.sanitize(image, hostname="-")
    report = library.sanitize(image, engine="direct", hostname="web-01.")
    assert report.host_name == ("golden", "web-01")
    assert read(image, "/srv/name") == "web-01\n"
