"""Every kind of bad input through the command.

The documented status, a message that names the file and the way out, no traceback, and an image
that is bit for bit as it was (docs/exit-status.md).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from tests.support.disk_images import digest
from tests.support.disks import BARE_ROOT, MIB, Part, make_disk, poke

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "0123456789abcdef0123456789abcdef"
ROOT = {**BARE_ROOT, "/etc/machine-id": f"{ID}\n", "/usr/lib/systemd/systemd": "ELF"}
GUEST = Part("ext4", tree=ROOT)


def refused(image: Path, *options: str | Path, status: int, names: str = "") -> str:
    """Sanitise *image*, expect *status* and an unchanged folder; return what was said."""
    before = {p.name: digest(p) for p in image.parent.iterdir() if p.is_file()}
    done = unclone("sanitize", "--engine", "direct", *options, image)
    said = done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    assert "internal error" not in said
    assert (names or image.name) in said
    after = {p.name: digest(p) for p in image.parent.iterdir() if p.is_file()}
    assert after == before
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "images"
    made.mkdir()
    return made


# -- images that are none ------------------------------------------------------------------


def test_missing(folder: Path) -> None:
    refused(folder / "none.qcow2", status=2)


def test_directory(folder: Path) -> None:
    (folder / "d.qcow2").mkdir()
    refused(folder / "d.qcow2", status=2)


def test_empty(folder: Path) -> None:
    (folder / "empty.qcow2").touch()
    refused(folder / "empty.qcow2", status=4)


def _truncate(image: Path) -> None:
    os.truncate(image, image.stat().st_size // 2)


def _lie_about_size(image: Path) -> None:
    poke(image, 24, (1 << 62).to_bytes(8, "big"))


def _lie_about_refcounts(image: Path) -> None:
    poke(image, 48, (1 << 50).to_bytes(8, "big"))


def _claim_a_backing_file(name: str) -> Callable[[Path], None]:
    def claim(image: Path) -> None:
        text = name.encode()
        poke(image, 8, (1024).to_bytes(8, "big") + len(text).to_bytes(4, "big"))
        poke(image, 1024, text)

    return claim


@pytest.mark.parametrize(
    "spoil",
    [
        _truncate,
        _lie_about_size,
        _lie_about_refcounts,
        _claim_a_backing_file("/etc/passwd"),
        _claim_a_backing_file("../../../../etc/passwd"),
        _claim_a_backing_file("gone.qcow2"),
        _claim_a_backing_file("nbd://127.0.0.1:1/x"),
        _claim_a_backing_file('json:{"driver":"file","filename":"/etc/passwd"}'),
    ],
    ids=["truncated", "size", "refcounts", "passwd", "dots", "missing", "nbd", "json"],
)
def test_a_qcow2_with_a_wrong_header(folder: Path, spoil: Callable[[Path], None]) -> None:
    image = make_disk(folder / "disk.qcow2", [GUEST], form="qcow2")
    spoil(image)
    said = refused(image, status=4)
    assert "root:" not in said  # nothing of /etc/passwd


def test_a_raw_disk_that_begins_like_a_qcow2(folder: Path) -> None:
    image = make_disk(folder / "disk.raw", [GUEST])
    poke(image, 0, b"QFI\xfb\0\0\0\3")
    assert "--format" in refused(image, status=4)


def test_read_only(folder: Path) -> None:
    image = make_disk(folder / "disk.qcow2", [GUEST], form="qcow2")
    image.chmod(0o444)
    assert "--output" in refused(image, status=4)


@pytest.mark.slow
def test_in_use_by_a_running_vm(folder: Path) -> None:
    image = make_disk(folder / "disk.qcow2", [GUEST], form="qcow2")
    drive = f"file={image},format=qcow2,if=virtio"
    options = ["-S", "-display", "none", "-nodefaults", "-accel", "tcg", "-qmp", "stdio"]
    argv = ["qemu-system-x86_64", *options, "-drive", drive]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as vm:
        assert vm.stdout is not None
        assert b"QMP" in vm.stdout.readline()  # it has opened its disk by then
        said = refused(image, status=3)
        vm.kill()
    assert "Shut the VM down" in said


# -- full disks ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path, tiny_tmpfs: Callable[[int], Path]) -> None:
    made = make_disk(tmp_path / "disk.qcow2", [GUEST], form="qcow2")
    full = tiny_tmpfs(made.stat().st_size // 1024 + 128)
    image = full / "disk.qcow2"
    image.write_bytes(made.read_bytes())
    refused(image, status=1, names="space")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kib", "options"),
    [
        (4, ()),
        pytest.param(300, (), marks=pytest.mark.slow),
        pytest.param(16_000, (), marks=pytest.mark.slow),
        pytest.param(4, ("--dry-run",), marks=pytest.mark.slow),
        pytest.param(300, ("--dry-run",), marks=pytest.mark.slow),
    ],
)
def test_a_full_temporary_directory(
    folder: Path,
    tiny_tmpfs: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
    kib: int,
    options: tuple[str, ...],
) -> None:
    """From the beginning, and full when a run has written to its scratch file."""
    image = make_disk(folder / "disk.qcow2", [GUEST], form="qcow2")
    temporary = tiny_tmpfs(kib)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))  # what this process has read of it
    if kib <= 300 or options:
        said = refused(image, *options, status=1, names="pace left")
        assert re.search("Free some (disk )?space", said)
    else:  # it has room for what a run keeps there
        assert unclone("sanitize", "--engine", "direct", image).returncode == 0
    assert list(temporary.iterdir()) == []
    assert str(temporary) not in Path("/proc/self/mountinfo").read_text().replace(
        f" {temporary} ", " "
    )


@pytest.mark.slow
def test_no_file_can_be_made_in_the_temporary_directory(
    folder: Path, tiny_tmpfs: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tiny_tmpfs(64)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))  # what this process has read of it
    image = make_disk(folder / "disk.qcow2", [GUEST], form="qcow2")
    for inodes in (2, 3, 4, 5):  # of which one is the directory itself
        options = f"remount,nr_inodes={inodes}"
        subprocess.run(["mount", "-o", options, temporary], check=True)
        said = refused(image, status=1, names="o space left")
        # The helper of the engine knows the disk, and the hint the folder's variable.
        assert f"in {temporary}" in said or "in TMPDIR" in said
        assert list(temporary.iterdir()) == []


# -- guests --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([Part("ext4", tree={"/data": "x"})], "no "),
        ([GUEST, Part("ext4", tree=ROOT)], "two"),
        ([Part("swap")], "no "),
        ([Part("")], "no "),
    ],
    ids=["no operating system", "two of them", "only swap", "nothing"],
)
def test_not_one_linux_guest(folder: Path, parts: list[Part], says: str) -> None:
    image = make_disk(folder / "disk.qcow2", parts, form="qcow2")
    assert says in refused(image, status=4, names=" ").lower()


def test_no_partition_table(folder: Path) -> None:
    image = folder / "disk.raw"
    image.write_bytes(bytes(2 * MIB))
    refused(image, status=4, names=" ")


@pytest.mark.slow
def test_a_corrupt_file_system(folder: Path) -> None:
    image = make_disk(folder / "disk.raw", [GUEST])
    poke(image, MIB + 4096, os.urandom(4096))  # the group descriptors (block size 4096 or 1024)
    poke(image, MIB + 2048, os.urandom(2048))
    refused(image, status=4, names=" ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "tree",
    [
        {"/etc/machine-id": "-> /etc/passwd", "/etc/passwd": "root:x:0:0::/root:/bin/sh\n"},
        {"/etc/machine-id": "-> ../../../../etc/passwd", "/etc/passwd": "root:x:0:0::/:/bin/sh\n"},
        {"/etc/machine-id": None},
        {"/etc/machine-id": "not an id at all\n"},
    ],
    ids=["link to passwd", "link with dots", "directory", "text"],
)
def test_a_machine_id_that_is_none(folder: Path, tree: dict[str, str | None]) -> None:
    bare = {k: v for k, v in ROOT.items() if k != "/etc/machine-id"}
    image = make_disk(folder / "disk.qcow2", [Part("ext4", tree={**bare, **tree})], form="qcow2")
    said = refused(image, status=4, names="/etc/machine-id")
    assert "root:x" not in said


@pytest.mark.slow
def test_a_machine_id_of_a_gigabyte(folder: Path) -> None:
    bare = {k: v for k, v in ROOT.items() if k != "/etc/machine-id"}
    image = make_disk(folder / "disk.raw", [Part("ext4", tree=bare)])
    script = f"write {folder / 'huge'} /etc/machine-id\n"
    with (folder / "huge").open("wb") as huge:
        huge.truncate(1 << 30)
    inside = folder / "root.img"
    with image.open("rb") as disk:
        disk.seek(MIB)
        inside.write_bytes(disk.read(GUEST.mib * MIB))
    subprocess.run(["debugfs", "-w", "-f", "-", inside], input=script.encode(), check=True,
                   capture_output=True)  # fmt: skip
    poke(image, MIB, inside.read_bytes())
    (folder / "huge").unlink()
    inside.unlink()
    refused(image, status=4, names="/etc/machine-id")


# -- what is unusual and works -------------------------------------------------------------


def sanitised(image: Path, *options: str) -> None:
    done = unclone("sanitize", "--engine", "direct", *options, image)
    assert done.returncode == 0, done.stderr


def debugfs(image: Path, *commands: str) -> bytes:
    """What debugfs says to *commands* about the guest on raw *image*."""
    argv = ["debugfs", "-w", "-f", "-", f"{image}?offset={MIB}"]
    script = "".join(f"{command}\n" for command in commands)
    done = subprocess.run(argv, input=script.encode(), check=True, capture_output=True).stdout
    return b"\n".join(line for line in done.split(b"\n") if not line.startswith(b"debugfs: "))


def content(image: Path, path: str) -> bytes:
    """What the file at *path* holds."""
    return debugfs(image, f"cat {path}").strip(b"\n")


def listing(image: Path, path: str) -> bytes:
    """What is in the folder at *path*: ``/inode/mode/uid/gid/name/size/`` lines."""
    return debugfs(image, f"ls -p {path}")


@pytest.mark.slow
def test_names_with_newlines_quotes_and_bytes_that_are_not_text(folder: Path) -> None:
    odd = ["two\nlines", "quo'te\"s", "-rf", "a b", "$(id)", os.fsdecode(b"\xff\xfe")]
    tree = {f"/var/lib/cloud/instances/{name}/obj.pkl": "x" for name in odd}
    keep = {f"/var/lib/other/{name}": "x" for name in odd}
    image = make_disk(folder / "disk.raw", [Part("ext4", tree={**ROOT, **tree, **keep})])
    sanitised(image)
    listed = listing(image, "/var/lib/other")
    assert all(os.fsencode(name) in listed for name in odd)
    assert b"/instances/" not in listing(image, "/var/lib/cloud")
    assert content(image, "/etc/machine-id") == b""


@pytest.mark.slow
def test_a_guest_without_free_space(folder: Path) -> None:
    tree = {**ROOT, "/var/lib/systemd/random-seed": os.urandom(512), "/big": os.urandom(17 * MIB)}
    image = make_disk(folder / "disk.raw", [Part("ext4", tree=tree)])
    sanitised(image)
    assert content(image, "/etc/machine-id") == b""


@pytest.mark.slow
def test_a_dirty_journal_is_replayed(folder: Path) -> None:
    image = make_disk(folder / "disk.raw", [GUEST])
    # The machine-id as it really is: in the journal, not yet in its place.
    newer = "fedcba9876543210fedcba9876543210"
    block = debugfs(image, "blocks /etc/machine-id").decode().strip()
    size = re.search(rb"Block size:\s+(\d+)", debugfs(image, "stats -h"))
    assert size
    (folder / "block").write_bytes(f"{newer}\n".encode().ljust(int(size[1]), b"\0"))
    debugfs(image, "jo", f"jw -b {block} {folder / 'block'}", "jc")
    (folder / "block").unlink()
    assert b"needs_recovery" in debugfs(image, "stats -h")
    assert content(image, "/etc/machine-id") == ID.encode()
    done = unclone("sanitize", "--engine", "direct", "--json", image)
    assert done.returncode == 0, done.stderr
    changes = json.loads(done.stdout)["results"][0]["changes"]
    assert [c["old"] for c in changes if c["target"] == "/etc/machine-id"] == [newer]
    assert b"needs_recovery" not in debugfs(image, "stats -h")
