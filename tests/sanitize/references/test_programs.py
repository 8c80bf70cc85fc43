"""Initrds, EFI programs, U-Boot images and GRUB's boot sectors, as the real tools make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.boot_images import grub_image, uboot_image, unified_kernel
from tests.support.identified import (
    ALL,
    GROUP,
    LUKS,
    RENEWALS,
    ROOT,
    SWAP,
    IdentifiedVolumes,
    identified_guest,
    olds,
)
from tests.support.initrds import archive, compress, microcode
from tests.support.pe import program
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError, ResidueError
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.boot import efi_programs as programs
from unclone.sanitize.boot import pe
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.boot.initrd import survey
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.references import efi_programs, grub_core, initrd, uboot_images, zipl_bootmap
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change
    from unclone.sanitize.references.reference import Reference
    from unclone.sanitize.renewal import Renewal, Renewals

INITRD = "/boot/initrd.img-6.1"
UKI = "/boot/efi/EFI/Linux/arch.efi"
CMDLINE = f"root=UUID={ROOT.old} rw\0".encode()


def follow(guest: Guest, reference: Reference, renewals: Renewals = RENEWALS) -> list[str]:
    changes = planned(guest, reference, renewals)
    for change in changes:
        ACTIONS[change.action].apply(guest, change)
    assert [ACTIONS[c.action].verify(guest, c, "") for c in changes] == [""] * len(changes)
    assert planned(guest, reference, renewals) == ()
    return [change.target for change in changes]


def planned(guest: Guest, reference: Reference, renewals: Renewals) -> tuple[Change, ...]:
    decided = context(guest, renewals=renewals)
    assert reference.blockers(decided) == ()
    return reference.plan(decided).changes


def kept(guest: Guest, reference: Reference) -> set[Renewal]:
    found = reference.blockers(context(guest, renewals=RENEWALS))
    assert all(blocker.why and blocker.lift for blocker in found)
    return {blocker.renewal for blocker in found}


def an_initrd(folder: Path, compression: Compression, *, early: bool = False) -> bytes:
    """With what initramfs-tools and dracut copy into one."""
    tree = folder / "initrd"
    hook = f"initqueue/finished/devexists-\\x2fdev\\x2fdisk\\x2fby-uuid\\x2f{ROOT.old}.sh"
    plant(
        tree,
        {
            "/conf/conf.d/zz-resume-auto": f"RESUME=UUID={SWAP.old}\n",
            "/cryptroot/crypttab": f"luks-{LUKS.old} UUID={LUKS.old} none luks\n",
            f"/usr/lib/dracut/hooks/{hook}": f"[ -e /dev/disk/by-uuid/{ROOT.old} ]\n",
            "/etc/fstab": "proc /proc proc\n",
        },
    )
    main = compress(compression, archive(tree))
    return (microcode(folder / "early") + main) if early else main


@pytest.mark.parametrize(
    "compression",
    [Compression.NONE, Compression.GZIP, Compression.ZSTD, Compression.XZ, Compression.LZ4_LEGACY],
)
@pytest.mark.parametrize("early", [False, True], ids=["plain", "with microcode"])
def test_an_initrd_follows(tmp_path: Path, compression: Compression, early: bool) -> None:
    before = an_initrd(tmp_path, compression, early=early)
    plant(tmp_path / "guest", {INITRD: before, "/boot/initrd.img": "-> initrd.img-6.1"})
    guest = guest_at(tmp_path / "guest")
    assert kept(guest, initrd.REFERENCE) == set()
    assert follow(guest, initrd.REFERENCE) == [INITRD]
    after = guest.read(INITRD)
    assert after.startswith(before.rstrip(b"\0"))
    contents = survey(after, read=["conf/conf.d/zz-resume-auto", "cryptroot/crypttab"]).contents
    assert contents["conf/conf.d/zz-resume-auto"] == f"RESUME=UUID={SWAP.new}\n".encode()
    assert contents["cryptroot/crypttab"].startswith(f"luks-{LUKS.new} UUID={LUKS.new}".encode())


def test_an_unreadable_initrd_keeps_what_may_be_in_it(tmp_path: Path) -> None:
    content = an_initrd(tmp_path, Compression.GZIP)
    plant(tmp_path / "guest", {INITRD: content[: len(content) // 2]})
    found = kept(guest_at(tmp_path / "guest"), initrd.REFERENCE)
    assert {ROOT, SWAP, LUKS} <= found


def test_one_inside_a_unified_kernel_is_no_less_unreadable(tmp_path: Path) -> None:
    content = an_initrd(tmp_path, Compression.GZIP)
    image = unified_kernel(tmp_path, {".cmdline": b"rw", ".initrd": content[: len(content) // 2]})
    plant(tmp_path / "guest", {UKI: image})
    found = kept(guest_at(tmp_path / "guest"), efi_programs.REFERENCE)
    assert {ROOT, SWAP, LUKS} <= found


def test_an_efi_program_that_is_too_large_to_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "SIZE_LIMIT", 1024)
    image = unified_kernel(tmp_path, {".cmdline": CMDLINE, ".linux": bytes(2000)})
    plant(tmp_path / "guest", {UKI: image})
    with pytest.raises(RefusedError, match="too large"):
        kept(guest_at(tmp_path / "guest"), efi_programs.REFERENCE)


def test_residue_inside_an_initrd_stops_the_run(tmp_path: Path) -> None:
    plant(tmp_path / "guest", {INITRD: an_initrd(tmp_path, Compression.GZIP)})
    guest = identified_guest(IdentifiedVolumes(tmp_path / "guest", olds([SWAP])))
    plan = make_plan(guest, Options(disable=frozenset({"initrd"})))
    outcomes = apply_plan(guest, plan)
    with pytest.raises(ResidueError, match=r"initrd\.img-6\.1!conf/conf\.d/zz-resume-auto"):
        verify(guest, plan, outcomes)


def test_an_unsigned_unified_kernel_is_patched(tmp_path: Path) -> None:
    before = unified_kernel(tmp_path, {".cmdline": CMDLINE, ".linux": b"kernel"})
    plant(tmp_path / "guest", {UKI: before})
    guest = guest_at(tmp_path / "guest")
    assert kept(guest, efi_programs.REFERENCE) == set()
    assert follow(guest, efi_programs.REFERENCE) == [UKI]
    after = guest.read(UKI)
    assert len(after) == len(before)
    (cmdline,) = pe.contents(after, ".cmdline")
    assert bytes(cmdline) == f"root=UUID={ROOT.new} rw\0".encode()


@pytest.mark.parametrize(
    "path",
    [
        "/boot/efi/EFI/Linux/arch.efi.extra.d/root.addon.efi",
        "/boot/efi/loader/addons/root.addon.efi",
        "/efi/EFI/Linux/arch.efi.extra.d/root.addon.EFI",
        "/boot/efi/kernel.efi",
        "/boot/EFI/a/b/c/kernel.efi",
        "/boot/kernel.efi",
    ],
)
def test_programs_and_add_ons_follow_wherever_they_are(tmp_path: Path, path: str) -> None:
    """Add-ons have a command line and no kernel."""
    text = f"root=UUID={ROOT.old} resume=UUID={SWAP.old}\0"
    plant(tmp_path, {path: program((".cmdline", text.encode()))})
    guest = guest_at(tmp_path)
    assert follow(guest, efi_programs.REFERENCE) == [path]
    (cmdline,) = pe.contents(guest.read(path), ".cmdline")
    wanted = text.replace(ROOT.old, ROOT.new).replace(SWAP.old, SWAP.new)
    assert bytes(cmdline).decode() == wanted


@pytest.mark.slow
def test_a_signed_one_keeps_what_it_refers_to(tmp_path: Path) -> None:
    signed = unified_kernel(tmp_path, {".cmdline": CMDLINE}, signed=True)
    plant(tmp_path / "guest", {UKI: signed})
    assert kept(guest_at(tmp_path / "guest"), efi_programs.REFERENCE) == {ROOT}


def test_an_initrd_inside_keeps_what_it_refers_to(tmp_path: Path) -> None:
    inside = an_initrd(tmp_path, Compression.ZSTD)
    image = unified_kernel(tmp_path, {".cmdline": b"ro\0", ".initrd": inside})
    plant(tmp_path / "guest", {UKI: image})
    assert kept(guest_at(tmp_path / "guest"), efi_programs.REFERENCE) == {ROOT, SWAP, LUKS}


def test_an_unsigned_grub_is_patched(tmp_path: Path) -> None:
    config = f"search.fs_uuid {ROOT.old} root \nset prefix=($root)'/boot/grub'\n"
    image = grub_image(tmp_path, "x86_64-efi", "/boot/grub", config, "search_fs_uuid", "ext2")
    path = "/boot/efi/EFI/arch/grubx64.efi"
    plant(tmp_path / "guest", {path: image})
    guest = guest_at(tmp_path / "guest")
    assert follow(guest, efi_programs.REFERENCE) == [path]
    assert guest.read(path).count(ROOT.new.encode()) == 1


@pytest.mark.parametrize(
    ("prefix", "config", "renewal"),
    [
        ("(,gpt2)/boot/grub", "", None),
        ("(,gpt2)/boot/grub", f"search.fs_uuid {ROOT.old} root hd0,gpt2\n", ROOT),
        (f"(lvmid/{GROUP.old}/{GROUP.old[::-1]})/boot/grub", "", GROUP),
        (f"(cryptouuid/{LUKS.old.replace('-', '')})/boot/grub", "", LUKS),
    ],
    ids=["plain disk", "search", "LVM", "LUKS"],
)
def test_boot_sectors_keep_what_they_look_for(
    tmp_path: Path, prefix: str, config: str, renewal: Renewal | None
) -> None:
    core = grub_image(tmp_path, "i386-pc", prefix, config, "biosdisk", "search_fs_uuid", "ext2")
    plant(tmp_path / "guest", {"/boot/grub/i386-pc/core.img": core})
    wanted = set() if renewal is None else {renewal}
    assert kept(guest_at(tmp_path / "guest"), grub_core.REFERENCE) == wanted


def test_a_uboot_script_follows(tmp_path: Path) -> None:
    script = f"setenv bootargs root=UUID={ROOT.old}\nbooti\n".encode()
    before = uboot_image(tmp_path, "script", script)
    plant(tmp_path / "guest", {"/boot/boot.scr": before})
    guest = guest_at(tmp_path / "guest")
    assert kept(guest, uboot_images.REFERENCE) == set()
    assert follow(guest, uboot_images.REFERENCE) == ["/boot/boot.scr"]
    assert len(guest.read("/boot/boot.scr")) == len(before)


def test_an_initrd_for_uboot_that_cannot_be_read_keeps_what_may_be_in_it(tmp_path: Path) -> None:
    content = an_initrd(tmp_path, Compression.GZIP)
    packed = uboot_image(tmp_path, "ramdisk", content[: len(content) // 2])
    plant(tmp_path / "guest", {"/boot/uInitrd": packed})
    assert {ROOT, SWAP, LUKS} <= kept(guest_at(tmp_path / "guest"), uboot_images.REFERENCE)


def test_an_initrd_for_uboot_follows(tmp_path: Path) -> None:
    packed = uboot_image(tmp_path, "ramdisk", an_initrd(tmp_path, Compression.GZIP))
    plant(tmp_path / "guest", {"/boot/uInitrd": packed})
    assert follow(guest_at(tmp_path / "guest"), uboot_images.REFERENCE) == ["/boot/uInitrd"]


def test_a_damaged_script_keeps_what_it_refers_to(tmp_path: Path) -> None:
    image = uboot_image(tmp_path, "script", f"root=UUID={ROOT.old}\n".encode())
    plant(tmp_path / "guest", {"/boot/boot.scr": image[:-1] + b"!"})
    assert kept(guest_at(tmp_path / "guest"), uboot_images.REFERENCE) == {ROOT}


@pytest.mark.parametrize("file", ["/boot/bootmap", "/etc/zipl.conf"])
def test_zipl_keeps_what_it_refers_to(tmp_path: Path, file: str) -> None:
    plant(
        tmp_path,
        {
            "/etc/zipl.conf": "[defaultboot]\n",
            file: f'parameters="root=UUID={ROOT.old}"\n',
        },
    )
    assert kept(guest_at(tmp_path), zipl_bootmap.REFERENCE) == {ROOT}


@pytest.mark.parametrize("written", ["target = /srv/z", "bootmap=/srv/z/bootmap"])
def test_a_map_of_zipl_is_where_its_configuration_says(tmp_path: Path, written: str) -> None:
    plant(
        tmp_path,
        {
            "/etc/zipl.conf": f"[linux]\n  {written}\n",
            "/srv/z/bootmap": f"root=UUID={ROOT.old}",
        },
    )
    assert kept(guest_at(tmp_path), zipl_bootmap.REFERENCE) == {ROOT}


def test_no_zipl_keeps_nothing(tmp_path: Path) -> None:
    plant(tmp_path, {"/boot/loader/entries/a.conf": f"options root=UUID={ROOT.old}\n"})
    assert kept(guest_at(tmp_path), zipl_bootmap.REFERENCE) == set()


@pytest.mark.slow
def test_everything_together_keeps_nothing_it_need_not(tmp_path: Path) -> None:
    """What a signed program refers to stays everywhere, and only that."""
    signed = unified_kernel(tmp_path, {".cmdline": CMDLINE}, signed=True)
    plant(
        tmp_path / "guest",
        {
            UKI: signed,
            INITRD: an_initrd(tmp_path, Compression.GZIP),
            "/etc/fstab": f"UUID={ROOT.old} / ext4\nUUID={SWAP.old} none swap\n",
        },
    )
    guest = identified_guest(IdentifiedVolumes(tmp_path / "guest", olds()))
    plan = make_plan(guest, Options())
    outcomes = apply_plan(guest, plan)
    assert verify(guest, plan, outcomes).residue == ()
    renewed = {change.old for change in plan.changes if change.action == "set-identifier"}
    assert renewed == {each.old for each in ALL} - {ROOT.old}
    assert ROOT.old in guest.read_text("/etc/fstab")
    assert SWAP.old not in guest.read_text("/etc/fstab")


def test_a_boot_config_keeps_what_it_may_refer_to(tmp_path: Path) -> None:
    """It is behind the archives, has no name and is not edited: also where an initrd is packed."""
    text = f"kernel.root=UUID={ROOT.old}\n".encode()
    sums = len(text).to_bytes(4, "little") + sum(text).to_bytes(4, "little")
    plant(tmp_path / "inside", {"/etc/fstab": "proc /proc proc\n"})
    content = archive(tmp_path / "inside") + text + sums + b"#BOOTCONFIG\n"
    files = {
        INITRD: content,
        UKI: unified_kernel(tmp_path, {".cmdline": b"rw\0", ".initrd": content}),
        "/boot/uInitrd": uboot_image(tmp_path, "ramdisk", content),
    }
    plant(tmp_path / "guest", files)
    guest = guest_at(tmp_path / "guest")
    for reference in (efi_programs.REFERENCE, uboot_images.REFERENCE):
        assert ROOT in kept(guest, reference)
