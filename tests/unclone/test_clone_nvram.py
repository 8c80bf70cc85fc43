"""Each machine's UEFI variables are a file of its own, in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.command import unclone
from tests.support.disks import Part, make_disk
from tests.unclone.test_clone import DOMAIN, MAC, TREE, UUID, record
from tests.unclone.test_clone_stamped import golden_image

#: A process for each command: a second or two.
pytestmark = pytest.mark.slow

STORE = bytes(40) + b"_FVH" + bytes(100)
OS = "<os><type>hvm</type>"


def golden_in(folder: Path, store: Path) -> Path:
    (folder / "golden.xml").write_text(
        DOMAIN.format(folder=folder, mac=MAC).replace(OS, f"{OS}<nvram>{store}</nvram>")
    )
    parts = [Part("ext4", uuid=UUID, tree=TREE)]
    return make_disk(folder / "golden.qcow2", parts, form="qcow2")


def variables_of(machine: Path) -> bytes:
    path = ET.parse(machine / "domain.xml").getroot().findtext("os/nvram") or ""
    assert Path(path).parent == machine
    assert Path(path).name in [each["path"] for each in record(machine)["files"]]
    return Path(path).read_bytes()


def test_they_are_copied_into_the_machines_folder(tmp_path: Path) -> None:
    (tmp_path / "nvram").mkdir()
    store = tmp_path / "nvram/golden_VARS.fd"
    store.write_bytes(STORE)
    golden, vms = golden_in(tmp_path, store), tmp_path / "vms"
    command = ("clone", golden, "--name", "a", "--definition", tmp_path / "golden.xml", "-o", vms)
    done = unclone(*command)
    assert done.returncode == 0, done.stderr
    assert variables_of(vms / "a") == STORE
    assert [each.name for each in store.parent.iterdir()] == ["golden_VARS.fd"]
    # The firmware writes to it: it is the same machine.
    (vms / "a/nvram.fd").write_bytes(STORE + b"booted")
    again = unclone(*command)
    assert again.returncode == 0, again.stderr
    assert "nvram.fd has changed since it was made" in again.stdout
    # Others are asked for: it is another machine.
    other = tmp_path / "other.fd"
    other.write_bytes(STORE + b"other")
    refused = unclone(*command, "--nvram", other)
    assert refused.returncode == 4
    assert "another nvram" in refused.stderr
    assert unclone(*command, "--nvram", other, "--replace").returncode == 0
    assert variables_of(vms / "a") == STORE + b"other"
    assert unclone("clone", "--remove", "a", "-o", vms).returncode == 0
    assert not (vms / "a").exists()


def test_variables_that_are_not_there_are_told(tmp_path: Path) -> None:
    golden = golden_in(tmp_path, tmp_path / "gone_VARS.fd")
    done = unclone(
        *("clone", golden, "--name", "a", "--definition", tmp_path / "golden.xml"),
        *("-o", tmp_path / "vms"),
    )
    assert done.returncode == 0, done.stderr
    assert "gone_VARS.fd is not on this host" in done.stdout


def test_stamped_machines_have_them_too(tmp_path: Path) -> None:
    store = tmp_path / "golden_VARS.fd"
    store.write_bytes(STORE)
    golden_in(tmp_path, store)
    (tmp_path / "golden.qcow2").unlink()
    golden_image(tmp_path, "no checksums")
    (tmp_path / "special.fd").write_bytes(STORE + b"special")
    (tmp_path / "fleet.yaml").write_text(
        "golden: golden.qcow2\noutput-dir: vms\ndefaults: {definition: golden.xml}\n"
        "machines:\n- {name: 'm-{}', count: 8}\n- {name: x, nvram: special.fd}\n"
    )
    done = unclone("clone", tmp_path / "fleet.yaml", "--json")
    assert done.returncode == 0, done.stderr
    for each in json.loads(done.stdout)["results"]:
        machine = Path(each["path"])
        assert variables_of(machine) == STORE + (b"special" if machine.name == "x" else b"")


@pytest.mark.parametrize(
    ("xml", "content", "said"),
    [
        (OS, STORE, "the definition names no file of UEFI variables"),
        (f"{OS}<nvram>/v.fd</nvram>", b"root:x:0", "vars.fd holds no UEFI variables"),
    ],
)
def test_what_cannot_be_given_is_refused(
    tmp_path: Path, xml: str, content: bytes, said: str
) -> None:
    golden = golden_in(tmp_path, tmp_path / "v.fd")
    text = DOMAIN.format(folder=tmp_path, mac=MAC).replace(OS, xml)
    (tmp_path / "golden.xml").write_text(text)
    (tmp_path / "vars.fd").write_bytes(content)
    command: list[str | Path] = ["clone", golden, "--name", "a", "-o", tmp_path / "vms"]
    command += ["--definition", tmp_path / "golden.xml", "--nvram", tmp_path / "vars.fd"]
    for more in ([], ["--dry-run"]):
        done = unclone(*command, *more)
        assert done.returncode in (2, 4)
        assert said in done.stderr
        assert not (tmp_path / "vms").exists()
