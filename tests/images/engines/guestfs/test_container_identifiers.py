"""Identifiers of LUKS, LVM and MD, set by each engine and read back by the tools that own them.

The disk is made in the appliance, because that takes a kernel; the direct engine gets a copy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import open_direct
from unclone.images.errors import EngineError
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount
from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.support.bench import Bench
    from unclone.images.volumes import Volumes

pytestmark = pytest.mark.appliance

KEY = b"of the stack"
#: Partitions: 1 LUKS1, 2 LUKS2, 3+4 a volume group, 5+6 an array with LUKS2 on it, 7 an array of
#: version 0.90, 8 one of version 1.0, 9 a physical volume without a group, 10 an exported group,
#: 11 a group that has lost its other half (12), 13 a group of another host.
MAKE = r"""
set -e; exec 2>&1
(echo label: gpt; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo size=6MiB; done) | sfdisk -q NODE
udevadm settle
printf 'of the stack' >/run/key
luks="cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /run/key"
small="--type luks2 --luks2-metadata-size 16k --luks2-keyslots-size 256k"
$luks --type luks1 NODE1
$luks $small NODE2
lvm="lvm pvcreate -q -q -y"
for n in 3 4 9 10 11 12 13; do $lvm NODE$n; done
lvm vgcreate -q -q -s 256k twin-vg NODE3 NODE4
lvm lvcreate -q -q -y -W n -l 100%FREE -n data twin-vg
udevadm settle
mkdir -p /run/making
mke2fs -q -t ext4 /dev/twin-vg/data
mount /dev/twin-vg/data /run/making; echo in the group >/run/making/file; umount /run/making
lvm vgchange -q -q -an twin-vg
lvm vgcreate -q -q gone-vg NODE10
lvm vgexport -q -q gone-vg
lvm vgcreate -q -q half-vg NODE11 NODE12
dd if=/dev/zero of=NODE12 bs=1M count=1
lvm vgcreate -q -q --systemid other-host host-vg NODE13
mdadm="mdadm --quiet --create --run --assume-clean --level=1 --raid-devices=2"
$mdadm --metadata=1.2 --bitmap=internal /dev/md21 NODE5 NODE6
$mdadm --metadata=0.90 --bitmap=internal /dev/md22 NODE7 missing
$mdadm --metadata=1.0 /dev/md23 NODE8 missing
$luks $small /dev/md21
cryptsetup open --key-file /run/key /dev/md21 making
mke2fs -q -t ext4 /dev/mapper/making
mount /dev/mapper/making /run/making; echo on the array >/run/making/file; umount /run/making
cryptsetup close making
rm /run/key
udevadm settle
mdadm --quiet --stop /dev/md21; mdadm --quiet --stop /dev/md22; mdadm --quiet --stop /dev/md23
sync
"""
START = """
udevadm settle; mdadm --quiet --stop --scan || true
mdadm --quiet --assemble --run /dev/md21 NODE5 NODE6
mdadm --quiet --assemble --run /dev/md22 NODE7
mdadm --quiet --assemble --run /dev/md23 NODE8
udevadm settle
"""

KINDS = {
    IdentifierKind.LUKS_UUID: "{n:08x}-0000-4000-8000-000000000000",
    IdentifierKind.PARTITION_GUID: "{n:08x}-1111-4111-8111-111111111111",
    IdentifierKind.DISK_GUID: "{n:08x}-2222-4222-8222-222222222222",
    IdentifierKind.FILE_SYSTEM_UUID: "{n:08x}-3333-4333-8333-333333333333",
    IdentifierKind.LVM_PV_UUID: "pv{n:04d}-Chos-enVa-lueO-fOne-PVpv-{n:06d}",
    IdentifierKind.LVM_VG_UUID: "vg{n:04d}-Chos-enVa-lueO-fOne-VGvg-{n:06d}",
    IdentifierKind.MD_UUID: "{n:08x}:44444444:55555555:66666666",
}


#: Kinds that are stored as they are spelled.
TEXTS = {IdentifierKind.LUKS_UUID, IdentifierKind.LVM_PV_UUID, IdentifierKind.LVM_VG_UUID}

Values = dict[tuple[IdentifierKind, str], str]


@pytest.fixture
def copy(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the disk on the host, as it was made."""

    def make() -> Path:
        bench.shell(MAKE.replace("NODE", bench.node("stack")))
        path = tmp_path_factory.mktemp("stack") / "copy.img"
        binding = bench.appliance.binding
        bench.appliance.call(lambda: binding.download(bench.devices["stack"], str(path)))
        return path

    return bench.prepared("stack", make)


