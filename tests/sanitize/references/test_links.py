"""References behind links, in files of any size, and in files that only a boot entry names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.images.volumes import IdentifierKind
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.change import Retired
from unclone.sanitize.files import TEXT_LIMIT
from unclone.sanitize.references import REFERENCES
from unclone.sanitize.renewal import Renewal, Renewals
from unclone.sanitize.residue import find_residue

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.change import Change, Note

OLD = "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b"
NEW = "11111111-2222-4333-8444-555555555555"
ROOT = Renewal(IdentifierKind.FILE_SYSTEM_UUID, "/dev/sda1", OLD, NEW)
FSTAB = f"UUID={OLD} / ext4 defaults 0 1\n"
GRUB = f"search --fs-uuid --set=root {OLD}\nlinux /vmlinuz root=UUID={OLD} ro\n"
GRUBENV = f"# GRUB Environment Block\nkernelopts=root=UUID={OLD} ro\n".ljust(1024, "#")

#: A link in the guest, and the file behind it that has to be rewritten.
LINKS = {
    "fstab to its neighbour": {"/etc/fstab": "-> fstab.prod", "/etc/fstab.prod": FSTAB},
    "fstab out of /etc": {"/etc/fstab": "-> /srv/conf/fstab", "/srv/conf/fstab": FSTAB},
    "two links in a row": {
        "/etc/fstab": "-> ../opt/a",
        "/opt/a": "-> b/c",
        "/opt/b/c": FSTAB,
    },
    "a linked directory": {"/boot/grub": "-> ../srv/grub", "/srv/grub/grub.cfg": GRUB},
    "grub.cfg to a name that no rule knows": {
        "/boot/grub/grub.cfg": "-> ../grub.real",
        "/boot/grub.real": GRUB,
    },
    "default/grub to /srv": {
        "/etc/default/grub": "-> /srv/etc/grub",
        "/srv/etc/grub": f'GRUB_CMDLINE_LINUX="resume=UUID={OLD}"\n',
    },
    "grubenv on the ESP, as EL 8 has it": {
        "/boot/grub2/grubenv": "-> ../efi/EFI/redhat/grubenv",
        "/boot/efi/EFI/redhat/grubenv": GRUBENV,
    },
    "crypttab": {
        "/etc/crypttab": "-> /usr/local/share/crypttab",
        "/usr/local/share/crypttab": f"root UUID={OLD} none luks\n",
    },
    "a kernel command line": {
        "/etc/kernel/cmdline": "-> /opt/cmdline",
        "/opt/cmdline": f"root=UUID={OLD} ro\n",
    },
    "a linked unit": {
        "/etc/systemd/system/srv-data.mount": "-> /srv/units/data.mount",
        "/srv/units/data.mount": f"[Mount]\nWhat=/dev/disk/by-uuid/{OLD}\nWhere=/srv/data\n",
    },
    "a unit of a package that is a link": {
        "/usr/lib/systemd/system/c.mount": "-> /opt/c.mount",
        "/opt/c.mount": f"[Mount]\nWhat=UUID={OLD}\n",
    },
    "a unit behind two links": {
        "/etc/systemd/system/c.mount": "-> /usr/lib/systemd/system/c.mount",
        "/usr/lib/systemd/system/c.mount": "-> ../../../../srv/c",
        "/srv/c": f"[Mount]\nWhat=UUID={OLD}\n",
    },
    "a linked drop-in directory": {
        "/etc/systemd/system/c.mount.d": "-> /opt/c.d",
        "/opt/c.d/device.conf": f"[Mount]\nWhat=UUID={OLD}\n",
    },
    "a linked drop-in": {
        "/usr/lib/systemd/system/c.mount.d/device.conf": "-> /opt/device.conf",
        "/opt/device.conf": f"[Mount]\nWhat=UUID={OLD}\n",
    },
    "all units of the machine": {
        "/etc/systemd/system": "-> /srv/units",
        "/srv/units/data.mount": f"[Mount]\nWhat=UUID={OLD}\n",
    },
    "the units of a system before the merge of /usr": {
        "/lib/systemd/system/c.mount": "-> /opt/c.mount",
        "/opt/c.mount": f"[Mount]\nWhat=UUID={OLD}\n",
    },
    "a linked udev rule": {
        "/usr/lib/udev/rules.d/99-data.rules": "-> /opt/data.rules",
        "/opt/data.rules": f'ENV{{ID_FS_UUID}}=="{OLD}", SYMLINK+="data"\n',
    },
    "a script that a unit runs": {
        "/etc/systemd/system/data.service": "[Service]\nExecStartPre=-/srv/bin/mount-data -v\n",
        "/srv/bin/mount-data": f"#!/bin/sh\nmount UUID={OLD} /srv/data\n",
    },
    "a script that a linked unit runs through a shell": {
        "/etc/systemd/system/data.service": "-> /srv/data.service",
        "/srv/data.service": "[Service]\nExecStart=/bin/sh -c 'exec /opt/mount-data'\n",
        "/opt/mount-data": f"#!/bin/sh\nmount UUID={OLD} /srv/data\n",
    },
    "variables of a unit": {
        "/etc/systemd/system/data.service": "[Service]\nEnvironmentFile=-/srv/data.env\n",
        "/srv/data.env": f"DEVICE=/dev/disk/by-uuid/{OLD}\n",
    },
    "an automounter's map": {
        "/etc/auto.master": "/- /srv/maps/direct --timeout=60\n",
        "/srv/maps/direct": f"/srv/data -fstype=ext4 :/dev/disk/by-uuid/{OLD}\n",
    },
    "what GRUB's configuration includes": {
        "/boot/grub/grub.cfg": "if true; then\n  configfile ($root)/srv/menu.cfg\nfi\n",
        "/srv/menu.cfg": "source '/opt/more.cfg'\n",
        "/opt/more.cfg": GRUB,
    },
    "what the stub on the ESP leads to": {
        "/boot/efi/EFI/debian/grub.cfg": "set prefix=($root)/x\nconfigfile $prefix/menu.cfg\n",
        "/boot/efi/EFI/debian/menu.cfg": "load_env --file=/boot/mine/env\n",
        "/boot/mine/env": GRUBENV,
    },
    "what syslinux includes": {
        "/boot/syslinux/syslinux.cfg": "INCLUDE menu/linux.txt\n",
        "/boot/syslinux/menu/linux.txt": f"LABEL a\n APPEND root=UUID={OLD}\n",
    },
    "a loader of which there is no rule": {
        "/boot/loader-x/menu": "-> entries/first",
        "/boot/loader-x/entries/first": f"kernel root=UUID={OLD}\n",
    },
    "Limine at the top of the ESP": {"/boot/efi/limine.conf": f"cmdline: root=UUID={OLD}\n"},
    "an initrd's settings": {
        "/etc/initramfs-tools/conf.d/resume": "-> /srv/resume",
        "/srv/resume": f"RESUME=UUID={OLD}\n",
    },
}  # fmt: skip

each_link = pytest.mark.parametrize("tree", LINKS.values(), ids=LINKS)


def planned(folder: Path) -> tuple[list[Change], list[Note]]:
    decided = context(guest_at(folder), renewals=Renewals((ROOT,)))
    parts = [reference.plan(decided) for reference in REFERENCES]
    return [c for part in parts for c in part.changes], [n for part in parts for n in part.notes]


def left(folder: Path) -> list[tuple[str, bool]]:
    retired = [Retired("file-system-uuids", "file-system-uuid", OLD)]
    return [(r.path, r.read_at_boot) for r in find_residue(guest_at(folder), retired)]


def real_file(tree: dict[str, str]) -> str:
    return next(path for path, content in tree.items() if OLD in content)


@each_link
def test_the_file_behind_a_link_follows(tmp_path: Path, tree: dict[str, str]) -> None:
    plant(tmp_path, tree)
    changes, notes = planned(tmp_path)
    assert [change.target for change in changes] == [real_file(tree)]
    guest = guest_at(tmp_path)
    for change in changes:
        ACTIONS[change.action].apply(guest, change)
        assert ACTIONS[change.action].verify(guest, change, "") == ""
    for path, content in tree.items():
        if content.startswith("-> "):
            assert (tmp_path / path[1:]).readlink().as_posix() == content[3:]
        else:
            assert (tmp_path / path[1:]).read_text() == content.replace(OLD, NEW)
    assert (notes, left(tmp_path)) == ([], [])


@each_link
def test_what_was_not_rewritten_is_found_behind_the_link(
    tmp_path: Path, tree: dict[str, str]
) -> None:
    plant(tmp_path, tree)
    assert (real_file(tree), True) in left(tmp_path)


@each_link
def test_what_was_not_rewritten_is_not_verified(tmp_path: Path, tree: dict[str, str]) -> None:
    plant(tmp_path, tree)
    changes, _ = planned(tmp_path)
    guest = guest_at(tmp_path)
    assert changes
    assert all(ACTIONS[change.action].verify(guest, change, "") for change in changes)


def test_hard_links_are_one_file(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/fstab": FSTAB})
    (tmp_path / "etc/fstab.d").mkdir()
    (tmp_path / "etc/fstab.d/x").hardlink_to(tmp_path / "etc/fstab")
    guest = guest_at(tmp_path)
    for change in planned(tmp_path)[0]:
        ACTIONS[change.action].apply(guest, change)
        assert ACTIONS[change.action].verify(guest, change, "") == ""
    assert (tmp_path / "etc/fstab").read_text() == FSTAB.replace(OLD, NEW)
    assert (tmp_path / "etc/fstab").samefile(tmp_path / "etc/fstab.d/x")


@pytest.mark.parametrize("target", ["/srv/not-mounted/fstab", "../../../../../fstab", "fstab"])
def test_a_link_that_leads_to_nothing_is_named(tmp_path: Path, target: str) -> None:
    plant(tmp_path, {"/etc/fstab": f"-> {target}"})
    changes, (note,) = planned(tmp_path)
    assert changes == []
    assert f"/etc/fstab is a link to {target}, which leads to nothing here" in note.text


LEFT_OVER = {
    "/etc/systemd/system/gone.service": "-> /usr/lib/systemd/system/gone.service",
    "/etc/systemd/system/off.service": "-> /dev/null",
    "/etc/systemd/system/x.wants/gone.service": "-> /srv/not-mounted/gone.service",
}


def test_a_unit_on_a_disk_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A removed package leaves links, too: those say nothing."""
    link = "/etc/systemd/system/data.mount"
    plant(tmp_path, {**LEFT_OVER, link: "-> /srv/not-mounted/data.mount"})
    changes, (note,) = planned(tmp_path)
    assert changes == []
    assert f"{link} is a link to /srv/not-mounted/data.mount, which leads to nothing" in note.text


