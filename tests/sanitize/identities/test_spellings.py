"""One identifier, many spellings; the same number, order and length for old and new."""

from __future__ import annotations

import pytest

from unclone.sanitize.identities.spellings import core, spellings

ID = "0123456789abcdef0123456789abcdef"
DASHED = "01234567-89ab-cdef-0123-456789abcdef"

VALUES = {
    "uuid": (DASHED, "11111111-2222-3333-4444-555555555555"),
    "machine-id": (ID, "1" * 32),
    "md": ("01234567:89abcdef:01234567:89abcdef", "11111111:22222222:33333333:44444444"),
    "lvm": ("abcdef-0123-ABCD-4567-efgh-ijkl-MNOPQR", "000000-0000-0000-0000-0000-0000-000000"),
    "serial": ("ABCD-1234", "1111-2222"),
    "mbr": ("1a2b3c4d", "11111111"),
    "mac": ("52:54:00:ab:cd:ef", "52:54:00:11:22:33"),
    "anything else": ("web-01", "web-02"),
}


@pytest.mark.parametrize(("old", "new"), VALUES.values(), ids=list(VALUES))
def test_spellings_of_two_values_belong_together(old: str, new: str) -> None:
    ours, theirs = spellings(old), spellings(new)
    assert [len(one) for one in ours] == [len(one) for one in theirs]


@pytest.mark.parametrize("value", [ID, DASHED, DASHED.upper()])
@pytest.mark.parametrize(
    "spelled",
    [
        ID,
        ID.upper(),
        DASHED,
        DASHED.upper(),
        r"01234567\x2d89ab\x2dcdef\x2d0123\x2d456789abcdef",
        r"01234567\\x2d89ab\\x2dcdef\\x2d0123\\x2d456789abcdef",
        r"01234567\x2d89AB\x2dCDEF\x2d0123\x2d456789ABCDEF",
        "01234567:89abcdef:01234567:89abcdef",
    ],
)
def test_a_uuid_in_text(value: str, spelled: str) -> None:
    assert spelled.encode() in spellings(value)


def test_a_uuid_in_firmware_structures() -> None:
    assert DASHED.encode("utf-16-le") in spellings(DASHED)
    assert bytes.fromhex("67452301ab89efcd0123456789abcdef") in spellings(DASHED)


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("01234567:89abcdef:01234567:89abcdef", b"01234567.89ABCDEF.01234567.89ABCDEF"),
        ("01234567:89abcdef:01234567:89abcdef", b"01234567-89abcdef-01234567-89abcdef"),
        ("01234567:89abcdef:01234567:89abcdef", DASHED.encode()),
        ("ABCD-1234", rb"ABCD\x2d1234"),
        ("ABCD-1234", b"abcd-1234"),
        ("0x1a2b3c4d", b"0x1a2b3c4d"),
        ("1a2b3c4d", b"1a2b3c4d-02"),
        ("1a2b3c4d", rb"1A2B3C4D\x2d05"),
        ("abcdef-0123-ABCD-4567-efgh-ijkl-MNOPQR", b"abcdef0123ABCD4567efghijklMNOPQR"),
        ("abcdef-0123-ABCD-4567-efgh-ijkl-MNOPQR", rb"abcdef\x2d0123\x2dABCD"),
    ],
)
def test_other_kinds(value: str, spelled: bytes) -> None:
    assert any(spelled in one for one in spellings(value))


def test_a_serial_without_letters_is_first_in_upper_case() -> None:
    assert spellings("abcd-12ef")[0] == b"ABCD-12EF"


def test_anything_else_has_one() -> None:
    assert spellings("AAAAC3NzaC1lZDI1NTE5") == (b"AAAAC3NzaC1lZDI1NTE5",)


@pytest.mark.parametrize("value", [old for old, _ in VALUES.values()], ids=list(VALUES))
def test_a_core_is_part_of_its_spelling(value: str) -> None:
    assert all(core(spelled) in spelled for spelled in spellings(value))
    assert len({core(spelled) for spelled in spellings(DASHED)}) <= 6