def new_values(found: Sequence[Identifier], first: int) -> Mapping[Identifier, Identifier]:
    """A new value for each; the same for what has the same."""
    numbers = {(i.kind, i.value): n for n, i in enumerate(found, first)}
    return {
        i: Identifier(i.kind, i.device, KINDS[i.kind].format(n=numbers[i.kind, i.value]))
        for i in found
    }


def kept(volumes: Volumes | Guest) -> Values:
    """Why some of the identifiers have to stay."""
    reasons = {(i.kind, i.device): volumes.unsettable(i) for i in volumes.identifiers()}
    return {at: why for at, why in reasons.items() if why}


def expected_reasons(disk: str) -> Values:
    exported = "its volume group gone-vg is exported"
    partial = "of its volume group half-vg, only 1 of 2 devices are there"
    foreign = "its volume group host-vg belongs to the host with the LVM system ID other-host"
    return {
        (IdentifierKind.LVM_PV_UUID, f"{disk}10"): exported,
        (IdentifierKind.LVM_PV_UUID, f"{disk}13"): foreign,
        (IdentifierKind.LVM_VG_UUID, "/dev/host-vg"): foreign,
        (IdentifierKind.LVM_PV_UUID, f"{disk}11"): partial,
        (IdentifierKind.LVM_VG_UUID, "/dev/gone-vg"): exported,
        (IdentifierKind.LVM_VG_UUID, "/dev/half-vg"): partial,
    }


def set_all(volumes: Volumes | Guest, disk: str, first: int) -> Values:
    """Set everything that can be set; read back by the engine, then return it."""
    before = volumes.identifiers()
    reasons = expected_reasons(disk)
    assert kept(volumes) == reasons
    wanted = [n for i, n in new_values(before, first).items() if (i.kind, i.device) not in reasons]
    volumes.set_identifiers(wanted)
    after = {(i.kind, i.device): i.value for i in volumes.identifiers()}
    values = {(i.kind, i.device): i.value for i in before}
    assert after == values | {(i.kind, i.device): i.value for i in wanted}
    return after


def require_tools_agree(bench: Bench, node: str, disk: str, values: Values) -> None:
    """Let cryptsetup, lvm, mdadm and blkid read the disk at *node*."""
    for number in (1, 2):
        said = bench.shell(
            f"cryptsetup luksUUID {node}{number}; cryptsetup luksDump {node}{number}"
        )
        assert said.split()[0] == values[IdentifierKind.LUKS_UUID, f"{disk}{number}"]
    assert "checksum error" not in bench.shell(f"cryptsetup --debug luksDump {node}2 2>&1")
    devices = " ".join(f"--devices {node}{n}" for n in (3, 4, 9))
    rows = bench.shell(
        f"lvm pvs {devices} --noheadings -o pv_name,pv_uuid,vg_uuid --separator ' ' 2>&1"
    )
    group = values[IdentifierKind.LVM_VG_UUID, "/dev/twin-vg"]
    assert [row.split() for row in sorted(rows.splitlines())] == [
        [f"{node}3", values[IdentifierKind.LVM_PV_UUID, f"{disk}3"], group],
        [f"{node}4", values[IdentifierKind.LVM_PV_UUID, f"{disk}4"], group],
        [f"{node}9", values[IdentifierKind.LVM_PV_UUID, f"{disk}9"]],
    ]
    assert bench.shell(f"lvm vgck {devices} twin-vg 2>&1") == ""
    for number in (5, 6, 7, 8):
        said = bench.shell(f"mdadm --examine {node}{number} 2>&1")
        uuid = values[IdentifierKind.MD_UUID, f"{disk}{number}"]
        assert re.search(rf"UUID : {uuid}\b", said), said
        assert re.search(r"Checksum : \w+ - correct", said), said
    for number in (5, 7):
        said = bench.shell(f"mdadm --examine-bitmap {node}{number} 2>&1")
        uuid = values[IdentifierKind.MD_UUID, f"{disk}{number}"]
        assert re.search(rf"UUID : {uuid}\b", said), said