def test_the_name_of_a_file_behind_a_link_is_nobodys(tmp_path: Path) -> None:
    key = f"/srv/keys/{OLD}.key"
    plant(tmp_path, {"/etc/cryptsetup-keys.d/root.key": f"-> {key}", key: b"secret"})
    assert left(tmp_path) == [("/etc/cryptsetup-keys.d/root.key", False)]


@pytest.mark.parametrize(
    "path",
    [
        "/boot/grub/grub.cfg",
        "/etc/systemd/system/srv.mount",
        "/etc/systemd/system/srv.mount.d/what.conf",
        "/usr/lib/udev/rules.d/70-disk.rules",
        "/srv/units/srv.mount",
    ],
)
def test_a_file_that_is_too_large_to_read_keeps_what_it_may_refer_to(
    tmp_path: Path, path: str
) -> None:
    link = {"/etc/systemd/system/link.mount": "-> /srv/units/srv.mount"}
    plant(tmp_path, {path: GRUB + "#" * TEXT_LIMIT} | (link if path.startswith("/srv") else {}))
    decided = context(guest_at(tmp_path), renewals=Renewals((ROOT,)))
    kept = [blocker for reference in REFERENCES for blocker in reference.blockers(decided)]
    assert [blocker.renewal for blocker in kept] == [ROOT]
    assert f"{path} may refer to it, and is larger than the 16 MiB" in kept[0].why


