"""One row of the catalogue, and the step it is."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from unclone.images.guest import READ_LIMIT, parent
from unclone.images.text import printable
from unclone.images.volumes import Kind
from unclone.sanitize.actions.blank import values
from unclone.sanitize.actions.drop_lines import split
from unclone.sanitize.catalogue.paths import any_exists, around, find, inside, outermost
from unclone.sanitize.change import Change, Level, Note, StepPlan
from unclone.sanitize.files import read_whole, read_whole_text
from unclone.sanitize.options import Profile
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.images.volumes import Stat
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.step import PlanningContext

#: Bytes of a file in which ``containing`` is looked for.
CONTAINING_LIMIT = 64 * 1024

#: Stands in place of an action: what the row finds is named, and never changed.
TELL = "tell"

#: Carried out by the action ``replace-text``: every UUID that ``values`` finds becomes another.
RENEW_UUIDS = "renew-uuids"

#: Places of one row that are named.
PLACES_LIMIT = 50

#: Home directories that are looked into for them.
HOMES_LIMIT = 500


@dataclass(frozen=True, slots=True)
class When:
    """All of what is given has to hold. ``exists``: something matches one of the globs."""

    exists: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # nothing matches any of the globs
    distro: tuple[str, ...] = ()  # one of these is the guest's ID or in its ID_LIKE

    def holds(self, guest: Guest, facts: Facts) -> bool:
        """Whether the row applies to *guest*."""
        return (
            (not self.distro or not facts.distro_ids.isdisjoint(self.distro))
            and (not self.exists or any_exists(guest, self.exists))
            and not any_exists(guest, self.missing)
        )


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """A row as its YAML says it (docs/catalogue.md has the fields)."""

    id: str
    title: str
    why: str
    action: str
    paths: tuple[str, ...]
    sources: tuple[str, ...]
    profile: Profile = Profile.IDENTITY
    off_because: str = ""
    when: When = When()
    excepts: tuple[str, ...] = ()
    #: Patterns, and what the files that match them have to hold to be this row's.
    containing: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()
    content: str = ""
    #: With ``blank`` and ``renew-uuids``: expressions with one group, which is the value.
    values: tuple[str, ...] = ()
    #: With ``tell``: what gives a clone an identity of its own.
    remedy: str = ""

    @property
    def kind(self) -> StepKind:
        """What happens to what the row finds, unless it is enabled by name."""
        if self.action == TELL:
            return StepKind.TELL
        if self.off_because:
            return StepKind.KEEP
        return StepKind.RENEW if self.action in {"write", RENEW_UUIDS} else StepKind.REMOVE


@dataclass(frozen=True, slots=True)
class CatalogueStep:
    """A row as a :class:`unclone.sanitize.step.Step`."""

    row: CatalogueRow
    #: What ``unclone steps`` says about it.
    info: StepInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        row = self.row
        info = StepInfo(
            row.id, row.title, row.why, row.sources, row.profile, row.off_because, row.kind
        )
        object.__setattr__(self, "info", info)

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change per path, sorted; a note for each match that is not changed."""
        guest = context.guest
        if self.row.action == TELL or not self.row.when.holds(guest, context.facts):
            return StepPlan()
        spared = find(guest, self.row.excepts).targets
        found = find(guest, self.row.paths, spared)
        notes = [
            self._left_alone(path, "is below a symlinked folder") for path in found.behind_links
        ]
        changes: dict[str, Change] = {}
        for target in self._targets(guest, found.targets, spared):
            decided = self._decide(guest, target, context)
            if isinstance(decided, Note):
                notes.append(decided)
            elif decided:
                changes[decided.target] = decided  # a link and its target are one file
        return StepPlan(tuple(changes.values()), tuple(notes))

    def places(self, guest: Guest, facts: Facts, limit: int = PLACES_LIMIT) -> tuple[str, ...]:
        """The paths that :meth:`plan` would change, or that are named; at most *limit*.

        Those behind a symlinked folder are among them. Of a pattern with ``**`` only the two upper
        levels of folders are looked at, and of home directories the first ``HOMES_LIMIT``: all
        take long, and this is asked of rows that change nothing in the run.
        """
        row = self.row
        if not row.when.holds(guest, facts):
            return ()
        patterns = [one for pattern in row.paths for one in _upper_levels(pattern)]
        spared = find(guest, row.excepts).targets
        found = find(guest, patterns, spared, HOMES_LIMIT)
        targets = self._targets(guest, sorted((*found.targets, *found.behind_links)), spared)
        decided = (self._decide(guest, target) for target in targets)
        places = (change.target for change in decided if isinstance(change, Change))
        return tuple(islice(places, limit))

    def _targets(
        self, guest: Guest, targets: Iterable[str], spared: tuple[str, ...]
    ) -> Iterator[str]:
        if self.row.action not in {"remove", TELL}:
            yield from (t for t in targets if not inside(t, spared))
            return
        for target in outermost(t for t in targets if not inside(t, spared)):
            yield from around(guest, target, spared)

    def _decide(
        self, guest: Guest, target: str, context: PlanningContext | None = None
    ) -> Change | Note | None:
        found = guest.lstat(target)
        if found is None or not self._holds(guest, target):
            return None
        if self.row.action == TELL and found.kind is Kind.FILE and not found.size:
            return None  # holds no identity any more
        if self.row.action in {"remove", TELL}:
            return self._change(target, _described(guest, target, found))
        if found.kind is Kind.SYMLINK:
            # Follow it only to a neighbour; a link further away was not made for this row.
            led = guest.stat(target)
            physical = guest.resolve(target) if led else ""
            if not led or parent(physical) != parent(target):
                return self._left_alone(target, "is a symlink that leads elsewhere")
            target, found = physical, led
        if self.row.action == "clear":
            empty = found.kind is not Kind.DIRECTORY or not guest.list(target)
            return None if empty else self._change(target, _described(guest, target, found))
        if found.kind is not Kind.FILE or not found.size:
            return None
        if self.row.action == "truncate":
            return self._change(target, _described(guest, target, found))
        if self.row.action == "write":
            content = self.row.content.encode()
            same = guest.read(target, len(content) + 1) == content
            return None if same else self._change(target, _described(guest, target, found))
        if found.size > READ_LIMIT:
            return self._left_alone(target, "is too large to be edited")
        if self.row.values:
            return self._change_values(guest, target, context)
        _, dropped = split(read_whole(guest, target), self.row.lines)
        return self._change(target, _count(dropped, "line")) if dropped else None

    def _change_values(
        self, guest: Guest, target: str, context: PlanningContext | None
    ) -> Change | None:
        """Those that are found in the text; without *context* the new ones are not drawn."""
        text = read_whole_text(guest, target)
        found = values(text, self.row.values)
        if not found:
            return None
        if self.row.action != RENEW_UUIDS:
            return self._change(target, _count(len(found), "value"))
        new = {old: context.new_uuid(old) if context else "" for old in found}
        replacements = [{"old": o, "new": n, "count": text.count(o)} for o, n in new.items()]
        details = {"replacements": replacements, "drawn": True}
        row, old, drawn = self.row, ", ".join(new), ", ".join(new.values())
        return Change(row.id, "replace-text", target, row.why, old, drawn, details)

    def _holds(self, guest: Guest, target: str) -> bool:
        """Whether *target* holds what ``containing`` says of it."""
        return all(
            re.search(expression, guest.text_or_empty(target, CONTAINING_LIMIT)) is not None
            for pattern, expression in self.row.containing
            if fnmatch.fnmatchcase(target, pattern.replace("~/", "*/", 1))
        )

    def _change(self, target: str, old: str) -> Change:
        row = self.row
        details: dict[str, Any] = {}
        if row.lines:
            details["lines"] = list(row.lines)
        if row.values:
            details["values"] = list(row.values)
        if row.content:
            details["text"] = row.content
        new = printable(row.content.strip(), 200)
        return Change(row.id, row.action, target, row.why, old=old, new=new, details=details)

    def _left_alone(self, path: str, reason: str) -> Note:
        kept = self.row.profile is Profile.IDENTITY
        text = f"{printable(path)} {reason}; it is not changed"
        return Note(self.row.id, Level.KEPT if kept else Level.WARNING, text)


def _upper_levels(pattern: str) -> Sequence[str]:
    above, deep, name = pattern.partition("/**/")
    return (f"{above}/{name}", f"{above}/*/{name}") if deep else (pattern,)


def _described(guest: Guest, path: str, found: Stat) -> str:
    if found.kind is Kind.DIRECTORY:
        entries = len(guest.list(path))
        return f"directory, {entries} {'entry' if entries == 1 else 'entries'}"
    if found.kind is Kind.SYMLINK:
        return f"symlink to {printable(guest.readlink(path), 200)}"
    if found.kind is Kind.FILE:
        return f"regular file, {_count(found.size, 'byte')}"
    return "special file"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
