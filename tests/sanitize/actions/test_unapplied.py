"""No action takes a guest for changed that it has not changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.boot_images import uboot_image, unified_kernel
from tests.support.identified import ROOT, IdentifiedVolumes, identified_guest, olds
from tests.support.initrds import archive, compress
from tests.support.tree import plant
from unclone.images.volumes import Subvolume
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.actions.replace_identifiers import as_details
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.change import ON_DEVICES, Change

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


@pytest.mark.parametrize("name", SAMPLES)
def test_verification_notices_that_nothing_was_applied(tmp_path: Path, name: str) -> None:
    path, text, details = SAMPLES[name]
    if name == "clear":
        plant(tmp_path / "guest", {f"{path}/file": ID})
    elif name not in ON_DEVICES:
        plant(tmp_path / "guest", {path: made(tmp_path, text)})
    (tmp_path / "guest").mkdir(exist_ok=True)
    volumes = IdentifiedVolumes(tmp_path / "guest", olds([ROOT]))
    volumes.listed = (Subvolume("@"), Subvolume("@old", "1"))
    guest = identified_guest(volumes)
    change = Change("step", name, path, "why", new=ROOT.new, details=details)
    assert ACTIONS[name].verify(guest, change, "") != ""


def made(folder: Path, text: str) -> str | bytes:
    if text == "initrd":
        plant(folder / "tree", {"/etc/machine-id": ID, "/conf/conf.d/resume": TEXT})
        return compress(Compression.ZSTD, archive(folder / "tree"))
    if text == "uki":
        return unified_kernel(folder, {".cmdline": TEXT.encode()})
    if text == "uimage":
        return uboot_image(folder, "script", TEXT.encode())
    return text