@pytest.mark.slow
def test_a_large_file_is_read_whole(tmp_path: Path) -> None:
    comment = "# comment line of some length here\n" * 250_000
    plant(tmp_path, {"/etc/fstab": comment + FSTAB})
    assert left(tmp_path) == [("/etc/fstab", True)]
    (change,), _ = planned(tmp_path)
    ACTIONS[change.action].apply(guest_at(tmp_path), change)
    assert (tmp_path / "etc/fstab").read_text() == comment + FSTAB.replace(OLD, NEW)
    assert left(tmp_path) == []


def test_what_a_configuration_includes_is_read_at_boot(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/boot/grub/grub.cfg": "configfile ($root)/srv/menu.cfg\n",
            "/srv/menu.cfg": "source /opt/more.cfg\n",
            "/opt/more.cfg": GRUB,
        },
    )
    assert set(left(tmp_path)) == {("/opt/more.cfg", True)}


def test_names_with_wildcards_are_names(tmp_path: Path) -> None:
    path = "/etc/local.d/[data]*.start"
    unit = "[Service]\nExecStart=/o/[x]\n"
    plant(tmp_path, {path: FSTAB, "/etc/systemd/system/d.service": unit, "/o/[x]": FSTAB})
    changes, _ = planned(tmp_path)
    assert {change.target for change in changes} == {path, "/o/[x]"}


@pytest.mark.parametrize(
    ("kind", "at_boot"), [("file-system-uuid", True), ("machine-id", False), ("mac-address", False)]
)
def test_an_agents_settings_name_a_machine_and_no_device(
    tmp_path: Path, kind: str, at_boot: bool
) -> None:
    plant(tmp_path, {"/etc/default/agent": f"ID={OLD}\n"})
    found = find_residue(guest_at(tmp_path), [Retired("step", kind, OLD)])
    assert [(each.path, each.read_at_boot) for each in found] == [("/etc/default/agent", at_boot)]


def test_what_is_no_text_beside_a_loader_is_left_to_other_kinds(tmp_path: Path) -> None:
    program = b"MZ\0root=UUID=" + OLD.encode()
    plant(tmp_path, {"/boot/efi/x/program": program, "/boot/x": b"\x1f\x8b" + OLD.encode()})
    assert planned(tmp_path) == ([], [])
    assert left(tmp_path) == [("/boot/efi/x/program", True)]  # so that the run fails
