"""Boot a guest and hear from the running machine who it is.

The real way up: OVMF and GRUB or systemd-boot from the ESP, or SeaBIOS and GRUB from the MBR; then
the kernel and initrd that they find. Nothing is handed in from outside, so a reference that points
to nowhere stops the boot here as it would anywhere. The guest's own ``unclone-proof.service``
(tests/guests/proof.sh) then writes ``key=value`` lines to the second serial port and turns the
machine off. QEMU is started as ``unclone prove`` starts it.

Software emulation by default, because ``/dev/kvm`` can exist and not work;
``UNCLONE_TEST_ACCEL=kvm`` is for those who know theirs does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unclone.images.boot import command
from unclone.images.boot.booting import Watch, boot
from unclone.images.boot.firmware import Ovmf, find_ovmf
from unclone.images.boot.hardware import Card, Hardware

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unclone.images.boot.hardware import Firmware

PREFIX = "UNCLONE-PROOF "
_END = f"{PREFIX}end=1".encode()


class BootError(AssertionError):
    """The guest did not get as far as its proof; the message ends with the console's last lines."""


@dataclass(frozen=True)
class Said:
    """What a guest told about itself, and all that its console showed."""

    facts: Mapping[str, str]
    console: str


class _Machine(command.Machine):
    """A machine in which a guest's own proof runs."""

    def arguments(self, channels: Mapping[str, int]) -> list[str]:
        return [*super().arguments(channels), "-smbios", "type=1,family=unclone-proof"]


def boot_guest(
    image: Path,
    work: Path,
    limit: float = 900,
    *,
    seed: Path | None = None,
    uuid: str = "",
    mac: str = "",
    firmware: Firmware = "uefi",
    disks: Sequence[Path] = (),
    memory: int = 768,
    oem_strings: tuple[str, ...] = (),
) -> Said:
    """Boot *image* until it has told who it is and has turned itself off; return what it said.

    The image itself is not written to: an overlay in *work*, a folder of the caller's, is. *seed*
    is a NoCloud ISO; *uuid*, *mac* and *oem_strings* (SMBIOS type 11) are what the virtual
    machine's definition would say; *disks* are further images; *memory* is in MiB. Raises
    :class:`BootError` when *limit* seconds pass, and as soon as the boot comes to a dead end.
    """
    work.mkdir(parents=True, exist_ok=True)
    images = (image, *disks)
    hardware = Hardware(
        firmware=firmware,
        disks=("virtio",) * len(images),
        cards=(Card(mac),) if mac else (),
        uuid=uuid,
        memory=memory,
        oem_strings=oem_strings,
    )
    overlays = [_overlay(each, work / f"overlay{n}") for n, each in enumerate(images)]
    kvm = os.environ.get("UNCLONE_TEST_ACCEL") == "kvm"
    variables = _ovmf(work) if firmware == "uefi" else None
    machine = _Machine(hardware, overlays, kvm, variables, seed)
    ending = boot(
        machine,
        Watch(
            complete=lambda data: _END in data,
            begun=lambda data: PREFIX.encode() in data,
            limit=limit,
            until_off=True,
        ),
    )
    for overlay in work.glob("overlay*"):
        overlay.unlink()
    console = "\n".join(ending.console.lines(8192))
    if not ending.reported:
        tail = "\n".join(console.splitlines()[-25:])
        raise BootError(f"{work.name}: {ending.phase}: {ending.reason}\n--- console:\n{tail}")
    told = ending.report.decode("utf-8", "replace").splitlines()
    lines = [line.removeprefix(PREFIX) for line in told if line.startswith(PREFIX)]
    return Said({key: value for key, _, value in (line.partition("=") for line in lines)}, console)


def _overlay(image: Path, path: Path) -> dict[str, Any]:
    create = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, path)
    subprocess.run(create, check=True, timeout=60)
    return {"driver": "qcow2", "file": {"driver": "file", "filename": str(path)}}


def _ovmf(work: Path) -> Ovmf:
    found = find_ovmf()
    assert found is not None, "no UEFI firmware for virtual machines on this host"
    shutil.copyfile(found.variables, work / "vars.fd")
    return Ovmf(found.code, work / "vars.fd")
