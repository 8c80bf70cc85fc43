r"""Texts that no other kind looks for: scripts that a boot runs, and all else beside boot loaders.

Scripts of packages name no device; an administrator's do. Programs are too large to be one.

References: systemd.service(5) (``ExecStart=``), systemd.exec(5) (``EnvironmentFile=``);
auto.master(5); rc.local of sysvinit and of systemd-rc-local-generator(8); openrc-run(8)
(``/etc/conf.d``, ``/etc/local.d``); runsv(8); crontab(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.volumes import Kind
from unclone.sanitize.boot.compression import detect
from unclone.sanitize.change import StepPlan
from unclone.sanitize.files import BOOT_ROOTS, files_at, on_every_esp
from unclone.sanitize.references import boot_files, boot_settings, storage_files
from unclone.sanitize.references.reference import rewrite
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.renewal import Blocker
    from unclone.sanitize.step import PlanningContext

#: Bytes of a script.
_LIMIT = 1024 * 1024

#: Where units, and automounters' maps, of the machine's own name further files.
_NAMING = (
    "/etc/systemd/system/*.*",
    "/etc/systemd/system/*.d/*.conf",
    "/usr/local/lib/systemd/system/*.*",
    "/usr/local/lib/systemd/system/*.d/*.conf",
    "/etc/auto.master",
    "/etc/auto.master.d/*",
    "/etc/autofs/auto.master",
)
#: What has files in the same directories that are a kind of their own.
_SETTINGS = (*boot_settings.REFERENCES, *boot_files.REFERENCES, *storage_files.REFERENCES)
_LINE = re.compile(r"[ \t]*(?:(?:Exec[A-Z]\w*|EnvironmentFile)[ \t]*=|/\S*[ \t])(.*)")
_FILE = re.compile(r"(?:^|(?<=[\s=@:+!|'\"-]))/[^\s'\";|&()<>]+")
#: Where packages put programs, which are no texts; and where no file is.
_PROGRAMS = re.compile(r"/(usr/)?(s?bin|lib\w*|share)/")
_NO_FILE = re.compile(r"/(dev|proc|sys|run)/")


@dataclass(frozen=True, slots=True)
class Scripts:
    """The files at ``paths``, and those that the units and automounters' maps ``naming`` name.

    With ``only_texts``, files with a null byte in them and archives are left to other kinds.
    """

    info: StepInfo
    paths: tuple[str, ...]
    naming: tuple[str, ...] = ()
    only_texts: bool = False

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:  # noqa: ARG002
        """None: what is larger than a script is a program."""
        return ()

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each file that holds an identifier of this run."""
        guest, rewriter = context.guest, context.renewals.rewriter
        if not rewriter.needles:
            return StepPlan()
        found = {
            path: renewals
            for path in self._files(guest, rewriter.needles)
            if (content := guest.read(path, _LIMIT))
            and not (self.only_texts and _is_no_text(content))
            and (renewals := rewriter.found(content))
        }
        if found:
            for path in files_at(guest, self._others(guest), _LIMIT):
                found.pop(path, None)
        return StepPlan(tuple(rewrite(self.info, path, what) for path, what in found.items()))

    def _others(self, guest: Guest) -> Iterator[str]:
        """What other kinds know in the same directories."""
        folders = tuple(path.removesuffix("*") for path in self.paths if path.endswith("/*"))
        for reference in _SETTINGS:
            yield from (path for path in reference.places(guest) if path.startswith(folders))

    def _files(self, guest: Guest, needles: Sequence[bytes]) -> Iterator[str]:
        """What may hold one of *needles*. Directories are searched whole, which is one call."""
        paths = on_every_esp(guest, self.paths)
        single = [path for path in paths if not path.endswith("/*")]
        whole = [path.removesuffix("/*") for path in paths if path.endswith("/*")]
        folders = [folder for pattern in whole for folder in guest.glob(pattern)]
        found = dict.fromkeys(files_at(guest, single, _LIMIT))
        for path in (
            *guest.search(folders, needles, limit=_LIMIT),
            *(link for folder in folders for link in _links_in(guest, folder)),
            *_named(guest, self.naming),
        ):
            stat = guest.stat(path) if guest.kind(path) is Kind.FILE else None
            if stat and stat.size <= _LIMIT:
                found[guest.resolve(path)] = None
        yield from found


def _links_in(guest: Guest, folder: str) -> Iterator[str]:
    for name, kind in guest.kinds(folder).items():
        if kind is Kind.SYMLINK:
            yield f"{folder}/{name}"


def _is_no_text(content: bytes) -> bool:
    return b"\0" in content or detect(content) is not None


def _is_script(guest: Guest, path: str) -> bool:
    return guest.is_file(path) and guest.read(path, 2) == b"#!"


def _named(guest: Guest, naming: Sequence[str]) -> Iterator[str]:
    for path in files_at(guest, naming, _LIMIT):
        for line in guest.text_or_empty(path, _LIMIT).splitlines():
            match = _LINE.match(line)
            for name in _FILE.findall(match[1]) if match else ():
                if _NO_FILE.match(name) or set("%$") & set(name):
                    continue
                if not _PROGRAMS.match(name) or _is_script(guest, name):
                    yield name


REFERENCES = (
    # What a boot runs: an administrator's scripts, and the variables that services run with.
    Scripts(
        info=StepInfo(
            id="boot-scripts",
            title="scripts and variables that a boot runs with",
            why="they mount, check or back up what they name, and would not find it",
            sources=("systemd.service(5)", "systemd.exec(5)", "auto.master(5)", "openrc-run(8)"),
        ),
        paths=(
            "/etc/rc.local",
            "/etc/rc.conf",
            "/etc/rc.d/*",
            "/etc/init.d/*",
            "/etc/init/*.conf",
            "/etc/inittab",
            "/etc/conf.d/*",
            "/etc/local.d/*",
            "/etc/dinit.d/*",
            "/etc/s6*/*",
            "/etc/66/*",
            "/etc/runit/*",
            "/etc/sv/*/run",
            "/etc/sv/*/conf",
            "/etc/default/*",
            "/etc/sysconfig/*",
            "/etc/crontab",
            "/etc/cron.*/*",
            "/etc/crontabs/*",
            "/var/spool/cron/*",
            "/var/spool/cron/crontabs/*",
            "/etc/network/if-*.d/*",
            "/etc/NetworkManager/dispatcher.d/*",
            "/usr/lib/environment.d/*",
            "/usr/lib/modprobe.d/*",
            "/usr/lib/sysctl.d/*",
            "/usr/lib/tmpfiles.d/*",
            # What initrds and boot menus are made with; packages bring it, people change it.
            "/usr/lib/dracut/*",
            "/usr/lib/initcpio/*",
            "/usr/share/grub/*",
            "/usr/share/initramfs-tools/*",
            "/usr/share/mkinitfs/*",
            "/usr/local/bin/*",
            "/usr/local/sbin/*",
            "/usr/local/libexec/*",
        ),
        naming=_NAMING,
    ),
    # Boot loaders of which there is no row, further configuration of those that have one, copies.
    Scripts(
        info=StepInfo(
            id="boot-texts",
            title="further texts beside boot loaders",
            why="a loader, or a person who boots by hand, finds file systems by them",
            sources=("https://uapi-group.org/specifications/specs/boot_loader_specification/",),
        ),
        paths=tuple(f"{root}/*" for root in BOOT_ROOTS),
        only_texts=True,
    ),
)
