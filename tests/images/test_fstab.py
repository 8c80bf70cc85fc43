"""fstab lines: what they mount, and that every byte of the file survives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unclone.images.fstab import Entry, parse

DEBIAN = """\
# /etc/fstab: static file system information.
#
# <file system> <mount point>   <type>  <options>       <dump>  <pass>
UUID=6a48ffc0-630b-3245-a18e-09763a83c63d /               ext4    errors=remount-ro 0       1
\t
LABEL=ESP\t/boot/efi vfat\tumask=0077 0 1 # the loader\r
/dev/sr0        /media/cdrom0   udf,iso9660 user,noauto     0       0"""


def test_a_real_table() -> None:
    table = parse(DEBIAN)
    assert table.entries == [
        Entry(3, "UUID=6a48ffc0-630b-3245-a18e-09763a83c63d", "/", "ext4", ("errors=remount-ro",)),
        Entry(5, "LABEL=ESP", "/boot/efi", "vfat", ("umask=0077",)),
        Entry(6, "/dev/sr0", "/media/cdrom0", "udf,iso9660", ("user", "noauto")),
    ]
    assert table.text == DEBIAN


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        pytest.param("/dev/sda1 /", Entry(0, "/dev/sda1", "/", "auto", ("defaults",)), id="short"),
        pytest.param("  a b c", Entry(0, "a", "b", "c", ("defaults",)), id="indented"),
        pytest.param(
            r"LABEL=a\040b /mnt/x\011y\134z xfs ro",
            Entry(0, "LABEL=a b", "/mnt/x\ty\\z", "xfs", ("ro",)),
            id="escapes",
        ),
        pytest.param(
            r"UUID=x /\303\251\377 xfs",
            Entry(0, "UUID=x", "/é\udcff", "xfs", ("defaults",)),
            id="bytes",
        ),
        pytest.param(r"a /x\012y b", Entry(0, "a", "/x\ny", "b", ("defaults",)), id="newline"),
        pytest.param("#UUID=x / ext4", None, id="comment"),
        pytest.param("   # x y z", None, id="indented comment"),
        pytest.param("lonely", None, id="one field"),
        pytest.param("", None, id="empty"),
    ],
)
def test_one_line(line: str, entry: Entry | None) -> None:
    assert list(parse(line).entries) == ([entry] if entry else [])


@pytest.mark.parametrize(
    ("options", "optional", "subvolume"),
    [
        ("defaults", False, ""),
        ("rw,nofail", True, ""),
        ("noauto,x-systemd.automount", True, ""),
        ("compress=zstd:1,subvol=@home", False, "@home"),
        ('subvol="@/a",subvolid=257', False, "@/a"),
        ("nofailure,subvolume=x", False, ""),
    ],
)
def test_options(options: str, optional: bool, subvolume: str) -> None:
    (entry,) = parse(f"UUID=x /mnt btrfs {options}").entries
    assert (entry.optional, entry.subvolume) == (optional, subvolume)


@given(st.text(alphabet=st.sampled_from("a#\\04 \t\r\n=/\x00é\udcff")))
def test_every_byte_survives(text: str) -> None:
    table = parse(text)
    assert table.text == text
    assert all(0 <= entry.line < len(table.lines) for entry in table.entries)
