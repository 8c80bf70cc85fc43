"""Proxmox configurations that are broken, hostile or in use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.definitions import Golden, goldens
from tests.support.refusals import defined, refusal, require_refused
from unclone.images.errors import InUseError, RefusedError
from unclone.runs.define import Request
from unclone.sanitize.definitions.formats.table import FORMATS, read_definition

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "name: golden\nostype: l26\nscsihw: virtio-scsi-pci\n"
UUID = "0c3fd15b-7f4e-4e0c-9d2a-5f1c8b6a7e90"
REFUSED = {
    "mac-malformed": (HEAD + "net0: virtio=BC:24:11:00:00,bridge=vmbr0\n", "is not a MAC"),
    "mac-multicast": (HEAD + "net0: virtio=BD:24:11:00:00:01,bridge=vmbr0\n", "multicast"),
    "mac-none": (HEAD + "net0: virtio=,bridge=vmbr0\n", "is not a MAC"),
    "uuid-malformed": (HEAD + "smbios1: uuid=0c3fd15b\n", "is not a UUID"),
    "genid-malformed": (HEAD + "vmgenid: 2\n", "is not a UUID"),
    "base64": (HEAD + "smbios1: base64=1,serial=%%%\n", "golden.conf:4:26: is not text in base64"),
    "base64-bytes": (HEAD + "smbios1: base64=1,serial=/////w==\n", "is not text in base64"),
    "twice": (HEAD + "ostype: w11\n", "golden.conf:4:1: ostype is set a second time"),
    "suspended": (HEAD + "lock: suspended\n", "memory is saved"),
    "saved": (HEAD + "vmstate: local:vm-100-state-suspend-2024\n", "memory is saved"),
    "null-bytes": (HEAD + "x: \0\n", "null characters"),
    "huge": (HEAD + "#" * 2**23, "MiB"),
    "many-lines": (HEAD + "\n" * 100_001, "lines"),
    "late-nonsense": (HEAD + "#" * 2**16 + "\nhello\n", "golden.conf:5:1: is not KEY: VALUE"),
    "escape-sequences": (HEAD + "smbios1: uuid=\x1b[2J\x9b\n", "is not a UUID"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_is_refused(tmp_path: Path, text: str, words: str) -> None:
    require_refused(tmp_path / "golden.conf", text, words)


@pytest.mark.parametrize("lock", ["backup", "clone", "migrate", "snapshot", "disk"])
def test_a_machine_proxmox_works_on_is_in_use(tmp_path: Path, lock: str) -> None:
    source = tmp_path / "golden.conf"
    source.write_text(f"{HEAD}lock: {lock}\n")
    assert isinstance(refusal(source), InUseError)


def test_a_snapshot_with_memory_is_no_saved_machine(tmp_path: Path) -> None:
    source = tmp_path / "golden.conf"
    source.write_text(HEAD + "[s1]\nlock: suspended\nvmstate: local:vm-100-state-s1\n")
    done = defined(Request(source, "web-01", output=tmp_path / "101.conf"))
    assert any("snapshot s1" in note.text for note in done.notes)


@pytest.mark.parametrize("golden", goldens("proxmox"), ids=str)
def test_a_truncated_definition_is_refused_where_an_address_is_cut(
    golden: Golden, tmp_path: Path
) -> None:
    content = golden.before.read_bytes()
    net = content.index(b"net0: ")
    for end in (net + 2, net + 20, content.index(b"uuid=", content.index(b"smbios1")) + 20):
        source = tmp_path / "golden.conf"
        source.write_bytes(content[:end])
        assert isinstance(refusal(source), RefusedError), end


def test_a_file_of_100_mb_is_refused_unread(tmp_path: Path) -> None:
    source = tmp_path / "golden.conf"
    source.write_text(HEAD + "#" * 2**16)
    os.truncate(source, 100_000_000)
    with pytest.raises(RefusedError, match="MiB"):
        read_definition(source)


@pytest.mark.parametrize(
    "text",
    [
        "arch: amd64\nhostname: ct\nrootfs: local-lvm:vm-100-disk-0\nostype: debian\n",
        "apiVersion: v1\nkind: VirtualMachine\nmetadata:\n  name: x\n",
        "name: golden\n",
        "name: golden\nmemory: 512\nkind: x\n",
        "",
    ],
    ids=["container", "kubernetes", "one-key", "other-yaml", "empty"],
)
def test_what_is_no_configuration_is_not_taken_for_one(text: str) -> None:
    [proxmox] = [each for each in FORMATS if each.id == "proxmox"]
    assert not proxmox.detects(text.encode())


@pytest.mark.parametrize("new", ["a,b", "a\nlock: backup"], ids=["comma", "line"])
def test_a_disk_that_cannot_be_said_is_refused(tmp_path: Path, new: str) -> None:
    source = tmp_path / "golden.conf"
    source.write_text(HEAD + "scsi0: local:vm-100-disk-0,size=1G\n")
    assert isinstance(refusal(source, disks={"scsi0": new}), RefusedError)


def test_a_password_is_not_in_the_report(tmp_path: Path) -> None:
    source = tmp_path / "golden.conf"
    source.write_text(HEAD + f"cipassword: $5$secret\nsmbios1: uuid={UUID}\n")
    done = defined(Request(source, "web-01", output=tmp_path / "101.conf"))
    assert "secret" not in str(done.to_json())
    assert "$5$secret" in (tmp_path / "101.conf").read_text()
