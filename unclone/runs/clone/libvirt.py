"""``--register`` and ``--unregister``: libvirt is told of a machine, or that it is gone.

Through ``virsh`` and its connection (``LIBVIRT_DEFAULT_URI``). Making a machine and telling libvirt
of it are two things: a machine that could not be registered is complete.

Reference: virsh(1): define, dumpxml, domstate, undefine.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from unclone.images.errors import InUseError, RefusedError, UncloneError, UsageError
from unclone.images.process import run
from unclone.images.text import printable, shown
from unclone.runs.clone.making import Machine, Registration

if TYPE_CHECKING:
    from pathlib import Path

#: What `clone` calls the definition of libvirt in a machine's folder.
DEFINITION = "domain.xml"
#: Seconds.
_TIMEOUT = 120


def require_virsh() -> None:
    """Raise UsageError when this host has no virsh."""
    if shutil.which("virsh") is None:
        raise UsageError(
            "virsh is not installed, and --register and --unregister need it",
            hint="apt-get install libvirt-clients",
        )


def register(machine: Machine) -> Machine:
    """Define *machine*, unless libvirt knows it: what was changed there since then stays."""
    name = machine.identity.name
    try:
        if DEFINITION not in machine.files:
            raise RefusedError("it has no definition of libvirt")
        known = _domain(name)
        if known is not None and _is_in(known, machine.path):
            return replace(machine, registration=Registration("present"))
        run(["virsh", "--quiet", "define", machine.path / DEFINITION], timeout=_TIMEOUT)
    except UncloneError as error:
        failed = Registration("failed", printable(error.message, 1000))
        return replace(machine, registration=failed)
    return replace(machine, registration=Registration("registered"))


def require_idle(path: Path) -> str | None:
    """The domain of the machine in the folder *path*; None when libvirt has none.

    Raises RefusedError when the domain of that name is another machine, InUseError when it runs.
    """
    xml = _domain(path.name)
    if xml is None:
        return None
    name = printable(path.name)
    if not _is_in(xml, path.absolute()):
        raise RefusedError(
            f"the domain {name} of libvirt is not the machine in {shown(path)}",
            hint="Leave --unregister out to remove the machine's files alone.",
        )
    state = run(["virsh", "--quiet", "domstate", path.name], timeout=_TIMEOUT).stdout.decode()
    if state.strip() != "shut off":
        raise InUseError(
            f"the domain {name} is not shut off: {printable(state.strip())}",
            hint="Shut the machine down first.",
        )
    return xml


def unregister(name: str, xml: str) -> None:
    """Undefine the domain *name*, whose definition is *xml*. Raises ToolError."""
    # Its files are the machine's, and go or stay with them.
    keep = ["--keep-nvram"] if "<nvram" in xml else []
    run(["virsh", "--quiet", "undefine", *keep, name], timeout=_TIMEOUT)


def _domain(name: str) -> str | None:
    """The definition of the domain *name*; None when there is none. Raises ToolError."""
    domains = run(["virsh", "--quiet", "list", "--all", "--name"], timeout=_TIMEOUT).stdout
    if name not in domains.decode("utf-8", "replace").splitlines():
        return None
    argv = ["virsh", "--quiet", "dumpxml", "--inactive", name]
    return run(argv, timeout=_TIMEOUT).stdout.decode("utf-8", "replace")


def _is_in(xml: str, folder: Path) -> bool:
    """Whether a file of the domain is in *folder*."""
    return f"'{escape(str(folder), {chr(39): '&apos;'})}/" in xml
