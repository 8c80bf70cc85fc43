"""FAT without a kernel: what mtools and dosfstools say of the result."""

from __future__ import annotations

import errno
import itertools
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import complaints, make_fat, mounted_direct
from tests.support.disks import FileBlocks, poke
from tests.support.selection import slow_but
from unclone.images.engines.direct.block_file import BlockFile
from unclone.images.process import run
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.images.engines.direct.volumes import DirectVolumes

#: Width of the table to MiB of the volume.
WIDTHS = {12: 4, 16: 24, 32: 64}


@pytest.fixture(params=slow_but({12, 32}, WIDTHS), ids=lambda bits: f"fat{bits}")
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_fat(tmp_path / "image", request.param, mib=WIDTHS[request.param])


@pytest.fixture
def volumes(image: Path) -> Iterator[DirectVolumes]:
    opened = mounted_direct(image)
    yield opened
    opened.close()
    assert not complaints(image), complaints(image)


def create(volumes: DirectVolumes, path: str, content: bytes = b"x") -> None:
    volumes.create(path, content, mode=0o644, uid=0, gid=0)


def mtools(image: Path, *words: str) -> bytes:
    command, *rest = words
    return run([command, "-i", image, *rest]).stdout


NAMES = ["A.TXT", "grub.cfg", "a long name with blanks.conf", "é漢字.txt", ".hidden", "x" * 255]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_mtools_reads_what_was_created(image: Path, name: str) -> None:
    volumes = mounted_direct(image)
    create(volumes, f"/{name}", b"content" * 5000)
    assert volumes.scan("/") == {name: Kind.FILE}
    volumes.close()
    assert mtools(image, "mtype", f"::/{name}") == b"content" * 5000
    assert not complaints(image)


def test_what_mtools_wrote_is_read(image: Path, tmp_path: Path) -> None:
    source = tmp_path / "Source File.Conf"
    source.write_bytes(bytes(range(256)) * 300)
    mtools(image, "mmd", "::/EFI", "::/EFI/Debian")
    mtools(image, "mcopy", str(source), "::/EFI/Debian/Source File.Conf")
    volumes = mounted_direct(image)
    try:
        assert volumes.scan("/EFI/Debian") == {"Source File.Conf": Kind.FILE}
        assert volumes.read("/efi/debian/source file.CONF", 1 << 20) == source.read_bytes()
        assert volumes.read("/EFI/Debian/Source File.Conf", 5) == b"\0\1\2\3\4"
        found = {m.path: m.content for m in volumes.walk("/", exclude=(), limit=3)}
        assert found == {
            "/EFI": None,
            "/EFI/Debian": None,
            "/EFI/Debian/Source File.Conf": b"\0\1\2",
        }
        assert volumes.search(["/"], [b"\x10\x11\x12"], exclude=(), limit=1 << 20) == [
            "/EFI/Debian/Source File.Conf"
        ]
        assert volumes.search(["/"], [b"\x10\x11\x12"], exclude=["/EFI/Debian"], limit=9) == []
    finally:
        volumes.close()


@pytest.mark.slow
def test_many_files_come_and_go(volumes: DirectVolumes) -> None:
    volumes.make_directory("/loader", mode=0o700, uid=0, gid=0)
    names = [f"entry number {number}.conf" for number in range(120)]  # in many clusters
    for name in names:
        create(volumes, f"/loader/{name}", name.encode())
    for name in names[::2]:
        volumes.remove(f"/loader/{name}")
    assert set(volumes.scan("/loader")) == set(names[1::2])
    assert volumes.read(f"/loader/{names[7]}", 100) == names[7].encode()
    volumes.remove("/loader")
    assert volumes.scan("/") == {}


@pytest.mark.parametrize("size", [0, 1, 2048, 300_000])
def test_contents_are_replaced(volumes: DirectVolumes, size: int) -> None:
    create(volumes, "/file", b"before" * 2000)
    volumes.write("/file", b"y" * size)
    assert volumes.read("/file", 1 << 20) == b"y" * size
    assert volumes.lstat("/FILE").size == size


