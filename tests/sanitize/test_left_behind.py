"""What a change removes under one name, and what is there under another, is told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.images.errors import ResidueError
from unclone.sanitize import left_behind
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.change import Change, Plan
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.residue import Residue

SECRET = b"\x01secret"


def run(folder: Path, *targets: str, strict: bool = False) -> list[Residue]:
    """What is left after a removal of each of *targets*."""
    guest = guest_at(folder)
    changes = tuple(Change("a-step", "remove", target, "it identifies") for target in targets)
    plan = Plan("identity", changes, (), ())
    return list(verify(guest, plan, apply_plan(guest, plan), strict=strict).residue)


def linked(folder: Path, *names: str) -> None:
    plant(folder, {names[0]: SECRET})
    for name in names[1:]:
        plant(folder, {name: b""})
        (folder / name[1:]).unlink()
        (folder / name[1:]).hardlink_to(folder / names[0][1:])


@pytest.mark.parametrize(
    "other", ["/etc/backup/k", "/srv/a/b/k", "/usr/share/k", "/var/cache/k", "/k", "/home/a/.k"]
)
def test_another_hard_link_is_found_anywhere(tmp_path: Path, other: str) -> None:
    linked(tmp_path, "/etc/app/k", other)
    assert [(r.value, r.path, r.read_at_boot) for r in run(tmp_path, "/etc/app/k")] == [
        ("/etc/app/k", other, False)
    ]


def test_all_names_removed_leave_nothing(tmp_path: Path) -> None:
    linked(tmp_path, "/etc/app/k", "/var/lib/app/k", "/var/lib/app/l")
    assert run(tmp_path, "/etc/app/k", "/var/lib/app") == []


@pytest.mark.parametrize(
    "names", [("/srv/k", "/srv/l"), ("/srv/k", "/var/lib/app/old/k", "/srv/l")]
)
def test_names_outside_of_a_removed_tree_are_found(tmp_path: Path, names: tuple[str, ...]) -> None:
    linked(tmp_path, "/var/lib/app/k", *names)
    left = [name for name in names if name.startswith("/srv")]
    found = run(tmp_path, "/var/lib/app")
    assert [(r.value, r.path) for r in found] == [("/var/lib/app/k", name) for name in left]


def test_a_file_of_one_name_and_an_empty_one_are_not_looked_for(tmp_path: Path) -> None:
    linked(tmp_path, "/etc/app/empty", "/srv/empty")
    (tmp_path / "etc/app/empty").write_bytes(b"")
    plant(tmp_path, {"/etc/app/k": SECRET, "/srv/k": SECRET})
    assert run(tmp_path, "/etc/app/empty", "/etc/app/k") == []


@pytest.mark.parametrize("target", ["/data/app.key", "../../data/app.key"])
def test_what_a_removed_symlink_led_to_is_named(tmp_path: Path, target: str) -> None:
    plant(tmp_path, {"/data/app.key": SECRET, "/etc/app/k": f"-> {target}"})
    assert [(r.value, r.path) for r in run(tmp_path, "/etc/app/k")] == [
        ("/etc/app/k", "/data/app.key")
    ]


def test_a_symlink_to_a_directory_to_programs_or_to_what_is_removed_too(tmp_path: Path) -> None:
    links = {"a": "/data", "b": "/usr/lib/app.service", "c": "/etc/app/k", "d": "/nothing"}
    plant(tmp_path, {f"/etc/app/{name}": f"-> {target}" for name, target in links.items()})
    plant(tmp_path, {"/data/k": SECRET, "/usr/lib/app.service": SECRET, "/etc/app/k": SECRET})
    found = run(tmp_path, *(f"/etc/app/{name}" for name in (*links, "k")))
    assert [(r.value, r.path) for r in found] == [("/etc/app/a", "/data")]


def test_names_that_are_emptied_leave_nothing(tmp_path: Path) -> None:
    linked(tmp_path, "/etc/app/k", "/var/lib/app/k", "/srv/k")
    guest = guest_at(tmp_path)
    changes = (
        Change("a-step", "remove", "/var/lib/app/k", "it identifies"),
        Change("a-step", "truncate", "/etc/app/k", "it identifies"),
    )
    plan = Plan("identity", changes, (), ())
    assert verify(guest, plan, apply_plan(guest, plan)).residue == ()


def test_a_name_that_is_not_found_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As below a mount point, or when there are too many names to look at."""
    linked(tmp_path, "/etc/app/k", "/srv/k")
    monkeypatch.setattr(left_behind, "MOST_NAMES", 1)
    assert [(r.value, r.path) for r in run(tmp_path, "/etc/app/k")] == [("/etc/app/k", "")]


def test_hundreds_of_files_in_a_removed_tree_are_looked_for(tmp_path: Path) -> None:
    names = [f"/var/lib/app/{number}" for number in range(300)]
    plant(tmp_path, {name: f"{name}\n" for name in names} | {"/srv": None})
    for name in names:
        (tmp_path / f"srv/{name.rpartition('/')[2]}").hardlink_to(tmp_path / name[1:])
    found = run(tmp_path, "/var/lib/app")
    assert {(r.value, r.path) for r in found} == {
        (name, f"/srv/{name.rpartition('/')[2]}") for name in names
    }


@pytest.mark.parametrize("limit", ["IN_TREE", "FILES", "BYTES"])
def test_a_tree_that_is_too_large_to_look_through_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    linked(tmp_path, "/var/lib/app/k", "/srv/k")
    plant(tmp_path, {"/var/lib/app/l": b"\2", "/var/lib/app/m": b"\3"})
    monkeypatch.setattr(left_behind, limit, 1)
    assert [(r.value, r.path) for r in run(tmp_path, "/var/lib/app")] == [
        ("/var/lib/app/", ""),
        ("/var/lib/app/k", "/srv/k"),
    ]
    linked(tmp_path, "/var/lib/app/k", "/srv/l")
    plant(tmp_path, {"/var/lib/app/l": b"\2", "/var/lib/app/m": b"\3"})
    with pytest.raises(ResidueError, match="a place that was not found") as found:
        run(tmp_path, "/var/lib/app", strict=True)
    assert "--disable a-step" in found.value.hint


@pytest.mark.parametrize(
    ("other", "strict", "expected"),
    [
        ("/srv/k", True, "is still in 1 places: /srv/k"),
        ("/etc/kernel/k", False, "is still in 1 places: /etc/kernel/k"),
    ],
)
def test_a_strict_run_and_a_name_that_the_boot_reads_fail(
    tmp_path: Path, other: str, strict: bool, expected: str
) -> None:
    linked(tmp_path, "/etc/app/k", other)
    with pytest.raises(ResidueError, match=f"what /etc/app/k held {expected}") as found:
        run(tmp_path, "/etc/app/k", strict=strict)
    assert "keep the file with --disable a-step" in found.value.hint
