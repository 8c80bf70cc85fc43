"""Encrypted disks, volume groups and subvolumes, made in the appliance: they need a kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import RefusedError
from unclone.images.guest import Guest
from unclone.images.layout import Mount
from unclone.images.layout_inspection import inspect_layout
from unclone.images.volumes import IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.bench import Bench

pytestmark = pytest.mark.appliance

KEY = b"\x00binary\n key\xff"
LUKS_UUID = "0f1e2d3c-4b5a-4697-8879-a0b1c2d3e4f5"

#: LUKS on a partition, a volume group in it, and a root with a separate /var on that.
MAKE_ENCRYPTED = f"""
set -e
echo 'label: gpt
size=80MiB' | sfdisk -q NODE
udevadm settle
printf '\\000binary\\n key\\377' >/run/key
cryptsetup luksFormat -q --uuid {LUKS_UUID} --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
    --key-file /run/key NODE1
cryptsetup open --key-file /run/key NODE1 making
udevadm settle
rm /run/key
lvm pvcreate -q -q /dev/mapper/making
lvm vgcreate -q -q my-vg /dev/mapper/making
lvm lvcreate -q -q -W n -L 28M -n root-lv my-vg
lvm lvcreate -q -q -W n -L 16M -n var my-vg
udevadm settle
mke2fs -q -t ext4 /dev/my-vg/root-lv
mke2fs -q -t ext4 /dev/my-vg/var
mkdir -p /run/making
mount /dev/my-vg/root-lv /run/making
mkdir -p /run/making/etc /run/making/usr /run/making/var
echo '/dev/mapper/my--vg-root--lv / ext4 errors=remount-ro 0 1
/dev/my-vg/var /var ext4 defaults 0 2' >/run/making/etc/fstab
echo 'sda1_crypt UUID={LUKS_UUID} none luks' >/run/making/etc/crypttab
umount /run/making
lvm vgchange -q -q -an my-vg
cryptsetup close making
"""

MAKE_SUBVOLUMES = """
set -e
mkfs.btrfs -q -f -U 5a5a5a5a-1111-4222-8333-444444444444 NODE
mkdir -p /run/making
mount NODE /run/making
btrfs subvolume create /run/making/@ >/dev/null
btrfs subvolume create /run/making/@home >/dev/null
mkdir -p /run/making/@/etc /run/making/@/usr /run/making/@/home /run/making/@home/user
echo 'UUID=5a5a5a5a-1111-4222-8333-444444444444 / btrfs subvol=@ 0 0
UUID=5a5a5a5a-1111-4222-8333-444444444444 /home btrfs subvol=/@home,compress=zstd 0 0' \
    >/run/making/@/etc/fstab
btrfs subvolume snapshot /run/making/@ /run/making/before-upgrade >/dev/null
umount /run/making
"""


@pytest.fixture
def encrypted(bench: Bench) -> str:
    """The device of the encrypted disk."""
    script = MAKE_ENCRYPTED.replace("NODE", bench.node("encrypted"))
    bench.prepared("encrypted", lambda: bench.shell(script))
    return bench.devices["encrypted"]


@pytest.fixture
def locked(bench: Bench, encrypted: str) -> Iterator[str]:
    """The same, with nothing opened before or after."""
    yield encrypted
    bench.shell(
        "umount -R /sysroot; lvm vgchange -q -q -an my-vg; "
        "for c in /dev/mapper/luks-*; do cryptsetup close ${c##*/}; done; true"
    )


class Ring:
    """Keys, and what was asked for them."""

    def __init__(self, *keys: bytes) -> None:
        self.keys = keys
        self.asked: list[str] = []

    def __call__(self, description: str) -> Iterable[bytes]:
        self.asked.append(description)
        return self.keys


def test_lvm_in_luks_is_opened_and_mounted(bench: Bench, locked: str) -> None:
    ring = Ring(b"wrong", KEY)
    volumes = bench.volumes("encrypted", keys=ring)
    assert ring.asked == [f"{locked}1 (LUKS {LUKS_UUID})"]
    layout = inspect_layout(volumes)
    assert layout.mounts_in_order == (
        Mount("/dev/my-vg/root-lv", "/", "ext4"),
        Mount("/dev/my-vg/var", "/var", "ext4"),
    )
    layout.mount(volumes, read_only=False)
    guest = Guest(volumes, layout)
    guest.create("/var/note", b"in the volume group")
    assert all(result.state == "clean" for result in guest.reopen()())
    assert guest.read("/var/note") == b"in the volume group"
    kinds = {(i.kind, i.device) for i in guest.identifiers()}
    assert kinds >= {
        (IdentifierKind.LUKS_UUID, f"{locked}1"),
        (IdentifierKind.LVM_PV_UUID, f"/dev/mapper/luks-{LUKS_UUID}"),
        (IdentifierKind.LVM_VG_UUID, "/dev/my-vg"),
        (IdentifierKind.FILE_SYSTEM_UUID, "/dev/my-vg/root-lv"),
    }
    volumes.unmount_all()


def test_the_key_stays_nowhere_in_the_appliance(bench: Bench, locked: str) -> None:
    bench.volumes("encrypted", keys=Ring(KEY))
    found = bench.shell("grep -rlaF 'binary' /run /tmp /proc/[0-9]*/cmdline 2>/dev/null; true")
    own = [name for name in found.splitlines() if not name.startswith("/proc/")]
    assert own == []


@pytest.mark.parametrize(
    ("keys", "words"),
    [((), "no key was given"), ((b"wrong", KEY + b"\n"), "none of the 2 keys opens")],
    ids=["none", "wrong"],
)
def test_without_its_key_it_is_refused(
    bench: Bench, locked: str, keys: tuple[bytes, ...], words: str
) -> None:
    with pytest.raises(RefusedError, match=words) as refused:
        bench.volumes("encrypted", keys=Ring(*keys))
    assert f"{locked}1" in refused.value.message
    assert "key" in refused.value.hint
    assert "binary" not in refused.value.message


def test_keys_are_not_asked_for_without_need(bench: Bench) -> None:
    ring = Ring(KEY)
    bench.volumes("debian", keys=ring)
    assert ring.asked == []


def test_btrfs_subvolumes_are_mounted_as_the_guest_does(bench: Bench) -> None:
    bench.shell(MAKE_SUBVOLUMES.replace("NODE", bench.node("subvolumes")))
    device = bench.devices["subvolumes"]
    volumes = bench.volumes("subvolumes")
    layout = inspect_layout(volumes)
    assert layout.mounts_in_order == (
        Mount(device, "/", "btrfs", "@"),
        Mount(device, "/home", "btrfs", "/@home"),
    )
    layout.mount(volumes, read_only=False)
    guest = Guest(volumes, layout)
    guest.create("/etc/note", b"x")
    guest.remove("/home/user")
    assert [result.state for result in guest.reopen()()] == ["clean"]
    assert (guest.exists("/etc/note"), guest.list("/home")) == (True, [])
    volumes.unmount_all()
