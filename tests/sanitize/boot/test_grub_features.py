"""Whether a GRUB reads ext4 with a checksum seed, from its code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.boot.grub_features import checksum_seed_obstacle, reads_checksum_seed

if TYPE_CHECKING:
    from pathlib import Path

#: What ext2.mod of Debian 12 (2.06-13) has: mov 0x60(%rbx),%eax; test $imm,%eax.
KNOWS = bytes.fromhex("8b4360a9299cfeff7422")
#: The same before "fs/ext2: Ignore checksum seed incompat feature".
OLD = bytes.fromhex("8b4360a929fcfeff7422")
IN_PLACE = bytes.fromhex("f7436029dcfeff7422")


@pytest.mark.parametrize(
    ("code", "reads"),
    [(KNOWS, True), (OLD, False), (IN_PLACE, True), (b"", None), (KNOWS[4:], None)],
)
def test_what_the_code_says(code: bytes, reads: bool | None) -> None:
    assert reads_checksum_seed(bytes(500) + code + b"\x90" * 500) is reads


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"/boot/grub/x86_64-efi/ext2.mod": KNOWS}, ""),
        (
            {"/boot/grub2/i386-pc/ext2.mod": KNOWS, "/boot/grub/x86_64-efi/ext2.mod": OLD},
            "its GRUB",
        ),
        ({}, "no GRUB"),
        ({"/boot/grub/x86_64-efi/ext2.mod": b"\x7fELF"}, "no GRUB"),
        (
            {
                "/boot/grub/x86_64-efi/ext2.mod": KNOWS,
                "/usr/lib/modules/4.2.0-1/modules.dep": "",
            },
            "its kernel 4.2",
        ),
        (
            {"/boot/grub/x86_64-efi/ext2.mod": KNOWS, "/usr/lib/modules/6.1.0/modules.dep": ""},
            "",
        ),
    ],
)
def test_a_guest(tmp_path: Path, files: dict[str, str | bytes | None], said: str) -> None:
    plant(tmp_path, files)
    found = checksum_seed_obstacle(guest_at(tmp_path))
    assert found.startswith(said)
    assert bool(found) == bool(said)
