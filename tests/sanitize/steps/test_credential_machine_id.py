"""The credential ``system.machine_id`` goes from wherever systemd finds it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.support.families import OLD, OTHER, Tree, carry_out, snapshot
from tests.support.planning import context
from tests.support.tree import TreeVolumes, guest_at, plant
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount
from unclone.sanitize.change import Level, Retired
from unclone.sanitize.options import Options
from unclone.sanitize.residue import find_residue
from unclone.sanitize.steps.credential_machine_id import CredentialMachineId
from unclone.sanitize.steps.machine_id import MachineId

if TYPE_CHECKING:
    from pathlib import Path

BOTH = (MachineId(), CredentialMachineId())
STORES: Tree = {
    f"{folder}/credstore/system.machine_id": f"{OLD}\n"
    for folder in ("/etc", "/usr/lib", "/usr/local/lib")
}
#: Encrypted as `systemd-creds encrypt` writes it: Base64 of what only one machine can read.
SECRET = "Whxqht+dQJax1aZeCGLxm+AAAAABAAAADAAAABAAAACiVUWtf4Os\n"
ENCRYPTED: Tree = {
    "/etc/credstore.encrypted/system.machine_id": SECRET,
    "/usr/lib/credstore.encrypted/system.machine_id": SECRET,
    "/usr/local/lib/credstore.encrypted/system.machine_id": SECRET,
    "/boot/loader/credentials/system.machine_id.cred": SECRET,
    "/boot/efi/loader/credentials/SYSTEM.MACHINE_ID.CRED": SECRET,
    "/boot/efi/EFI/Linux/arch.efi.extra.d/system.machine_id.cred": SECRET,
    "/efi/EFI/Linux/arch.efi.extra.d/system.machine_id.cred": SECRET,
    "/efi/debian/6.1/extra/system.machine_id.cred": SECRET,
}
OTHERS: Tree = {
    "/etc/credstore/system.hostname": "golden\n",
    "/etc/credstore/system.machine_id.bak": "x\n",
    "/boot/loader/credentials/system.hostname.cred": SECRET,
}


def test_every_file_goes_and_the_id_in_it_is_retired(tmp_path: Path) -> None:
    plant(tmp_path, {**STORES, **ENCRYPTED, **OTHERS, "/etc/machine-id": ""})
    plan = carry_out(guest_at(tmp_path), BOTH, Options())
    assert set(snapshot(tmp_path)) == {*OTHERS, "/etc/machine-id"}
    assert [retired.value for retired in plan.retired] == [OLD]
    shown = {change.target: change.old for change in plan.changes}
    assert {path: shown[path] for path in STORES} == dict.fromkeys(STORES, OLD)
    assert {shown[path] for path in ENCRYPTED} == {"encrypted"}


def test_on_a_boot_partition_that_is_mounted_elsewhere(tmp_path: Path) -> None:
    path = "/mnt/esp/loader/credentials/system.machine_id.cred"
    plant(tmp_path, {path: SECRET})
    mounts = (Mount("tree", "/", "tree"), Mount("esp", "/mnt/esp", "vfat"))
    guest = Guest(TreeVolumes(tmp_path), Layout(mounts))
    (change,) = CredentialMachineId().plan(context(guest)).changes
    assert (change.action, change.target) == ("remove", path)


@pytest.mark.parametrize(
    ("tree", "options"),
    [
        ({"/etc/credstore/system.machine_id": "firmware\n"}, Options()),
        ({"/etc/credstore/system.machine_id": None}, Options()),
        ({"/run/credstore/system.machine_id": OLD}, Options()),
        (STORES, Options(disable=frozenset({"machine-id"}))),
    ],
    ids=["no id", "a folder", "not on disk", "the id stays"],
)
def test_nothing_to_do(tmp_path: Path, tree: Tree, options: Options) -> None:
    plant(tmp_path, tree)
    assert CredentialMachineId().plan(context(guest_at(tmp_path), options)).changes == ()


@pytest.mark.parametrize("target", ["/etc/machine-id", "/srv/nothing"])
def test_a_link_goes_and_what_it_leads_to_stays(tmp_path: Path, target: str) -> None:
    plant(tmp_path, {"/etc/credstore/system.machine_id": f"-> {target}", "/etc/machine-id": OLD})
    carry_out(guest_at(tmp_path), BOTH, Options())
    assert set(snapshot(tmp_path)) == {"/etc/machine-id"}


def test_a_store_behind_a_link(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/credstore": "-> /srv/creds", "/srv/creds/system.machine_id": OLD})
    carry_out(guest_at(tmp_path), BOTH, Options())
    assert not (tmp_path / "srv/creds/system.machine_id").exists()


@pytest.mark.parametrize("path", STORES)
def test_a_file_that_was_left_is_residue_that_the_boot_reads(tmp_path: Path, path: str) -> None:
    plant(tmp_path, {path: OLD})
    (found,) = find_residue(guest_at(tmp_path), [Retired("machine-id", "machine-id", OLD)])
    assert (found.path, found.read_at_boot) == (path, True)


@pytest.mark.parametrize("text", [OLD, f"{OLD}\n"])
def test_an_id_in_base64_is_residue(tmp_path: Path, text: str) -> None:
    encoded = base64.b64encode(text.encode()).decode()
    plant(tmp_path, {"/boot/odd.cfg": f"x systemd.set_credential_binary=a:{encoded}\n"})
    (found,) = find_residue(guest_at(tmp_path), [Retired("machine-id", "machine-id", OLD)])
    assert (found.path, found.value, found.read_at_boot) == ("/boot/odd.cfg", OLD, True)


def test_what_stays_because_it_is_asked_for_is_named(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/machine-id": OTHER, **STORES})
    options = Options(disable=frozenset({"credential-machine-id"}))
    plan = carry_out(guest_at(tmp_path), (MachineId(),), options)
    kept = [note.text for note in plan.notes if note.level is Level.KEPT]
    assert len(kept) == len(STORES)
    assert "fills an empty or missing /etc/machine-id with the old id" in kept[0]
    assert [retired.value for retired in plan.retired] == [OTHER]
