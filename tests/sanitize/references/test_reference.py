"""Every kind of reference that is text, in every place that it knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.identified import ALL, ESP, LUKS, RENEWALS, ROOT, SWAP
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.files import TEXT_LIMIT
from unclone.sanitize.references import REFERENCES
from unclone.sanitize.references.reference import TextReference

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change

TEXTS = [reference for reference in REFERENCES if isinstance(reference, TextReference)]

#: The lines that people find in these files, by the kind of reference.
LINES = {
    "fstab": f"UUID={ROOT.old} / ext4 defaults 0 1\nUUID={ESP.old} /boot/efi vfat umask=77 0 1\n",
    "crypttab": f"luks-{LUKS.old} UUID={LUKS.old} none luks,discard\n",
    "grub-cfg": f"search --no-floppy --fs-uuid --set=root {ROOT.old}\n"
    f"menuentry 'x' $menuentry_id_option 'gnulinux-simple-{ROOT.old}' {{\n"
    f"cryptomount -u {LUKS.old.replace('-', '')}\n"
    f"linux /vmlinuz root=UUID={ROOT.old} ro resume=UUID={SWAP.old}\n}}\n",
    "grubenv": f"# GRUB Environment Block\nkernelopts=root=UUID={ROOT.old} ro \n".ljust(
        1024 - 25, "#"
    ),
    "raspberry-pi": "console=tty1 root=PARTUUID=0a1b2c3d-02 rootwait\n",
    "mdadm-conf": "ARRAY /dev/md/0 metadata=1.2 UUID=00000001:00000002:00000003:0000000a\n",
    "proxmox-boot": f"{ESP.old}\n",
    "lvm-settings": "IDTYPE=devname PVID=abcdef0123ABCD4567efghijklMNOPQR\n",
}
ANYTHING = f'# kept\noptions root=UUID={ROOT.old} resume="UUID={SWAP.old}" quiet\n'


def planned(guest: Guest, reference: TextReference) -> tuple[Change, ...]:
    decided = context(guest, renewals=RENEWALS)
    return reference.plan(decided).changes


def instances(reference: TextReference) -> list[str]:
    """One path for each pattern."""
    return [re.sub(r"\[(.)[^]]*\]", r"\1", path).replace("*", "x") for path in reference.paths]


@pytest.mark.parametrize(
    ("reference", "path"),
    [(each, path) for each in TEXTS for path in instances(each)],
    ids=lambda value: value if isinstance(value, str) else value.info.id,
)
def test_each_place_follows(tmp_path: Path, reference: TextReference, path: str) -> None:
    before = LINES.get(reference.info.id, ANYTHING)
    plant(tmp_path, {path: before})
    guest = guest_at(tmp_path)
    (change,) = planned(guest, reference)
    assert (change.target, change.step) == (path, reference.info.id)
    ACTIONS[change.action].apply(guest, change)
    assert ACTIONS[change.action].verify(guest, change, "") == ""
    after = guest.read_text(path)
    assert len(after) == len(before)
    assert not any(renewal.old in after for renewal in ALL)
    assert RENEWALS.rewriter.rewritten_text(before) == after
    assert not planned(guest, reference)


@pytest.mark.parametrize("reference", TEXTS, ids=lambda each: each.info.id)
def test_what_refers_to_nothing_of_ours_stays(tmp_path: Path, reference: TextReference) -> None:
    text: str | bytes | None = "UUID=ffffffff-1111-4222-8333-ffffffffffff / ext4\n"
    plant(tmp_path, dict.fromkeys(instances(reference), text))
    assert planned(guest_at(tmp_path), reference) == ()


def test_a_file_that_two_paths_lead_to_is_changed_once(tmp_path: Path) -> None:
    reference = next(each for each in TEXTS if each.info.id == "grubenv")
    block = LINES["grubenv"]
    plant(tmp_path, {"/boot/efi/EFI/fedora/grubenv": block})
    plant(tmp_path, {"/boot/grub2/grubenv": "-> ../efi/EFI/fedora/grubenv"})
    assert len(planned(guest_at(tmp_path), reference)) == 1


@pytest.mark.parametrize("odd", ["folder", "huge", "dangling", "loop"])
def test_what_is_no_text_is_left_alone(tmp_path: Path, odd: str) -> None:
    trees: dict[str, dict[str, str | bytes | None]] = {
        "folder": {"/etc/fstab/x": ROOT.old},
        "huge": {"/etc/fstab": ROOT.old.encode() + bytes(TEXT_LIMIT)},
        "dangling": {"/etc/fstab": "-> /nowhere"},
        "loop": {"/etc/fstab": "-> fstab"},
    }
    plant(tmp_path, trees[odd])
    (fstab,) = (each for each in TEXTS if each.info.id == "fstab")
    assert planned(guest_at(tmp_path), fstab) == ()


def test_owner_mode_and_other_bytes_stay(tmp_path: Path) -> None:
    before = b"\xff\xfe binary \r\n" + ROOT.old.upper().encode() + b"\0tail"
    plant(tmp_path, {"/etc/fstab": before})
    (tmp_path / "etc/fstab").chmod(0o640)
    inode = (tmp_path / "etc/fstab").stat().st_ino
    guest = guest_at(tmp_path)
    (fstab,) = (each for each in TEXTS if each.info.id == "fstab")
    (change,) = planned(guest, fstab)
    ACTIONS[change.action].apply(guest, change)
    after = tmp_path / "etc/fstab"
    assert after.read_bytes() == b"\xff\xfe binary \r\n" + ROOT.new.upper().encode() + b"\0tail"
    assert (after.stat().st_mode & 0o777, after.stat().st_ino) == (0o640, inode)


def test_ids_are_unique_and_described() -> None:
    ids = [reference.info.id for reference in REFERENCES]
    assert len(ids) == len(set(ids))
    assert all(reference.info.sources and reference.info.why for reference in REFERENCES)
