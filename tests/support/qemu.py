"""Boot a guest with QEMU and hear from the running machine who it is.

The real way up: OVMF and GRUB from the ESP, or SeaBIOS and GRUB from the MBR; then the kernel and
initrd GRUB finds. Nothing is handed in
from outside, so a reference that points to nowhere stops the boot here as it would anywhere.
The guest's own ``unclone-proof.service`` (tests/guests/proof.sh) then writes ``key=value`` lines to
the second serial port and turns the machine off.

Software emulation by default, because ``/dev/kvm`` can exist and not work;
``UNCLONE_TEST_ACCEL=kvm`` is for those who know theirs does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Code and variable store, by the names Debian, Ubuntu and Fedora give them.
FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
)

PREFIX = "UNCLONE-PROOF "

#: What a console shows when nothing more will come. Waiting for the time limit tells no more.
DEAD_ENDS = (
    "grub rescue>",
    "grub> ",
    "Kernel panic",
    "(initramfs)",
    "You are in emergency mode",
    "Give root password for maintenance",
    "UEFI Interactive Shell",
    "System cannot boot",
)


class BootError(AssertionError):
    """The guest did not get as far as its proof; the message ends with the console's last lines."""


class Machine:
    """A running guest. Leaving the ``with`` block stops it, whatever has happened.

    The image itself is not written to: QEMU keeps changes in a temporary overlay. *work* is a
    folder of the caller's for the firmware variables and the two serial logs; *seed* a NoCloud
    ISO; *uuid* and *mac* are what the virtual machine's definition would say; *firmware* is "uefi"
    or "bios"; *disks* are further images; with *small* there is less to emulate.
    """

    def __init__(
        self,
        image: Path,
        work: Path,
        *,
        seed: Path | None = None,
        uuid: str | None = None,
        mac: str | None = None,
        firmware: str = "uefi",
        disks: Sequence[Path] = (),
        small: bool = False,
    ) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.name = work.name
        self.console, self.proof = work / "console.log", work / "proof.log"
        self.started = time.monotonic()
        self._qemu = subprocess.Popen(
            _command(
                (image, *disks), work, self.console, self.proof, seed, uuid, mac, firmware, small
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(work / "qemu.log").open("wb"),
        )
        self._said = work / "qemu.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._qemu.kill()
        self._qemu.wait()

    def facts(self, timeout: float = 900) -> dict[str, str]:
        """Wait until the guest has told who it is and has turned itself off; return what it told.

        Raises :class:`BootError` when *timeout* seconds pass since the start, when QEMU ends
        before, and as soon as the console shows one of ``DEAD_ENDS``.
        """
        while self._qemu.poll() is None:
            if time.monotonic() - self.started > timeout:
                raise BootError(f"{self.name}: no proof after {timeout:.0f} s{self._last_words()}")
            shown = _text(self.console)
            for dead_end in DEAD_ENDS:
                if dead_end in shown:
                    raise BootError(
                        f"{self.name}: the boot stopped at {dead_end!r}{self._last_words()}"
                    )
            time.sleep(1)
        told = _text(self.proof).splitlines()
        lines = [line.removeprefix(PREFIX) for line in told if line.startswith(PREFIX)]
        if "end=1" not in lines:
            raise BootError(f"{self.name} went off without its proof{self._last_words()}")
        return {key: value for key, _, value in (line.partition("=") for line in lines)}

    def _last_words(self) -> str:
        tail = "\n".join(_text(self.console).splitlines()[-25:])
        return f"\n--- QEMU: {_text(self._said)}\n--- console:\n{tail}"


def seed_iso(path: Path, *, instance_id: str, hostname: str) -> Path:
    """Make a minimal NoCloud seed with the distribution's own tool; return *path*."""
    user_data, meta_data = path.with_suffix(".user-data"), path.with_suffix(".meta-data")
    user_data.write_text("#cloud-config\n")
    meta_data.write_text(f'instance-id: "{instance_id}"\nlocal-hostname: "{hostname}"\n')
    subprocess.run(
        ["cloud-localds", path, user_data, meta_data], check=True, capture_output=True, timeout=60
    )
    return path


def _command(
    images: Sequence[Path],
    work: Path,
    console: Path,
    proof: Path,
    seed: Path | None,
    uuid: str | None,
    mac: str | None,
    firmware: str,
    small: bool,
) -> Sequence[str | Path]:
    accel = os.environ.get("UNCLONE_TEST_ACCEL", "tcg")
    nic = f"user,model=virtio-net-pci,restrict=on,mac={mac}" if mac else "none"
    return [
        # One processor: with two, an emulated boot takes an eighth more of the host's time.
        # The guest goes when the test run goes, even when that is killed.
        *("setpriv", "--pdeathsig", "KILL", "--", "qemu-system-x86_64"),
        *("-machine", "q35", *_accelerator(accel), "-smp", "1", *_size(small)),
        *("-display", "none", "-monitor", "none", "-no-reboot", "-nic", nic),
        *(_ovmf(work) if firmware == "uefi" else ()),
        *(
            word
            for image in images
            for word in ("-drive", f"if=virtio,format=qcow2,snapshot=on,file={image}")
        ),
        *(("-drive", f"if=virtio,format=raw,readonly=on,file={seed}") if seed else ()),
        *(("-uuid", uuid) if uuid else ()),
        *("-smbios", "type=1,family=unclone-proof"),
        *("-serial", f"file:{console}", "-serial", f"file:{proof}"),
    ]


def _accelerator(accel: str) -> Sequence[str]:
    """With software emulation the guest's clock counts its instructions, 2 ns each.

    On a loaded host the guest is then slow without noticing it: no generator, job or watchdog of
    systemd reaches its time limit. It costs a quarter more of the host's time.
    """
    if accel != "tcg":
        return ("-accel", accel)
    return ("-accel", "tcg,thread=single", "-icount", "shift=1")


def _size(small: bool) -> Sequence[str]:
    return ("-cpu", "Nehalem", "-m", "512") if small else ("-cpu", "max", "-m", "768")


def _ovmf(work: Path) -> Sequence[str]:
    code, variables = next((pair for pair in FIRMWARE if Path(pair[0]).exists()), FIRMWARE[0])
    shutil.copyfile(variables, work / "vars.fd")
    return (
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={work / 'vars.fd'}"),
    )


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
