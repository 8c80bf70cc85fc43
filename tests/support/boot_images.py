"""Boot programs made by the tools that make them: objcopy, sbsign, grub-mkimage, mkimage."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")


def unified_kernel(folder: Path, sections: Mapping[str, bytes], *, signed: bool = False) -> bytes:
    """systemd's stub with *sections*, signed by a key of its own if asked for."""
    output = folder / "uki.efi"
    command: list[str | Path] = ["objcopy"]
    address = 0x20_0000  # behind the stub; firmware needs memory for all up to the last section
    for number, (name, content) in enumerate(sections.items()):
        part = folder / f"section{number}"
        part.write_bytes(content)
        command += ["--add-section", f"{name}={part}"]
        command += ["--change-section-vma", f"{name}={address:#x}"]
        address += (len(content) // 0x1_0000 + 1) * 0x1_0000
    run(*command, STUB, output)
    return (sign(folder, output) if signed else output).read_bytes()


def sign(folder: Path, program: Path) -> Path:
    """*program* with an Authenticode signature."""
    key, certificate, output = folder / "key", folder / "certificate", folder / "signed.efi"
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"),
        *("-keyout", key, "-out", certificate),
    )
    run("sbsign", "--key", key, "--cert", certificate, "--output", output, program)
    return output


def grub_image(folder: Path, target: str, prefix: str, config: str, *modules: str) -> bytes:
    """What grub-install builds for *target* (``i386-pc``, ``x86_64-efi``)."""
    load, output = folder / "load.cfg", folder / "grub.img"
    load.write_text(config)
    options: list[str | Path] = ["--config", load] if config else []
    run("grub-mkimage", "-O", target, *options, "-p", prefix, "-o", output, *modules)
    return output.read_bytes()


def uboot_image(folder: Path, kind: str, content: bytes) -> bytes:
    """A legacy image of *kind* (``script``, ``ramdisk``)."""
    source, output = folder / "source", folder / "uimage"
    source.write_bytes(content)
    run(
        *("mkimage", "-A", "arm64", "-O", "linux", "-T", kind, "-C", "none", "-n", "x"),
        *("-d", source, output),
    )
    return output.read_bytes()


def packed_kernel(payload: bytes, rest: bytes = b"") -> bytes:
    """A kernel for x86 around *payload*, as Documentation/arch/x86/boot.rst describes it."""
    setup = bytearray(1024)
    setup[:2], setup[0x1F1], setup[0x202:0x206] = b"MZ", 1, b"HdrS"
    setup[0x248:0x250] = struct.pack("<II", 16, len(payload))
    return bytes(setup) + bytes(16) + payload + rest


def uboot_environment(folder: Path, text: str, size: int, *options: str) -> bytes:
    """An environment of *size* bytes with the lines of *text*; *options* are mkenvimage's."""
    source, output = folder / "variables", folder / "environment"
    source.write_text(text)
    run("mkenvimage", *options, "-s", str(size), "-p", "0", "-o", output, source)
    return output.read_bytes()


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=120)
