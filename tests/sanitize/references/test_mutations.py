"""Apply and verify of every reference, switched off one at a time: the other one notices.

For each place that a reference knows, a guest has a file there with an old identifier. When the
change is not carried out, its own verification says so. When that is switched off as well, the
residue scan says so, which shares no lookup with the references.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.boot_images import uboot_environment, uboot_image, unified_kernel
from tests.support.identified import RENEWALS, ROOT
from tests.support.initrds import archive, compress
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.images.errors import ResidueError
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.change import Plan, Retired
from unclone.sanitize.references import REFERENCES
from unclone.sanitize.references.blocking import BlockingReference
from unclone.sanitize.references.names import NameReference
from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.references.scripts import Scripts
from unclone.sanitize.report import Outcome
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.sanitize.references.reference import Reference

#: What programs that start later read, or a person: the scan names it, and does not fail.
NOT_AT_BOOT = re.compile(
    r"/etc/(libvirt|target|tgt|lvm/(backup|archive)|udisks2|exports|security|mtools|hdparm|timeshift|stratis|snapraid"
    r"|sysctl\.d|systemd-swap|btrbk|bees|cron|cryptsetup/|keys/|luks/|luks-keys/)"
    r"|/root/|/var/spool/cron|/usr/local/(s?bin|libexec)/"
)

#: References that never plan a change: they keep what they find, or leave it to the others.
KEEPING = {
    reference.info.id
    for reference in REFERENCES
    if isinstance(reference, BlockingReference)
    or reference.info.id in {"disk-names", "evm", "snapshots"}
}


def cases() -> Iterator[Any]:
    for reference in REFERENCES:
        if reference.info.id not in KEEPING:
            for path in places(reference):
                yield pytest.param(reference, path, id=f"{reference.info.id}-{path}")


def places(reference: Reference) -> Iterator[str]:
    if isinstance(reference, TextReference | Scripts):
        for pattern in reference.paths:
            yield re.sub(r"\[(.).*?\]", r"\1", pattern).replace("*", "x")
    elif isinstance(reference, NameReference):
        for folder in reference.folders:
            yield f"{folder}/{escaped(ROOT.old)}.swap"
        for pattern in reference.names:
            yield pattern.replace("*", ROOT.old)
    else:
        yield {
            "initrd": "/boot/initrd.img-6.1",
            "efi-programs": "/boot/efi/EFI/Linux/arch.efi",
            "u-boot-images": "/boot/boot.scr",
            "u-boot-environment": "/boot/uboot.env",
        }[reference.info.id]


def escaped(uuid: str) -> str:
    return r"dev-disk-by\x2duuid-" + uuid.replace("-", r"\x2d")


def planted(folder: Path, reference: Reference, path: str) -> Guest:
    guest = folder / "guest"
    text = f"option UUID={ROOT.old} x\n"
    if reference.info.id == "initrd":
        plant(folder / "tree", {"/conf/conf.d/resume": text})
        plant(guest, {path: compress(Compression.ZSTD, archive(folder / "tree"))})
    elif reference.info.id == "efi-programs":
        plant(guest, {path: unified_kernel(folder, {".cmdline": f"root=UUID={ROOT.old}".encode()})})
    elif reference.info.id == "u-boot-images":
        plant(guest, {path: uboot_image(folder, "script", text.encode())})
    elif reference.info.id == "u-boot-environment":
        plant(guest, {path: uboot_environment(folder, text, 0x1000)})
    elif isinstance(reference, NameReference):
        plant(guest, {path: "x" if not path.endswith(".swap") else "[Swap]\n"})
    else:
        plant(guest, {path: text})
    return guest_at(guest)


def unapplied(guest: Guest, reference: Reference) -> tuple[Plan, tuple[Outcome, ...]]:
    """The plan of *reference*, and outcomes that say that it was carried out."""
    part = reference.plan(context(guest, renewals=RENEWALS))
    assert part.changes
    retired = (Retired("file-system-uuids", ROOT.kind.value, ROOT.old),)
    plan = Plan("identity", part.changes, (), retired)
    return plan, tuple(Outcome(change, "") for change in part.changes)


@pytest.mark.parametrize(("reference", "path"), list(cases()))
def test_a_change_that_was_not_made_is_noticed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: Reference, path: str
) -> None:
    guest = planted(tmp_path, reference, path)
    plan, outcomes = unapplied(guest, reference)
    with pytest.raises(ResidueError, match="could not be read back"):
        verify(guest, plan, outcomes)
    for change in plan.changes:  # now nothing but the scan is left
        monkeypatch.setattr(ACTIONS[change.action], "verify", lambda *_: "", raising=True)
    if NOT_AT_BOOT.match(path):
        found = verify(guest, plan, outcomes).residue
        assert ROOT.old in {each.value for each in found}
    else:
        with pytest.raises(ResidueError, match="is still in"):
            verify(guest, plan, outcomes)


def test_every_reference_is_here() -> None:
    tried = {case.values[0].info.id for case in cases()}
    assert tried | KEEPING == {reference.info.id for reference in REFERENCES}
