"""Random sequences of operations on ext: the same tree as on the host, and no error for e2fsck."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.direct import EXT_VARIANTS, complaints, make_ext, mounted_direct
from tests.support.tree import TreeVolumes
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from unclone.images.volumes import Volumes

#: Few enough that operations meet each other; short, long, and hostile.
NAMES = ["a", "b", "new\nline", "-rf", "\udcff\udcfe", "n" * 255]
FOLDERS = ["", "/a", "/b", "/a/b", "/a/-rf"]
PATHS = [f"{folder}/{name}" for folder in FOLDERS for name in NAMES]

paths = st.sampled_from(PATHS)
contents = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda b, n: b * n, st.binary(min_size=1, max_size=50), st.integers(0, 3000)),
)
modes = st.sampled_from([0o644, 0o600, 0o4755, 0o2711, 0o777, 0o000])
owners = st.sampled_from([0, 1, 1000, 65536, 100_000])
values = st.binary(max_size=300)

operations = st.one_of(
    st.tuples(st.just("create"), paths, contents, modes, owners),
    st.tuples(st.just("write"), paths, contents),
    st.tuples(st.just("make_directory"), paths, modes),
    st.tuples(st.just("make_symlink"), paths, st.sampled_from(["x", "/etc", "y" * 59, "z" * 900])),
    st.tuples(st.just("remove"), paths),
    st.tuples(st.just("rename"), paths, paths),
    st.tuples(st.just("set_mode"), paths, modes),
    st.tuples(st.just("set_xattr"), paths, st.sampled_from(["user.a", "user.bb"]), values),
    st.tuples(st.just("fill"), st.sampled_from(FOLDERS), st.integers(1, 120)),
    st.tuples(st.just("thin"), st.sampled_from(FOLDERS), st.integers(1, 120)),
)


#: So that most of what follows has somewhere to happen.
PRELUDE = [
    ("make_directory", "/a", 0o755),
    ("make_directory", "/b", 0o755),
    ("make_directory", "/a/b", 0o755),
    ("create", "/b/a", b"content", 0o644, 0),
    ("make_symlink", "/a/a", "y" * 60),
]


@pytest.mark.slow
@pytest.mark.parametrize("variant", EXT_VARIANTS)
@settings(
    max_examples=int(os.environ.get("UNCLONE_EXAMPLES", "6")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(operations, min_size=5, max_size=40))
def test_a_sequence_leaves_what_a_kernel_leaves(
    tmp_path: Path, variant: str, steps: list[tuple[object, ...]]
) -> None:
    image, folder = tmp_path / "image", tmp_path / "tree"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    expected = TreeVolumes(folder)
    volumes = mounted_direct(make_ext(image, variant, mib=24))
    try:
        for step in [*PRELUDE, *steps]:
            assert carried_out(volumes, step) == carried_out(expected, step), step
        seen = snapshot(volumes)
        volumes.unmount_all()
        volumes.mount("/dev/sda", "/", subvolume="", read_only=True)
        assert snapshot(volumes) == seen == snapshot(expected)
    finally:
        volumes.close()
    assert not complaints(image), complaints(image)


def carried_out(volumes: Volumes, step: tuple[object, ...]) -> str:
    """Do *step*; the name of the error it ended in, "" when it was done."""
    name, *arguments = step
    try:
        STEPS[str(name)](volumes, *arguments)
    except AssertionError:  # the host's tree says so of a path through a symlink
        return "not there"
    except OSError as error:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return "not there"  # of two paths, either can be looked at first
        unfit = {errno.EINVAL, errno.EISDIR, errno.ENOTEMPTY}
        return "not this kind of thing" if error.errno in unfit else type(error).__name__
    return ""


def fill(volumes: Volumes, folder: str, count: int) -> None:
    for number in range(count):
        path = f"{folder}/{'file with a rather long name, so that blocks fill':60}{number}"
        if path.rpartition("/")[2] not in volumes.scan(folder or "/"):
            volumes.create(path, b"x" * number, mode=0o644, uid=0, gid=0)


def thin(volumes: Volumes, folder: str, step: int) -> None:
    for name in sorted(n for n in volumes.scan(folder or "/") if n.startswith("file"))[::step]:
        volumes.remove(f"{folder}/{name}")


STEPS: Mapping[str, Callable[..., None]] = {
    "create": lambda v, p, c, m, o: v.create(p, c, mode=m, uid=o, gid=o),
    "write": lambda v, p, c: v.write(p, c),
    "make_directory": lambda v, p, m: v.make_directory(p, mode=m, uid=0, gid=0),
    "make_symlink": lambda v, p, t: v.make_symlink(p, t),
    "remove": lambda v, p: v.remove(p),
    "rename": lambda v, old, new: v.rename(old, new),
    "set_mode": lambda v, p, m: no_link(v, p).set_mode(p, m),
    "set_xattr": lambda v, p, n, x: no_link(v, p).set_xattr(p, n, x),
    "fill": fill,
    "thin": thin,
}


def no_link(volumes: Volumes, path: str) -> Volumes:
    """The host's chmod(2) would follow the link; what the engine says is in the conformance."""
    if volumes.lstat(path).kind is Kind.SYMLINK:
        raise OSError(errno.EINVAL, "is a symlink")
    return volumes


def snapshot(volumes: Volumes) -> dict[str, object]:
    """Everything there is to see, but for owners (recorded by the host for root only)."""
    return {
        member.path: (
            member.stat.kind,
            0 if member.stat.kind is Kind.SYMLINK else member.stat.mode,
            member.stat.links,
            member.content,
            member.link_target,
            dict(volumes.get_xattrs(member.path)),
        )
        for member in volumes.walk("/", exclude=("/lost+found",), limit=1 << 20)
    }
