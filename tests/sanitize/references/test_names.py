"""Units and folders called after an identifier are renamed, with all that points to them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.identified import ESP, RENEWALS, ROOT, SWAP
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.change import Retired
from unclone.sanitize.references import names
from unclone.sanitize.residue import find_residue

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.sanitize.references.names import NameReference

BY_ID = {reference.info.id: reference for reference in names.REFERENCES}
SYSTEMD_UNITS, EFI_FOLDERS = BY_ID["systemd-units"], BY_ID["efi-folders"]


def escaped(identifier: str) -> str:
    return identifier.replace("-", r"\x2d")


def follow(guest: Guest, reference: NameReference) -> list[str]:
    decided = context(guest, renewals=RENEWALS)
    changes = reference.plan(decided).changes
    for change in changes:
        ACTIONS[change.action].apply(guest, change)
    assert [ACTIONS[c.action].verify(guest, c, "") for c in changes] == [""] * len(changes)
    assert reference.plan(decided).changes == ()
    return [change.target for change in changes]


def listed(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_text()
    return found


def tree(root: str, swap: str) -> dict[str, str]:
    swap_unit = f"dev-disk-by\\x2duuid-{escaped(swap)}.swap"
    root_unit = f"dev-disk-by\\x2duuid-{escaped(root)}.device"
    system = "etc/systemd/system"
    return {
        f"{system}/-.mount": f"[Mount]\nWhat=/dev/disk/by-uuid/{root}\nWhere=/\n",
        f"{system}/{swap_unit}": f"[Swap]\nWhat=/dev/disk/by-uuid/{swap}\n",
        f"{system}/swap.target.wants/{swap_unit}": f"-> /etc/systemd/system/{swap_unit}",
        f"{system}/{root_unit}.d/50-slow.conf": f"[Unit]\n# {root}\nJobTimeoutSec=5\n",
        f"{system}/backup.service": f"[Unit]\nBindsTo={root_unit}\n",
        f"{system}/other.service": "[Unit]\nDescription=nothing of ours\n",
    }


def test_units_links_and_drop_ins_follow(tmp_path: Path) -> None:
    plant(tmp_path, {f"/{path}": content for path, content in tree(ROOT.old, SWAP.old).items()})
    targets = follow(guest_at(tmp_path), SYSTEMD_UNITS)
    assert listed(tmp_path) == tree(ROOT.new, SWAP.new)
    assert not any("other.service" in target for target in targets)


def test_the_escaped_form_is_found_also_in_upper_case_serials(tmp_path: Path) -> None:
    unit = f"dev-disk-by\\x2duuid-{escaped(ESP.old)}.device"
    plant(tmp_path, {f"/etc/systemd/system/x.wants/{unit}": "-> /dev/null"})
    follow(guest_at(tmp_path), SYSTEMD_UNITS)
    wanted = f"dev-disk-by\\x2duuid-{escaped(ESP.new)}.device"
    assert os.listdir(tmp_path / "etc/systemd/system/x.wants") == [wanted]


def test_folders_on_the_esp(tmp_path: Path) -> None:
    folder = f"/boot/efi/EFI/Pop_OS-{ROOT.old}"
    program = f"MZ search.fs_uuid {ROOT.old}"
    plant(tmp_path, {f"{folder}/vmlinuz.efi": program, f"{folder}/initrd.img": "x"})
    follow(guest_at(tmp_path), EFI_FOLDERS)
    renamed = f"boot/efi/EFI/Pop_OS-{ROOT.new}"
    # Programs there are another kind's business: this one has names only.
    assert listed(tmp_path) == {f"{renamed}/vmlinuz.efi": program, f"{renamed}/initrd.img": "x"}


def test_nothing_is_renamed_over_something(tmp_path: Path) -> None:
    names = [f"/boot/efi/EFI/Pop_OS-{value}/a" for value in (ROOT.old, ROOT.new)]
    plant(tmp_path, dict.fromkeys(names, "x"))
    guest = guest_at(tmp_path)
    decided = context(guest, renewals=RENEWALS)
    assert EFI_FOLDERS.plan(decided).changes == ()


def linked(root: str, swap: str) -> dict[str, str]:
    """Units and their directories that are links to a folder which no rule names."""
    swap_unit = f"dev-disk-by\\x2duuid-{escaped(swap)}.swap"
    root_unit = f"dev-disk-by\\x2duuid-{escaped(root)}.device"
    system = "etc/systemd/system"
    return {
        f"{system}/{swap_unit}": f"-> /srv/units/{swap_unit}",
        f"srv/units/{swap_unit}": f"-> ../current/{swap_unit}",
        f"srv/current/{swap_unit}": f"[Swap]\nWhat=/dev/disk/by-uuid/{swap}\n",
        f"{system}/multi-user.target.wants": "-> ../../../opt/wants",
        f"opt/wants/{swap_unit}": f"-> /etc/systemd/system/{swap_unit}",
        f"usr/lib/systemd/system/{root_unit}.d": "-> /opt/dropins",
        "opt/dropins/slow.conf": f"[Unit]\n# {root}\nJobTimeoutSec=5\n",
    }


def test_what_links_lead_to_elsewhere_is_renamed_with_them(tmp_path: Path) -> None:
    plant(tmp_path, {f"/{path}": text for path, text in linked(ROOT.old, SWAP.old).items()})
    follow(guest_at(tmp_path), SYSTEMD_UNITS)
    assert listed(tmp_path) == linked(ROOT.new, SWAP.new)


def test_what_was_not_renamed_is_not_verified(tmp_path: Path) -> None:
    plant(tmp_path, {f"/{path}": text for path, text in linked(ROOT.old, SWAP.old).items()})
    guest = guest_at(tmp_path)
    changes = SYSTEMD_UNITS.plan(context(guest, renewals=RENEWALS)).changes
    assert {change.action for change in changes} == {"rename", "replace-identifiers"}
    assert all(ACTIONS[change.action].verify(guest, change, "") for change in changes)


def test_names_behind_a_linked_directory_are_found_when_they_stay(tmp_path: Path) -> None:
    plant(tmp_path, {f"/{path}": text for path, text in linked(ROOT.old, SWAP.old).items()})
    retired = [Retired("swap", "swap-uuid", SWAP.old)]
    found = {each.path for each in find_residue(guest_at(tmp_path), retired) if each.read_at_boot}
    assert f"/opt/wants/dev-disk-by\\x2duuid-{escaped(SWAP.old)}.swap" in found


def test_a_link_through_a_folder_of_that_name_is_not_broken(tmp_path: Path) -> None:
    """The folder may be anyone's; that the link still has the old name fails the run."""
    link = "/etc/systemd/system/data.mount"
    unit = f"/srv/{ROOT.old}/data.mount"
    plant(tmp_path, {link: f"-> {unit}", unit: f"[Mount]\nWhat=UUID={ROOT.old}\n"})
    guest = guest_at(tmp_path)
    assert follow(guest, SYSTEMD_UNITS) == [unit]
    assert guest.read_text(link) == f"[Mount]\nWhat=UUID={ROOT.new}\n"
    retired = [Retired("root", "file-system-uuid", ROOT.old)]
    found = [(each.path, each.read_at_boot) for each in find_residue(guest, retired)]
    assert found == [(link, True)]


@pytest.mark.parametrize("target", ["/", "..", "loop.d", "/dev/null", "/etc/systemd/system/loop.d"])
def test_links_that_lead_anywhere_do_no_harm(tmp_path: Path, target: str) -> None:
    unit = f"[Mount]\nWhat=UUID={ROOT.old}\n"
    plant(tmp_path, {"/etc/systemd/system/loop.d": f"-> {target}", "/a/b.mount": unit})
    plant(tmp_path, {"/etc/systemd/system/b.mount": "-> /a/b.mount"})
    guest = guest_at(tmp_path)
    assert follow(guest, SYSTEMD_UNITS) == ["/a/b.mount"]
    assert find_residue(guest, [Retired("root", "file-system-uuid", ROOT.old)]) == []
