"""File system checks: sound, dirty and damaged file systems are told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import RefusedError
from unclone.images.layout_inspection import inspect_layout

if TYPE_CHECKING:
    from tests.support.bench import Bench

pytestmark = pytest.mark.appliance


@pytest.mark.parametrize("repair", [False, True], ids=["look", "repair"])
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "vfat"])
def test_a_sound_file_system_is_clean(bench: Bench, kind: str, repair: bool) -> None:
    result = bench.volumes(kind).check(bench.devices[kind], repair=repair)
    assert (result.device, result.state) == (bench.devices[kind], "clean"), result.output
    assert result.output


def test_what_has_no_checker_is_said_to_have_none(bench: Bench) -> None:
    result = bench.volumes("identifiers").check(f"{bench.devices['identifiers']}4", repair=False)
    assert (result.state, result.output) == ("not-checked", "no checker")


def test_without_its_checker_a_file_system_is_not_checked(bench: Bench) -> None:
    checker = bench.shell("command -v fsck.vfat").strip()
    volumes, device = bench.volumes("vfat"), bench.devices["vfat"]
    bench.shell(f"mv {checker} {checker}.away")
    try:
        result = volumes.check(device, repair=False)
    finally:
        bench.shell(f"mv {checker}.away {checker}")
    assert (result.type, result.state) == ("vfat", "not-checked")
    assert "fsck.vfat: " in result.output
    assert volumes.check(device, repair=False).state == "clean"


@pytest.mark.parametrize("repair", [False, True], ids=["look", "repair"])
def test_a_damaged_ext4_is_not_clean(bench: Bench, repair: bool) -> None:
    result = bench.volumes("corrupt").check(f"{bench.devices['corrupt']}1", repair=repair)
    assert result.state == "damaged"
    assert "descriptor" in result.output


def test_a_damaged_root_is_refused_with_the_checkers_words(bench: Bench) -> None:
    volumes = bench.volumes("corrupt")
    with pytest.raises(RefusedError, match=r"cannot be mounted: is damaged: .*descriptor"):
        inspect_layout(volumes)


def test_a_dirty_journal_is_replayed(bench: Bench) -> None:
    """The copy of a mounted file system, as after a power failure."""
    node = bench.node("dirty")
    bench.shell(
        "mkdir -p /run/live; truncate -s 24M /run/live.img; mke2fs -q -t ext4 /run/live.img; "
        "mount -o loop,commit=600 /run/live.img /run/live; "
        "echo from the journal >/run/live/file; sync; mkdir /run/live/dir; sync /run/live/dir; "
        f"dd if=/run/live.img of={node} bs=1M status=none; umount /run/live; rm /run/live.img"
    )
    assert "needs_recovery" in bench.shell(f"dumpe2fs -h {node} 2>/dev/null")
    device = bench.devices["dirty"]
    volumes = bench.volumes("dirty")
    assert volumes.check(device, repair=True).state == "clean"
    assert "needs_recovery" not in bench.shell(f"dumpe2fs -h {node} 2>/dev/null")
    volumes.mount(device, "/", subvolume="", read_only=True)
    assert volumes.read("/file", 100) == b"from the journal\n"


def test_a_vfat_that_was_not_unmounted_is_put_right(bench: Bench) -> None:
    node, device = bench.node("vfat"), bench.devices["vfat"]
    bench.shell(f"printf '\\001' | dd of={node} bs=1 seek=65 conv=notrunc status=none")
    volumes = bench.volumes("vfat")
    assert "Dirty bit" in volumes.check(device, repair=False).output
    assert volumes.check(device, repair=True).state == "clean"
    assert "Dirty bit" not in volumes.check(device, repair=False).output
    assert volumes.check(device, repair=False).state == "clean"
