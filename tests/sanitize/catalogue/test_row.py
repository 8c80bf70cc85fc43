"""A row as a step: what it decides where a guest is not as the row's author imagined it."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.images.guest import READ_LIMIT
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.catalogue import load
from unclone.sanitize.catalogue.row import CatalogueRow, CatalogueStep, When
from unclone.sanitize.change import Level
from unclone.sanitize.options import Profile

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.change import StepPlan


def row(action: str, *paths: str, **fields: Any) -> CatalogueRow:
    return CatalogueRow(
        "a-row", "A row", "why not", action, paths, ("https://example.org/",), **fields
    )


def plan(folder: Path, of: CatalogueRow) -> StepPlan:
    guest = guest_at(folder)
    return CatalogueStep(of).plan(context(guest))


def targets(folder: Path, of: CatalogueRow) -> list[str]:
    return [change.target for change in plan(folder, of).changes]


def apply(folder: Path, of: CatalogueRow) -> None:
    guest = guest_at(folder)
    for change in plan(folder, of).changes:
        ACTIONS[change.action].apply(guest, change)
        assert ACTIONS[change.action].verify(guest, change, "") == ""


# -- what is shown ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("files", "old"),
    [
        ({"/a/x": "12345"}, "regular file, 5 bytes"),
        ({"/a/x": "1"}, "regular file, 1 byte"),
        ({"/a/x": None}, "directory, 0 entries"),
        ({"/a/x/y": ""}, "directory, 1 entry"),
        ({"/a/x": "-> /etc/\x1b[31m"}, r"symlink to /etc/\x1b[31m"),
    ],
)
def test_says_what_is_there(tmp_path: Path, files: dict[str, str | bytes | None], old: str) -> None:
    plant(tmp_path, files)
    assert plan(tmp_path, row("remove", "/a/x")).changes[0].old == old


def test_says_special_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a/x")
    assert plan(tmp_path, row("remove", "/a/x")).changes[0].old == "special file"


def test_says_how_many_lines_go(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/x": "id: 1\nname: x\nid: 2\n"})
    change = plan(tmp_path, row("drop-lines", "/a/x", lines=("id: .*",))).changes[0]
    assert change.old == "2 lines"
    assert change.details == {"lines": ["id: .*"]}


def test_says_what_is_written(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/x": "Name=old\n"})
    change = plan(tmp_path, row("write", "/a/x", content="Name=new\n")).changes[0]
    assert (change.old, change.new) == ("regular file, 9 bytes", "Name=new")
    assert change.details == {"text": "Name=new\n"}


def test_is_described_by_its_row() -> None:
    info = CatalogueStep(row("remove", "/a/x", profile=Profile.GOLDEN, off_because="no")).info
    assert (info.id, info.title, info.why) == ("a-row", "A row", "why not")
    assert (info.profile, info.off_because) == (Profile.GOLDEN, "no")
    assert info.sources == ("https://example.org/",)


# -- nothing to do ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "of",
    [
        row("clear", "/a/empty"),
        row("clear", "/a/file"),
        row("truncate", "/a/zero"),
        row("truncate", "/a/folder"),
        row("drop-lines", "/a/file", lines=("nothing",)),
        row("drop-lines", "/a/folder", lines=(".*",)),
        row("write", "/a/file", content="text\n"),
        row("write", "/a/folder", content="text\n"),
        row("write", "/a/missing", content="text\n"),
    ],
    ids=lambda of: f"{of.action} {of.paths[0]}",
)
def test_plans_nothing_where_nothing_is_to_be_done(tmp_path: Path, of: CatalogueRow) -> None:
    plant(tmp_path, {"/a/empty": None, "/a/file": "text\n", "/a/zero": "", "/a/folder/x": "x\n"})
    assert plan(tmp_path, of).changes == ()
    assert plan(tmp_path, of).notes == ()


# -- nesting and exceptions ------------------------------------------------------------------
def test_a_removed_folder_covers_what_is_in_it(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/b/c/d": "", "/a/b-c": "", "/a/b/e": ""})
    of = row("remove", "/a/b/c/d", "/a/b", "/a/b-c", "/a/b/*")
    assert targets(tmp_path, of) == ["/a/b", "/a/b-c"]


def test_removes_around_what_is_spared_deep_inside(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/b/keep/me": "1", "/a/b/keep/not": "", "/a/b/other/x": "", "/a/c": ""})
    of = row("remove", "/a/*", excepts=("/a/b/keep/me",))
    assert targets(tmp_path, of) == ["/a/b/keep/not", "/a/b/other", "/a/c"]
    apply(tmp_path, of)
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()] == [
        "a/b/keep/me"
    ]


def test_a_spared_folder_is_not_searched(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/x.bak": "", "/a/keep/y.bak": "", "/a/keep/deep/z.bak": ""})
    of = row("remove", "/a/**/*.bak", excepts=("/a/keep",))
    assert targets(tmp_path, of) == ["/a/x.bak"]


@pytest.mark.parametrize("action", ["truncate", "drop-lines", "write"])
def test_every_action_honours_exceptions(tmp_path: Path, action: str) -> None:
    plant(tmp_path, {"/a/x": "x\n", "/a/y": "x\n"})
    of = row(action, "/a/*", excepts=("/a/y",), lines=("x",), content="z")
    assert targets(tmp_path, of) == ["/a/x"]


def test_clear_empties_a_folder(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/b/c": "", "/a/b/d/e": ""})
    apply(tmp_path, row("clear", "/a/b"))
    assert list((tmp_path / "a/b").iterdir()) == []


# -- any depth -------------------------------------------------------------------------------
def test_finds_regular_files_at_any_depth_and_nothing_else(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/a~": "", "/etc/b/c/d~": "", "/etc/folder~/x": "", "/etc/l~": "-> a~"})
    assert targets(tmp_path, row("remove", "/etc/**/*~")) == ["/etc/a~", "/etc/b/c/d~"]


# -- homes -----------------------------------------------------------------------------------
def test_finds_every_home(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/etc/passwd": "root:x:0:0::/root:/bin/sh\n"
            "git:x:998:998::/srv/git:/bin/sh\n"
            "ada:x:1000:1000::/home/ada:/bin/sh\n"
            "twin:x:1001:1001::/home/../home/ada:/bin/sh\n",
            "/root/.history": "",
            "/srv/git/.history": "",
            "/home/ada/.history": "",
            "/home/not in passwd/.history": "",
        },
    )
    assert targets(tmp_path, row("remove", "~/.history")) == [
        "/home/ada/.history",
        "/home/not in passwd/.history",
        "/root/.history",
        "/srv/git/.history",
    ]


@pytest.mark.parametrize(
    "home",
    [
        "/",
        "//",
        "/..",
        "relative",
        "",
        "/no/such",
        "/etc/passwd",
        "/a\x00b",
        "/" + "x" * 5000,
        "/*",
    ],
)
def test_an_unusual_home_is_accepted(tmp_path: Path, home: str) -> None:
    plant(tmp_path, {"/etc/passwd": f"x:x:1:1::{home}:/bin/sh\nshort:x\n\xff\n", "/.history": ""})
    plant(tmp_path, {"/etc/.history": ""})
    assert targets(tmp_path, row("remove", "~/.history")) == []


def test_a_home_may_hold_pattern_characters(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/passwd": "x:x:1:1::/data/[x]*:/bin/sh\n", "/data/[x]*/.history": ""})
    plant(tmp_path, {"/data/xy/.history": ""})
    assert targets(tmp_path, row("remove", "~/.history")) == ["/data/[x]*/.history"]


# -- symlinks --------------------------------------------------------------------------------
def test_removes_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/link": "-> /etc", "/etc/passwd": "root"})
    apply(tmp_path, row("remove", "/a/*"))
    assert not (tmp_path / "a/link").is_symlink()
    assert (tmp_path / "etc/passwd").exists()


@pytest.mark.parametrize(
    ("files", "pattern", "astray"),
    [
        ({"/var/lib/foo": "-> /home/ada", "/home/ada/x": ""}, "/var/lib/foo/*", "/var/lib/foo/x"),
        ({"/etc/ipa": "-> .", "/etc/x": ""}, "/etc/ipa/x", "/etc/ipa/x"),
        ({"/etc/ipa": "-> /etc", "/etc/deep/x": ""}, "/etc/ipa/**/x", "/etc/ipa/deep/x"),
        ({"/var/log": "-> /home", "/home/ada/x": ""}, "/var/log/*/x", "/var/log/ada/x"),
        ({"/h/u": "-> /etc", "/etc/x": ""}, "/h/*/x", "/h/u/x"),
    ],
    ids=["another place", "a folder in itself", "any depth", "above a wildcard", "a wildcard"],
)
def test_leaves_what_lies_behind_a_symlinked_folder(
    tmp_path: Path, files: dict[str, str | bytes | None], pattern: str, astray: str
) -> None:
    plant(tmp_path, files)
    result = plan(tmp_path, row("remove", pattern))
    assert result.changes == ()
    assert [(n.level, n.text) for n in result.notes] == [
        (Level.KEPT, f"{astray} is below a symlinked folder; it is not changed")
    ]


def test_a_golden_row_that_leaves_something_only_warns(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/b": "-> /etc", "/etc/x": ""})
    result = plan(tmp_path, row("remove", "/a/b/x", profile=Profile.GOLDEN))
    assert [note.level for note in result.notes] == [Level.WARNING]


def test_needs_no_note_when_the_real_path_is_found_too(tmp_path: Path) -> None:
    plant(tmp_path, {"/efi": "-> boot/efi", "/boot/efi/seed": ""})
    result = plan(tmp_path, row("remove", "/efi/seed", "/boot/efi/seed"))
    assert [change.target for change in result.changes] == ["/boot/efi/seed"]
    assert result.notes == ()


@pytest.mark.parametrize(
    ("link", "leads", "pattern", "target"),
    [
        ("/var/run", "/run", "/var/run/utmp", "/run/utmp"),
        ("/var/run", "../run", "/var/run/faillock/*", "/run/faillock/x"),
        ("/home", "var/home", "/home/*/.x", "/var/home/x/.x"),
        ("/root", "/var/roothome", "~/.x", "/var/roothome/.x"),
    ],
)
def test_follows_the_links_that_distributions_make(
    tmp_path: Path, link: str, leads: str, pattern: str, target: str
) -> None:
    plant(tmp_path, {target: "", link: f"-> {leads}"})
    result = plan(tmp_path, row("remove", pattern))
    assert [change.target for change in result.changes] == [target]
    assert result.notes == ()


@pytest.mark.parametrize("action", ["clear", "truncate", "drop-lines", "write"])
@pytest.mark.parametrize("leads", ["/etc/passwd", "../etc/passwd", "/etc", "missing", "x"])
def test_changes_nothing_through_a_link_that_leads_away(
    tmp_path: Path, action: str, leads: str
) -> None:
    plant(tmp_path, {"/a/x": f"-> {leads}", "/etc/passwd": "root\n"})
    result = plan(tmp_path, row(action, "/a/x", lines=("root",), content="z"))
    assert result.changes == ()
    assert [n.text for n in result.notes] == [
        "/a/x is a symlink that leads elsewhere; it is not changed"
    ]


def test_follows_a_link_to_a_neighbour_and_changes_it_once(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/x.log": "old", "/a/y.log": "-> x.log"})
    apply(tmp_path, row("truncate", "/a/*.log"))
    assert (tmp_path / "a/y.log").is_symlink()
    assert targets(tmp_path, row("truncate", "/a/*.log")) == []
    plant(tmp_path, {"/a/x.log": "new"})
    assert targets(tmp_path, row("truncate", "/a/*.log")) == ["/a/x.log"]


# -- hostile content -------------------------------------------------------------------------
def test_a_file_too_big_to_edit_is_left_alone(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/x": "HWADDR=x\n"})
    with (tmp_path / "a/x").open("r+b") as file:
        file.truncate(READ_LIMIT + 1)
    result = plan(tmp_path, row("drop-lines", "/a/x", lines=("HWADDR=.*",)))
    assert result.changes == ()
    assert [n.text for n in result.notes] == ["/a/x is too large to be edited; it is not changed"]


def test_names_that_forge_lines_are_shown_escaped(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/b": "-> /etc", "/etc/x\nRemoved: all": ""})
    note = plan(tmp_path, row("remove", "/a/b/*")).notes[0]
    assert note.text == r"/a/b/x\nRemoved: all is below a symlinked folder; it is not changed"


def test_names_that_are_not_text_are_removed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / os.fsdecode(b"\xff\n")).touch()
    apply(tmp_path, row("remove", "/a/*"))
    assert list((tmp_path / "a").iterdir()) == []


# -- conditions ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("when", "applies"),
    [
        (When(), True),
        (When(exists=("/no", "/a/*")), True),
        (When(exists=("/no",)), False),
        (When(missing=("/no", "/nor/this")), True),
        (When(missing=("/no", "/a/x")), False),
        (When(distro=("debian", "rhel")), True),
        (When(distro=("ubuntu",)), True),
        (When(distro=("fedora",)), False),
        (When(exists=("/a/x",), missing=("/a/x",)), False),
        (When(exists=("/a/x",), distro=("fedora",)), False),
    ],
    ids=str,
)
def test_conditions(tmp_path: Path, when: When, *, applies: bool) -> None:
    plant(tmp_path, {"/a/x": "", "/etc/os-release": 'ID=ubuntu\nID_LIKE="debian"\n'})
    of = dataclasses.replace(row("remove", "/a/x"), when=when)
    assert bool(plan(tmp_path, of).changes) == applies


# -- what a file holds -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "removed"),
    [
        ("apiVersion: v1\nkind: Config\nusers: []\n", True),
        ('kind: "Config"\n', True),
        ("kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n", False),
        ("", False),
    ],
)
def test_only_a_kubeconfig_is_a_credential(tmp_path: Path, content: str, removed: bool) -> None:
    (step,) = [step for step in load() if step.info.id == "kubelet-node"]
    plant(tmp_path, {"/etc/kubernetes/kubelet.conf": content, "/var/lib/kubelet/pki/x.pem": "x"})
    changed = [change.target for change in step.plan(context(guest_at(tmp_path))).changes]
    assert ("/etc/kubernetes/kubelet.conf" in changed) is removed
    assert "/var/lib/kubelet/pki/x.pem" in changed


@pytest.mark.parametrize("name", ["kube-apiserver.yaml", "kube-apiserver-pod.yaml"])
def test_a_control_plane_is_no_worker(tmp_path: Path, name: str) -> None:
    (step,) = [step for step in load() if step.info.id == "kubelet-node"]
    plant(tmp_path, {f"/etc/kubernetes/manifests/{name}": "", "/var/lib/kubelet/pki/x.pem": "x"})
    assert step.plan(context(guest_at(tmp_path))).changes == ()


def test_what_no_pattern_of_containing_matches_needs_to_hold_nothing(tmp_path: Path) -> None:
    plant(tmp_path, {"/a/x": "1", "/a/y": "2", "/a/z": "3"})
    of = row("remove", "/a/*", containing=(("/a/x", "1"), ("/a/[xy]", "[13]")))
    assert targets(tmp_path, of) == ["/a/x", "/a/z"]
