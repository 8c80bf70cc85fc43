"""Whether KVM works on this host: tested by running code in it, and cached.

``/dev/kvm`` can exist and not work: incomplete nested virtualisation makes QEMU abort, or hang in
the firmware, and libguestfs does not fall back by itself. So a minimal machine is started: a 64 KiB
ROM whose reset vector writes to QEMU's debug-exit port. When this code runs, QEMU ends in some
40 ms with an exit status that nothing else gives.

References: QEMU ``hw/misc/debugexit.c`` (status is ``(value << 1) | 1``); Intel SDM volume 3,
9.1.4 (the first instruction is fetched 16 bytes below 4 GiB, where ``-bios`` ends).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.errors import KilledError, ToolError
from unclone.images.files import scratch_folder, temporary_directory
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping

KVM = Path("/dev/kvm")

#: Seconds; a machine that works needs a fraction of one.
TIME_LIMIT = 10

_VALUE = 0x10
_STATUS = (_VALUE << 1) | 1

#: mov al, 0x10; mov dx, 0xf4; out dx, al; hlt
_CODE = bytes([0xB0, _VALUE, 0xBA, 0xF4, 0x00, 0xEE, 0xF4])
_ROM = _CODE.rjust(0x10000 - 16 + len(_CODE), b"\x90").ljust(0x10000, b"\x90")


@dataclass(frozen=True, slots=True)
class Acceleration:
    """Whether KVM works here; ``reason`` says why not."""

    kvm: bool
    reason: str = ""

    @property
    def message(self) -> str:
        """A line for the user who is going to wait."""
        if self.kvm:
            return "KVM works on this host"
        return (
            f"KVM does not work on this host ({self.reason}): "
            "using software emulation (TCG), which takes several times as long"
        )


def acceleration(*, hypervisor: str = "", cache: Path | None = None) -> Acceleration:
    """The cached result for this host, or that of a new test, which is cached.

    *hypervisor* is the QEMU program that will be used, *cache* the cache file.
    """
    hypervisor = hypervisor or default_hypervisor()
    cache = cache or cache_file()
    known = _recall(cache, _host(hypervisor))
    if known is not None:
        return known
    found = probe(hypervisor)
    remember(found, hypervisor=hypervisor, cache=cache)
    return found


def probe(hypervisor: str, *, device: Path = KVM) -> Acceleration:
    """Test whether *hypervisor* runs code with KVM, within :data:`TIME_LIMIT` seconds."""
    if not device.exists():
        return Acceleration(kvm=False, reason=f"there is no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return Acceleration(
            kvm=False, reason=f"no permission to use {device}; the group 'kvm' usually has it"
        )
    if platform.machine() != "x86_64":
        # The ROM is x86 code. A KVM that does not work is noticed when the appliance starts.
        return Acceleration(kvm=True)
    with scratch_folder("unclone-kvm-") as folder:
        rom = folder / "rom.bin"
        rom.write_bytes(_ROM)
        try:
            run(_smallest_machine(hypervisor, "kvm", rom), timeout=TIME_LIMIT, ok=(_STATUS,))
        except (ToolError, KilledError) as error:
            first_line = error.message.partition("\\n")[0]  # a newline, made printable
            return Acceleration(kvm=False, reason=first_line)
    return Acceleration(kvm=True)


def remember(found: Acceleration, *, hypervisor: str = "", cache: Path | None = None) -> None:
    """Cache *found* for the next run on this host. A failure to write is ignored."""
    cache = cache or cache_file()
    document = {"host": _host(hypervisor or default_hypervisor()), "acceleration": asdict(found)}
    with suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f"{cache.name}.", dir=cache.parent)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(document, file)
            Path(temporary).replace(cache)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def cache_file() -> Path:
    """The cache file: ``$XDG_CACHE_HOME/unclone/acceleration.json``."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    if configured.startswith("/"):  # the specification says to ignore a relative one
        return Path(configured, "unclone", "acceleration.json")
    with suppress(RuntimeError):  # no home directory
        return Path.home() / ".cache" / "unclone" / "acceleration.json"
    return Path(temporary_directory(), f"unclone-{os.geteuid()}", "acceleration.json")


def default_hypervisor() -> str:
    """The QEMU program for this processor, as libguestfs selects it."""
    return f"qemu-system-{platform.machine()}"


def _smallest_machine(hypervisor: str, accelerator: str, rom: Path) -> list[str | Path]:
    # The processor model is the one libguestfs asks for: "max" is what fails on some hosts.
    options = "-cpu max -machine pc -m 16 -nodefaults -display none -no-reboot"
    debug_exit = "isa-debug-exit,iobase=0xf4,iosize=4"
    return [
        *(hypervisor, "-accel", accelerator, *options.split()),
        *("-device", debug_exit, "-bios", rom),
    ]


def _recall(cache: Path, host: Mapping[str, Any]) -> Acceleration | None:
    """The result for *host* in *cache*; None when it is missing, outdated or unreadable."""
    try:
        document = json.loads(cache.read_bytes())
        if document["host"] != host:
            return None
        found = document["acceleration"]
        kvm, reason = found["kvm"], found["reason"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if isinstance(kvm, bool) and isinstance(reason, str):
        return Acceleration(kvm=kvm, reason=reason)
    return None


def _host(hypervisor: str) -> dict[str, Any]:
    """Everything that can change the result; a reboot may bring another kernel."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return {
        "kernel": platform.release(),
        "boot": boot,
        "user": os.geteuid(),
        "usable": os.access(KVM, os.R_OK | os.W_OK),
        "hypervisor": _version(hypervisor),
    }


def _version(hypervisor: str) -> list[Any]:
    program = shutil.which(hypervisor)
    if program is None:
        return [hypervisor]
    found = Path(program).stat()
    return [program, found.st_size, found.st_mtime_ns]
