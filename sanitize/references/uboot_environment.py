"""U-Boot's environment in a file: ``uboot.env``, and what ``fw_env.config`` names.

References: U-Boot doc/usage/environment.rst, env/fat.c (``CONFIG_ENV_FAT_FILE``), env/ext4.c;
tools/env/README (``fw_env.config``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.images.volumes import Kind
from unclone.sanitize.actions.rewrite_uboot_environment import rewritten
from unclone.sanitize.boot import uboot_environment
from unclone.sanitize.change import Level, Note, StepPlan
from unclone.sanitize.files import BOOT_ROOTS, TEXT_LIMIT, files_at, read_whole
from unclone.sanitize.references.reference import rewrite
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.step import PlanningContext

CONFIG = "/etc/fw_env.config"
PATTERNS = tuple(f"{root}/{folder}uboot*.env" for root in BOOT_ROOTS for folder in ("", "*/"))
#: Offset and size of each environment in a file.
_Parts = tuple[tuple[int, int], ...]


class UBootEnvironment:
    """Every environment of U-Boot that is a file."""

    info = StepInfo(
        id="u-boot-environment",
        title="U-Boot's environment",
        why="boards boot what it says, with root=UUID= in it",
        sources=(
            "https://docs.u-boot.org/en/latest/usage/environment.html",
            "u-boot/u-boot: tools/env/fw_env.config",
        ),
    )

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:
        """What a file refers to of which the checksum is wrong."""
        return tuple(self._blockers(context))

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each file that refers to something renewed."""
        guest, rewriter = context.guest, context.renewals.rewriter
        changes = []
        for path, parts in environments(guest).items():
            if found := rewriter.found(read_whole(guest, path)):
                change = rewrite(self.info, path, found, "rewrite-uboot-environment")
                details = {**change.details, "environments": [list(part) for part in parts]}
                changes.append(replace(change, details=details))
        return StepPlan(tuple(changes), tuple(self._devices(guest)))

    def _blockers(self, context: PlanningContext) -> Iterator[Blocker]:
        rewriter = context.renewals.rewriter
        for path, parts in environments(context.guest).items():
            content = read_whole(context.guest, path)
            found = rewriter.found(content)
            after = rewritten(content, parts, rewriter) if found else content
            if after is None or rewriter.found(after):
                for renewal in found:
                    yield Blocker(
                        renewal,
                        f"{printable(path)} refers to it, and its checksum is not one that U-Boot "
                        "takes",
                        "Write it again with fw_setenv in the guest, or remove it.",
                    )

    def _devices(self, guest: Guest) -> Iterator[Note]:
        """What to say of environments that are outside of all file systems."""
        for device in dict.fromkeys(
            place.path
            for place in _configured(guest)
            if place.path.startswith("/dev/") and not place.path.startswith("/dev/mtd")
        ):
            yield Note(
                self.info.id,
                Level.WARNING,
                f"U-Boot's environment on {printable(device, 80)} ({CONFIG}) is not looked at: if "
                "it names a file system by an identifier, use fw_setenv in the clone.",
            )


def environments(guest: Guest) -> Mapping[str, _Parts]:
    """Each file, and where in it environments are: the whole where nothing says more."""
    named: dict[str, _Parts] = {}
    for place in _configured(guest):
        stat = guest.stat(place.path)
        if stat and stat.kind is Kind.FILE and place.offset + place.size <= stat.size <= TEXT_LIMIT:
            path = guest.resolve(place.path)
            named[path] = (*named.get(path, ()), (place.offset, place.size))
    for path in files_at(guest, PATTERNS, TEXT_LIMIT):
        whole = len(read_whole(guest, path))
        named.setdefault(path, ((0, whole),))
    return named


def _configured(guest: Guest) -> Sequence[uboot_environment.Place]:
    return list(uboot_environment.places(guest.text_or_empty(CONFIG, TEXT_LIMIT)))


REFERENCE = UBootEnvironment()
