"""Compressed images: whole or untouched, and judged by the programs that made them."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.command import PROGRAM, sanitized, unclone
from tests.support.disk_images import sound
from tests.support.disks import BARE_ROOT, Part, make_disk

if TYPE_CHECKING:
    from pathlib import Path

OLD = "0123456789abcdef0123456789abcdef"
UUID = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"
TREE = {
    **BARE_ROOT,
    "/etc/machine-id": f"{OLD}\n",
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    "/usr/lib/systemd/systemd": "ELF",
}
#: The program of each suffix; the quickest way, as only the form matters.
PROGRAMS = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2", ".zst": "zstd"}


def packed(folder: Path, suffix: str = ".zst", form: str = "qcow2") -> Path:
    disk = make_disk(folder / f"web.{form}", [Part("ext4", uuid=UUID, tree=TREE)], form=form)
    made = folder / f"{disk.name}{suffix}"
    with made.open("wb") as file:
        subprocess.run([PROGRAMS[suffix], "-1", "-c", disk], check=True, stdout=file)
    disk.unlink()
    return made


def unpacked(path: Path) -> Path:
    disk = path.with_name(f"unpacked-{path.stem}")
    with disk.open("wb") as file:
        program = PROGRAMS[path.suffix]
        subprocess.run([program, "-d", "-c", path], check=True, stdout=file)
    return disk


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "form"),
    [(".gz", "qcow2"), (".xz", "qcow2"), (".bz2", "qcow2"), (".zst", "qcow2"), (".zst", "raw")],
)
def test_a_compressed_image_is_changed_in_place(tmp_path: Path, suffix: str, form: str) -> None:
    image = packed(tmp_path, suffix, form)
    image.chmod(0o640)
    disk = unpacked(image)
    assert OLD in unclone("inspect", disk).stdout
    disk.unlink()
    report = sanitized(image)
    assert (report["image"], report["result"], report["status"]) == (str(image), str(image), "done")
    assert list(tmp_path.iterdir()) == [image]
    assert image.stat().st_mode & 0o777 == 0o640
    disk = unpacked(image)
    assert sound(disk, form)
    again = unclone("inspect", disk).stdout
    assert OLD not in again
    assert UUID not in again


@pytest.mark.slow
def test_output_leaves_the_compressed_image(tmp_path: Path) -> None:
    image = packed(tmp_path)
    before, output = image.read_bytes(), tmp_path / "new.qcow2.zst"
    assert sanitized(image, "--output", output)["result"] == str(output)
    assert image.read_bytes() == before
    assert OLD not in unclone("inspect", unpacked(output)).stdout
    written = output.read_bytes()
    done = unclone("sanitize", image, "--output", output)
    assert done.returncode == 2
    assert "already exists" in done.stderr
    assert output.read_bytes() == written
    sanitized(image, "--output", output, "--overwrite")
    assert output.read_bytes() != written


@pytest.mark.slow
def test_a_dry_run_of_a_compressed_image_writes_nothing_beside_it(tmp_path: Path) -> None:
    image = packed(tmp_path)
    before = image.read_bytes()
    assert sanitized(image, "--dry-run")["status"] == "planned"
    assert (image.read_bytes(), list(tmp_path.iterdir())) == (before, [image])


@pytest.mark.slow
def test_if_needed_leaves_a_sanitised_one(tmp_path: Path) -> None:
    image = packed(tmp_path)
    sanitized(image)
    before = image.read_bytes()
    assert sanitized(image, "--if-needed")["status"] == "unchanged"
    assert (image.read_bytes(), list(tmp_path.iterdir())) == (before, [image])


@pytest.mark.parametrize("suffix", PROGRAMS)
def test_a_cut_off_one_is_refused(tmp_path: Path, suffix: str) -> None:
    image = packed(tmp_path, suffix)
    content = image.read_bytes()[:-20]
    image.write_bytes(content)
    done = unclone("sanitize", image)
    assert done.returncode == 4, done.stderr
    assert "is damaged" in done.stderr
    assert (image.read_bytes(), list(tmp_path.iterdir())) == (content, [image])


def test_what_is_no_guest_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "notes.gz"
    with image.open("wb") as file:
        subprocess.run(["gzip", "-c"], input=bytes(1024 * 1024), check=True, stdout=file)
    before = image.read_bytes()
    assert unclone("sanitize", image).returncode == 4
    assert (image.read_bytes(), list(tmp_path.iterdir())) == (before, [image])


def _tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("box.img"))
    return content.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("content", "said"),
    [(_tar(), "Unpack it with tar"), (b"VMA\0" + bytes(8188), "ends within its header")],
)
def test_an_archive_of_several_files_is_refused_with_the_way(
    tmp_path: Path, content: bytes, said: str, *, compressed: bool
) -> None:
    image = tmp_path / "archive"
    if compressed:
        argv = ["zstd", "-c"]
        content = subprocess.run(argv, input=content, check=True, capture_output=True).stdout
    image.write_bytes(content)
    done = unclone("sanitize", image)
    assert done.returncode == 4, done.stderr
    assert said in " ".join(done.stderr.split())
    assert (image.read_bytes(), list(tmp_path.iterdir())) == (content, [image])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--output-format", "raw", "--output", "new"), "--output-format does not go with it"),
        (("--add-disk", "other"), "--add-disk does not go with it"),
        (("--prove",), "--prove cannot boot"),
    ],
)
def test_what_does_not_go_with_compression_is_said(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    image = packed(tmp_path)
    done = unclone("sanitize", image, *options)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_one_with_a_second_name_is_refused(tmp_path: Path) -> None:
    image = packed(tmp_path)
    (tmp_path / "second").hardlink_to(image)
    done = unclone("sanitize", image)
    assert done.returncode == 4
    assert "has 2 names" in done.stderr


@pytest.mark.slow
def test_one_that_is_being_written_is_refused(tmp_path: Path) -> None:
    image = packed(tmp_path)
    code = f"f = open({str(image)!r}, 'ab'); print('ready', flush=True); input()"
    writer = subprocess.Popen(
        ["python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        done = unclone("sanitize", image)
        writer.kill()
    assert done.returncode == 3, done.stderr
    assert list(tmp_path.iterdir()) == [image]


@pytest.mark.slow
def test_two_runs_on_one_file_do_not_meet_and_a_killed_one_is_cleaned_up(tmp_path: Path) -> None:
    image = packed(tmp_path)
    folder = tmp_path / f".{image.name}.unclone-unpacked"
    folder.mkdir()
    (folder / "web.qcow2").write_bytes(b"left by a killed run")
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert unclone("sanitize", image).returncode == 3
        assert folder.is_dir()
    finally:
        os.close(handle)
    sanitized(image)
    assert list(tmp_path.iterdir()) == [image]


@pytest.mark.slow
def test_a_symlink_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    image = packed(tmp_path / "real")
    link = tmp_path / "link.zst"
    link.symlink_to(image)
    sanitized(link)
    assert link.is_symlink()
    assert OLD not in unclone("inspect", unpacked(image)).stdout


@pytest.mark.slow
def test_messages_name_the_compressed_file_and_not_a_temporary_one(tmp_path: Path) -> None:
    plain = make_disk(tmp_path / "web.raw", [Part("ext4", uuid=UUID, tree={"/etc/x": "1"})])
    image = tmp_path / "web.raw.gz"
    with image.open("wb") as file:
        subprocess.run(["gzip", "-1", "-c", plain], check=True, stdout=file)
    done = unclone("sanitize", image)
    assert done.returncode == 4, done.stderr
    assert "unclone-unpacked" not in done.stderr
    assert "unclone recover" not in done.stderr


@pytest.mark.slow
def test_a_derived_machine_has_the_name_without_the_suffix(tmp_path: Path) -> None:
    """The compressed image and the plain one of the same machine get the same identifiers."""
    key = tmp_path / "fleet.key"
    key.write_bytes(bytes(range(32)))
    image = packed(tmp_path)
    plain = unpacked(image).rename(tmp_path / "web.qcow2")
    found = []
    for each in (image, plain):
        report = sanitized(each, "--derive-from", key)
        found.append([each["value"] for each in report["identifiers"]])
    assert found[0] == found[1]
    assert any(found[0])


def interrupted(image: Path, number: int) -> int:
    """Send signal *number* to a run as soon as it has a folder; return its exit status."""
    folder = image.with_name(f".{image.name}.unclone-unpacked")
    with subprocess.Popen([PROGRAM, "sanitize", image], stderr=subprocess.PIPE) as run:
        while not folder.is_dir() and run.poll() is None:
            time.sleep(0.01)
        run.send_signal(number)
        run.communicate()
    return run.returncode


@pytest.mark.slow
def test_a_stopped_run_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """Ctrl-C leaves nothing beside it; what SIGKILL leaves, the next run removes."""
    image = packed(tmp_path)
    before = image.read_bytes()
    assert interrupted(image, signal.SIGINT) == 1
    assert (image.read_bytes(), list(tmp_path.iterdir())) == (before, [image])
    assert interrupted(image, signal.SIGKILL) == -signal.SIGKILL
    assert image.read_bytes() == before
    sanitized(image)
    assert list(tmp_path.iterdir()) == [image]


@pytest.mark.parametrize("command", ["inspect", "prove"])
def test_a_command_that_does_not_take_one_says_what_it_is(tmp_path: Path, command: str) -> None:
    image = packed(tmp_path)
    done = unclone(command, image)
    assert done.returncode == 4
    assert "is compressed, and no disk image" in done.stdout + done.stderr
