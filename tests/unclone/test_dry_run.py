"""A dry run ends as the run would, says the same, and leaves nothing behind."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from tests.support.disk_images import overlay_on
from tests.support.disks import BARE_ROOT, Part, make_disk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

UUID = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"
#: Letters of both cases: no rule reads it.
MIXED = UUID.replace("a", "A", 1)
TREE = {
    **BARE_ROOT,
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    "/usr/lib/systemd/systemd": "ELF",
}


def make(folder: Path, **more: str) -> Path:
    return make_disk(
        folder / "web-01.qcow2",
        [Part("ext4", uuid=UUID, tree=TREE | more), Part("swap")],
        form="qcow2",
    )


def compared(folder: Path, image: Path, *options: str | Path) -> tuple[int, str]:
    """The status and the last line of both: they must be one."""
    temporary = folder / "tmp"
    temporary.mkdir()
    before, beside = image.read_bytes(), sorted(folder.iterdir())
    environment = os.environ | {"TMPDIR": str(temporary)}
    dry = unclone("sanitize", "--dry-run", image, *options, env=environment)
    assert (image.read_bytes(), sorted(folder.iterdir())) == (before, beside)
    assert list(temporary.iterdir()) == []
    run = unclone("sanitize", image, *options)
    assert (dry.returncode, problem(dry.stderr)) == (run.returncode, problem(run.stderr))
    return dry.returncode, dry.stderr


def problem(stderr: str) -> Sequence[str]:
    return [line for line in stderr.splitlines() if "rror" in line]


@pytest.mark.slow
def test_of_what_can_be_done(tmp_path: Path) -> None:
    assert compared(tmp_path, make(tmp_path))[0] == 0


@pytest.mark.slow
def test_of_a_reference_that_no_rule_knows(tmp_path: Path) -> None:
    image = make(tmp_path, **{"/boot/custom/menu.bin": f"\0root={MIXED}\n"})
    status, message = compared(tmp_path, image)
    assert status == 5
    assert "/boot/custom/menu.bin:1" in message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, 0),
        ({"/opt/app/config.json": f'{{"rootfs_uuid": "{UUID}"}}\n'}, 0),
        ({"/boot/custom/menu.bin": f"\0root={MIXED}\n"}, 5),
        ({"/boot/grub/grub.cfg": f"a={UUID[:7]}\nsearch --fs-uuid ${{a}}{UUID[7:]}\n"}, 5),
        ({"/etc/machine-id": "no id\n"}, 4),
    ],
    ids=["done", "named", "left", "put together", "refused"],
)
def test_its_document_says_what_the_runs_does(
    tmp_path: Path, more: dict[str, str], status: int
) -> None:
    image = make(tmp_path, **more)
    documents = []
    for options in (["--dry-run"], []):
        done = unclone("sanitize", "--json", "--engine", "direct", *options, image)
        assert done.returncode == status, done.stderr
        documents.append(json.loads(done.stdout)["results"][0])
    dry, run = documents
    of_one = {"status", "changes", "identifiers", "timings"}
    assert {k: v for k, v in dry.items() if k not in of_one} == {
        k: v for k, v in run.items() if k not in of_one
    }
    assert [(c["step"], c["action"], c["target"]) for c in dry.get("changes", ())] == [
        (c["step"], c["action"], c["target"]) for c in run.get("changes", ())
    ]


@pytest.mark.slow
def test_of_a_backing_file(tmp_path: Path) -> None:
    image = make(tmp_path)
    overlay_on(tmp_path / "clone.qcow2", image)
    status, message = compared(tmp_path, image)
    assert status == 4
    assert "is the backing file of clone.qcow2" in message


def test_of_a_read_only_image(tmp_path: Path) -> None:
    image = make(tmp_path)
    image.chmod(0o444)
    assert compared(tmp_path, image)[0] == 4


@pytest.mark.parametrize("name", ["taken.qcow2", "missing/x.qcow2", "web-01.qcow2"])
def test_of_an_output_that_cannot_be(tmp_path: Path, name: str) -> None:
    image = make(tmp_path)
    (tmp_path / "taken.qcow2").write_bytes(b"")
    assert compared(tmp_path, image, "--output", tmp_path / name)[0] == 2


@pytest.mark.slow
def test_of_an_output(tmp_path: Path) -> None:
    image = make(tmp_path)
    assert compared(tmp_path, image, "--output", tmp_path / "new.qcow2")[0] == 0
