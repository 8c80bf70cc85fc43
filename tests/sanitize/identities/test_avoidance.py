"""MAC addresses and UUIDs are found in files of any format, and in bounded time and memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import UsageError
from unclone.sanitize.identities import avoidance as avoiding
from unclone.sanitize.identities.avoidance import scan

if TYPE_CHECKING:
    from pathlib import Path

MAC = "52:54:00:ab:cd:0f"
UUID = "0ae55c0b-8ce3-4d5c-95cf-e65d4ec7aa11"

FILES: dict[str, tuple[bytes, set[str], set[str]]] = {
    "libvirt": (
        f"<domain><uuid>{UUID}</uuid><mac address='{MAC}'/></domain>".encode(),
        {MAC},
        {UUID},
    ),
    "proxmox": (b"net0: virtio=52:54:00:AB:CD:0F,bridge=vmbr0\n", {MAC}, set()),
    "virtualbox": (
        b'<Machine uuid="{0AE55C0B-8CE3-4D5C-95CF-E65D4EC7AA11}" MACAddress="525400ABCD0F"/>',
        {MAC},
        {UUID},
    ),
    "vmware": (b'uuid.bios = "0a e5 5c 0b 8c e3 4d 5c-95 cf e6 5d 4e c7 aa 11"', set(), {UUID}),
    "machine-id": (UUID.replace("-", "").encode(), set(), {UUID}),
    "cisco": (b"hardware-address 5254.00ab.cd0f", {MAC}, set()),
    "windows": (b"Physical Address: 52-54-00-AB-CD-0F", {MAC}, set()),
    "xen short": (b"vif = ['mac=52:54:0:ab:cd:f']", {MAC}, set()),
    "interface name": (b"ifcfg for enx525400abcd0f", {MAC}, set()),
    "utf-16": (f"<mac>{MAC}</mac>".encode("utf-16"), {MAC}, set()),
    "no address": (b"sha256: " + b"52" * 40 + b" 12:30:00 2001:db8::1", set(), set()),
    "empty": (b"", set(), set()),
}


@pytest.mark.parametrize(("content", "macs", "uuids"), FILES.values(), ids=FILES)
def test_every_spelling(tmp_path: Path, content: bytes, macs: set[str], uuids: set[str]) -> None:
    (tmp_path / "f").write_bytes(content)
    found = scan([tmp_path / "f"])
    assert (set(found.macs), set(found.uuids), found.files) == (macs, uuids, 1)


@pytest.mark.parametrize("offset", range(-70, 5, 3))
def test_what_lies_across_two_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    monkeypatch.setattr(avoiding, "_CHUNK", 1000)
    text = f" {MAC} 0a e5 5c 0b 8c e3 4d 5c-95 cf e6 5d 4e c7 aa 11 "
    (tmp_path / "f").write_text("." * (2000 + offset) + text + "." * 3000)
    found = scan([tmp_path])
    assert MAC in found.macs
    assert UUID in found.uuids


def test_folders_are_searched_to_their_depths(tmp_path: Path) -> None:
    deep = tmp_path / "a/b/c"
    deep.mkdir(parents=True)
    (deep / "web.xml").write_text(MAC)
    (tmp_path / "own.xml").write_text(UUID)
    (tmp_path / "link.xml").symlink_to("own.xml")
    (tmp_path / "loop").symlink_to("a")
    (tmp_path / "gone.xml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    found = scan([tmp_path])
    assert (set(found.macs), set(found.uuids)) == ({MAC}, {UUID})
    assert found.has("mac", MAC)
    assert not found.has("uuid", MAC)
    assert not found.has("serial", MAC)


def test_the_file_that_is_about_to_be_replaced_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "old.xml").write_text(MAC)
    (tmp_path / "other.xml").write_text(UUID)
    found = scan([tmp_path], skip=[tmp_path / "x" / ".." / "old.xml"])
    assert (set(found.macs), set(found.uuids)) == (set(), {UUID})


def test_a_long_text_is_named_and_a_disk_image_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(avoiding, "TEXT_LIMIT", 5000)
    monkeypatch.setattr(avoiding, "BINARY_LIMIT", 3000)
    monkeypatch.setattr(avoiding, "_CHUNK", 1000)
    (tmp_path / "long.xml").write_text(MAC + " " * 5000 + UUID)
    (tmp_path / "exact.xml").write_text(" " * 5000)
    (tmp_path / "disk.raw").write_bytes(b"\0" * 2000 + b" " * 2000 + UUID.encode())
    found = scan([tmp_path])
    assert (set(found.macs), set(found.uuids)) == ({MAC}, set())
    assert found.cut == (tmp_path / "long.xml",)


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot look for addresses to avoid in .*: No such file"):
        scan([tmp_path / "missing"])


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="loop: Too many levels of symbolic links"):
        scan([tmp_path])
