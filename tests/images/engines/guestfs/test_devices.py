"""What the appliance prints about its devices, read: names, order, and hostile labels.

The texts are real ones, from appliances whose kernel found the disks in another order.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from unclone.images.engines.guestfs.devices import Device, holds_file_system, read_devices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.engines.guestfs.appliance import Appliance

PCI = "../devices/pci0000:00/0000:00:03.0/virtio1/host2"


def link(node: str, target: int) -> str:
    return f"{node} {PCI}/target2:0:{target}/2:0:{target}:0/block/{node}\n"


def devices(
    drives: int,
    links: str,
    partitions: str,
    mapped: str = "",
    probed: str = "",
    one_by_one: str = "",
) -> Sequence[Device]:
    """What is read when the appliance prints these texts."""
    listed = "major minor  #blocks  name\n\n" + "".join(
        f"   8 0 {size} {name}\n" for size, name in (row.split() for row in partitions.split(","))
    )
    first = f"{links}----\n{listed}----\n{mapped}----\n{probed}".rstrip("\n")
    texts = iter([first.encode("utf-8", "surrogateescape"), one_by_one.encode()])
    appliance = SimpleNamespace(drives=range(drives), shell=lambda _: next(texts))
    return read_devices(cast("Appliance", appliance))


def test_drives_are_named_in_the_order_they_were_attached() -> None:
    found = devices(
        2,
        link("sdb", 0) + link("sda", 1) + link("sdc", 2) + "ram0 ../devices/virtual/block/ram0\n",
        "10 sda,20 sdb,4 sdb1,5 sdb2,99 sdc",
        probed="DEVNAME=/dev/sda\nTYPE=ext4\n\nDEVNAME=/dev/sdb\nPTTYPE=gpt\n\n"
        "DEVNAME=/dev/sdb1\nTYPE=vfat\n\nDEVNAME=/dev/sdb2\nTYPE=swap\n",
    )
    assert [(d.name, d.node, d.size, d.type, d.disk, d.number) for d in found] == [
        ("/dev/sda", "/dev/sdb", 20480, "unknown", "", 0),
        ("/dev/sda1", "/dev/sdb1", 4096, "vfat", "/dev/sda", 1),
        ("/dev/sda2", "/dev/sdb2", 5120, "swap", "/dev/sda", 2),
        ("/dev/sdb", "/dev/sda", 10240, "ext4", "", 0),
    ]
    assert [d.name for d in found if holds_file_system(d)] == ["/dev/sda1", "/dev/sda2", "/dev/sdb"]


def test_the_27th_drive() -> None:
    nodes = [chr(ord("a") + n) for n in range(26)] + ["aa", "ab"]
    links = "".join(link(f"sd{letters}", n) for n, letters in enumerate(nodes))
    found = devices(27, links, ",".join(f"1 sd{letters}" for letters in nodes))
    assert [d.name for d in found] == [f"/dev/sd{letters}" for letters in nodes[:27]]
    assert all(d.node == d.name for d in found)


def test_what_blkid_passed_over_is_asked_for_again() -> None:
    found = devices(
        2,
        link("sda", 0) + link("sdb", 1),
        "1 sda,1 sdb",
        one_by_one="\nDEVNAME=/dev/sdb\nTYPE=xfs\n\n",
    )
    assert [d.type for d in found] == ["unknown", "xfs"]


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (f"dm-0 my--vg-root--lv LVM-{'a' * 64}", [("/dev/my-vg/root-lv", "/dev/dm-0")]),
        (f"dm-3 vg-pool_tmeta LVM-{'a' * 64}-tmeta", []),
        ("dm-1 luks-1234 CRYPT-LUKS2-1234-luks-1234", [("/dev/mapper/luks-1234", "/dev/dm-1")]),
        ("dm-2 other DMRAID-x", []),
        ("dm-2 nothing ", []),
    ],
)
def test_mapped_devices(row: str, names: list[tuple[str, str]]) -> None:
    found = devices(0, "", "1 dm-0", mapped=f"{row}\n")
    assert [(d.name, d.node) for d in found] == names
    assert [d.file_system().mapper_uuid for d in found] == row.split()[2:] * len(names)


@pytest.mark.parametrize(
    ("printed", "label"),
    [
        ("plain", "plain"),
        ("EFI\\ System", "EFI System"),
        (r"\xc3\xa9", "é"),
        (r"x\x0aLABEL=y", "x\nLABEL=y"),
        (r"\\x41", r"\x41"),
        (r"\$\(id\)\`\"\'", "$(id)`\"'"),
        (r"\xff", "\udcff"),
        ("----", "----"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_labels_are_decoded(printed: str, label: str) -> None:
    (device,) = devices(
        1, link("sda", 0), "1 sda", probed=f"DEVNAME=/dev/sda\nLABEL={printed}\nTYPE=ext4\n"
    )
    assert (device.file_system().label, device.type) == (label, "ext4")


@pytest.mark.parametrize("kind", ["0x5", "0xf", "0x85"])
def test_an_extended_partition_holds_no_file_system(kind: str) -> None:
    probed = f"DEVNAME=/dev/sda\nPTTYPE=dos\n\nDEVNAME=/dev/sda1\nPART_ENTRY_TYPE={kind}\n"
    found = devices(1, link("sda", 0), "9 sda,1 sda1", probed=probed)
    assert [d.name for d in found if holds_file_system(d)] == []


def test_arrays() -> None:
    found = devices(0, "", "5 md127,4 md127p1,1 mdx")
    assert [d.name for d in found] == ["/dev/md127", "/dev/md127p1"]
