"""Every spelling of an old identifier becomes the same spelling of the new; all else stays."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.identified import ARRAY, DISK, GROUP, ROOT
from unclone.images.volumes import IdentifierKind
from unclone.sanitize.renewal import Renewal, Rewriter

ESP = Renewal(IdentifierKind.VFAT_SERIAL, "/dev/sda2", "1234-5678", "AB12-CD34")
REWRITER = Rewriter([ROOT, ESP, DISK, ARRAY, GROUP])

#: As udev has them: without dashes, the group's and the volume's in one word.
OLD_GROUP, NEW_GROUP = GROUP.old.replace("-", ""), GROUP.new.replace("-", "")
LV = "Ku9wBSFzKONqeo4WSC3hWGTkxSXvkLQz"

LINES = [
    (
        "UUID=aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb / ext4",
        "UUID=cccccccc-5555-4666-8777-dddddddddddd / ext4",
    ),
    ('UUID="AAAAAAAA-1111-4222-8333-BBBBBBBBBBBB"', 'UUID="CCCCCCCC-5555-4666-8777-DDDDDDDDDDDD"'),
    (
        "cryptomount -u aaaaaaaa111142228333bbbbbbbbbbbb",
        "cryptomount -u cccccccc555546668777dddddddddddd",
    ),
    ("luks-aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb", "luks-cccccccc-5555-4666-8777-dddddddddddd"),
    (
        r"dev-mapper-luks\x2daaaaaaaa\x2d1111\x2d4222\x2d8333\x2dbbbbbbbbbbbb.device",
        r"dev-mapper-luks\x2dcccccccc\x2d5555\x2d4666\x2d8777\x2ddddddddddddd.device",
    ),
    (
        r"devexists-\x2fdev\x2fdisk\x2fby-uuid\x2faaaaaaaa-1111-4222-8333-bbbbbbbbbbbb.sh",
        r"devexists-\x2fdev\x2fdisk\x2fby-uuid\x2fcccccccc-5555-4666-8777-dddddddddddd.sh",
    ),
    ("UUID=1234-5678 /boot/efi vfat", "UUID=AB12-CD34 /boot/efi vfat"),
    ("root=PARTUUID=0a1b2c3d-02 ro", "root=PARTUUID=99887766-02 ro"),
    (
        "ARRAY /dev/md0 UUID=00000001:00000002:00000003:0000000a",
        "ARRAY /dev/md0 UUID=11111111:11111112:11111113:1111111b",
    ),
    (
        "set root='mduuid/0000000100000002000000030000000a'",
        "set root='mduuid/1111111111111112111111131111111b'",
    ),
    (
        "set root='lvmid/abcdef-0123-ABCD-4567-efgh-ijkl-MNOPQR/x'",
        "set root='lvmid/zyxwvu-0000-AAAA-1111-bbbb-cccc-DDDDDD/x'",
    ),
    # udev's names of devices that are made of identifiers: a volume's own UUID stays
    (
        f"/dev/disk/by-id/dm-uuid-LVM-{OLD_GROUP}{LV} / ext4",
        f"/dev/disk/by-id/dm-uuid-LVM-{NEW_GROUP}{LV} / ext4",
    ),
    (
        rf"dev-disk-by\x2did-dm\x2duuid\x2dLVM\x2d{OLD_GROUP}{LV}.device",
        rf"dev-disk-by\x2did-dm\x2duuid\x2dLVM\x2d{NEW_GROUP}{LV}.device",
    ),
    (
        rf'RequiresMountsFor "dm\\x2duuid\\x2dLVM\\x2d{OLD_GROUP}{LV}"',
        rf'RequiresMountsFor "dm\\x2duuid\\x2dLVM\\x2d{NEW_GROUP}{LV}"',
    ),
    (
        f'ENV{{DM_UUID}}=="LVM-{OLD_GROUP}{LV}-tpool"',
        f'ENV{{DM_UUID}}=="LVM-{NEW_GROUP}{LV}-tpool"',
    ),
    (f'ENV{{DM_UUID}}=="LVM-{OLD_GROUP}*"', f'ENV{{DM_UUID}}=="LVM-{NEW_GROUP}*"'),
    (
        rf"devexists-\x2fdev\x2fdisk\x2fby-id\x2fdm-uuid-LVM-{OLD_GROUP}{LV}.sh",
        rf"devexists-\x2fdev\x2fdisk\x2fby-id\x2fdm-uuid-LVM-{NEW_GROUP}{LV}.sh",
    ),
    (
        "/dev/disk/by-id/lvm-pv-uuid-abcdef-0123-ABCD-4567-efgh-ijkl-MNOPQR",
        "/dev/disk/by-id/lvm-pv-uuid-zyxwvu-0000-AAAA-1111-bbbb-cccc-DDDDDD",
    ),
    (
        "/dev/disk/by-id/dm-uuid-CRYPT-LUKS2-aaaaaaaa111142228333bbbbbbbbbbbb-luks-root",
        "/dev/disk/by-id/dm-uuid-CRYPT-LUKS2-cccccccc555546668777dddddddddddd-luks-root",
    ),
    (
        "by-id/dm-name-luks-aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb",
        "by-id/dm-name-luks-cccccccc-5555-4666-8777-dddddddddddd",
    ),
    (
        "/dev/disk/by-id/md-uuid-00000001:00000002:00000003:0000000a-part1",
        "/dev/disk/by-id/md-uuid-11111111:11111112:11111113:1111111b-part1",
    ),
    (
        r"dev-disk-by\x2did-md\x2duuid\x2d00000001:00000002:00000003:0000000a.device",
        r"dev-disk-by\x2did-md\x2duuid\x2d11111111:11111112:11111113:1111111b.device",
    ),
    ("/dev/disk/by-partuuid/0a1b2c3d-05", "/dev/disk/by-partuuid/99887766-05"),
]

STAY = [
    "UUID=aaaaaaaa-1111-4222-8333-bbbbbbbbbbbc",
    "1aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb",
    "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb0",
    "ffffffff-1234-5678-9999-ffffffffffff",  # a serial in the middle of a UUID
    "0a1b2c3d-0200-4444-8888-ffffffffffff",
    "PARTUUID=0a1b2c3d-020",
    f"dm-uuid-LVM-{LV}{OLD_GROUP}",  # a volume's UUID that looks like the group's
    f"ELVM{OLD_GROUP}{LV}",
    "/dev/disk/by-id/dm-name-vg-root",
    "/dev/disk/by-id/md-name-host:0",
]


@pytest.mark.parametrize(("before", "after"), LINES, ids=[after for _, after in LINES])
def test_each_spelling_keeps_its_form(before: str, after: str) -> None:
    assert REWRITER.rewritten(before.encode()) == after.encode()
    assert REWRITER.rewritten_text(before) == after
    assert any(needle in before.encode() for needle in REWRITER.needles)


@pytest.mark.parametrize("text", STAY)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert REWRITER.rewritten(text.encode()) == text.encode()
    assert not REWRITER.found(text.encode())


@pytest.mark.parametrize("stored", ["bytes", "bytes_le"])
def test_binary_structures(stored: str) -> None:
    old, new = (getattr(uuid.UUID(value), stored) for value in (ROOT.old, ROOT.new))
    assert REWRITER.rewritten(b"x" + old + b"y") == b"x" + new + b"y"


def test_utf16() -> None:
    text = f"root=UUID={ROOT.old}".encode("utf-16-le")
    assert REWRITER.rewritten(text).decode("utf-16-le") == f"root=UUID={ROOT.new}"


def test_what_was_found_is_counted() -> None:
    content = f"{ROOT.old}\n{ROOT.old.upper()} {ESP.old}\n".encode()
    assert REWRITER.found(content) == {ROOT: 2, ESP: 1}


def test_no_new_value_is_taken_for_an_old_one() -> None:
    there = Renewal(ROOT.kind, "a", ROOT.old, ROOT.new)
    back = Renewal(ROOT.kind, "b", ROOT.new, ROOT.old)
    text = f"{ROOT.old} {ROOT.new}".encode()
    assert Rewriter([there, back]).rewritten(text) == f"{ROOT.new} {ROOT.old}".encode()


def test_nothing_to_renew_changes_nothing() -> None:
    assert Rewriter([]).rewritten(b"aaaaaaaa-1111") == b"aaaaaaaa-1111"
    assert Rewriter([]).needles == []


@pytest.mark.slow
@given(st.lists(st.sampled_from([*(b for b, _ in LINES), *STAY, "\n", "x", "-", " ", "\\x2d"])))
def test_length_is_kept_and_twice_is_once(words: list[str]) -> None:
    content = " ".join(words).encode()
    once = REWRITER.rewritten(content)
    assert len(once) == len(content)
    assert REWRITER.rewritten(once) == once
