"""A definition without a CD drive for the seed: each machine's is given one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.support.disks import Part, make_disk
from tests.unclone.test_clone import DOMAIN, MAC, TREE, UUID, clone

if TYPE_CHECKING:
    from pathlib import Path

#: A process for each command: a second or two.
pytestmark = pytest.mark.slow

CD = re.compile(r"    <disk type='file' device='cdrom'>.*?</disk>\n", re.DOTALL)


@pytest.mark.parametrize("policy", ["always", "never"])
def test_there_is_one_where_there_is_a_seed(tmp_path: Path, policy: str) -> None:
    golden = make_disk(
        tmp_path / "golden.qcow2", [Part("ext4", uuid=UUID, tree=TREE)], form="qcow2"
    )
    definition = tmp_path / "golden.xml"
    text, count = CD.subn("", DOMAIN.format(folder=tmp_path, mac=MAC))
    definition.write_text(text)
    assert count == 1
    (result,) = clone(golden, "--name", "web-01", "--definition", definition, "--seed", policy)
    machine = tmp_path / "vms/web-01"
    domain = ET.parse(machine / "domain.xml").getroot()
    sources = [e.get("file") for e in domain.iter("source") if e.get("file")]
    has_seed = policy == "always"
    assert sources == [str(machine / "disk.qcow2")] + [str(machine / "seed.iso")] * has_seed
    said = [note["text"] for note in result["notes"]]
    assert ("the definition was given a drive for the seed" in said) == has_seed
    assert not [text for text in said if "attach" in text]
