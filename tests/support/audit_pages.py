"""Three audits as pages for a browser, and their pictures for the documentation.

``python -m tests.support.audit_pages docs`` makes the pictures anew.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.chromium import browser
from unclone.runs.audit.exports import write_page
from unclone.runs.audit.index import Shared
from unclone.runs.audit.run import Audit, AuditedMachine, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.chromium import Browser

#: What virt-sysprep leaves in a copy, and what it takes away, by default.
LEFT = {
    "disk-guid": "/dev/sda",
    "file-system-uuid": "/dev/sda2",
    "partition-guid": "/dev/sda1",
    "swap-uuid": "/dev/sda3",
    "vfat-serial": "/dev/sda1",
}
GONE = {
    "machine-id": "/etc/machine-id",
    "random-seed": "/var/lib/systemd/random-seed",
    "ssh-host-key": "/etc/ssh/ssh_host_ed25519_key",
}


def _audit(names: Iterable[str], shared: Iterable[Shared], **more: tuple[object, ...]) -> Audit:
    machines = tuple(AuditedMachine(name, (name,)) for name in names)
    empty: dict[str, tuple[object, ...]] = {"harmless": (), "unknown": (), "failures": ()}
    return Audit(machines, tuple(shared), ignored=0, **{**empty, **more})  # type: ignore[arg-type]  # by name


def _shared(kind: str, value: str, place: str, machines: Iterable[int]) -> Shared:
    return Shared(kind, value, dict.fromkeys(machines, (place,)))


def copies() -> Audit:
    """Two plain copies, two results of virt-sysprep, two of unclone."""
    names = [f"{how}-{n}.qcow2" for how in ("copy", "sysprep", "unclone") for n in (1, 2)]
    shared = [_shared("host-name", "golden", "/etc/hostname", range(6))]
    shared += [_shared(k, f"value of {k}", place, range(4)) for k, place in LEFT.items()]
    shared += [_shared(k, f"value of {k}", place, range(2)) for k, place in GONE.items()]
    return _audit(names, shared)


def fleet() -> Audit:
    """Fifty machines, of which one definition was copied by hand; one image is in use."""
    names = [f"web-{number:02}" for number in range(1, 51)]
    pair = (11, 36)
    shared = [
        _shared("machine-uuid", "4c4c4544-0034-5110-8052-b4c04f4e3732", "domain.xml: uuid", pair),
        _shared("mac-address", "52:54:00:6b:3c:58", "domain.xml: devices/interface/mac", pair),
    ]
    error = {"message": "web-07/disk.qcow2 is in use", "hint": "", "exit_status": 3}
    entry = {"image": "web-07/disk.qcow2", "status": "in-use", "error": error}
    why = "linked clones have one"
    backing = Shared("backing-file", "golden.qcow2", dict.fromkeys(range(50), ("disk.qcow2",)), why)
    return _audit(
        names,
        shared,
        harmless=(backing,),
        failures=(Failure("web-07/disk.qcow2", entry),),
    )


def hostile() -> Audit:
    """Names that would be elements and scripts if they were taken for such."""
    names = ["</script><script>window.taken = 1</script>", "<img src=x onerror='window.taken=2'>"]
    shared = [_shared("machine-id", "&lt;<b>\u2028]]>", "/etc/<i>machine-id</i>", (0, 1))]
    return _audit(names, shared)


#: The picture: its audit, its window, and how the page is opened.
PICTURES = {
    "audit-copies.png": (copies, 1000, 560, ""),
    "audit-fleet.png": (fleet, 1000, 420, "#only=true"),
    "audit-phone.png": (copies, 390, 780, ""),
}


def take_pictures(page: Browser, work: Path, folder: Path) -> None:
    """Write :data:`PICTURES` to *folder*; the pages go to *work*."""
    for name, (make, width, height, state) in PICTURES.items():
        html = work / f"{name}.html"
        write_page(make(), html)
        page.open(f"{html.as_uri()}{state}", width, height)
        page.picture(folder / name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, browser(Path(scratch) / "profile") as opened:
        take_pictures(opened, Path(scratch), Path(sys.argv[1]))
