"""The text descriptor of a VMDK: no file that QEMU would open goes unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import RefusedError
from unclone.images.formats.header import Format, Header
from unclone.images.formats.table import read_header

if TYPE_CHECKING:
    from pathlib import Path


def header(path: Path) -> Header:
    with path.open("rb") as file:
        return read_header(file, Format.VMDK, name=path.name)


FLAT = 'createType="monolithicFlat"\nRW 8 FLAT "x"\n'
DESCRIPTORS = [
    ('createType="custom"\nRW 8 FLAT "x" 0', "kind of VMDK that is unknown"),
    ('createType="monolithicFlat"', "names no extents"),
    ('createType="monolithicFlat"\nRW 0 FLAT "x" 0', "no sectors"),
    ('createType="monolithicFlat"\nRW 8 SESPARSE "x"', "cannot be written"),
    ('createType="monolithicFlat"\nRDONLY 8 FLAT "x" 0', "cannot be written"),
    ('createType="monolithicFlat"\nXX 8 FLAT "x" 0', "unknown access"),
    (FLAT + "parentFileNameHint=y", "unusual way"),
    ('createType="vmfs"\nRW 8 VMFS "' + "x" * 512 + '"', "name that is too long"),
    (FLAT + '#parentFileNameHint="a"\nparentFileNameHint="b"', "parent in an unusual way"),
]


@pytest.mark.parametrize(("text", "words"), DESCRIPTORS, ids=[w for _, w in DESCRIPTORS])
def test_a_lying_vmdk_descriptor_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "disk.vmdk"
    path.write_text(f"# Disk DescriptorFile\nversion=1\n{text}\n")
    with pytest.raises(RefusedError, match=words):
        header(path)


def test_an_extent_is_found_where_qemu_finds_it(tmp_path: Path) -> None:
    # QEMU's sscanf skips line breaks like blanks, and so sees one extent here.
    path = tmp_path / "disk.vmdk"
    path.write_text(
        '# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\n'
        'RW\n 2048\tFLAT\n"/etc/passwd" 0\n'
    )
    assert [extent.name for extent in header(path).extents] == ["/etc/passwd"]


@pytest.mark.parametrize(
    "line",
    [
        'RW +8 FLAT "secret" 0',
        'RW 8FLAT "secret" 0',
        '\v\fRW 8 VMFS "secret',
        'RW 8 FLAT "secret"0',
        f'RW {"9" * 5000} FLAT "secret" 0',
        'RW 0x8 FLAT "secret" 0',
    ],
    ids=range(6),
)
def test_an_extent_that_only_qemu_can_read_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "disk.vmdk"
    path.write_text(f'# Disk DescriptorFile\ncreateType="vmfs"\nRW 8 VMFS "x"\n{line}\n')
    with pytest.raises(RefusedError, match="extent line of an unusual form"):
        header(path)


@pytest.mark.parametrize("character", ["a", "\n"])
def test_a_vmdk_descriptor_of_one_character_is_read_in_linear_time(
    tmp_path: Path, character: str
) -> None:
    path = tmp_path / "disk.vmdk"
    path.write_text('# Disk DescriptorFile\ncreateType="vmfs"\n' + character * 900_000)
    with pytest.raises(RefusedError, match="names no extents"):
        header(path)