def require_content(bench: Bench, node: str) -> None:
    """Start everything anew at *node* with the tools, and read what was in it."""
    devices = f"--devices {node}3 --devices {node}4"
    said = bench.shell(
        rf"""
        set -e; exec 2>&1
        udevadm settle; mdadm --quiet --stop --scan || true  # udev has assembled what it saw
        lvm vgchange -q -q {devices} -ay twin-vg
        udevadm settle; mkdir -p /run/reading
        e2fsck -fn /dev/twin-vg/data >/dev/null 2>&1
        mount -o ro /dev/twin-vg/data /run/reading; cat /run/reading/file; umount /run/reading
        lvm vgchange -q -q {devices} -an twin-vg
        mdadm --assemble --run /dev/md21 {node}5 {node}6 >/dev/null
        mdadm --detail /dev/md21 | grep 'Working Devices'
        printf 'of the stack' >/run/key
        cryptsetup open --key-file /run/key /dev/md21 reading
        cryptsetup open --key-file /run/key {node}2 reading2; cryptsetup close reading2
        cryptsetup open --key-file /run/key {node}1 reading1; cryptsetup close reading1
        rm /run/key
        e2fsck -fn /dev/mapper/reading >/dev/null 2>&1
        mount -o ro /dev/mapper/reading /run/reading; cat /run/reading/file; umount /run/reading
        cryptsetup close reading; udevadm settle; mdadm --quiet --stop /dev/md21
        """
    )
    wanted = ["in the group", "Working Devices : 2", "on the array"]
    assert [line.strip() for line in said.splitlines() if line.strip() in wanted] == wanted, said


# LVM takes volumes that were activated under another UUID of their group for somebody else's, so
# it is dmsetup that removes them here.
@pytest.fixture
def opened(bench: Bench, copy: Path) -> Iterator[Volumes]:
    """The guest on the disk, with everything in it opened; afterwards all is closed."""
    bench.shell(START.replace("NODE", bench.node("stack")))
    yield bench.volumes("stack", keys=lambda _: [KEY])
    bench.shell(
        "umount -R /sysroot; for c in /dev/mapper/luks-*; do cryptsetup close ${c##*/}; done; "
        "dmsetup remove twin--vg-data; mdadm --quiet --stop /dev/md21 /dev/md22 /dev/md23; true"
    )


def test_the_guestfs_engine_sets_them_while_they_are_open(bench: Bench, opened: Volumes) -> None:
    disk, node = bench.devices["stack"], bench.node("stack")
    names = [fs.device for fs in opened.file_systems()]
    (inner,) = [
        fs.device
        for fs in opened.file_systems()
        if fs.type == "ext4" and fs.device.startswith("/dev/mapper/luks-")
    ]
    # A guest that is mounted: it is unmounted for it, and mounted again by the same names.
    guest = Guest(opened, Layout((Mount("/dev/twin-vg/data", "/", "ext4"),)))
    guest.layout.mount(opened, read_only=False)
    guest.create("/note", b"before")
    values = set_all(guest, disk, 100)
    assert [result.state for result in guest.reopen()()] == ["clean"]
    assert guest.read("/note") == b"before"
    opened.unmount_all()
    assert [fs.device for fs in opened.file_systems()] == names
    for device, content in (("/dev/twin-vg/data", b"in the group\n"), (inner, b"on the array\n")):
        opened.mount(device, "/", subvolume="", read_only=False)
        assert opened.read("/file", 100) == content
        opened.create("/new", b"x", mode=0o644, uid=0, gid=0)
        opened.unmount_all()
        assert opened.check(device, repair=False).state == "clean"
    # An array that was written to keeps what was set, and so it does when it stops.
    assert {(i.kind, i.device): i.value for i in opened.identifiers()} == values
    bench.shell(
        "for c in /dev/mapper/luks-*; do cryptsetup close ${c##*/}; done; "
        "dmsetup remove twin--vg-data; mdadm --quiet --stop /dev/md21 /dev/md22 /dev/md23"
    )
    require_tools_agree(bench, node, disk, values)
    require_content(bench, node)


