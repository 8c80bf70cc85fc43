"""Checks and new UUIDs of XFS and btrfs by the host's tools, on copies of their metadata.

A check of the whole file system, by the same tools, says whether the result is right.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import Part, make_file_system
from unclone.images import process
from unclone.images.engines.direct import checks, copies, identifiers
from unclone.images.engines.direct.disks import Disks
from unclone.images.engines.engine import Drive
from unclone.images.errors import EngineError
from unclone.images.file_systems import xfs_metadata
from unclone.images.file_systems.table import type_of
from unclone.images.volumes import CheckState, Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from unclone.images.engines.direct.devices import Device

NEW = "11111111-2222-4333-8444-555555555555"
NEW_SUB = "11111111-2222-4333-8444-666666666666"

#: Directories in several formats, and a file with content.
TREE: Mapping[str, str | bytes | None] = {
    **{f"/many/{'n' * 40}{number}": "" for number in range(900)},
    **{f"/few/{'n' * 20}{number}": "content" for number in range(40)},
    "/large": b"x" * 3_000_000,
}
CHECKS = {"xfs": ("xfs_repair", "-n"), "btrfs": ("btrfs", "check", "--readonly")}


class Opened:
    """A raw image with one file system; ``copies`` counts those made for tools."""

    def __init__(self, path: Path) -> None:
        self.disks = Disks([Drive(path, "raw")], scratch=True)
        self.device = self.disks.devices()[0]
        self.copies = 0

    @contextmanager
    def as_file(
        self, device: Device, areas: Iterable[tuple[int, int]] | None = None
    ) -> Iterator[Path]:
        self.copies += 1
        with self.disks.as_file(device, areas) as file:
            yield file

    def check(self) -> CheckState:
        return checks.check(self.device, self.as_file, repair=False).state


@pytest.fixture(scope="module", params=CHECKS)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("image") / request.param
    make_file_system(path, Part(request.param, TREE))
    return path


@pytest.fixture
def opened(image: Path) -> Iterator[Opened]:
    found = Opened(image)
    yield found
    found.disks.drop()


@pytest.mark.slow
def test_a_copy_of_the_metadata_is_enough_for_a_check(opened: Opened) -> None:
    assert opened.check() is CheckState.CLEAN
    assert opened.copies == 1


def test_a_copy_of_the_metadata_has_no_content_of_files(opened: Opened) -> None:
    blocks = opened.device.open()
    found = type_of(opened.device.type).metadata
    assert found is not None
    areas = copies.merged(found(blocks) or (), blocks.size)
    assert areas
    assert not any(b"x" * 5000 in blocks.read(start, end - start) for start, end in areas)


@pytest.mark.slow
def test_the_uuid_is_set_and_the_file_system_stays_sound(opened: Opened) -> None:
    device = opened.device
    wanted = [Identifier(IdentifierKind.FILE_SYSTEM_UUID, device.name, NEW)]
    if device.type == "btrfs":
        wanted.append(Identifier(IdentifierKind.BTRFS_DEVICE_UUID, device.name, NEW_SUB))
    for identifier in wanted:
        identifiers.set_identifier(identifier, opened.disks.devices(), opened.as_file, {})
    assert identifiers.read_identifiers(opened.disks.devices()) == wanted
    with opened.disks.as_file(device) as file:
        blkid = process.run(["blkid", "-p", "-o", "export", file]).stdout.decode().splitlines()
        process.run([*CHECKS[device.type], file])
    assert f"UUID={NEW}" in blkid
    assert (f"UUID_SUB={NEW_SUB}" in blkid) == (device.type == "btrfs")
    assert opened.check() is CheckState.CLEAN


@pytest.mark.slow
def test_damage_in_metadata_is_found(opened: Opened) -> None:
    device = opened.device
    found = type_of(device.type).metadata
    assert found is not None
    blocks = device.open()
    names = b"n" * 40
    for start, end in copies.merged(found(blocks) or (), blocks.size):
        content = blocks.read(start, end - start)
        if names in content:
            blocks.write(start, content.replace(names, b"\xff" * len(names)))
    assert opened.check() is CheckState.DAMAGED
    assert opened.copies == 2  # what is damaged on a copy of the metadata is checked in full


def test_without_the_program_there_is_no_check(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(process, "SYSTEM_FOLDERS", ())
    result = checks.check(opened.device, opened.as_file, repair=False)
    assert result.state is CheckState.NOT_CHECKED
    assert result.output == f"{CHECKS[opened.device.type][0]} is not installed"


def test_a_tool_must_not_write_beside_what_it_was_given(opened: Opened) -> None:
    before = opened.device.open().read(0, 1 << 20)
    copying = opened.as_file(opened.device, [(0, 4096)])
    with copying.__enter__().open("r+b") as copy:
        copy.write(b"new")
        copy.seek(16384)
        copy.write(b"new")
    with pytest.raises(EngineError, match="had not been given"):
        copying.__exit__(None, None, None)
    assert opened.device.open().read(0, 1 << 20) == before


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ([], []),
        ([(0, 1)], [(0, 4096)]),
        ([(8192, 4096), (0, 4096), (4096, 10)], [(0, 12288)]),
        ([(0, 20000), (4096, 1)], [(0, 20480)]),
        ([(99_000, 4096), (2**70, 1), (-5000, 1)], [(98304, 100_000)]),
    ],
)
def test_areas_are_merged(areas: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    assert list(copies.merged(areas, 100_000)) == expected


class _Memory:
    """An image in memory, with its areas of metadata only."""

    def __init__(self, size: int, parts: dict[int, bytearray]) -> None:
        self.size, self.parts = size, parts

    def read(self, offset: int, count: int) -> bytes:
        for start, part in self.parts.items():
            if start <= offset and offset + count <= start + len(part):
                return bytes(part[offset - start : offset - start + count])
        return bytes(max(0, min(count, self.size - offset)))

    def write(self, offset: int, content: bytes) -> None:
        self.parts[offset] = bytearray(content)


@pytest.mark.parametrize("seed", range(6))
def test_the_walk_through_a_damaged_xfs_ends(tmp_path: Path, seed: int) -> None:
    make_file_system(tmp_path / "image", Part("xfs", {"/a": "b"}))
    opened = Opened(tmp_path / "image")
    blocks = opened.device.open()
    log = 2_000_000  # bytes; it is not walked
    areas = copies.merged(xfs_metadata.metadata(blocks) or (), blocks.size)
    parts = {s: bytearray(blocks.read(s, e - s)) for s, e in areas if e - s < log}
    opened.disks.drop()
    draw = random.Random(seed)
    for _ in range(20):
        part = parts[draw.choice(list(parts))]
        part[draw.randrange(len(part))] ^= 1 << draw.randrange(8)
        list(xfs_metadata.metadata(_Memory(blocks.size, parts)) or ())
