"""What the kinds of reference have in common.

A reference is a place in the guest where a device is named by an identifier. Each kind is a step
(``Step``): it finds the identifiers that this run renews in the places it
knows, and plans the changes that make them follow. Actions carry the changes out and verify them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from unclone.images.text import printable
from unclone.sanitize.actions.replace_identifiers import as_details
from unclone.sanitize.change import Change, Level, Note, StepPlan
from unclone.sanitize.files import TEXT_LIMIT, dangling, files_at, too_large
from unclone.sanitize.renewal import Blocker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.renewal import Renewal, Rewriter
    from unclone.sanitize.step import PlanningContext, StepInfo


class Reference(Protocol):
    """One kind of reference."""

    @property
    def info(self) -> StepInfo:
        """Its description."""

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:
        """Which of ``context.renewals`` must stay, because a reference cannot be rewritten.

        It is asked before anything is planned; what no reference blocks is renewed.
        """

    def plan(self, context: PlanningContext) -> StepPlan:
        """The changes that make every reference of this kind follow ``context.renewals``."""


@dataclass(frozen=True, slots=True)
class TextReference:
    """Files in which identifiers stand as text: replaced in place, every other byte stays.

    ``paths`` are guest paths with wildcards, as :meth:`unclone.images.guest.Guest.glob` takes them.
    """

    info: StepInfo
    paths: tuple[str, ...]
    #: Further files, as physical paths: those that others name.
    named: Callable[[Guest], Sequence[str]] = lambda _: ()

    def places(self, guest: Guest) -> tuple[str, ...]:
        """Its paths in *guest*: patterns, and what other files name."""
        return (*self.paths, *self.named(guest))

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:
        """Everything, when a file is too large to be read."""
        return unread(too_large(context.guest, self.places(context.guest), TEXT_LIMIT), context)

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each file that holds an identifier of this run."""
        changes = tuple(self._changes(context.guest, context.renewals.rewriter))
        notes = tuple(
            leads_nowhere(self.info, path, context.guest.readlink(path))
            for path in dangling(context.guest, self.paths)
        )
        return StepPlan(changes, notes)

    def _changes(self, guest: Guest, rewriter: Rewriter) -> Iterator[Change]:
        for path in files_at(guest, self.places(guest), TEXT_LIMIT):
            found = rewriter.found(guest.read(path, TEXT_LIMIT))
            if found:
                yield rewrite(self.info, path, found)


def unread(large: Sequence[str], context: PlanningContext) -> Sequence[Blocker]:
    """What the files *large*, larger than ``TEXT_LIMIT``, block: any identifier may be in them."""
    return [
        Blocker(
            renewal,
            f"{printable(large[0])} may refer to it, and is larger than the "
            f"{TEXT_LIMIT // 2**20} MiB that are read of a text",
            "Make that file smaller.",
        )
        for renewal in (context.renewals.renewed if large else ())
    ]


def leads_nowhere(info: StepInfo, link: str, text: str) -> Note:
    """What to say of *link*, whose *text* leads to nothing that is mounted."""
    return Note(
        info.id,
        Level.WARNING,
        f"{printable(link)} is a link to {printable(text)}, which leads to nothing here: what it "
        "refers to is not looked at.",
    )


def rewrite(
    info: StepInfo, path: str, found: Iterable[Renewal], action: str = "replace-identifiers"
) -> Change:
    """The change that replaces the identifiers *found* in the file at *path*, by *action*.

    A person is shown the old and the new value, or how many there are.
    """
    renewals = tuple(found)
    old, new = f"{len(renewals)} identifiers", f"{len(renewals)} new identifiers"
    if len(renewals) == 1:
        old, new = printable(renewals[0].old, 64), renewals[0].new
    return Change(info.id, action, path, info.why, old, new, as_details(renewals))
