"""Unified kernel images on systemd's real stub: read, patched, signed ones refused."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest

from tests.support.pe import program
from unclone.images.errors import RefusedError
from unclone.sanitize.boot import pe

STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
OLD, NEW = b"root=UUID=1111", b"root=UUID=2222"


def add_sections(path: Path, sections: dict[str, bytes]) -> Path:
    """A unified kernel image as objcopy makes it."""
    command: list[str | Path] = ["objcopy"]
    for number, (name, content) in enumerate(sections.items()):
        part = path.with_name(f"part{number}")
        part.write_bytes(content)
        address = 0x1000_0000 + number * 0x100_0000
        command += ["--add-section", f"{name}={part}"]
        command += ["--change-section-vma", f"{name}={address:#x}"]
    subprocess.run([*command, STUB, path], check=True, timeout=60)
    return path


def section(path: Path, name: str) -> bytes:
    """What objcopy says is in a section."""
    output = path.with_name("dumped")
    subprocess.run(
        ["objcopy", "-O", "binary", f"--only-section={name}", path, output],
        check=True,
        timeout=60,
    )
    return output.read_bytes()


@pytest.fixture
def uki(tmp_path: Path) -> Path:
    return add_sections(
        tmp_path / "linux.efi",
        {".cmdline": OLD + b" ro\0", ".linux": b"kernel " + OLD, ".initrd": b"initrd"},
    )


def test_sections_are_those_objcopy_sees(uki: Path) -> None:
    data = uki.read_bytes()
    assert [bytes(part) for part in pe.contents(data, ".cmdline")] == [OLD + b" ro\0"]
    assert [bytes(part) for part in pe.contents(data, ".initrd")] == [b"initrd"]
    assert list(pe.contents(data, ".absent")) == []
    assert list(pe.contents(b"not a program", ".cmdline")) == []


def test_an_unsigned_image_is_patched_in_place(uki: Path) -> None:
    data = uki.read_bytes()
    patched = pe.patched(data, ".cmdline", lambda text: text.replace(OLD, NEW))
    changed = [n for n, (a, b) in enumerate(zip(data, patched, strict=True)) if a != b]
    checksum_at = layout(data).checksum_at
    assert [n for n in changed if not checksum_at <= n < checksum_at + 4] == changed[-4:]
    uki.write_bytes(patched)
    assert section(uki, ".cmdline").startswith(NEW + b" ro")
    assert section(uki, ".linux").startswith(b"kernel " + OLD)


def layout(data: bytes) -> pe.Image:
    image = pe.parse(data[: pe.HEADER_LIMIT])
    assert image is not None
    return image


def checksum_in(data: bytes) -> int:
    (value,) = struct.unpack_from("<I", data, layout(data).checksum_at)
    return int(value)


def test_the_checksum_is_the_one_binutils_computes(uki: Path) -> None:
    data = uki.read_bytes()
    assert checksum_in(data) != 0
    assert pe.checksum(data, layout(data).checksum_at) == checksum_in(data)
    patched = pe.patched(data, ".cmdline", lambda text: text.replace(OLD, NEW))
    assert checksum_in(patched) != checksum_in(data)
    assert checksum_in(patched) == pe.checksum(patched, layout(patched).checksum_at)


def test_a_file_without_a_checksum_gets_none(uki: Path) -> None:
    data = bytearray(uki.read_bytes())
    struct.pack_into("<I", data, layout(bytes(data)).checksum_at, 0)
    assert checksum_in(pe.patched(bytes(data), ".cmdline", lambda t: t.replace(OLD, NEW))) == 0


def test_every_profile_of_an_image_is_patched(uki: Path, tmp_path: Path) -> None:
    data = uki.read_bytes().replace(b".initrd\0", b".cmdline")  # a second section of that name
    assert [bytes(part) for part in pe.contents(data, ".cmdline")] == [OLD + b" ro\0", b"initrd"]
    assert layout(data).sections[".cmdline"].size == len(OLD) + 4
    patched = pe.patched(data, ".cmdline", bytes.upper)
    assert [bytes(part) for part in pe.contents(patched, ".cmdline")] == [
        OLD.upper() + b" RO\0", b"INITRD",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_signed_image_is_refused(uki: Path, tmp_path: Path) -> None:
    key, certificate, signed = tmp_path / "key", tmp_path / "certificate", tmp_path / "signed.efi"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    subprocess.run(
        ["sbsign", "--key", key, "--cert", certificate, "--output", signed, uki],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert not layout(uki.read_bytes()).signed
    data = signed.read_bytes()
    assert layout(data).signed
    assert [bytes(part) for part in pe.contents(data, ".cmdline")] == [OLD + b" ro\0"]
    with pytest.raises(RefusedError, match="signed"):
        pe.patched(data, ".cmdline", lambda text: text.replace(OLD, NEW))


def test_a_measured_image_is_known(tmp_path: Path, uki: Path) -> None:
    assert not layout(uki.read_bytes()).has_pcr_signature
    measured = add_sections(tmp_path / "measured.efi", {".pcrsig": b"{}"})
    assert layout(measured.read_bytes()).has_pcr_signature


def test_another_length_is_refused(uki: Path) -> None:
    with pytest.raises(RefusedError, match=r"section \.cmdline .* length"):
        pe.patched(uki.read_bytes(), ".cmdline", lambda text: text + b"longer")


def test_anything_but_a_program_is_refused() -> None:
    with pytest.raises(RefusedError, match="not a PE file"):
        pe.patched(b"#!/bin/sh\n", ".cmdline", bytes.upper)


def test_sections_that_overlap_are_refused() -> None:
    """A small file may name the same bytes a thousand times: its initrds would fill any memory."""
    parts = (".initrd", bytes(4096)), (".initrd", bytes(4096))
    assert [len(part) for part in pe.contents(program(*parts), ".initrd")] == [4096, 4096]
    with pytest.raises(RefusedError, match="EFI program /boot/a overlap"):
        list(pe.contents(program(*parts, overlapping=True), ".initrd", "/boot/a"))


def test_flipped_bits_in_the_headers_never_do_more_than_refuse(uki: Path) -> None:
    pristine = uki.read_bytes()[:40_000]
    chosen = random.Random(6)
    for _ in range(500):
        damaged = bytearray(pristine)
        for _ in range(chosen.choice([1, 5])):
            damaged[chosen.randrange(1024)] ^= 1 << chosen.randrange(8)
        list(pe.contents(bytes(damaged), ".cmdline"))
        try:
            assert len(pe.patched(bytes(damaged), ".cmdline", bytes.swapcase)) == len(damaged)
        except RefusedError:
            continue
