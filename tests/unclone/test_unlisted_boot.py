"""Boot file systems that the guest's fstab does not name: a boot loader finds them all the same."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import sanitized
from tests.support.direct import open_direct
from tests.support.disks import BARE_ROOT, Part, make_disk
from tests.support.initrds import archive
from tests.support.tree import plant

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.families import Tree

ROOT, ROOT_GUID = "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b", "ecdd5980-c369-e34f-bee9-2efac3934294"
BOOT, BOOT_GUID = "1b1b2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b", "2185dfc5-48ce-c046-9ff0-ff5c38360ac2"
GRUB = f"search --fs-uuid --set=root {BOOT}\nlinux /vmlinuz root=UUID={ROOT} ro\n"


@dataclass(frozen=True)
class Case:
    """A guest by its two file systems; ``config`` is what the loader reads on the second."""

    config: str
    boot: Tree
    root: Tree = field(default_factory=dict)
    mounted: bool = True


CASES = {
    "GRUB": Case("/grub/grub.cfg", {"/grub/grub.cfg": GRUB, "/vmlinuz": b"MZ"}),
    "OpenWrt": Case(
        "/boot/grub/grub.cfg",
        {
            "/boot/grub/grub.cfg": f"linux /boot/vmlinuz root=PARTUUID={ROOT_GUID} rootwait\n",
            "/boot/vmlinuz": b"MZ",
        },
        {"/etc/inittab": "::sysinit:/etc/init.d/rcS S boot\n", "/etc/fstab": "-> /tmp/fstab"},
    ),
    "extlinux": Case("/extlinux.conf", {"/extlinux.conf": f"LABEL a\nAPPEND root=UUID={ROOT}\n"}),
    "/boot is not empty": Case(
        "/grub/grub.cfg", {"/grub/grub.cfg": GRUB}, {"/boot/notes": "x"}, mounted=False
    ),
}


def make(folder: Path, case: Case) -> Path:
    tree = {
        **BARE_ROOT,
        "/boot": None,
        "/etc/fstab": f"UUID={ROOT} / ext4 defaults 0 1\n",
        **case.root,
    }
    parts = [
        Part("ext4", uuid=BOOT, gpt_uuid=BOOT_GUID, tree=case.boot),
        Part("ext4", uuid=ROOT, gpt_uuid=ROOT_GUID, tree=tree),
    ]
    return make_disk(folder / "disk.raw", parts)


def content(image: Path, device: str, path: str) -> bytes:
    volumes = open_direct(image, read_only=True)
    try:
        volumes.mount(device, "/", subvolume="", read_only=True)
        return volumes.read(path, 1024 * 1024)
    finally:
        volumes.close()


def renewed(found: dict[str, Any]) -> dict[str, str]:
    return {c["old"]: c["new"] for c in found["changes"] if c["action"] == "set-identifier"}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_the_loader_refers_to_is_there_afterwards(tmp_path: Path, case: Case) -> None:
    image = make(tmp_path, case)
    found = sanitized(image, "--engine", "direct")
    new = renewed(found)
    assert ({ROOT, ROOT_GUID, BOOT} <= new.keys()) is case.mounted
    text = str(case.boot[case.config])
    for old in new:
        text = text.replace(old, new[old])
    assert content(image, "/dev/sda1", case.config).decode() == text
    if not case.mounted:
        kept = [note["text"] for note in found["notes"] if note["level"] == "kept"]
        assert any(
            f"{ROOT} on /dev/sda2 is kept: /dev/sda1 (ext4) is not mounted" in k for k in kept
        )


@pytest.mark.slow
def test_the_initrd_on_it_is_corrected(tmp_path: Path) -> None:
    plant(tmp_path / "initrd", {"/conf/conf.d/resume": f"RESUME=UUID={ROOT}\n"})
    initrd = gzip.compress(archive(tmp_path / "initrd"))
    image = make(tmp_path, Case("", {"/initrd.img-6": initrd}))
    found = sanitized(image, "--engine", "direct")
    appended = content(image, "/dev/sda1", "/initrd.img-6").removeprefix(initrd)
    assert f"RESUME=UUID={renewed(found)[ROOT]}\n".encode() in appended
