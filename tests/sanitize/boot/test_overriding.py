"""Corrected initrds, unpacked by the real cpio and judged by the real systemd."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.initrds import COMPRESSORS, archive, compress, microcode, unpack
from tests.support.selection import slow_but
from unclone.images.errors import RefusedError
from unclone.sanitize.boot import cpio, initrd, overriding
from unclone.sanitize.boot.compression import Compression, detect
from unclone.sanitize.boot.initrd import survey
from unclone.sanitize.boot.overriding import Action, Change

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLD = "11111111-2222-3333-4444-555555555555"
NEW = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
NEWER = "00000000-aaaa-bbbb-cccc-dddddddddddd"
HOOKS = "usr/lib/dracut/hooks"
UNITS = "etc/systemd/system"
DECOMPRESSORS = {
    Compression.GZIP: ["gzip", "-dc"],
    Compression.BZIP2: ["bzip2", "-dc"],
    Compression.XZ: ["xz", "-dc"],
    Compression.LZ4_LEGACY: ["lz4", "-dc"],
    Compression.ZSTD: ["zstd", "-dc"],
}
EVERY = pytest.mark.parametrize("compression", COMPRESSORS, ids=lambda c: c.name.lower())


def escaped(identifier: str) -> str:
    return identifier.replace("-", r"\x2d")


def needles(*identifiers: str) -> list[bytes]:
    return [text.encode() for one in identifiers for text in (one, escaped(one))]


def rewriting(old: str, new: str) -> Callable[[bytes], bytes]:
    def rewrite(data: bytes) -> bytes:
        for before, after in zip(needles(old), needles(new), strict=True):
            data = data.replace(before, after)
        return data

    return rewrite


def hook(identifier: str) -> str:
    return rf"{HOOKS}/initqueue/finished/devexists-\x2fdev\x2fdisk\x2fby-uuid\x2f{identifier}.sh"


def unit(identifier: str) -> str:
    return rf"dev-disk-by\x2duuid-{escaped(identifier)}.device"


@pytest.fixture
def dracut(tmp_path: Path) -> Path:
    """The files of a hostonly initrd that name a disk, as dracut 059 writes them."""
    root = tmp_path / "tree"
    for folder in (f"{HOOKS}/initqueue/finished", f"{UNITS}/initrd.target.wants", "etc/cmdline.d"):
        (root / folder).mkdir(parents=True)
    (root / hook(OLD)).write_text(f'[ -e "/dev/disk/by-uuid/{OLD}" ]\n')
    (root / hook(OLD)).chmod(0o755)
    (root / f"{UNITS}/initrd.target").write_text("[Unit]\nDescription=initrd\n")
    (root / f"{UNITS}/initrd.target.wants/{unit(OLD)}").symlink_to(f"../{unit(OLD)}")
    (root / f"{UNITS}/{unit(OLD)}.d").mkdir()
    (root / f"{UNITS}/{unit(OLD)}.d/timeout.conf").write_text("[Unit]\nJobTimeoutSec=0\n")
    (root / "etc/cmdline.d/20-root-dev.conf").write_text(f" root=/dev/disk/by-uuid/{OLD}\n")
    os.utime(root / "etc/cmdline.d/20-root-dev.conf", (1_600_000_000, 1_600_000_000))
    (root / "etc/cmdline.d/20-root-dev.conf").chmod(0o640)
    (root / "etc/other").write_text("other\n")
    return root


def corrected(data: bytes, old: str, new: str) -> tuple[bytes, overriding.Correction]:
    correction = overriding.correct(data, survey(data, needles(old)), rewriting(old, new))
    return correction.applied(data), correction


def appended(correction: overriding.Correction) -> bytes:
    """The archive that was appended, undone by the real decompressor."""
    tail = correction.tail.lstrip(b"\0")
    command = DECOMPRESSORS.get(detect(tail) or Compression.NONE, ["cat"])
    return subprocess.run(
        command, input=tail, stdout=subprocess.PIPE, check=True, timeout=60
    ).stdout


@EVERY
def test_the_corrected_initrd_unpacks_to_what_it_should(
    tmp_path: Path, dracut: Path, compression: Compression
) -> None:
    early, main = microcode(tmp_path / "early"), archive(dracut)
    data = early + compress(compression, main)
    result, correction = corrected(data, OLD, NEW)

    assert set(correction.changes) == {
        Change(hook(OLD), Action.RENAMED, hook(NEW)),
        Change(
            f"{UNITS}/initrd.target.wants/{unit(OLD)}",
            Action.RENAMED,
            f"{UNITS}/initrd.target.wants/{unit(NEW)}",
        ),
        Change(f"{UNITS}/{unit(OLD)}.d", Action.COPIED, f"{UNITS}/{unit(NEW)}.d"),
        Change(
            f"{UNITS}/{unit(OLD)}.d/timeout.conf",
            Action.RENAMED,
            f"{UNITS}/{unit(NEW)}.d/timeout.conf",
        ),
        Change("etc/cmdline.d/20-root-dev.conf", Action.CONTENT),
    }
    # What was there stays, byte for byte.
    end = survey(data).end
    assert result.startswith(data[:end])
    *_, ours = survey(result).segments
    assert ours.ours
    if compression in DECOMPRESSORS:
        assert ours.compression is compression
    else:
        assert ours.compression is Compression.NONE
        assert ours.offset % 4 == 0

    root = unpack([main, appended(correction)], tmp_path / "unpacked")
    assert (root / hook(NEW)).read_text() == f'[ -e "/dev/disk/by-uuid/{NEW}" ]\n'
    assert (root / hook(NEW)).stat().st_mode & 0o777 == 0o755
    assert (root / hook(OLD)).read_text() == ""
    wants = root / f"{UNITS}/initrd.target.wants"
    assert str((wants / unit(NEW)).readlink()) == f"../{unit(NEW)}"
    assert not (wants / unit(OLD)).is_symlink()
    assert (wants / unit(OLD)).read_text() == ""
    assert "JobTimeoutSec=0" in (root / f"{UNITS}/{unit(NEW)}.d/timeout.conf").read_text()
    assert (root / f"{UNITS}/{unit(OLD)}.d/timeout.conf").read_text() == ""
    cmdline = root / "etc/cmdline.d/20-root-dev.conf"
    assert cmdline.read_text() == f" root=/dev/disk/by-uuid/{NEW}\n"
    assert (cmdline.stat().st_mtime, cmdline.stat().st_mode) == (1_600_000_000, 0o100640)
    assert (root / "etc/other").read_text() == "other\n"


def test_only_names_that_mean_nothing_any_more_are_left(dracut: Path) -> None:
    result, _ = corrected(compress(Compression.ZSTD, archive(dracut)), OLD, NEW)
    left = survey(result, needles(OLD)).hits
    assert left
    assert all(hit.harmless for hit in left)
    live = survey(result, needles(NEW)).hits
    assert not any(hit.harmless for hit in live if not hit.path.endswith(".d"))


def test_systemd_waits_for_the_new_disk_and_not_for_the_old_one(
    tmp_path: Path, dracut: Path
) -> None:
    main = archive(dracut)
    _, correction = corrected(main, OLD, NEW)
    root = unpack([main, appended(correction)], tmp_path / "unpacked")
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "initrd.target"],
        env={
            **os.environ,
            "SYSTEMD_UNIT_PATH": f"{root / UNITS}:",
            "SYSTEMD_LOG_LEVEL": "debug",
            "XDG_RUNTIME_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stderr
    assert f"Wants dependency on {unit(OLD)} is masked" in said.replace("dependency is", "is")
    assert f"{unit(NEW)}: Installed new job {unit(NEW)}/start" in said
    assert f"{unit(OLD)}: Installed" not in said


def test_a_shell_finds_the_emptied_hook_content(tmp_path: Path, dracut: Path) -> None:
    _, correction = corrected(archive(dracut), OLD, NEW)
    root = unpack([appended(correction)], tmp_path / "unpacked")
    script = 'for f in "$1"/*.sh; do { [ -e "$f" ] && (. "$f"); } || echo "waits for $f"; done'
    said = subprocess.run(
        ["sh", "-c", script, "sh", root / HOOKS / "initqueue/finished"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout == f"waits for {root / hook(NEW)}\n"
    assert said.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "compression",
    slow_but({Compression.ZSTD}, DECOMPRESSORS),
    ids=lambda c: c.name.lower(),
)
def test_the_tools_that_list_an_initrd_still_do(
    tmp_path: Path, dracut: Path, compression: Compression
) -> None:
    data = microcode(tmp_path / "early") + compress(compression, archive(dracut))
    result, _ = corrected(data, OLD, NEW)
    names = []
    for content in (data, result):
        (tmp_path / "initrd").write_bytes(content)
        names.append(
            subprocess.run(
                ["lsinitramfs", tmp_path / "initrd"],
                capture_output=True, text=True, check=True, timeout=120,
            ).stdout.splitlines()
        )  # fmt: skip
    assert hook(OLD) in names[0]
    assert names[1] == names[0]  # Debian 12's shows the first archive, whatever follows


@EVERY
def test_correcting_again_replaces_what_was_appended(
    tmp_path: Path, dracut: Path, compression: Compression
) -> None:
    main = archive(dracut)
    data = compress(compression, main)
    once, _ = corrected(data, OLD, NEW)
    twice, correction = corrected(once, NEW, NEWER)
    straight, _ = corrected(data, OLD, NEWER)
    assert twice == straight
    root = unpack([main, appended(correction)], tmp_path / "unpacked")
    assert not (root / hook(NEW)).exists()
    assert NEWER in (root / hook(NEWER)).read_text()


def test_correcting_again_the_same_way_changes_nothing(dracut: Path) -> None:
    once, _ = corrected(archive(dracut), OLD, NEW)
    again, correction = corrected(once, OLD, NEW)
    assert again == once
    assert correction.changes == ()


def test_earlier_corrections_of_other_identifiers_survive(tmp_path: Path, dracut: Path) -> None:
    (dracut / "etc/other").write_text(f"{NEWER}\n")
    main = archive(dracut)
    once, _ = corrected(main, OLD, NEW)
    _, correction = corrected(once, NEWER, "x" * 36)
    root = unpack([main, appended(correction)], tmp_path / "unpacked")
    assert (root / "etc/other").read_text() == "x" * 36 + "\n"
    assert NEW in (root / hook(NEW)).read_text()
    assert (root / hook(OLD)).read_text() == ""


def test_what_others_appended_behind_ours_is_kept(tmp_path: Path, dracut: Path) -> None:
    main = archive(dracut)
    once, _ = corrected(main, OLD, NEW)
    foreign = cpio.member(cpio.Header(b"etc/other", 0o100644), b"foreign") + cpio.trailer()
    data = once + foreign
    result, correction = corrected(data, NEW, NEWER)
    assert result.startswith(data)
    root = unpack(
        [main, once[survey(main).end :].lstrip(b"\0"), foreign, appended(correction)],
        tmp_path / "u",
    )
    assert (root / "etc/other").read_text() == "foreign"
    assert NEWER in (root / hook(NEWER)).read_text()
    assert (root / hook(NEW)).read_text() == ""  # ours is below the foreign one: it exists


def test_a_name_with_further_hard_links_is_emptied_without_emptying_them(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / f"{OLD}.sh").write_text("content\n")
    os.link(tree / f"{OLD}.sh", tree / "other.sh")
    main = archive(tree)
    _, correction = corrected(main, OLD, NEW)
    root = unpack([main, appended(correction)], tmp_path / "unpacked")
    assert (root / "other.sh").read_text() == "content\n"
    assert (root / f"{NEW}.sh").read_text() == "content\n"
    assert str((root / f"{OLD}.sh").readlink()) == "/dev/null"


def test_directories_that_the_archive_does_not_list_are_made(tmp_path: Path) -> None:
    path = f"etc/{OLD}/deep/file".encode()
    data = cpio.member(cpio.Header(path, 0o100644), b"x") + cpio.trailer()
    _, correction = corrected(data, OLD, NEW)
    root = unpack([appended(correction)], tmp_path / "unpacked")
    assert (root / f"etc/{NEW}/deep/file").read_text() == "x"
    found = survey(appended(correction))
    directories = [path for path, member in found.members.items() if member.header.is_directory]
    assert directories == sorted(directories)
    assert {"etc", f"etc/{NEW}", f"etc/{NEW}/deep"} <= set(directories)


def test_a_boot_config_stays_at_the_end_and_aligned(dracut: Path) -> None:
    text = f"kernel.root=UUID={OLD}\n".encode() + b"\0"
    text += bytes(-len(text) % 4)
    sums = len(text).to_bytes(4, "little") + sum(text).to_bytes(4, "little")
    config = text + sums + b"#BOOTCONFIG\n"
    for padding in range(4):
        packed = compress(Compression.GZIP, archive(dracut))
        data = packed + bytes(padding) + config
        result, correction = corrected(data, OLD, NEW)
        assert result.endswith(bytes(padding) + config)
        assert (len(result) - len(data)) % 4 == 0
        left = [change for change in correction.changes if change.action is Action.LEFT]
        assert [change.path for change in left] == [initrd.BOOTCONFIG]


def test_an_initrd_that_was_not_read_to_its_end_is_refused(dracut: Path) -> None:
    data = archive(dracut) + b"\x89LZO\0\r\n\x1a\n" + bytes(40)
    with pytest.raises(RefusedError, match="compressed with lzo, which is not supported"):
        corrected(data, OLD, NEW)


def test_a_survey_of_another_initrd_is_refused(dracut: Path) -> None:
    data = archive(dracut)
    with pytest.raises(ValueError, match="another initrd"):
        overriding.correct(data + b"\0", survey(data), rewriting(OLD, NEW))


def test_nothing_to_correct_keeps_every_byte(dracut: Path) -> None:
    data = archive(dracut)
    result, correction = corrected(data, NEWER, NEW)
    assert result == data
    assert (correction.keep, correction.tail) == (len(data), b"")


def test_single_members_can_be_given_other_contents(tmp_path: Path, dracut: Path) -> None:
    data = archive(dracut)
    correction = overriding.overridden(data, survey(data), {"etc/other": b"changed\n"})
    assert correction.changes == (Change("etc/other", Action.CONTENT),)
    root = unpack([data, appended(correction)], tmp_path / "unpacked")
    assert (root / "etc/other").read_text() == "changed\n"
    with pytest.raises(KeyError):
        overriding.overridden(data, survey(data), {"etc/absent": b""})


@pytest.mark.parametrize(
    ("compression", "words"),
    [
        (Compression.LZ4_LEGACY, ""),
        (Compression.LZ4, "no kernel"),
        (Compression.ZSTD, ""),
    ],
)
def test_what_a_person_should_know_is_said(
    dracut: Path, compression: Compression, words: str
) -> None:
    said = overriding.caveat(survey(compress(compression, archive(dracut))))
    assert words in said if words else said == ""
