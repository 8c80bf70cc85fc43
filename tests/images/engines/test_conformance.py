"""What every engine answers in the same way: the path operations of `Volumes`."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.support.appliance import SERVED, serve_appliance
from tests.support.direct import TYPICAL, make_ext, mounted_direct, require_sound
from tests.support.selection import slow_but
from tests.support.tree import TreeVolumes
from unclone.images.volumes import Kind, Member, Volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.bench import SharedBench

#: Names that a careless program splits, quotes, globs, decodes, runs or takes for an option.
HOSTILE = {
    "newline": "new\nline",
    "newline-at-end": "end\n",
    "tab": "a\tb",
    "blanks": "  a  ",
    "single-quote": "it's",
    "double-quote": 'say "no"',
    "option": "-rf",
    "end-of-options": "--",
    "dots": "..hidden",
    "three-dots": "...",
    "backslash": "back\\slash",
    "octal": "\\057etc",
    "command": "$(touch owned);`id`",
    "glob": "*[a-z]?",
    "percent": "%s%n",
    "comment": "#x",
    "terminal": "\x1b]0;owned\x07",
    "unicode": "é漢字",
    "invalid-utf-8": b"\xff\xfe\x80".decode("utf-8", "surrogateescape"),
    "longest": "n" * 255,
}

_numbers = count()


@dataclass(frozen=True)
class Place:
    """An engine's guest, and an empty directory in it for one test."""

    volumes: Volumes
    base: str

    def __truediv__(self, name: str) -> str:
        return f"{self.base}/{name}"

    def create(self, name: str, content: bytes = b"", mode: int = 0o644) -> str:
        path = self / name
        self.volumes.create(path, content, mode=mode, uid=0, gid=0)
        return path

    def folder(self, name: str) -> str:
        path = self / name
        self.volumes.make_directory(path, mode=0o755, uid=0, gid=0)
        return path

    def link(self, name: str, target: str) -> str:
        path = self / name
        self.volumes.make_symlink(path, target)
        return path

    def names(self) -> Mapping[str, Kind]:
        return self.volumes.scan(self.base)

    def walk(self, limit: int = 1000, exclude: tuple[str, ...] = ()) -> dict[str, Member]:
        found = self.volumes.walk(self.base, exclude=exclude, limit=limit)
        return {member.path.removeprefix(f"{self.base}/"): member for member in found}


@pytest.fixture(
    scope="module",
    params=[
        "tree",
        *slow_but({"direct-ext4"}, [f"direct-{variant}" for variant in TYPICAL]),
        *(pytest.param(f"appliance-{name}", marks=pytest.mark.slow) for name in SERVED),
        pytest.param("ext4", marks=pytest.mark.appliance),
    ],
)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Volumes]]:
    """Gives the volumes of one engine: the same for all tests, unless the appliance was lost."""
    if request.param == "tree":
        tree = TreeVolumes(tmp_path_factory.mktemp("tree"))
        yield lambda: tree
    elif request.param.startswith("direct-"):
        variant = request.param.removeprefix("direct-")
        image = make_ext(tmp_path_factory.mktemp("direct") / "image", variant)
        direct = mounted_direct(image)
        yield lambda: direct
        require_sound(direct, image)
    elif request.param.startswith("appliance-"):
        kind = request.param.removeprefix("appliance-")
        yield from serve_appliance(tmp_path_factory.mktemp("appliance") / "image", kind)
    else:
        shared: SharedBench = request.getfixturevalue("shared_bench")
        yield lambda: shared.ready().mounted(request.param)


@pytest.fixture
def place(engine: Callable[[], Volumes]) -> Place:
    mounted = engine()
    base = f"/test-{next(_numbers)}"
    mounted.make_directory(base, mode=0o755, uid=0, gid=0)
    return Place(mounted, base)


