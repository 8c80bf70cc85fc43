"""Apply and verify of every action, switched off one at a time: the other one notices.

When both are, what is left is noticed by a scan that shares no lookup with the actions.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.boot_images import uboot_image, unified_kernel
from tests.support.identified import ROOT, IdentifiedVolumes, identified_guest, olds
from tests.support.initrds import archive, compress
from tests.support.tree import TreeVolumes, plant
from unclone.images.errors import RefusedError, ResidueError
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount
from unclone.images.volumes import FileSystem, Subvolume
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.actions.replace_identifiers import as_details
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.change import ON_DEVICES, Change, Plan, Retired
from unclone.sanitize.report import Outcome
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

ID = "0123456789abcdef0123456789abcdef"
TEXT = f"root=UUID={ROOT.old} systemd.machine_id={ID}\n"

#: For each action: where, what is there, and the details of the change.
SAMPLES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "blank": ("/etc/x", TEXT, {"values": ["root=(.*)"]}),
    "clear": ("/var/lib/x", "", {}),
    "correct-initrd": ("/boot/initrd.img", "initrd", as_details([ROOT])),
    "delete-subvolume": (
        "/dev/sda2:@old",
        "",
        {"device": ROOT.device, "subvolume": "@old", "uuid": "1"},
    ),
    "drop-lines": ("/etc/x", TEXT, {"lines": ["root=.*"]}),
    "empty-in-initrd": ("/boot/initrd.img", "initrd", {"ids": [ID], "members": ["etc/machine-id"]}),
    "follow-in-initrd": (
        "/boot/initrd.img",
        "initrd",
        {"members": {"etc/machine-id": "/etc/nowhere"}},
    ),
    "generate-ssh-host-key": (
        "/etc/ssh/ssh_host_ed25519_key",
        "not a key",
        {"type": "ed25519", "bits": 256, "format": "openssh", "public": "", "comment": ""},
    ),
    "patch-efi-program": ("/boot/efi/EFI/Linux/a.efi", "uki", as_details([ROOT])),
    "remove": ("/etc/x", TEXT, {}),
    "remove-kernel-argument": (
        "/etc/kernel/cmdline",
        TEXT,
        {"kind": "template", "name": "systemd.machine_id", "keep": []},
    ),
    "rename": ("/etc/x", TEXT, {"to": "/etc/y"}),
    "replace-identifiers": ("/etc/x", TEXT, as_details([ROOT])),
    "replace-text": ("/etc/x", TEXT, {"replacements": [{"old": ID, "new": "", "count": 1}]}),
    "rewrite-uboot-environment": (
        "/boot/uboot.env",
        TEXT,
        {**as_details([ROOT]), "environments": [[0, len(TEXT)]]},
    ),
    "rewrite-uimage": ("/boot/boot.scr", "uimage", as_details([ROOT])),
    "set-host-name": (
        "/etc/hosts",
        "127.0.1.1 golden\n",
        {"place": "hosts", "name": "web-01", "names": {"golden": "web-01"}},
    ),
    "set-identifier": (ROOT.device, "", {"kind": ROOT.kind.value}),
    "truncate": ("/etc/x", TEXT, {}),
    "write": ("/etc/x", TEXT, {"text": ""}),
}


def test_every_action_is_here() -> None:
    assert SAMPLES.keys() == ACTIONS.keys()


#: Actions whose target holds none of what a run looks for, and why it is enough that they verify.
NO_VALUE = {
    "clear": "the contents of caches",
    "delete-subvolume": "a snapshot, which no boot reads",
    "generate-ssh-host-key": "a private key, whose public half has files of its own",
}


def unchanged(tmp_path: Path, name: str) -> tuple[Guest, Change]:
    """A guest, and the change that was not made in it."""
    path, text, details = SAMPLES[name]
    if name == "clear":
        plant(tmp_path / "guest", {f"{path}/file": ID})
    elif name not in ON_DEVICES:
        plant(tmp_path / "guest", {path: made(tmp_path, text)})
    (tmp_path / "guest").mkdir(exist_ok=True)
    device = FileSystem(ROOT.device, "ext4", ROOT.old)
    volumes = IdentifiedVolumes(tmp_path / "guest", olds([ROOT]), file_systems=(device,))
    volumes.listed = (Subvolume("@"), Subvolume("@old", "1"))
    return identified_guest(volumes), Change("step", name, path, "why", ROOT.old, ROOT.new, details)


@pytest.mark.parametrize("name", SAMPLES)
def test_verification_notices_that_nothing_was_applied(tmp_path: Path, name: str) -> None:
    guest, change = unchanged(tmp_path, name)
    assert ACTIONS[name].verify(guest, change, "") != ""


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - NO_VALUE.keys()))
def test_what_was_not_applied_is_noticed_without_the_actions_own_verification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    guest, change = unchanged(tmp_path, name)
    monkeypatch.setattr(ACTIONS[name], "verify", lambda *_: "")
    retired = tuple(
        Retired("step", kind, value)
        for kind, value in (
            (ROOT.kind.value, ROOT.old),
            ("machine-id", ID),
            ("ssh-host-key", "not a key"),
        )
    )
    plan = Plan("identity", (change,), (), retired)
    try:
        noticed = verify(guest, plan, (Outcome(change, ""),)).residue
    except ResidueError:
        return
    assert change.target in {each.path for each in noticed}


def made(folder: Path, text: str) -> str | bytes:
    if text == "initrd":
        plant(folder / "tree", {"/etc/machine-id": ID, "/conf/conf.d/resume": TEXT})
        return compress(Compression.ZSTD, archive(folder / "tree"))
    if text == "uki":
        return unified_kernel(folder, {".cmdline": TEXT.encode()})
    if text == "uimage":
        return uboot_image(folder, "script", TEXT.encode())
    return text


def test_what_is_read_only_in_the_guest_is_refused(tmp_path: Path) -> None:
    """As the root of openSUSE MicroOS is: a snapshot that not even root may write to."""

    class ReadOnly(TreeVolumes):
        def write(self, path: str, content: bytes, *, keep: int = 0) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    plant(tmp_path, {"/etc/fstab": TEXT})
    guest = Guest(ReadOnly(tmp_path), Layout((Mount("tree", "/", "tree"),)))
    change = Change("fstab", "replace-identifiers", "/etc/fstab", "", details=as_details([ROOT]))
    with pytest.raises(RefusedError, match="read-only, also for its owner") as caught:
        apply_plan(guest, Plan("identity", (change,), (), ()))
    assert "btrfs property set" in caught.value.hint
