"""Path handling of `guest`: everything resolves inside the guest, whatever it contains."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import TreeVolumes, guest_at, plant
from unclone.images.guest import Guest, parent
from unclone.images.layout import Layout, Mount
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("files", "path", "physical"),
    [
        ({"/etc/hosts": "x"}, "/etc/hosts", "/etc/hosts"),
        ({"/etc/hosts": "x"}, "//etc/./hosts/", "/etc/hosts"),
        ({"/usr/bin/sh": "x", "/bin": "-> usr/bin"}, "/bin/sh", "/usr/bin/sh"),
        ({"/usr/bin/sh": "x", "/bin": "-> /usr/bin"}, "/bin/sh", "/usr/bin/sh"),
        ({"/a/b": "x"}, "/../../a/b", "/a/b"),
        ({"/a/b": "x", "/l": "-> ../../../../a"}, "/l/b", "/a/b"),
        ({"/x/l": "-> /etc/passwd", "/etc": None}, "/x/l", "/etc/passwd"),
        ({"/a/b/c": "x", "/l": "-> a/b"}, "/l/../b/c", "/a/b/c"),
        ({"/etc/new": "-> nothing/here"}, "/etc/none", "/etc/none"),
        ({"/one": "-> /two", "/two": "-> /three", "/three": "x"}, "/one", "/three"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_resolve_stays_inside_the_guest(
    tmp_path: Path, files: dict[str, str], path: str, physical: str
) -> None:
    plant(tmp_path, files)
    assert guest_at(tmp_path).resolve(path) == physical


def test_a_symlink_loop_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    plant(tmp_path, {"/a": "-> /b", "/b": "-> /a"})
    guest = guest_at(tmp_path)
    with pytest.raises(OSError) as caught:
        guest.resolve("/a")
    assert caught.value.errno == errno.ELOOP
    assert guest.stat("/a") is None
    assert guest.lstat("/a") is not None


@pytest.mark.parametrize("path", ["/etc/a\0b", "/etc/\ud800"])
def test_nothing_is_at_a_path_that_no_file_can_have(tmp_path: Path, path: str) -> None:
    plant(tmp_path, {"/etc/hosts": "x"})
    guest = guest_at(tmp_path)
    assert not guest.exists(path)
    assert not guest.is_dir(path)
    assert guest.kind(path) is None
    assert guest.text_or_empty(path) == ""
    with pytest.raises(FileNotFoundError):
        guest.create(path, b"x")


def test_a_link_to_an_impossible_name_leads_nowhere(tmp_path: Path) -> None:
    plant(tmp_path, {"/l": "-> " + "n" * 300})
    guest = guest_at(tmp_path)
    assert not guest.is_dir("/l/below")
    assert not guest.exists("/l/below")
    assert guest.exists("/l")


def test_a_path_that_no_program_could_open_is_not_followed(tmp_path: Path) -> None:
    guest = guest_at(tmp_path)
    with pytest.raises(OSError) as caught:
        guest.resolve("/d" * 2048)
    assert caught.value.errno == errno.ENAMETOOLONG
    assert not guest.exists("/d" * 2048)
    assert guest.kind("/d" * 2048) is None


def test_a_symlink_out_of_the_tree_reads_the_guests_own_file(tmp_path: Path) -> None:
    outside = tmp_path / "host-secret"
    outside.write_text("the host's")
    root = tmp_path / "guest"
    plant(
        root, {f"{outside}": "the guest's", "/link": f"-> {outside}", "/up": f"-> ../../{outside}"}
    )
    guest = guest_at(root)
    assert guest.read("/link") == b"the guest's"
    assert guest.read("/up") == b"the guest's"


def test_glob_matches_per_component_and_finds_odd_names(tmp_path: Path) -> None:
    names = ["a.conf", ".hidden.conf", "two\nlines.conf", "-rf.conf", "quo'te\".conf", "b.txt"]
    plant(tmp_path, {f"/etc/d/{name}": "x" for name in names})
    (tmp_path / "etc/d").joinpath(os.fsdecode(b"\xff\xfe.conf")).write_text("x")
    found = guest_at(tmp_path).glob("/etc/*/*.conf")
    expected = [*(n for n in names if n.endswith(".conf")), os.fsdecode(b"\xff\xfe.conf")]
    assert found == sorted(f"/etc/d/{name}" for name in expected)


def test_glob_without_wildcards_is_existence(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/one": "x", "/etc/dangling": "-> nowhere"})
    guest = guest_at(tmp_path)
    assert guest.glob("/etc/one") == ["/etc/one"]
    assert guest.glob("/etc/dangling") == ["/etc/dangling"]
    assert guest.glob("/etc/two") == []
    assert guest.glob("/etc/one/below") == []


@pytest.mark.parametrize("kind", ["directory", "device", "missing"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    plant(tmp_path, {"/d": None, "/null": "-> pipe"})
    os.mkfifo(tmp_path / "pipe")
    path, error = {
        "directory": ("/d", IsADirectoryError),
        "device": ("/null", OSError),
        "missing": ("/none", FileNotFoundError),
    }[kind]
    with pytest.raises(error):
        guest_at(tmp_path).read(path)


def test_reads_are_cached_until_something_changes(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/f": "old"})
    guest = guest_at(tmp_path)
    assert guest.list("/etc") == ["f"]
    guest.create("/etc/g", b"new")
    assert guest.list("/etc") == ["f", "g"]
    guest.remove("/etc/f")
    assert not guest.exists("/etc/f")


def test_write_keeps_the_inode_and_mode(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/f": "a longer old text", "/l": "-> etc/f"})
    file = tmp_path / "etc/f"
    file.chmod(0o640)
    before = file.stat()
    guest_at(tmp_path).write("/l", b"new")
    after = file.stat()
    assert file.read_bytes() == b"new"
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_create_refuses_a_taken_name_and_never_follows_a_link(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/passwd": "root", "/etc/f": "-> passwd"})
    guest = guest_at(tmp_path)
    with pytest.raises(OSError):
        guest.create("/etc/f", b"x")
    assert (tmp_path / "etc/passwd").read_text() == "root"


def test_create_takes_owner_from_a_likeness(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/like": "x"})
    guest = guest_at(tmp_path)
    guest.create("/etc/f", b"x", like="/etc/like", mode=0o600)
    made, like = guest.lstat("/etc/f"), guest.lstat("/etc/like")
    assert made is not None
    assert like is not None
    assert (made.uid, made.gid, made.mode) == (like.uid, like.gid, 0o600)


def test_remove_takes_a_link_not_its_target(tmp_path: Path) -> None:
    plant(tmp_path, {"/data/f": "x", "/l": "-> data"})
    guest = guest_at(tmp_path)
    guest.remove("/l")
    assert (tmp_path / "data/f").exists()
    assert not (tmp_path / "l").is_symlink()


def test_remove_takes_a_whole_tree_without_leaving_it(tmp_path: Path) -> None:
    plant(tmp_path, {"/t/a/b": "x", "/t/l": "-> /keep", "/keep/f": "x"})
    guest_at(tmp_path).remove("/t")
    assert not (tmp_path / "t").exists()
    assert (tmp_path / "keep/f").exists()


def test_a_mount_point_is_emptied_and_stays(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/log/a/b": "x", "/var/x": "y"})
    layout = Layout((Mount("one", "/", "tree"), Mount("two", "/var/log", "tree")))
    guest = Guest(TreeVolumes(tmp_path), layout)
    guest.remove("/var")
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["var", "var/log"]


def test_the_root_cannot_be_removed(tmp_path: Path) -> None:
    plant(tmp_path, {"/l": "-> /"})
    with pytest.raises(OSError):
        guest_at(tmp_path).remove("/")
    with pytest.raises(OSError):
        guest_at(tmp_path).remove("/l/..")


def test_walk_sees_everything_and_follows_nothing(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/a/f": "0123456789", "/etc/l": "-> /etc/a", "/etc/skip/g": "x"})
    members = {m.path: m for m in guest_at(tmp_path).walk("/etc", exclude=["/etc/skip"], limit=4)}
    assert sorted(members) == ["/etc/a", "/etc/a/f", "/etc/l"]
    assert members["/etc/a/f"].content == b"0123"
    assert members["/etc/l"].link_target == "/etc/a"
    assert members["/etc/a"].stat.kind is Kind.DIRECTORY


def test_parent() -> None:
    assert [parent(p) for p in ("/a/b", "/a", "/")] == ["/a", "/", "/"]
