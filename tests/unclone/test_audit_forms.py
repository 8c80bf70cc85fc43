"""An identity is recognised in whatever form each machine has it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from tests.support.disks import Part, make_disk, poke
from tests.unclone.test_audit import ID, MAC, audit, domain, kinds, tree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_identities_are_found_in_whatever_form_each_machine_has_them(tmp_path: Path) -> None:
    """Other comments, a public half alone, another spelling in a file that no rule knows."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a", "-f", tmp_path / "key"],
        check=True,
    )
    private, public = ((tmp_path / name).read_text() for name in ("key", "key.pub"))
    name = "InitiatorName=iqn.1993-08.org.debian:01:abcdef012345\n"
    one = {
        "/etc/machine-id": f"{ID}\n",
        "/etc/ssh/ssh_host_ed25519_key": private,
        "/etc/iscsi/initiatorname.iscsi": name,
    }
    other = {
        "/opt/agent/id": "01234567-89AB-CDEF-0123-456789ABCDEF\n",
        "/etc/ssh/ssh_host_ed25519_key.pub": public.replace(" a\n", " root@other\n"),
        "/etc/iscsi/initiatorname.iscsi": f"## another\n\n {name}",
    }
    second = Part("ext4", tree={"/etc/machine-id": f"{ID}\n"})
    for number, more in enumerate((one, other), 1):
        parts = [Part("ext4", tree={**tree(number), **more}), second]
        make_disk(tmp_path / f"{number}.qcow2", parts, form="qcow2")
    found, failed = audit(tmp_path / "1.qcow2", tmp_path / "2.qcow2", status=5)
    assert failed == []
    shared = kinds(found)
    assert set(shared) == {"machine-id", "ssh-host-key", "iscsi-initiator-name-other"}
    (known,) = (each for each in found["shared"] if each["kind"] == "machine-id")
    assert [place["places"] for place in known["machines"]] == [
        ["/etc/machine-id"],
        ["/opt/agent/id"],
    ]
    for machine in found["machines"]:
        assert "the files of /dev/sda2 (ext4): nothing mounts it" in machine["notes"][0]


@pytest.mark.slow
def test_files_that_no_engine_reads_are_named(tmp_path: Path) -> None:
    """A squashfs is nobody's mount point here, and what is in it was not looked into."""
    for number in (1, 2):
        parts = [Part("ext4", tree=tree(number)), Part("")]
        disk = make_disk(tmp_path / f"{number}.img", parts)
        table = json.loads(subprocess.check_output(["sfdisk", "--json", disk]))["partitiontable"]
        poke(disk, table["partitions"][1]["start"] * 512, b"hsqs")
    found, _ = audit(tmp_path / "1.img", tmp_path / "2.img", status=0)
    for machine in found["machines"]:
        assert "the files of /dev/sda2 (squashfs" in str(machine["notes"])


@pytest.mark.slow
def test_a_definition_that_is_the_machine_is_named_once(tmp_path: Path) -> None:
    card = f"<interface type='network'><mac address='{MAC}'/></interface></devices>"
    for number, name in enumerate("ab"):
        path = domain(tmp_path / f"{name}.xml", [], number=number)
        path.write_text(path.read_text().replace("</devices>", card))
    shown = unclone("audit", "-q", "--no-cache", "-v", tmp_path).stdout
    assert "\n      a.xml: /domain/devices/interface[1]/mac/@address,\n" in shown
    assert "\n        /domain/devices/interface[2]/mac/@address\n" in shown
    shown = unclone("audit", "-q", "--no-cache", tmp_path).stdout
    assert "\n      a.xml: /domain/devices/interface[1]/mac/@address and 1 more place\n" in shown
