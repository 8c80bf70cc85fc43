"""Initrds: what was copied into them when they were made still has the old identifiers.

They are corrected by a small archive appended to them (``overriding``); what is
there already stays as it is.

References: initramfs-tools(7) (``conf/conf.d``, ``cryptroot/crypttab``); dracut.cmdline(7)
(``etc/cmdline.d``) and dracut.modules(7) (``initqueue/finished``); mkinitcpio(8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.images.volumes import IdentifierKind
from unclone.sanitize import initrds
from unclone.sanitize.boot.overriding import Action, caveat, correct
from unclone.sanitize.change import Level, Note, StepPlan
from unclone.sanitize.references.reference import rewrite
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from unclone.sanitize.boot.initrd import Survey
    from unclone.sanitize.renewal import Renewal, Renewals, Rewriter
    from unclone.sanitize.step import PlanningContext

#: What the tools that make initrds copy into them.
_COPIED = {
    IdentifierKind.FILE_SYSTEM_UUID,
    IdentifierKind.SWAP_UUID,
    IdentifierKind.LUKS_UUID,
    IdentifierKind.LVM_PV_UUID,
    IdentifierKind.LVM_VG_UUID,
    IdentifierKind.MD_UUID,
    IdentifierKind.MBR_DISK_ID,
    IdentifierKind.PARTITION_GUID,
}
_LIFT = "Make the initrd anew in the guest, then run again."


class Initrd:
    """Every initrd of the guest."""

    info = StepInfo(
        id="initrd",
        title="initrds",
        why="the initrd looks for containers, arrays and the disk to resume from by these",
        sources=(
            "initramfs-tools(7)",
            "dracut.cmdline(7)",
            "https://docs.kernel.org/driver-api/early-userspace/buffer-format.html",
        ),
    )

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:
        """What is in an initrd that cannot be read to its end, or in a part that stays."""
        return tuple(self._blockers(context))

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each initrd that refers to something renewed."""
        rewriter = context.renewals.rewriter
        changes, notes = [], []
        for path, found in context.initrds.items():
            renewals = referred(found, rewriter)
            if not renewals or found.unreadable:
                continue
            changes.append(rewrite(self.info, path, renewals, "correct-initrd"))
            if caveat(found):
                text = f"{printable(path)}: {caveat(found)}"
                notes.append(Note(self.info.id, Level.WARNING, text))
        return StepPlan(tuple(changes), tuple(notes))

    def _blockers(self, context: PlanningContext) -> Iterator[Blocker]:
        for path, found in context.initrds.items():
            content = context.guest.read(path, initrds.SIZE_LIMIT) if found.hits else b""
            yield from blocking(path, content, found, context.renewals)


def blocking(path: str, content: bytes, found: Survey, candidates: Renewals) -> Iterator[Blocker]:
    """Which of *candidates* the initrd *content* at *path* keeps: it cannot be corrected there."""
    if found.unreadable:
        yield from unread(f"the initrd {printable(path)}", found, candidates.renewed)
    elif found.hits:
        for change in correct(content, found, candidates.rewriter.rewritten).changes:
            if change.action is Action.LEFT:
                why = f"{printable(change.path)} in {printable(path)} stays: {change.reason}"
                known = _texts_of(found, change.path, candidates.rewriter)
                for renewal in known or candidates.renewed:
                    yield Blocker(renewal, why, _LIFT)


def referred(
    found: Survey, rewriter: Rewriter, candidates: Iterable[Renewal] = ()
) -> Collection[Renewal]:
    """What the members of an initrd refer to; all *candidates* where one was only searched.

    Such are large members, and a boot config.
    """
    paths = dict.fromkeys(hit.path for hit in found.hits if not hit.harmless)
    renewals = [renewal for path in paths for renewal in _texts_of(found, path, rewriter)]
    for path in paths.keys() - found.contents.keys():
        member = found.members.get(path)
        renewals += candidates if member is None or member.header.size else ()
    return dict.fromkeys(renewals)


def unread(what: str, found: Survey, candidates: Iterable[Renewal]) -> Iterator[Blocker]:
    """What the initrd called *what* may refer to when it could not be read to its end."""
    for renewal in candidates if found.unreadable else ():
        if renewal.kind in _COPIED:
            yield Blocker(renewal, f"{what} cannot be read: {found.unreadable}", _LIFT)


def _texts_of(found: Survey, path: str, rewriter: Rewriter) -> list[Renewal]:
    member = found.members.get(path)
    texts = [found.contents.get(path, b""), *([member.header.name] if member else ())]
    return [renewal for text in texts for renewal in rewriter.found(text)]


REFERENCE = Initrd()
