"""The copies of the machine-id that dracut puts into an initrd are emptied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.boot_images import unified_kernel
from tests.support.families import OLD, OTHER
from tests.support.initrds import archive, compress
from tests.support.pe import program
from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError, ResidueError
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.boot.initrd import survey
from unclone.sanitize.change import Level
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.guest import Guest

INITRD = "/boot/initramfs-6.12.0.img"
INSIDE = {
    "/etc/machine-id": f"{OLD}\n",
    "/etc/machine-info": f'CHASSIS="vm"\nKERNEL_INSTALL_MACHINE_ID={OLD}\n',
    "/etc/hostname": "template\n",
}


def guest_folder(folder: Path, inside: dict[str, str | bytes | None], *, dracut: bool) -> Path:
    plant(folder / "initrd", inside)
    tree = folder / "guest"
    plant(
        tree,
        {
            "/etc/machine-id": f"{OLD}\n",
            "/etc/os-release": "ID=fedora\n",
            INITRD: compress(Compression.ZSTD, archive(folder / "initrd")),
        },
    )
    if dracut:
        plant(tree, {"/usr/lib/dracut/dracut-functions.sh": ""})
    return tree


@pytest.mark.parametrize("dracut", [True, False], ids=["dracut", "dracut was removed"])
def test_the_copies_are_emptied_and_nothing_else(tmp_path: Path, dracut: bool) -> None:
    tree = guest_folder(tmp_path, dict(INSIDE), dracut=dracut)
    guest = guest_at(tree)
    plan = make_plan(guest, Options())
    (change,) = [each for each in plan.changes if each.step == "initrd-machine-id"]
    assert change.target == INITRD
    outcomes = apply_plan(guest, plan)
    assert verify(guest, plan, outcomes).residue == ()
    members = [name.lstrip("/") for name in INSIDE]
    contents = survey(guest.read(INITRD), read=members).contents
    assert contents == {
        "etc/machine-id": b"",
        "etc/machine-info": b'CHASSIS="vm"\n',
        "etc/hostname": b"template\n",
    }


def test_without_the_step_the_residue_scan_finds_it(tmp_path: Path) -> None:
    guest = guest_at(guest_folder(tmp_path, dict(INSIDE), dracut=True))
    plan = make_plan(guest, Options(disable=frozenset({"initrd-machine-id"})))
    outcomes = apply_plan(guest, plan)
    with pytest.raises(ResidueError, match=r"initramfs-6\.12\.0\.img!etc/machine-id"):
        verify(guest, plan, outcomes)


@pytest.mark.parametrize(
    "inside",
    [
        {"/etc/machine-id": ""},
        {"/etc/machine-id": f"{OTHER}\n"},
        {"/init": "#!/bin/sh\n"},
    ],
    ids=["empty", "another", "none"],
)
def test_nothing_to_do(tmp_path: Path, inside: dict[str, str | bytes | None]) -> None:
    plan = make_plan(guest_at(guest_folder(tmp_path, inside, dracut=True)), Options())
    assert not [each for each in plan.changes if each.step == "initrd-machine-id"]


def test_an_initrd_that_cannot_be_read_is_refused_or_named(tmp_path: Path) -> None:
    tree = guest_folder(tmp_path, dict(INSIDE), dracut=True)
    content = (tree / INITRD.lstrip("/")).read_bytes()
    (tree / INITRD.lstrip("/")).write_bytes(content[: len(content) // 2])
    with pytest.raises(RefusedError, match=f"{INITRD} may hold the old machine-id") as refused:
        make_plan(guest_at(tree), Options())
    assert "--machine-id random" in refused.value.hint
    plan = make_plan(guest_at(tree), Options(machine_id="random"))
    (note,) = [each for each in plan.notes if each.step == "initrd-machine-id"]
    assert INITRD in note.text


def test_one_inside_a_unified_kernel_image_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    guest = with_unified_kernel(tmp_path, dict(INSIDE), cut=True)
    assert make_plan(guest, Options()).retired  # nothing that copies it was ever here
    plant(tmp_path / "guest", {"/usr/lib/dracut/dracut-functions.sh": ""})
    with pytest.raises(RefusedError, match=r"inside .*fedora\.efi may hold the old machine-id"):
        make_plan(guest_at(tmp_path / "guest"), Options())


UKI = "/boot/efi/EFI/Linux/fedora.efi"


def with_unified_kernel(
    folder: Path, inside: dict[str, str | bytes | None], *, cut: bool = False
) -> Guest:
    plant(folder / "initrd", inside)
    packed = compress(Compression.ZSTD, archive(folder / "initrd"))
    packed = packed[: len(packed) // 2] if cut else packed
    image = unified_kernel(folder, {".cmdline": b"ro", ".initrd": packed})
    plant(folder / "guest", {"/etc/machine-id": f"{OLD}\n", UKI: image})
    return guest_at(folder / "guest")


def test_inside_a_unified_kernel_image_it_is_refused(tmp_path: Path) -> None:
    guest = with_unified_kernel(tmp_path, dict(INSIDE))
    with pytest.raises(RefusedError, match=r"fedora\.efi has the old machine-id") as refused:
        make_plan(guest, Options())
    assert "--disable initrd-machine-id" in refused.value.hint
    kept = make_plan(guest, Options(disable=frozenset({"initrd-machine-id"})))
    verify(guest, kept, apply_plan(guest, kept))
    (note,) = [note.text for note in kept.notes if note.level is Level.KEPT]
    assert f"the initrd inside {UKI} has the old machine-id" in note


ARGUMENT = f"systemd.machine_id={OLD}"


@pytest.mark.parametrize("section", [".initrd", ".ucode"])
@pytest.mark.parametrize(
    ("inside", "boot_config"),
    [
        ({"/etc/cmdline.d/id.conf": f"{ARGUMENT}\n"}, ""),
        ({"/etc/credstore/system.machine_id": OLD}, ""),
        ({"/etc/hostname": ""}, f'kernel {{ systemd.machine_id = "{OLD}" }}\n'),
        ({"/etc/hostname": ""}, f"kernel.systemd.machine_id = {OLD}\n"),
    ],
    ids=["command line", "credential", "boot config", "boot config on one line"],
)
def test_elsewhere_inside_a_unified_kernel_image_it_stops_the_run(
    tmp_path: Path, inside: dict[str, str | bytes | None], boot_config: str, section: str
) -> None:
    """What is packed is looked into as a file of its own would be, a boot config included."""
    plant(tmp_path / "initrd", inside)
    packed = compress(Compression.ZSTD, archive(tmp_path / "initrd"))
    if boot_config:
        text = boot_config.encode()
        sums = len(text).to_bytes(4, "little") + sum(text).to_bytes(4, "little")
        packed += bytes(-len(packed) % 4) + text + sums + b"#BOOTCONFIG\n"
    image = program((".cmdline", b"ro\0"), (section, packed))
    plant(tmp_path / "guest", {"/etc/machine-id": f"{OLD}\n", UKI: image})
    guest = guest_at(tmp_path / "guest")
    plan = make_plan(guest, Options())
    with pytest.raises(ResidueError, match=r"fedora\.efi"):
        verify(guest, plan, apply_plan(guest, plan))


@pytest.mark.parametrize("section", [".osrel", ".uname"])
@pytest.mark.parametrize("kernel", [b"k", bytes(2 * 1024**2)], ids=["small", "large"])
def test_in_another_section_it_stops_the_run(tmp_path: Path, section: str, kernel: bytes) -> None:
    image = program((section, f"IMAGE_ID={OLD}\n".encode()), (".linux", kernel))
    plant(tmp_path, {"/etc/machine-id": f"{OLD}\n", "/boot/EFI/Linux/fedora.efi": image})
    guest = guest_at(tmp_path)
    plan = make_plan(guest, Options())
    with pytest.raises(ResidueError, match=r"fedora\.efi:1"):
        verify(guest, plan, apply_plan(guest, plan))


def test_a_unified_kernel_image_without_it_is_no_reason(tmp_path: Path) -> None:
    guest = with_unified_kernel(tmp_path, {"/etc/machine-id": ""})
    assert make_plan(guest, Options()).retired
