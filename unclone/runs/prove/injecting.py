"""The reporter goes into a guest, on an overlay that is thrown away: by systemd or by an inittab.

systemd: a service, wanted by a drop-in of ``sysinit.target`` and not by a link: on a first boot
presets may remove links. It starts early, so that it also runs where the system ends in emergency
mode; the script waits for the end of the start by itself. sysvinit and busybox' init, also under
OpenRC: a ``once`` entry, which they run when the start has ended.

References: systemd.unit(5), systemd.preset(5); inittab(5); busybox init/init.c (its inittab).
"""

from __future__ import annotations

import posixpath
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable

if TYPE_CHECKING:
    from unclone.images.guest import Guest

FOLDER = "/etc/unclone-report"
SCRIPT = f"{FOLDER}/report.sh"

_UNITS = "/etc/systemd/system"
_NAME = "unclone-report.service"
_SERVICE = f"""\
[Unit]
Description=Report to unclone prove
DefaultDependencies=no
IgnoreOnIsolate=yes

[Service]
Type=simple
ExecStart=/bin/sh {SCRIPT}
"""
_DROP_IN = f"""\
[Unit]
Wants={_NAME}
"""
_INITTAB = "/etc/inittab"


def inject(guest: Guest, init: str) -> None:
    """Have *guest*, whose init system is *init*, report when it has started.

    Raises RefusedError where it is not known how.
    """
    try:
        if init == "systemd":
            files_of_units = {
                f"{_UNITS}/{_NAME}": _SERVICE,
                f"{_UNITS}/sysinit.target.d/unclone-report.conf": _DROP_IN,
            }
            for path, text in files_of_units.items():
                _create(guest, path, text.encode(), mode=0o644)
        elif init in {"sysvinit", "openrc"} and guest.is_file(_INITTAB) and _is_read(guest):
            content = guest.read(_INITTAB)
            end = b"" if content.endswith(b"\n") or not content else b"\n"
            guest.write(_INITTAB, content + end + _entry(guest, content))
        else:
            raise RefusedError(
                f"this guest's init system ({printable(init)}) cannot be made to report",
                hint="prove knows systemd, and inits that read /etc/inittab.",
            )
        _create(guest, SCRIPT, script(), mode=0o755)
    except OSError as error:
        raise RefusedError(
            f"the reporter cannot be put into the guest: {printable(str(error))}",
            hint="Its /etc has to be writable: one that dm-verity hashes is not.",
        ) from error


def script() -> bytes:
    """The script that reports."""
    return files(__package__).joinpath("reporter.sh").read_bytes()


def _is_read(guest: Guest) -> bool:
    """Whether the guest's init reads an inittab: OpenRC's own does not."""
    try:
        return posixpath.basename(guest.resolve("/sbin/init")) != "openrc-init"
    except OSError:
        return True


def _entry(guest: Guest, inittab: bytes) -> bytes:
    """With busybox an entry begins with a terminal or nothing, with sysvinit with a name."""
    busybox = inittab.startswith(b"::") or b"\n::" in inittab
    with suppress(OSError):
        busybox |= posixpath.basename(guest.resolve("/sbin/init")) == "busybox"
    return f"{'::' if busybox else 'uncl:2345:'}once:/bin/sh {SCRIPT}\n".encode()


def _create(guest: Guest, path: str, content: bytes, *, mode: int) -> None:
    above: list[str] = []
    folder = posixpath.dirname(path)
    while not guest.is_dir(folder):
        above.append(folder)
        folder = posixpath.dirname(folder)
    for missing in reversed(above):
        guest.make_directory(missing, like=folder)
    if guest.exists(path):
        guest.remove(path)
    guest.create(path, content, like=folder, mode=mode)
