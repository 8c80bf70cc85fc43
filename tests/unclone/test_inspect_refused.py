"""``unclone inspect`` of guests that ``sanitize`` refuses: everything is shown, and why."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from tests.support.disks import BARE_ROOT, MIB, Part, make_disk
from tests.support.documents import check_document

if TYPE_CHECKING:
    from pathlib import Path

UUID = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"
PATH = "/etc/machine-id"


def guest(folder: Path, kind: str) -> Path:
    """A raw disk whose machine-id is of another *kind*, as debugfs' ``mknod`` names them."""
    more: dict[str, str | bytes | None] = {f"{PATH}/x": "id"} if kind == "directory" else {}
    image = folder / "disk.raw"
    tree = {**BARE_ROOT, "/etc/hostname": "golden\n", **more}
    make_disk(image, [Part("ext4", uuid=UUID, tree=tree)])
    if kind != "directory":
        file_system = f"{image}?offset={MIB}"
        script = f"cd /etc\nmknod machine-id {kind}\n"
        argv = ["debugfs", "-w", "-f", "-", file_system]
        subprocess.run(argv, check=True, capture_output=True, input=script.encode())
    return image


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "word"), [("directory", "directory"), ("p", "device or socket"), ("c 1 3", "device")]
)
def test_a_machine_id_that_is_no_file(tmp_path: Path, kind: str, word: str) -> None:
    image = guest(tmp_path, kind)
    done = unclone("inspect", "--json", image)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    check_document(document)
    (found,) = document["results"]
    assert found["refusal"].startswith(f"{PATH} is a {word}")
    assert found["plan"]["changes"] == []
    assert [name["value"] for name in found["inventory"]["host_names"]] == ["golden"]
    assert UUID in {each["value"] for each in found["identifiers"]}
    text = " ".join(unclone("inspect", image).stdout.split())
    assert "golden" in text
    assert f"refused by `unclone sanitize`: {PATH} is a {word}" in text
    for refused in (["inspect", "--strict"], ["sanitize"]):
        assert unclone(*refused, image).returncode == 4
