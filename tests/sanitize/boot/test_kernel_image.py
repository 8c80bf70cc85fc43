"""Kernels for x86 as their setup header describes them."""

from __future__ import annotations

import gzip

import pytest

from tests.support.boot_images import packed_kernel
from unclone.sanitize.boot import kernel_image
from unclone.sanitize.boot.cpio import DamagedError

TEXT = b"root=PARTUUID=1234 ro\0"


def test_what_is_packed_is_read() -> None:
    made = packed_kernel(gzip.compress(b"x" * 100 + TEXT))
    assert kernel_image.is_packed(made)
    assert TEXT in b"".join(kernel_image.unpacked(made))
    assert not kernel_image.is_packed(b"MZ" + bytes(kernel_image.HEADER_SIZE))


@pytest.mark.parametrize("payload", [b"", b"\x1f\x8b\x08damaged", b"070701", b"unknown"])
def test_anything_else_is_damaged(payload: bytes) -> None:
    with pytest.raises(DamagedError):
        b"".join(kernel_image.unpacked(packed_kernel(payload)))
    with pytest.raises(DamagedError, match="cut off"):
        kernel_image.unpacked(b"MZ")


def test_a_configuration_says_what_is_built_in() -> None:
    config = b'# CONFIG_CMDLINE="a"\nCONFIG_CMDLINE="b c"\nCONFIG_CMDLINE_BOOL=y\n'
    assert kernel_image.configured(config) == b"b c"
    assert kernel_image.configured(b'CONFIG_CMDLINE=""\n') == b""