# -- names ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_any_name_can_be_used(place: Place, name: str) -> None:
    volumes = place.volumes
    path = place.create(name, b"one")
    assert place.names() == {name: Kind.FILE}
    assert volumes.lstat(path).size == 3
    volumes.write(path, b"twice")
    assert volumes.read(path, 100) == b"twice"
    volumes.set_mode(path, 0o600)
    volumes.set_xattr(path, "user.note", b"x")
    assert volumes.get_xattrs(path)["user.note"] == b"x"
    volumes.rename(path, place / "plain")
    assert place.names() == {"plain": Kind.FILE}
    volumes.rename(place / "plain", path)
    assert volumes.lstat(path).mode == 0o600
    volumes.remove(path)
    assert place.names() == {}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_directories_and_symlinks_can_have_any_name(place: Place, name: str) -> None:
    volumes = place.volumes
    folder = place.folder(name)
    volumes.make_symlink(f"{folder}/link", name)
    assert volumes.scan(folder) == {"link": Kind.SYMLINK}
    assert volumes.readlink(f"{folder}/link") == name
    volumes.make_symlink(f"{folder}/{name}", "target")
    volumes.remove(folder)
    assert place.names() == {}


def test_walk_finds_every_name(place: Place) -> None:
    for name in HOSTILE.values():
        place.create(name, name.encode("utf-8", "surrogateescape"))
        place.link(f"l{name}"[:255], name)
    found = place.walk()
    for name in HOSTILE.values():
        assert found[name].content == name.encode("utf-8", "surrogateescape")
        assert found[f"l{name}"[:255]].link_target == name
    assert len(found) == 2 * len(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_walk_starts_anywhere_and_leaves_out_anything(place: Place, name: str) -> None:
    folder = place.folder(name)
    place.volumes.make_directory(f"{folder}/{name}", mode=0o755, uid=0, gid=0)
    place.volumes.make_symlink(f"{folder}/{name}/inner", "x")
    found = [m.path for m in place.volumes.walk(folder, exclude=(), limit=0)]
    assert sorted(found) == [f"{folder}/{name}", f"{folder}/{name}/inner"]
    left = [m.path for m in place.volumes.walk(folder, exclude=(f"{folder}/{name}",), limit=0)]
    assert left == []


# -- reading -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("limit", "content"),
    [(0, b""), (1, b"0"), (9, b"012345678"), (10, b"0123456789"), (99, b"0123456789")],
)
def test_read_gives_no_more_than_asked_for(place: Place, limit: int, content: bytes) -> None:
    path = place.create("file", b"0123456789")
    assert place.volumes.read(path, limit) == content


def test_large_contents_arrive_whole(place: Place) -> None:
    content = bytes(range(256)) * 4096 * 9  # 9 MiB: more than one message to an appliance
    path = place.create("large", content)
    assert place.volumes.read(path, len(content) + 1) == content
    place.volumes.write(path, content[::-1])
    assert place.volumes.read(path, 1 << 30) == content[::-1]
    assert place.volumes.lstat(path).size == len(content)


@pytest.mark.parametrize("operation", ["lstat", "scan", "readlink", "get_xattrs", "remove"])
def test_what_is_missing_is_not_found(place: Place, operation: str) -> None:
    with pytest.raises(FileNotFoundError):
        getattr(place.volumes, operation)(place / "missing")
    with pytest.raises(FileNotFoundError):
        getattr(place.volumes, operation)(place / "missing/below")


@pytest.mark.parametrize("operation", ["lstat", "scan", "readlink", "remove"])
def test_below_a_file_is_no_directory(place: Place, operation: str) -> None:
    place.create("file")
    with pytest.raises(NotADirectoryError):
        getattr(place.volumes, operation)(place / "file/below")


def test_a_file_cannot_be_scanned_or_walked(place: Place) -> None:
    path = place.create("file")
    with pytest.raises(NotADirectoryError):
        place.volumes.scan(path)
    with pytest.raises(NotADirectoryError):
        list(place.volumes.walk(path, exclude=(), limit=0))