def test_directories_and_files_move(volumes: DirectVolumes) -> None:
    volumes.make_directory("/a", mode=0o755, uid=0, gid=0)
    volumes.make_directory("/b", mode=0o755, uid=0, gid=0)
    volumes.make_directory("/a/inner", mode=0o755, uid=0, gid=0)
    create(volumes, "/a/inner/file", b"1")
    create(volumes, "/b/file", b"2")
    volumes.rename("/a/inner", "/b/Inner")
    volumes.rename("/b/Inner/file", "/b/file")
    volumes.rename("/b/file", "/b/FILE")
    assert volumes.read("/b/file", 9) == b"1"
    assert sorted(volumes.scan("/b")) == ["FILE", "Inner"]
    assert (volumes.lstat("/a").links, volumes.lstat("/b").links) == (2, 3)
    with pytest.raises(OSError) as error:
        volumes.rename("/b", "/b/Inner/b")
    assert error.value.errno == errno.EINVAL


def test_a_full_volume_is_full_and_stays_sound(volumes: DirectVolumes) -> None:
    create(volumes, "/kept", b"kept")
    with pytest.raises(OSError) as error:
        create(volumes, "/large", bytes(128 * 1024 * 1024))
    assert error.value.errno == errno.ENOSPC
    assert volumes.scan("/") == {"kept": Kind.FILE}


def test_what_fat_cannot_hold_is_refused_as_linux_does(volumes: DirectVolumes) -> None:
    create(volumes, "/file")
    with pytest.raises(PermissionError):
        volumes.make_symlink("/link", "file")
    with pytest.raises(PermissionError):
        volumes.set_owner("/file", uid=1, gid=1)
    with pytest.raises(PermissionError):
        volumes.create("/other", b"", mode=0o644, uid=1, gid=0)
    with pytest.raises(OSError) as error:
        volumes.set_xattr("/file", "user.x", b"")
    assert error.value.errno == errno.EOPNOTSUPP
    with pytest.raises(FileExistsError):
        create(volumes, "/FILE")
    with pytest.raises(OSError) as error:
        create(volumes, '/a"b')
    assert error.value.errno == errno.EINVAL
    volumes.set_mode("/file", 0o444)
    assert volumes.lstat("/file").mode == 0o555


def test_a_chain_that_leads_nowhere_is_an_error(image: Path) -> None:
    volumes = mounted_direct(image)
    create(volumes, "/file", b"x" * 100_000)
    volumes.close()
    boot = FileBlocks(image).read(0, 512)
    start = int.from_bytes(boot[14:16], "little") * int.from_bytes(boot[11:13], "little")
    poke(image, start + 12, bytes(388))
    volumes = mounted_direct(image)
    with pytest.raises(OSError) as error:
        volumes.read("/file", 1 << 20)
    assert error.value.errno == errno.EIO
    volumes.unmount_all()
    result = volumes.check("/dev/sda", repair=False)
    volumes.close()
    assert result.state == "damaged"
    assert "leads nowhere" in result.output


SIZES = (0, 1, 511, 512, 4096, 70_000)


@pytest.mark.parametrize("before", SIZES)
def test_a_file_of_any_length_becomes_one_of_any_other(volumes: DirectVolumes, before: int) -> None:
    pattern = bytes(range(251)) * 600
    for number, (after, keep) in enumerate(itertools.product(SIZES, (0, 1, 512, 69_999))):
        path = f"/{number}"
        create(volumes, path, pattern[:before])
        volumes.write(path, b"new" * after, keep=keep)
        assert volumes.read(path, 1 << 20) == pattern[:before][:keep] + b"new" * after
        volumes.remove(path)


def test_a_large_file_is_changed_with_few_writes(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = BlockFile.write

    def counted(self: BlockFile, offset: int, content: bytes) -> None:
        written.append(len(content))
        write(self, offset, content)

    content = bytes(range(256)) * 8192  # 2 MiB: thousands of clusters
    volumes = mounted_direct(image)
    create(volumes, "/initrd", content)
    monkeypatch.setattr(BlockFile, "write", counted)
    patched = content[:1_000_000] + b"?" + content[1_000_001:]
    volumes.write("/initrd", patched, keep=0)
    cluster = max(written)
    assert cluster <= 4096
    assert len(written) <= 4  # one cluster, and the entry
    written.clear()
    volumes.write("/initrd", b"appended" * 20, keep=len(content))
    assert len(written) <= 8  # the end of the file, the tables, the count, the entry
    assert sum(written) < 16_384
    volumes.close()
    assert mtools(image, "mtype", "::/initrd") == patched + b"appended" * 20
    assert not complaints(image)
