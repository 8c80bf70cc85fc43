"""The machine-id pair: what each mode leaves, what auto decides, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.families import (
    ARCH,
    DEBIAN_12,
    FAMILIES,
    OLD,
    OTHER,
    Tree,
    carry_out,
    difference,
    snapshot,
    systemd,
)
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError, UsageError
from unclone.sanitize.change import Level, StepPlan
from unclone.sanitize.options import Options
from unclone.sanitize.steps.machine_id import MachineId

if TYPE_CHECKING:
    from pathlib import Path

ETC = "/etc/machine-id"
DBUS = "/var/lib/dbus/machine-id"
NEW = "a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5"
PAIR: Tree = {ETC: f"{OLD}\n", DBUS: f"{OLD}\n"}


def plan_for(folder: Path, tree: Tree, mode: str = "auto") -> StepPlan:
    plant(folder, tree)
    guest = guest_at(folder)
    return MachineId().plan(context(guest, Options(machine_id=mode)))


def done_to(folder: Path, tree: Tree, mode: str) -> dict[str, str | bytes | None]:
    """What the step changes in *tree*; a second run must change nothing more."""
    plant(folder, tree)
    before = snapshot(folder)
    carry_out(guest_at(folder), [MachineId()], Options(machine_id=mode))
    after = snapshot(folder)
    if mode != "random":
        again = carry_out(guest_at(folder), [MachineId()], Options(machine_id=mode))
        assert again.changes == ()
        assert again.retired == ()
    return difference(before, after)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("debian-12", {ETC: b"", DBUS: None}),
        ("el9", {ETC: b""}),
        ("el8", {ETC: b""}),
        ("arch", {ETC: None}),
        ("alpine", {ETC: None, DBUS: None}),
    ],
)
def test_auto(tmp_path: Path, family: str, expected: dict[str, bytes | None]) -> None:
    bare = {p: c for p, c in FAMILIES[family].items() if OLD not in f"{p}{c!r}" or p in (ETC, DBUS)}
    assert done_to(tmp_path, bare, "auto") == expected


@pytest.mark.parametrize(
    ("mode", "content"),
    [
        ("remove", None),
        ("empty", b""),
        ("uninitialized", b"uninitialized\n"),
        (NEW, f"{NEW}\n".encode()),
    ],
)
@pytest.mark.parametrize(
    ("dbus", "left"),
    [(f"{OLD}\n", None), (f"{OTHER}\n", None), ("", None), ("-> /etc/machine-id", "link")],
    ids=["copy", "another id", "empty", "link"],
)
def test_modes(
    tmp_path: Path, mode: str, content: bytes | None, dbus: str, left: str | None
) -> None:
    changed = done_to(tmp_path, {**systemd(252), ETC: f"{OLD}\n", DBUS: dbus}, mode)
    assert changed == {ETC: content} | ({} if left else {DBUS: None})


def test_random_is_in_the_plan_and_a_valid_id(tmp_path: Path) -> None:
    (change, *_) = (c for c in plan_for(tmp_path, PAIR, "random").changes if c.target == ETC)
    assert change.new
    assert change.details["text"] == f"{change.new}\n"
    assert len(change.new) == 32
    assert change.new[12] == "4"  # a version 4 UUID, as systemd makes them
    assert int(change.new, 16)


def test_both_old_ids_are_retired(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, {ETC: f"{OLD}\n", DBUS: f"{OTHER}\n"})
    assert [(r.kind, r.value) for r in plan.retired] == [("machine-id", OLD), ("machine-id", OTHER)]
    assert any("different ids" in note.text for note in plan.notes)


def test_an_id_that_is_asked_for_again_stays_and_is_not_retired(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, PAIR, OLD)
    assert [change.target for change in plan.changes] == [DBUS]
    assert plan.retired == ()


@pytest.mark.parametrize(
    "spelled",
    [OLD, f"{OLD}\n", f"{OLD.upper()}\n", "01234567-89ab-cdef-0123-456789abcdef\n", f" {OLD}\r\n"],
    ids=["no newline", "plain", "upper case", "dashed", "blanks"],
)
def test_every_spelling_is_one_id(tmp_path: Path, spelled: str) -> None:
    assert [r.value for r in plan_for(tmp_path, {ETC: spelled}).retired] == [OLD]


@pytest.mark.parametrize(("mode", "left"), [("auto", b""), (NEW, f"{NEW}\n".encode())])
def test_zeros_are_no_id_and_are_not_left(tmp_path: Path, mode: str, left: bytes) -> None:
    zeros = "0" * 32
    tree: Tree = {ETC: f"{zeros}\n", "/etc/agent": f"{zeros}\n"}
    assert done_to(tmp_path, tree, mode) == {ETC: left}
    assert plan_for(tmp_path / "b", tree).retired == ()


def test_emptying_keeps_inode_and_mode(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN_12)
    path = tmp_path / "etc/machine-id"
    path.chmod(0o444)
    before = path.stat()
    carry_out(guest_at(tmp_path), [MachineId()], Options(machine_id="empty"))
    after = path.stat()
    assert (after.st_ino, after.st_mode, after.st_uid) == (
        before.st_ino,
        before.st_mode,
        before.st_uid,
    )


@pytest.mark.parametrize(
    ("tree", "mode", "made"),
    [
        (DEBIAN_12, "auto", True),
        (ARCH, "auto", False),
        (DEBIAN_12, "remove", False),
        (ARCH, "empty", True),
    ],
    ids=["auto, read-only root", "auto, writable root", "remove", "empty, as asked"],
)
def test_a_missing_file_is_made_only_where_it_is_needed(
    tmp_path: Path, tree: Tree, mode: str, made: bool
) -> None:
    plant(tmp_path, {p: c for p, c in tree.items() if OLD not in f"{p}{c!r}"})
    carry_out(guest_at(tmp_path), [MachineId()], Options(machine_id=mode))
    path = tmp_path / "etc/machine-id"
    assert path.exists() is made
    if made:
        assert path.read_bytes() == b""
        assert path.stat().st_mode & 0o777 == 0o444


WRITABLE: Tree = {
    **systemd(252),
    **PAIR,
    "/etc/os-release": "ID=debian\n",
    "/etc/kernel/cmdline": "ro\n",
    "/boot/grub/grub.cfg": "linux /vmlinuz root=/dev/a rw\n",
}
DISABLED_UNIT: Tree = {"/usr/lib/systemd/system/ssh.service": "[Install]\nWantedBy=x.target\n"}
FIRSTBOOT: Tree = {
    "/usr/lib/systemd/system/systemd-firstboot.service": "[Service]\nExecStart=x --prompt-locale\n",
    "/usr/lib/systemd/system/sysinit.target.wants/systemd-firstboot.service": "-> ../x",
}


@pytest.mark.parametrize(
    ("tree", "word", "reason"),
    [
        (WRITABLE, "removed", "the root starts writable"),
        ({**WRITABLE, **DISABLED_UNIT}, "emptied", "presets would enable ssh.service"),
        ({**WRITABLE, **FIRSTBOOT}, "emptied", "systemd-firstboot would ask for the locale"),
        (DEBIAN_12, "emptied", "/boot/grub/grub.cfg has ro"),
        ({**systemd(252), **PAIR}, "emptied", "no kernel command line was found"),
        ({**PAIR, "/sbin/openrc": ""}, "removed", "starts with openrc"),
        (PAIR, "emptied", "what starts this guest is not known, and systemd may need the file"),
    ],
    ids=["rw", "unit", "prompt", "ro", "no kernel", "openrc", "unknown init"],
)
def test_auto_says_what_it_did_and_why(tmp_path: Path, tree: Tree, word: str, reason: str) -> None:
    note = plan_for(tmp_path, tree).notes[0]
    assert note.level is Level.INFO
    assert note.text.startswith(f"/etc/machine-id is {word}: ")
    assert reason in note.text


@pytest.mark.parametrize(
    ("tree", "mode", "level", "text"),
    [
        ({**WRITABLE, **DISABLED_UNIT}, "remove", Level.INFO, "will enable ssh.service"),
        ({**WRITABLE, **DISABLED_UNIT}, "uninitialized", Level.INFO, "will enable ssh.service"),
        (WRITABLE, "remove", Level.INFO, "enable or disable no unit"),
        ({**WRITABLE, **FIRSTBOOT}, "remove", Level.WARNING, "will ask for the locale and wait"),
        (DEBIAN_12, "remove", Level.WARNING, "would run without a machine-id"),
        (FAMILIES["el8"], "uninitialized", Level.WARNING, "systemd 239 does not know"),
        (DEBIAN_12, "auto", Level.INFO, "UUID of the virtual machine"),
        (
            {**DEBIAN_12, "/var/lib/machines/box/etc/machine-id": f"{OTHER}\n"},
            "auto",
            Level.WARNING,
            "/var/lib/machines/box/etc/machine-id belongs to a nested machine",
        ),
        ({ETC: "-> /run/machine-id"}, "auto", Level.INFO, "made anew at every boot"),
        (PAIR, "auto", Level.WARNING, "`dbus-uuidgen --ensure` fails"),
        ({**PAIR, "/sbin/openrc": ""}, "empty", Level.WARNING, "use --machine-id remove"),
    ],
)
def test_notes(tmp_path: Path, tree: Tree, mode: str, level: Level, text: str) -> None:
    notes = plan_for(tmp_path, tree, mode).notes
    assert [n.level for n in notes if text in n.text] == [level]


def test_many_units_are_counted_not_listed(tmp_path: Path) -> None:
    units: Tree = {
        f"/usr/lib/systemd/system/unit-{n:02}.service": "[Install]\nWantedBy=x.target\n"
        for n in range(20)
    }
    note = plan_for(tmp_path, {**WRITABLE, **units}).notes[0]
    assert "unit-07.service and 12 more" in note.text
    assert "unit-08" not in note.text


PASSWD = "root:x:0:0:root:/root:/bin/bash\n"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({ETC: "-> passwd", "/etc/passwd": PASSWD}, r"/etc/machine-id -> passwd holds something"),
        ({ETC: "-> /etc/passwd", "/etc/passwd": PASSWD}, "-> /etc/passwd holds something"),
        ({ETC: "-> /../../../outside"}, "-> /../../../outside is a dangling symlink"),
        ({ETC: "-> machine-id"}, "cannot be followed: too many levels of symbolic links"),
        ({ETC: "-> /no/such/folder"}, "cannot be followed"),
        ({ETC: None}, "/etc/machine-id is a directory, not a file"),
        ({f"{ETC}/file": ""}, "/etc/machine-id is a directory"),
        ({ETC: "-> /tmp", "/tmp": None}, "/etc/machine-id -> /tmp is a directory"),
        ({ETC: "hello\n"}, "holds something that is not a machine-id"),
        ({ETC: f"{OLD}\n{OTHER}\n"}, "holds something that is not a machine-id"),
        ({ETC: b"\xff\xfe\x00"}, "holds something that is not a machine-id"),
        ({ETC: "-> \x1b[2J\n"}, r"/etc/machine-id -> \x1b[2J\n is a dangling symlink"),
        ({**PAIR, DBUS: None}, "/var/lib/dbus/machine-id is a directory, not a file"),
    ],
)
def test_what_is_not_a_machine_id_is_refused(tmp_path: Path, tree: Tree, message: str) -> None:
    plant(tmp_path, {p: c for p, c in tree.items() if p != DBUS or c is None})
    before = snapshot(tmp_path)
    guest = guest_at(tmp_path)
    with pytest.raises(RefusedError) as refused:
        MachineId().plan(context(guest))
    assert message in refused.value.message
    assert "--disable machine-id" in refused.value.hint
    assert snapshot(tmp_path) == before


def test_a_giant_file_is_refused_unread(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc": None})
    with (tmp_path / "etc/machine-id").open("wb") as file:
        file.truncate(2**30)
    guest = guest_at(tmp_path)
    with pytest.raises(RefusedError, match="has 1073741824 bytes"):
        MachineId().plan(context(guest))


LINKS = {
    "into D-Bus' folder": {ETC: f"-> {DBUS}", DBUS: f"{OLD}\n"},
    "elsewhere": {ETC: "-> /usr/local/etc/machine-id", "/usr/local/etc/machine-id": f"{OLD}\n"},
}


@pytest.mark.parametrize("tree", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("mode", ["remove", "empty", "uninitialized", NEW])
def test_a_link_to_an_id_is_followed(tmp_path: Path, tree: Tree, mode: str) -> None:
    done_to(tmp_path, {**systemd(252), **tree}, mode)
    assert OLD not in repr(snapshot(tmp_path))
    path = tmp_path / "etc/machine-id"
    if mode == "remove":
        assert not path.is_symlink()
        assert not path.exists()
    elif tree is LINKS["elsewhere"]:
        assert path.is_symlink()
    else:
        assert path.is_file()
        assert not path.is_symlink()
        assert not (tmp_path / "var/lib/dbus/machine-id").exists()


@pytest.mark.parametrize(
    ("target", "stays"),
    [
        ("/etc/machine-id", True),
        ("../../../etc/machine-id", True),
        ("/etc/hostname", False),
        ("/nowhere", False),
        ("machine-id", False),
    ],
)
def test_only_a_dbus_link_to_the_other_file_stays(tmp_path: Path, target: str, stays: bool) -> None:
    done_to(
        tmp_path, {**DEBIAN_12, DBUS: f"-> {target}"} | {f"/var/log/journal/{OLD}": None}, "auto"
    )
    assert (tmp_path / "var/lib/dbus/machine-id").is_symlink() is stays


def test_dbus_folder_that_is_the_same_place(tmp_path: Path) -> None:
    changed = done_to(
        tmp_path, {**systemd(252), ETC: f"{OLD}\n", "/var/lib/dbus": "-> /etc"}, "empty"
    )
    assert changed == {ETC: b""}


@pytest.mark.parametrize("mode", ["", "AUTO", "0" * 32, OLD.upper(), OLD[:-1], "set", "x\x1b"])
def test_unknown_modes_are_usage_errors(tmp_path: Path, mode: str) -> None:
    guest = guest_at(tmp_path)
    with pytest.raises(UsageError, match="is not a machine-id mode"):
        MachineId().plan(context(guest, Options(machine_id=mode)))


def test_an_image_that_asks_for_a_first_boot_keeps_asking(tmp_path: Path) -> None:
    tree: Tree = {**systemd(252), ETC: "uninitialized\n", DBUS: f"{OLD}\n"}
    assert done_to(tmp_path, tree, "auto") == {DBUS: None}


def test_an_empty_file_beside_an_old_id_of_dbus(tmp_path: Path) -> None:
    tree: Tree = {**systemd(252), ETC: "", DBUS: f"{OLD}\n"}
    assert done_to(tmp_path, tree, "empty") == {DBUS: None}
