"""The two kinds of image: what other people's programs read in them, and that they never differ."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unclone.seeds import Format, Seed, SeedError, fat, iso
from unclone.seeds.iso_dates import set_dates
from unclone.seeds.output import DEFAULT_TIMESTAMP, timestamp

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "user-data": b"#cloud-config\n{}\n",
    "meta-data": b'instance-id: "i-1"\n',
    "network-config": b"version: 2\n",
    "vendor-data": b"",
}
NAMES = sorted(FILES)
IMAGES = {"iso": iso.iso_image, "vfat": fat.vfat_image}


def output(*command: str | Path) -> str:
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, check=True, env=environment, timeout=60)
    return done.stdout.decode()


@pytest.fixture(params=["iso", "vfat"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def image(kind: str, tmp_path: Path) -> Path:
    path = tmp_path / f"seed.{kind}"
    path.write_bytes(IMAGES[kind](FILES, 1_700_000_000))  # 2023-11-14 22:13:20 UTC
    return path


# -- what others read ------------------------------------------------------------------------


def test_blkid_reads_label_and_type(image: Path, kind: str) -> None:
    told = dict(
        line.split("=", 1) for line in output("blkid", "-p", "-o", "export", image).splitlines()
    )
    expected = {"iso": ("cidata", "iso9660"), "vfat": ("CIDATA", "vfat")}
    assert (told["LABEL"], told["TYPE"]) == expected[kind]
    assert told["UUID"]


def test_7_zip_reads_the_same_files(image: Path, tmp_path: Path) -> None:
    output("7z", "x", "-y", f"-o{tmp_path / 'out'}", image)
    found = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert found == FILES


@pytest.mark.parametrize("kind", ["iso"], indirect=True)
@pytest.mark.parametrize("names", ["-R", "-J"], ids=["Rock Ridge", "Joliet"])
def test_isoinfo_lists_the_names(image: Path, names: str) -> None:
    listed = output("isoinfo", names, "-f", "-i", image).split()
    assert sorted(name.removeprefix("/") for name in listed) == NAMES
    assert re.search(r"^Volume id: cidata$", output("isoinfo", "-d", "-i", image), re.MULTILINE)


@pytest.mark.parametrize("kind", ["iso"], indirect=True)
def test_xorriso_lists_and_extracts(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    output("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/", out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == FILES
    toc = subprocess.run(
        ["xorriso", "-indev", image, "-toc"], capture_output=True, check=True, timeout=60
    )
    assert b"'cidata'" in toc.stdout + toc.stderr


@pytest.mark.parametrize("kind", ["vfat"], indirect=True)
def test_fsck_and_mtools_are_content(image: Path) -> None:
    output("fsck.vfat", "-n", image)
    listed = output("mdir", "-b", "-i", image, "::").split()
    assert sorted(name.removeprefix("::/") for name in listed) == NAMES
    assert output("mtype", "-i", image, "::user-data").encode() == FILES["user-data"]
    assert "2023-11-14  22:13" in output("mdir", "-i", image, "::")


def test_the_end_is_aligned_for_storage_with_4_kib_sectors(image: Path) -> None:
    assert image.stat().st_size % 4096 == 0


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 65_536, 300_000, 3_000_000, 20_000_000])
def test_a_vfat_image_of_any_size_is_sound(tmp_path: Path, size: int) -> None:
    content = hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1)
    files = {**FILES, "user-data": content[:size]}
    path = tmp_path / "seed.img"
    path.write_bytes(fat.vfat_image(files, DEFAULT_TIMESTAMP))
    output("fsck.vfat", "-n", path)
    output("mcopy", "-i", path, "::user-data", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == files["user-data"]
    assert fat.read_vfat_image(path.read_bytes()) == files
    assert path.stat().st_size % 4096 == 0


def test_what_fits_no_vfat_image_is_refused() -> None:
    with pytest.raises(SeedError, match="do not fit a vfat seed") as refused:
        fat.vfat_image({"user-data": bytes(140_000_000)}, DEFAULT_TIMESTAMP)
    assert "--format iso" in refused.value.hint


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=5000), min_size=1))
@settings(max_examples=50)
def test_both_kinds_give_back_what_they_were_given(files: dict[str, bytes]) -> None:
    assert iso.read_iso_image(iso.iso_image(files, DEFAULT_TIMESTAMP)) == files
    assert fat.read_vfat_image(fat.vfat_image(files, DEFAULT_TIMESTAMP)) == files


@pytest.mark.parametrize("content", [b"", b"text\n" * 9000, bytes(70_000)])
def test_what_is_no_seed_is_not_read(content: bytes) -> None:
    with pytest.raises(SeedError, match="not an ISO image"):
        iso.read_iso_image(content)
    with pytest.raises(SeedError, match="not a FAT12 image"):
        fat.read_vfat_image(content)


def test_another_label_is_no_seed() -> None:
    image = bytearray(iso.iso_image(FILES, DEFAULT_TIMESTAMP))
    image[16 * 2048 + 40 : 16 * 2048 + 46] = b"cdrom1"
    with pytest.raises(SeedError, match="its label is not cidata"):
        iso.read_iso_image(bytes(image))


# -- the same bytes always -------------------------------------------------------------------

BUILD = """
import hashlib, sys, time
real, days = time.time, float(sys.argv[1])
time.time = lambda: real() + days * 86400
from unclone.seeds import Format, Seed
seed = Seed(b"#cloud-config\\n{}\\n", b'instance-id: "i-1"\\n', b"version: 2\\n", b"")
print(*(hashlib.sha256(seed.to_bytes(kind)).hexdigest() for kind in (Format.ISO, Format.VFAT)))
"""


def build(zone: str, days: float, **more: str) -> str:
    environment = {**os.environ, "TZ": zone, "SOURCE_DATE_EPOCH": "", **more}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(days)],
        capture_output=True,
        check=True,
        env=environment,
        timeout=60,
    )
    return done.stdout.decode()


@pytest.mark.slow
def test_time_zone_and_day_leave_no_trace() -> None:
    places = [("UTC", 0), ("Asia/Kolkata", 1), ("America/St_Johns", 400), ("Pacific/Apia", -9000)]
    assert len({build(zone, days, PYTHONHASHSEED=str(abs(days))) for zone, days in places}) == 1


@pytest.mark.slow
def test_source_date_epoch_is_the_date(tmp_path: Path) -> None:
    first, second = (build("UTC", 0, SOURCE_DATE_EPOCH=epoch) for epoch in ("1", "1700000000"))
    assert first != second
    assert first == build("Asia/Tokyo", 3, SOURCE_DATE_EPOCH="1")
    path = tmp_path / "seed.iso"
    path.write_bytes(iso.iso_image(FILES, 1_700_000_000))
    assert "UUID=2023-11-14-22-13-20-00" in output("blkid", "-p", "-o", "export", path)
    assert "Nov 14 2023" in output("isoinfo", "-l", "-R", "-i", path)


def test_threads_do_not_disturb_each_other() -> None:
    seeds = [Seed(f"#cloud-config\n# {n}\n".encode(), b"") for n in range(40)]
    alone = [seed.to_bytes(timestamp=n) for n, seed in enumerate(seeds)]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda n: seeds[n].to_bytes(timestamp=n), range(40))
        assert list(together) == alone


def test_no_date_is_left_that_was_not_set() -> None:
    """Set to two moments that share no digit, nothing but dates may differ, and all must."""
    first, second = (iso.iso_image(FILES, when) for when in (0, 2**32))
    assert len(first) == len(second)
    differing = sum(a != b for a, b in zip(first, second, strict=True))
    assert differing > 100
    again = bytearray(first)
    set_dates(again, 2**32)
    assert bytes(again) == second


@pytest.mark.parametrize("when", [-3_000_000_000, 2**36])
def test_a_year_that_no_image_can_hold_is_refused(when: int) -> None:
    with pytest.raises(SeedError, match="cannot be written to an ISO image"):
        iso.iso_image(FILES, when)


@pytest.mark.parametrize("given", ["yesterday", "-1", "1e9", "9" * 30, "٣"])
def test_a_source_date_epoch_that_is_no_time_is_refused(given: str) -> None:
    with pytest.raises(SeedError, match="SOURCE_DATE_EPOCH") as refused:
        timestamp({"SOURCE_DATE_EPOCH": given})
    assert "seconds since 1970" in refused.value.hint


@pytest.mark.parametrize(("given", "expected"), [("", DEFAULT_TIMESTAMP), ("0", 0), (" 7 ", 7)])
def test_source_date_epoch(given: str, expected: int) -> None:
    assert timestamp({"SOURCE_DATE_EPOCH": given} if given else {}) == expected


def test_a_folder_is_no_stream() -> None:
    with pytest.raises(SeedError, match="folder cannot be written to a stream"):
        Seed().to_bytes(Format.FOLDER)
