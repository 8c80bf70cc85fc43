"""UEFI firmware for virtual machines, where distributions put it.

References: the file lists of ovmf (Debian, Ubuntu), edk2-ovmf (Fedora, Arch), qemu-ovmf-x86_64
(openSUSE).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Ovmf(NamedTuple):
    """The firmware's code, and a store of variables to copy for each machine."""

    code: Path
    variables: Path


_PLACES = (
    ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("usr/share/OVMF/OVMF_CODE.fd", "usr/share/OVMF/OVMF_VARS.fd"),
    ("usr/share/edk2/ovmf/OVMF_CODE.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("usr/share/edk2/x64/OVMF_CODE.4m.fd", "usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("usr/share/qemu/ovmf-x86_64-code.bin", "usr/share/qemu/ovmf-x86_64-vars.bin"),
)

_ROOT = Path("/")


def find_ovmf(root: Path = _ROOT) -> Ovmf | None:
    """The firmware that is installed below *root*; None when there is none."""
    pairs = (Ovmf(root / code, root / variables) for code, variables in _PLACES)
    return next((pair for pair in pairs if all(file.is_file() for file in pair)), None)
