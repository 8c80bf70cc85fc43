r"""Scripts and variables that a boot runs, or runs with: they mount and check what they name.

Those of packages name no device; an administrator's do. Programs are too large to be one.

References: systemd.service(5) (``ExecStart=``), systemd.exec(5) (``EnvironmentFile=``);
auto.master(5); rc.local of sysvinit and of systemd-rc-local-generator(8); openrc-run(8)
(``/etc/conf.d``, ``/etc/local.d``); runsv(8); crontab(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.volumes import Kind
from unclone.sanitize.change import StepPlan
from unclone.sanitize.files import files_at
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
#: Files in the same directories that have a kind of their own.
_SETTINGS = tuple(
    path
    for reference in (*boot_settings.REFERENCES, *boot_files.REFERENCES, *storage_files.REFERENCES)
    for path in reference.paths
    if path.startswith(("/etc/default/", "/etc/sysconfig/"))
)
_LINE = re.compile(r"[ \t]*(?:(?:Exec[A-Z]\w*|EnvironmentFile)[ \t]*=|/\S*[ \t])(.*)")
_FILE = re.compile(r"(?:^|(?<=[\s=@:+!|'\"-]))/[^\s'\";|&()<>]+")
#: Where nothing is but what packages bring, and no file at all.
_NOT_OURS = re.compile(r"/(usr/)?(s?bin|lib\w*|share)/|/(dev|proc|sys|run)/")


@dataclass(frozen=True, slots=True)
class Scripts:
    """The files at ``paths``, and those that units and automounters' maps name."""

    info: StepInfo
    paths: tuple[str, ...]

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:  # noqa: ARG002
        """None: what is larger than a script is a program."""
        return ()

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each file that holds an identifier of this run."""
        guest, rewriter = context.guest, context.renewals.rewriter
        if not rewriter.needles:
            return StepPlan()
        others = set(files_at(guest, _SETTINGS, _LIMIT))
        found = (
            (path, rewriter.found(guest.read(path, _LIMIT)))
            for path in self._files(guest, rewriter.needles)
            if path not in others
        )
        return StepPlan(tuple(rewrite(self.info, path, what) for path, what in found if what))

    def _files(self, guest: Guest, needles: Sequence[bytes]) -> Iterator[str]:
        """What may hold one of *needles*. Directories are searched whole, which is one call."""
        single = [path for path in self.paths if not path.endswith("/*")]
        whole = [path.removesuffix("/*") for path in self.paths if path.endswith("/*")]
        folders = [folder for pattern in whole for folder in guest.glob(pattern)]
        found = dict.fromkeys(files_at(guest, single, _LIMIT))
        for path in (
            *guest.search(folders, needles, limit=_LIMIT),
            *(link for folder in folders for link in _links_in(guest, folder)),
            *_named(guest),
        ):
            stat = guest.stat(path) if guest.kind(path) is Kind.FILE else None
            if stat and stat.size <= _LIMIT:
                found[guest.resolve(path)] = None
        yield from found


def _links_in(guest: Guest, folder: str) -> Iterator[str]:
    for name, kind in guest.kinds(folder).items():
        if kind is Kind.SYMLINK:
            yield f"{folder}/{name}"


def _named(guest: Guest) -> Iterator[str]:
    for path in files_at(guest, _NAMING, _LIMIT):
        for line in guest.text_or_empty(path, _LIMIT).splitlines():
            match = _LINE.match(line)
            for name in _FILE.findall(match[1]) if match else ():
                if not _NOT_OURS.match(name) and not set("%$") & set(name):
                    yield name


REFERENCE = Scripts(
    info=StepInfo(
        id="boot-scripts",
        title="scripts and variables that a boot runs with",
        why="they mount, check or back up what they name, and would find it no more",
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
        "/etc/runit/*",
        "/etc/sv/*/run",
        "/etc/default/*",
        "/etc/sysconfig/*",
        "/etc/crontab",
        "/etc/cron.*/*",
        "/etc/crontabs/*",
        "/var/spool/cron/*",
        "/var/spool/cron/crontabs/*",
        "/etc/network/if-*.d/*",
        "/etc/NetworkManager/dispatcher.d/*",
        "/usr/local/bin/*",
        "/usr/local/sbin/*",
        "/usr/local/libexec/*",
    ),
)
