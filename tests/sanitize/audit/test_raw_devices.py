"""Identities on devices without a file system."""

from __future__ import annotations

import struct
import uuid

import pytest

from unclone.sanitize.audit.raw_devices import of_raw_device
from unclone.sanitize.audit.values import Found, digest

ONE, TWO = "3f1c2f4e-8a67-4b0d-9d55-2f6f0c1b7a10", "8d0e7a35-1b1c-4f0e-a4ad-0d4f0c1b7a11"


def at(*parts: tuple[int, bytes]) -> bytes:
    content = bytearray(256 * 1024)
    for offset, value in parts:
        content[offset : offset + len(value)] = value
    return bytes(content)


def xdr(name: str, value: int) -> bytes:
    """A number of 64 bits in an nvlist, after its two sizes."""
    text = name.encode().ljust((len(name) + 3) // 4 * 4, b"\0")
    return struct.pack(">I", len(name)) + text + struct.pack(">IIQ", 8, 1, value)


BCACHE = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
LABEL = xdr("version", 5000) + xdr("pool_guid", 2**63 + 5) + xdr("hostid", 77) + xdr("guid", 9)
UUID_64 = 0xFE0C0FFEE.to_bytes(8, "big")
STRATIS_IDS = {("stratis-pool-uuid", ONE), ("stratis-device-uuid", TWO)}


def stratis(copy: int) -> bytes:
    """One of the two superblocks."""
    ids = "".join(each.replace("-", "") for each in (ONE, TWO)).encode()
    return at((copy + 4, b"!Stra0tis\x86\xff\x02^Arh"), (copy + 32, ids))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (
            at((0x1018, BCACHE + uuid.UUID(ONE).bytes + uuid.UUID(TWO).bytes)),
            {("bcache-uuid", ONE), ("bcache-set-uuid", TWO)},
        ),
        (
            at((0, f"bluestore block device\n{ONE}\n".encode())),
            {("ceph-osd-uuid", ONE)},
        ),
        (
            at((16 * 1024, LABEL)),
            {
                ("zfs-pool-guid", str(2**63 + 5)),
                ("zfs-host-id", "77"),
                ("zfs-vdev-guid", "9"),
            },
        ),
        (at((0, b"dmvdo001"), (40, uuid.UUID(ONE).bytes)), {("vdo-uuid", ONE)}),
        (at((0, b"dmvdo001")), set()),
        (at((0, b"integrt\0"), (48, b"s" * 16)), {("dm-integrity-salt", digest(b"s" * 16))}),
        (at((0, b"integrt\0\1")), set()),  # before version 5 it has none
        *((stratis(copy), STRATIS_IDS) for copy in (0x200, 0x1200)),
        *(
            (
                at(
                    (256 * 1024 - 4096 + 60, bytes.fromhex(magic)),
                    (256 * 1024 - 4096 + at_, UUID_64),
                ),
                {("drbd-device-uuid", "fe0c0ffee")},
            )
            for magic, at_ in (("8374026b", 40), ("8374026c", 40), ("8374026d", 48))
        ),
        (at(), set()),
    ],
    ids=[
        *("bcache", "ceph", "zfs", "vdo", "vdo-none", "integrity", "integrity-none", "stratis"),
        *("stratis-second", "drbd-8", "drbd-8.4", "drbd-9", "zeros"),
    ],
)
def test_identifiers_of_known_formats_have_their_names(
    content: bytes, wanted: set[tuple[str, str]]
) -> None:
    found = list(of_raw_device("/dev/sda2", content, b"", []))
    assert {(each.kind, each.value) for each in found} == wanted
    assert {(each.place, each.score) for each in found} <= {("/dev/sda2", 0)}


def test_values_that_look_like_an_identity_are_found_at_both_ends() -> None:
    start = at((5000, f"\0serial={ONE}\0".encode()), (9000, b"\xff52:54:00:aa:bb:cc\xfe"))
    end = at((7, b"0123456789abcdef0123456789abcdef"))
    known = [Found("file-system-uuid", TWO.upper(), "/dev/sda1")]
    found = list(of_raw_device("/dev/sdb", start + TWO.encode(), end, known))
    assert {(each.kind, each.value) for each in found} == {
        ("uuid", digest(ONE.replace("-", "").encode())),
        ("mac", "52:54:00:aa:bb:cc"),
        ("hexadecimal", digest(b"0123456789abcdef0123456789abcdef")),
    }
    assert all(each.score for each in found)


def test_a_device_full_of_values_has_data() -> None:
    content = "\n".join(str(uuid.UUID(int=2**120 + 77777 * n**3)) for n in range(60)).encode()
    assert list(of_raw_device("/dev/sdb", content, b"", [])) == []
