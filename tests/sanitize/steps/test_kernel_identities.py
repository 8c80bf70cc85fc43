"""iSCSI and NVMe names among kernel arguments follow their files, or are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.boot_images import unified_kernel
from tests.support.families import OLD, Tree
from tests.support.initrds import archive
from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.change import Level
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.change import Plan

IQN = "iqn.2016-04.com.open-iscsi:aabbcc"
NQN = "nqn.2014-08.org.nvmexpress:uuid:22222222-3333-4444-8555-666666666666"
HOST_ID = "22222222-3333-4444-8555-666666666666"
ARGUMENTS = f"rd.iscsi.initiator={IQN} rd.nvmf.hostnqn={NQN} rd.nvmf.hostid={HOST_ID}"
ENTRY = "/boot/loader/entries/a.conf"
FILES: Tree = {
    "/etc/iscsi/initiatorname.iscsi": f"InitiatorName={IQN}\n",
    "/etc/nvme/hostnqn": f"{NQN}\n",
    "/etc/nvme/hostid": f"{HOST_ID}\n",
    "/usr/lib/open-iscsi/startup-checks.sh": "",
}


def run(folder: Path, tree: Tree, options: Options | None = None) -> Plan:
    plant(folder, {"/etc/machine-id": OLD, "/etc/os-release": "ID=arch\n", **tree})
    guest = guest_at(folder)
    plan = make_plan(guest, options or Options())
    verify(guest, plan, apply_plan(guest, plan))
    return plan


def kept(plan: Plan) -> list[str]:
    notes = [note for note in plan.notes if note.step == "kernel-identities"]
    assert {note.level for note in notes} <= {Level.KEPT}
    return [note.text for note in notes]


def test_they_go_where_the_files_are_renewed(tmp_path: Path) -> None:
    tree: Tree = {**FILES, ENTRY: f"options rw {ARGUMENTS} quiet\n"}
    assert kept(run(tmp_path, tree)) == []
    assert (tmp_path / ENTRY[1:]).read_text() == "options rw quiet\n"


def test_in_an_entry_that_is_renamed(tmp_path: Path) -> None:
    run(tmp_path, {**FILES, f"/boot/loader/entries/{OLD}-6.1.conf": f"options rw {ARGUMENTS}\n"})
    (entry,) = (tmp_path / "boot/loader/entries").iterdir()
    assert entry.read_text() == "options rw\n"


@pytest.mark.parametrize(
    ("files", "options"),
    [
        ({}, Options()),
        (FILES, Options(disable=frozenset({"nvme-host", "iscsi-initiator-name-debian"}))),
    ],
    ids=["no files", "as asked"],
)
def test_they_stay_and_are_named_where_nothing_renews_them(
    tmp_path: Path, files: Tree, options: Options
) -> None:
    tree: Tree = {**files, ENTRY: f"options rw {ARGUMENTS}\n"}
    texts = kept(run(tmp_path, tree, options))
    assert [each for text in texts for each in ARGUMENTS.split() if each in text] == [
        *ARGUMENTS.split()
    ]
    assert (tmp_path / ENTRY[1:]).read_text() == f"options rw {ARGUMENTS}\n"
    with pytest.raises(RefusedError, match="identities would stay"):
        make_plan(guest_at(tmp_path), Options(strict=True, disable=options.disable))


def test_what_stays_is_named_by_the_new_name_of_its_file(tmp_path: Path) -> None:
    texts = kept(run(tmp_path, {f"/boot/loader/entries/{OLD}-6.1.conf": f"options {ARGUMENTS}\n"}))
    (entry,) = (tmp_path / "boot/loader/entries").iterdir()
    assert all(text.startswith(f"/boot/loader/entries/{entry.name} keeps") for text in texts)
    assert len(texts) == 3


@pytest.mark.slow
def test_in_a_signed_image_they_are_named(tmp_path: Path) -> None:
    uki = "/boot/efi/EFI/Linux/a.efi"
    image = unified_kernel(tmp_path, {".cmdline": ARGUMENTS.encode()}, signed=True)
    texts = kept(run(tmp_path / "guest", {**FILES, uki: image}))
    assert len(texts) == 3
    assert all(text.endswith("it is signed") for text in texts)


def test_inside_an_initrd_they_are_named(tmp_path: Path) -> None:
    plant(tmp_path / "tree", {"/etc/cmdline.d/95iscsi.conf": f" rd.iscsi.initiator={IQN}\n"})
    initrd = archive(tmp_path / "tree")
    (text,) = kept(run(tmp_path / "guest", {**FILES, "/boot/initramfs-6.1.img": initrd}))
    assert "/boot/initramfs-6.1.img!etc/cmdline.d/95iscsi.conf keeps the iSCSI initiator" in text