def test_the_direct_engine_sets_them(bench: Bench, copy: Path) -> None:
    volumes = open_direct(copy)
    try:
        before = {(i.kind, i.device): i.value for i in volumes.identifiers()}
        values = set_all(volumes, "/dev/sda", 200)
    finally:
        volumes.close()
    raw = copy.read_bytes()
    gone = [v for at, v in before.items() if values[at] != v and at[0] in TEXTS]
    assert [value for value in gone if value.encode() in raw] == []
    binding, device = bench.appliance.binding, bench.devices["uploaded"]
    node = bench.node("uploaded")
    bench.appliance.call(lambda: binding.upload(str(copy), device))
    bench.shell(f"blockdev --rereadpt {node}; udevadm settle")
    bench.shell("dmsetup remove twin--vg-data 2>/dev/null; true")
    require_tools_agree(bench, node, "/dev/sda", values)
    require_content(bench, node)


@pytest.mark.parametrize("which", ["stack", "copy"])
def test_what_has_to_stay_is_refused_by_name(
    bench: Bench, opened: Volumes, copy: Path, which: str
) -> None:
    volumes = opened if which == "stack" else open_direct(copy, read_only=True)
    disk = bench.devices["stack"] if which == "stack" else "/dev/sda"
    try:
        for (kind, device), why in expected_reasons(disk).items():
            value = KINDS[IdentifierKind(kind)].format(n=1)
            with pytest.raises(EngineError, match=f"{kind} not set: {why}"):
                volumes.set_identifiers([Identifier(IdentifierKind(kind), device, value)])
    finally:
        if which == "copy":
            volumes.close()


MAKE_PAIR = """
set -e; exec 2>&1
(echo label: gpt; echo size=140MiB; echo size=140MiB) | sfdisk -q NODE
udevadm settle
mkfs.btrfs -q -f -d raid1 -m raid1 NODE1 NODE2
mkdir -p /run/making
mount NODE1 /run/making
btrfs subvolume create /run/making/@ >/dev/null
echo on both >/run/making/@/file
btrfs subvolume snapshot -r /run/making/@ /run/making/before >/dev/null
umount /run/making
"""


def test_a_btrfs_on_two_devices_has_one_uuid(bench: Bench) -> None:
    disk, node = bench.devices["pair"], bench.node("pair")
    bench.shell(MAKE_PAIR.replace("NODE", node))
    volumes = bench.volumes("pair")
    found = [i for i in volumes.identifiers() if i.kind is IdentifierKind.FILE_SYSTEM_UUID]
    assert [i.device for i in found] == [f"{disk}1", f"{disk}2"]
    assert len({i.value for i in found}) == 1
    assert [volumes.unsettable(i) for i in found] == ["", ""]
    value = KINDS[IdentifierKind.FILE_SYSTEM_UUID].format(n=7)
    volumes.set_identifiers([Identifier(i.kind, i.device, value) for i in found])
    after = [i for i in volumes.identifiers() if i.kind is IdentifierKind.FILE_SYSTEM_UUID]
    assert [i.value for i in after] == [value, value]
    for subvolume in ("@", "before"):
        volumes.mount(f"{disk}2", "/", subvolume=subvolume, read_only=True)
        assert volumes.read("/file", 100) == b"on both\n"
        volumes.unmount_all()
    assert volumes.check(f"{disk}1", repair=False).state == "clean"
    said = bench.shell(f"btrfs filesystem show {node}1 2>&1; btrfs inspect dump-super {node}2 2>&1")
    assert f"uuid: {value}" in said
    assert "METADATA_UUID" not in said


DIRTY = """
set -e; exec 2>&1
mkdir -p /run/making; mount NODE /run/making
echo written >/run/making/file; sync
mv /run/making/file /run/making/renamed
xfs_io -x -c 'shutdown -f' /run/making
umount /run/making
xfs_admin -U generate NODE; echo status=$?
"""


def test_an_xfs_whose_log_is_dirty_is_replayed_first(bench: Bench) -> None:
    """xfs_admin says nothing is wrong and changes nothing; the log holds the last rename."""
    said = bench.shell(DIRTY.replace("NODE", bench.node("xfs")))
    assert "valuable metadata changes in a log" in said
    assert "status=0" in said
    volumes, device = bench.volumes("xfs"), bench.devices["xfs"]
    value = KINDS[IdentifierKind.FILE_SYSTEM_UUID].format(n=8)
    volumes.set_identifiers([Identifier(IdentifierKind.FILE_SYSTEM_UUID, device, value)])
    assert value in bench.shell(f"xfs_db -r -c uuid {bench.node('xfs')}")
    volumes.mount(device, "/", subvolume="", read_only=True)
    assert volumes.read("/renamed", 100) == b"written\n"
    volumes.unmount_all()
    assert volumes.check(device, repair=False).state == "clean"
