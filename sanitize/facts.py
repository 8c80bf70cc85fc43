"""What a guest is, as far as steps need to know: read when first asked for, then remembered.

References: os-release(5), kernel-parameters.txt (``ro``, ``rw``), systemd-fstab-generator(8).
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.text import printable
from unclone.sanitize import credentials
from unclone.sanitize.boot import efi_programs, kernel_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.guest import Guest
    from unclone.sanitize.boot.efi_programs import EfiProgram
    from unclone.sanitize.boot.kernel_arguments import CommandLine, KernelArgumentFile
    from unclone.sanitize.credentials import Credential

#: An os-release is a few hundred bytes; a hostile one may be anything.
OS_RELEASE_LIMIT = 64 * 1024

#: systemd's private library carries the version in its name, in every distribution's layout.
_SYSTEMD_LIBRARIES = (
    "/usr/lib/systemd/libsystemd-shared-*.so",
    "/usr/lib64/systemd/libsystemd-shared-*.so",
    "/usr/lib/*/systemd/libsystemd-shared-*.so",
    "/lib/systemd/libsystemd-shared-*.so",
    "/lib/*/systemd/libsystemd-shared-*.so",
)
_SYSTEMD_PROGRAMS = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
_OTHER_INITS = (
    ("openrc", ("/sbin/openrc", "/usr/bin/openrc", "/sbin/openrc-init")),
    ("runit", ("/sbin/runit-init", "/usr/bin/runit-init")),
    ("dinit", ("/sbin/dinit", "/usr/bin/dinit")),
    ("s6", ("/bin/s6-svscan", "/usr/bin/s6-svscan")),
    ("sysvinit", ("/etc/inittab",)),
)


class RootStart(NamedTuple):
    """How the root file system is first mounted. ``read_only`` is None when nothing says so."""

    read_only: bool | None
    reason: str


class Facts:
    """Lazy knowledge about one guest. Every property reads at most once."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @cached_property
    def os_release(self) -> Mapping[str, str]:
        """The assignments of os-release, unquoted; empty when there is none."""
        for path in ("/etc/os-release", "/usr/lib/os-release"):
            text = self._guest.text_or_empty(path, OS_RELEASE_LIMIT)
            if text:
                return parse_os_release(text)
        return {}

    @cached_property
    def distro_ids(self) -> frozenset[str]:
        """``ID`` and everything in ``ID_LIKE``, lower case."""
        words = f"{self.os_release.get('ID', '')} {self.os_release.get('ID_LIKE', '')}".lower()
        return frozenset(words.split())

    @cached_property
    def name(self) -> str:
        """What the guest calls itself (``PRETTY_NAME``), safe to print."""
        release = self.os_release
        named = release.get("PRETTY_NAME") or release.get("NAME") or release.get("ID") or ""
        return printable(named, 200) or "unknown system"

    @cached_property
    def init(self) -> str:
        """Which init system PID 1 is: systemd, openrc, runit, dinit, s6, sysvinit or unknown."""
        guest = self._guest
        try:
            started = guest.resolve("/sbin/init") if guest.is_file("/sbin/init") else ""
        except OSError:
            started = ""
        if started.endswith("/systemd"):
            return "systemd"
        if not started and any(guest.is_file(path) for path in _SYSTEMD_PROGRAMS):
            return "systemd"
        for name, signs in _OTHER_INITS:
            if any(guest.is_file(path) for path in signs):
                return name
        return "unknown"

    @cached_property
    def systemd_version(self) -> int | None:
        """The major version of systemd (252), or None when it is not installed."""
        found = [
            int(match.group(1))
            for pattern in _SYSTEMD_LIBRARIES
            for path in self._guest.glob(pattern)
            if (match := re.search(r"libsystemd-shared-(\d{1,4})[^/]*\.so$", path))
        ]
        return max(found, default=None)

    @cached_property
    def kernel_argument_texts(self) -> tuple[tuple[KernelArgumentFile, str], ...]:
        """Every file that holds kernel arguments, with its text."""
        found = kernel_arguments.find(self._guest)
        self._guest.prefetch(files=(file.path for file in found))
        return tuple((file, kernel_arguments.read(self._guest, file)) for file in found)

    @cached_property
    def kernel_command_lines(self) -> tuple[CommandLine, ...]:
        """Every command line a boot loader of this guest hands to a kernel."""
        return kernel_arguments.command_lines(self.kernel_argument_texts)

    @cached_property
    def credentials(self) -> tuple[Credential, ...]:
        """Every file that is a credential of systemd."""
        return tuple(credentials.find(self._guest))

    @cached_property
    def efi_programs(self) -> Mapping[str, EfiProgram]:
        """The EFI programs that may have an identifier built in, by path."""
        return efi_programs.find(self._guest)

    @cached_property
    def root_start(self) -> RootStart:
        """Whether the root starts read-only, and how that is known.

        On each line the last of ``ro`` and ``rw`` counts, and a kernel given neither mounts
        read-only. One such line is enough: any entry of the boot menu may be the one chosen.
        """
        lines = self.kernel_command_lines
        if not lines:
            return RootStart(read_only=None, reason="no kernel command line was found")
        for line in lines:
            modes = [a for a in line.arguments if a in {"ro", "rw"}]
            if not modes:
                return RootStart(
                    read_only=True, reason=f"{printable(line.path)} says neither ro nor rw"
                )
            if modes[-1] == "ro":
                return RootStart(read_only=True, reason=f"{printable(line.path)} has ro")
        return RootStart(
            read_only=False, reason=f"the root starts writable (rw in {printable(lines[0].path)})"
        )


def parse_os_release(text: str) -> Mapping[str, str]:
    """The assignments in *text*: shell syntax, but never given to a shell."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)", line)
        if match:
            found[match.group(1)] = _unquoted(match.group(2).strip())
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r'\\([\\"$`])', r"\1", value[1:-1])
    return value