@pytest.mark.parametrize(
    "make", [Place.folder, lambda p, n: p.link(n, "file")], ids=["directory", "symlink"]
)
def test_only_regular_files_are_read_and_written(
    place: Place, make: Callable[[Place, str], str]
) -> None:
    target = place.create("file", b"content")
    path = make(place, "thing")
    with pytest.raises(OSError) as reading:
        place.volumes.read(path, 10)
    with pytest.raises(OSError) as writing:
        place.volumes.write(path, b"no")
    assert {reading.value.errno, writing.value.errno} <= {errno.EINVAL, errno.EISDIR}
    assert place.volumes.read(target, 10) == b"content"


def test_walk_describes_each_inode(place: Place) -> None:
    place.create("file", b"0123456789", mode=0o640)
    place.volumes.make_directory(place / "dir", mode=0o700, uid=0, gid=0)
    place.create("dir/inner", b"")
    place.link("link", "/etc/passwd")
    found = place.walk(limit=4)
    assert set(found) == {"file", "dir", "dir/inner", "link"}
    assert (found["file"].content, found["file"].stat.size) == (b"0123", 10)
    assert found["dir/inner"].content == b""
    assert (found["dir"].content, found["dir"].link_target) == (None, "")
    assert (found["link"].content, found["link"].link_target) == (None, "/etc/passwd")
    for name, member in found.items():
        now = place.volumes.lstat(place / name)
        assert (member.stat.kind, member.stat.mode) == (now.kind, now.mode)
        assert (member.stat.uid, member.stat.gid) == (now.uid, now.gid)


def test_walk_can_be_left_early_and_interleaved(place: Place) -> None:
    for number in range(5):
        place.create(f"file{number}", b"x")
    walk = place.volumes.walk(place.base, exclude=(), limit=10)
    seen = next(iter(walk))
    assert place.volumes.read(seen.path, 10) == b"x"
    assert next(iter(walk)).path != seen.path
    assert len(place.names()) == 5


# -- symlinks ------------------------------------------------------------------------------
@pytest.mark.parametrize("target", ["/", "/etc", "..", "self", "missing", "dir"])
def test_no_operation_follows_a_symlink(place: Place, target: str) -> None:
    volumes = place.volumes
    inner = place.create("precious", b"kept") if target != "dir" else place.folder("dir")
    path = place.link("self", target)
    found = volumes.lstat(path)
    assert (found.kind, volumes.readlink(path)) == (Kind.SYMLINK, target)
    with pytest.raises(NotADirectoryError):
        volumes.scan(path)
    with pytest.raises(FileExistsError):
        volumes.create(path, b"no", mode=0o644, uid=0, gid=0)
    with pytest.raises(FileExistsError):
        volumes.make_directory(path, mode=0o755, uid=0, gid=0)
    with pytest.raises(FileExistsError):
        volumes.make_symlink(path, "other")
    assert set(place.walk()) == {"self", inner.rpartition("/")[2]}
    volumes.rename(path, place / "renamed")
    assert volumes.readlink(place / "renamed") == target
    volumes.remove(place / "renamed")
    assert set(place.names()) == {inner.rpartition("/")[2]}


def test_removing_a_tree_leaves_what_its_symlinks_lead_to(place: Place) -> None:
    outside = place.folder("outside")
    kept = place.create("outside/kept", b"x")
    tree = place.folder("tree")
    place.link("tree/down", outside)
    place.link("tree/up", "..")
    place.create("tree/file", b"x")
    place.volumes.remove(tree)
    assert set(place.names()) == {"outside"}
    assert place.volumes.read(kept, 10) == b"x"


# -- writing -------------------------------------------------------------------------------
@pytest.mark.parametrize("content", [b"", b"short", b"a much longer content than before"])
def test_write_replaces_content_and_nothing_else(place: Place, content: bytes) -> None:
    path = place.create("file", b"0123456789", mode=0o640)
    place.volumes.set_xattr(path, "user.note", b"a\0b\xff")
    before = place.volumes.lstat(path)
    place.volumes.write(path, content)
    after = place.volumes.lstat(path)
    assert place.volumes.read(path, 1000) == content
    assert (after.mode, after.uid, after.gid, after.size) == (
        *(before.mode, before.uid, before.gid),
        len(content),
    )
    assert place.volumes.get_xattrs(path)["user.note"] == b"a\0b\xff"


@pytest.mark.parametrize("size", [10, 5000, 300_000])
@pytest.mark.parametrize("keep", [1, 4096, 4097, 250_000])
@pytest.mark.parametrize("tail", [b"", b"tail", b"t" * 70_000], ids=["none", "short", "long"])
def test_write_keeps_a_beginning(place: Place, size: int, keep: int, tail: bytes) -> None:
    keep = min(keep, size)
    content = (bytes(range(251)) * 1200)[:size]
    path = place.create("kept", content)
    place.volumes.write(path, tail, keep=keep)
    assert place.volumes.read(path, 1 << 20) == content[:keep] + tail
    assert place.volumes.lstat(path).size == keep + len(tail)


def test_write_does_not_create(place: Place) -> None:
    with pytest.raises(FileNotFoundError):
        place.volumes.write(place / "missing", b"x")
    assert place.names() == {}


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o4755, 0o2711, 0o777, 0o000])
def test_modes_are_taken_literally(place: Place, mode: int) -> None:
    path = place.create("file", b"x", mode=mode)
    assert place.volumes.lstat(path).mode == mode
    place.volumes.make_directory(place / "dir", mode=mode, uid=0, gid=0)
    assert place.volumes.lstat(place / "dir").mode == mode
    place.volumes.set_mode(path, 0o644)
    assert place.volumes.lstat(path).mode == 0o644


@pytest.mark.parametrize("operation", ["create", "make_directory", "make_symlink"])
def test_nothing_is_made_over_something_else(place: Place, operation: str) -> None:
    path = place.create("taken", b"kept")
    arguments: dict[str, dict[str, object]] = {
        "create": {"content": b"no", "mode": 0o644, "uid": 0, "gid": 0},
        "make_directory": {"mode": 0o755, "uid": 0, "gid": 0},
        "make_symlink": {"target": "x"},
    }
    with pytest.raises(FileExistsError):
        getattr(place.volumes, operation)(path, **arguments[operation])
    with pytest.raises(FileNotFoundError):
        getattr(place.volumes, operation)(place / "no/such", **arguments[operation])
    assert place.volumes.read(path, 10) == b"kept"


def test_rename_replaces_a_file(place: Place) -> None:
    place.create("old", b"new content")
    place.create("taken", b"old content")
    place.volumes.rename(place / "old", place / "taken")
    assert place.volumes.read(place / "taken", 100) == b"new content"
    assert place.names() == {"taken": Kind.FILE}
    with pytest.raises(FileNotFoundError):
        place.volumes.rename(place / "old", place / "other")


def test_rename_moves_a_directory_with_its_content(place: Place) -> None:
    place.folder("a")
    place.create("a/file", b"x")
    place.volumes.rename(place / "a", place / "b")
    assert place.volumes.read(place / "b/file", 10) == b"x"


@pytest.mark.parametrize("kind", ["file", "symlink", "empty", "tree"])
def test_remove_takes_away_exactly_one_thing(place: Place, kind: str) -> None:
    place.create("file", b"x")
    place.link("symlink", "tree")
    place.folder("empty")
    place.folder("tree")
    place.folder("tree/deep")
    place.create("tree/deep/file", b"x", mode=0o000)
    before = set(place.names())
    place.volumes.remove(place / kind)
    assert set(place.names()) == before - {kind}


@pytest.mark.slow
def test_extended_attributes_hold_any_value(place: Place) -> None:
    path = place.create("file")
    values = {"user.empty": b"", "user.null": b"\0", "user.binary": bytes(range(256))}
    for name, value in values.items():
        place.volumes.set_xattr(path, name, value)
    found = place.volumes.get_xattrs(path)
    assert {name: found[name] for name in values} == values
    place.volumes.set_xattr(path, "user.null", b"changed")
    assert place.volumes.get_xattrs(path)["user.null"] == b"changed"


@pytest.mark.slow
def test_a_path_cannot_hold_a_null_byte(place: Place) -> None:
    with pytest.raises(ValueError):
        place.volumes.lstat(place / "a\0b")
