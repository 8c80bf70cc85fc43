"""What ``unclone sanitize`` did to an image: a summary, and with ``-v`` every change."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from unclone.cli.render import inventory
from unclone.cli.render.page import count
from unclone.images.volumes import CheckState
from unclone.sanitize.change import Level
from unclone.sanitize.report import reference_steps
from unclone.sanitize.residue import REMOVED_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from unclone.cli.render.page import Page
    from unclone.images.volumes import CheckResult
    from unclone.runs.define import Defined
    from unclone.sanitize.change import Change, Note
    from unclone.sanitize.report import GuestSummary, Report
    from unclone.sanitize.residue import Residue

_SET_IDENTIFIER = "set-identifier"
_GENERATE = "generate-ssh-host-key"

#: Actions after which what was there is gone.
_REMOVING = {"remove", "clear", "truncate"}

#: What a summary leaves out of a decision: where it was read, and details of it.
_ASIDE = re.compile(r" \([^()]*\)")

#: Steps with a field of their own.
_HOST_NAME, _MACHINE_ID, _SSH, _MACS = "hostname", "machine-id", "ssh-host-keys", "mac-pins"


def show_report(page: Page, report: Report, *, verbose: bool) -> None:
    """What was done to one image, or would be done."""
    copied = report.result != report.image and report.status == "done"
    page.headline(report.image, f"{f' -> {report.result}' if copied else ''}: {_done(report)}")
    page.line(f"{guest_line(report.guest)}; profile {report.plan.profile}")
    if report.left_alone:
        page.line(_LEFT_ALONE)
    elif report.only_renews:
        page.line(_ONLY_RENEWS if report.plan.changes else "nothing to change")
    if verbose or (report.dry_run and not report.left_alone):
        show_changes(page, report.plan.changes, _learned(report), verbose=verbose)
    if not report.left_alone:
        _show_summary(page, report, verbose=verbose)
    kept = [note.text for note in report.notes if note.level is Level.KEPT]
    kept = kept if verbose else _by_reason(kept)
    new = " ".join(c.new.lower() for c in report.plan.changes if c.step == _MACS)
    macs = tuple(mac for mac in report.inventory.macs if mac.value not in new)  # new is not kept
    names = tuple(name for name in report.inventory.host_names if name.value not in _given(report))
    left = replace(report.inventory, macs=macs, host_names=names)
    named = report.host_name is not None
    inventory.show_kept(page, left, kept, named=named, verbose=verbose)
    inventory.show_optional_steps(page, report.inventory, verbose=verbose)
    inventory.show_told(page, report.inventory, verbose=verbose)
    notes = [note for note in report.notes if note not in _decisions(report.notes)]
    hidden = show_notes(page, notes, report.warnings, verbose=verbose)
    if not report.left_alone:
        _show_verification(page, report, verbose=verbose)
    if verbose:
        show_timings(page, report.timings.items())
    elif hidden or report.status == "done":
        more = f", {hidden} more {'note' if hidden == 1 else 'notes'}" if hidden else ""
        page.field("more", [f"-v: all changes and reasons{more}; --json: everything"])


def show_line(page: Page, image: str, status: str, report: Report | None) -> None:
    """One image in one line, for ``-q``; *report* is None where it failed."""
    parts = [status]
    if report and report.status != "unchanged":
        parts.append(count(len(report.plan.changes), "change"))
    if report and report.status == "done":
        parts.append(_checked(report.verification.checks))
    if report:
        warnings = len(report.warnings)
        warnings += sum(note.level is Level.WARNING for note in report.notes)
        kept = sum(note.level is Level.KEPT for note in report.notes)
        parts += [count(warnings, "warning")] if warnings else []
        off, told = inventory.count_undecided(report.inventory)
        parts += [f"{kept} kept"] if kept else []
        if report.status != "unchanged":
            parts += [f"{off} off by default"] if off else []
            parts += [f"{told} to decide"] if told else []
    page.whole_line(image, f": {', '.join(parts)}")


def show_total(page: Page, statuses: Sequence[str]) -> None:
    """How many images came to what, where there are several."""
    counted = Counter(statuses)
    ends = ", ".join(f"{number} {status}" for status, number in counted.items())
    page.whole_line("", f"{count(len(statuses), 'image')}: {ends}")


def show_definition(page: Page, defined: Defined) -> None:
    """The definition that was written together with the disks."""
    verb = "would be written" if defined.request.dry_run else "written"
    page.line(f"definition of {defined.identities.name} {verb}: {defined.parts[0].output}")
    page.field("MAC addresses", [f"{old} -> {new}" for old, new in defined.identities.macs.items()])
    for note in defined.notes:
        page.field(note.level.value, [note.text], fg="yellow" if note.level == "warning" else "")


def guest_line(guest: GuestSummary) -> str:
    """The system and what starts it."""
    return f"{guest.name}, {guest.init}"


def show_changes(
    page: Page, changes: Sequence[Change], learned: Mapping[int, str], *, verbose: bool
) -> None:
    """Every change, by step; with its reason where *verbose*."""
    page.line(f"{count(len(changes), 'change')}:")
    for step, group in groupby(changes, key=lambda change: change.step):
        members = list(group)
        page.line(f"{step}:", indent=4, bold=True)
        if verbose:
            for why in dict.fromkeys(change.why for change in members):
                page.line(why, indent=6)
        for change in members:
            new = learned.get(id(change)) or change.new
            page.line(f"{change.action} {change.target}", indent=6)
            if change.old or new:
                arrow = f" -> {new}" if new else ""
                page.line(f"{change.old}{arrow}".strip(), indent=8)


def show_notes(page: Page, notes: Iterable[Note], warnings: Iterable[str], *, verbose: bool) -> int:
    """What a person must know; how many other notes there are that are not shown."""
    page.field("warning", warnings, fg="yellow")
    page.field(
        "warning",
        [f"{note.step}: {note.text}" for note in notes if note.level is Level.WARNING],
        fg="yellow",
    )
    others = [f"{note.step}: {note.text}" for note in notes if note.level is Level.INFO]
    if verbose:
        page.field("note", others)
        return 0
    return len(others)


def show_timings(page: Page, timings: Iterable[tuple[str, float]]) -> None:
    """How long each phase took."""
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timings)
    if spent:
        page.field("time", [spent])


_LEFT_ALONE = (
    "left as it is: a run would only make new device identifiers and host keys, as every run "
    "does. A new copy of a sanitised image looks the same, and needs a run without --if-needed"
)
_ONLY_RENEWS = (
    "this image looks sanitised already: nothing of an old identity was left to change, and only "
    "what every run renews is renewed"
)


def _done(report: Report) -> str:
    seconds = sum(report.timings.values())
    how = f"{report.engine} engine" + (f", {seconds:.1f} s" if seconds else "")
    words = {
        "done": f"done ({how})",
        "planned": f"planned, nothing was changed ({how})",
        "unchanged": f"not needed, nothing was changed ({how})",
    }
    return words[report.status]


def _learned(report: Report) -> Mapping[int, str]:
    return {id(outcome.change): outcome.learned for outcome in report.outcomes}


def _show_summary(page: Page, report: Report, *, verbose: bool) -> None:
    changes = report.plan.changes
    references = reference_steps()
    by_step = {step: [c for c in changes if c.step == step] for step in (_SSH, _MACS)}
    page.field("host name", _host_name(report))
    page.field("machine-id", _decided(report.notes, _MACHINE_ID, verbose=verbose))
    page.field("SSH host keys", _ssh(report, by_step[_SSH], verbose=verbose))
    page.field("UUIDs", _identifiers(report, references))
    page.field("MAC addresses", dict.fromkeys(map(_mac, by_step[_MACS])))
    others = [
        c
        for c in changes
        if c.action != _SET_IDENTIFIER
        and c.step not in references
        and c.step not in {_HOST_NAME, _MACHINE_ID, _SSH, _MACS}
    ]
    page.field("removed", _steps(c for c in others if c.action in _REMOVING))
    page.field("changed", _steps(c for c in others if c.action not in _REMOVING))


def _host_name(report: Report) -> Iterator[str]:
    if report.host_name:
        old, new = report.host_name
        paths = [c.target for c in report.plan.changes if c.step == _HOST_NAME]
        yield f"{old or '(none)'} -> {new} ({', '.join(paths)})"


def _given(report: Report) -> set[str]:
    """The names that the run gave the machine."""
    changes = [change for change in report.plan.changes if change.step == _HOST_NAME]
    return {new for c in changes for new in (c.new, *c.details["names"].values())}


def _decisions(notes: Iterable[Note]) -> list[Note]:
    """The notes that say what becomes of the machine-id, and of host keys."""
    found = [note for note in notes if note.level is Level.INFO]
    return [
        *[note for note in found if note.step == _MACHINE_ID][:1],
        *[note for note in found if note.step == _SSH],
    ]


def _decided(notes: Iterable[Note], step: str, *, verbose: bool) -> Iterator[str]:
    for note in _decisions(notes):
        if note.step == step:
            text = re.sub(r"^(/etc/machine-id|(new )?host keys) (is |are )?", "", note.text)
            yield text if verbose else _ASIDE.sub("", text.partition(", and ")[0])


def _ssh(report: Report, changes: Sequence[Change], *, verbose: bool) -> Iterator[str]:
    yield from _decided(report.notes, _SSH, verbose=verbose)
    learned = _learned(report)
    for change in changes:
        if change.action == _GENERATE:
            kind = str(change.details.get("type", ""))
            yield f"{kind:8} {learned.get(id(change)) or change.new}"


def _identifiers(report: Report, references: frozenset[str]) -> Iterator[str]:
    changes = report.plan.changes
    renewed = [c for c in changes if c.action == _SET_IDENTIFIER]
    following = {c.target for c in changes if c.step in references}
    places = {(c.step, c.target) for c in renewed}
    kept = [i for i in report.identifiers if (str(i.kind), i.device) not in places]
    if renewed:
        steps = ", ".join(dict.fromkeys(c.step for c in changes if c.step in references))
        follow = "follows" if len(following) == 1 else "follow"
        files = f"; {count(len(following), 'file')} {follow} ({steps})" if following else ""
        yield f"{len(renewed)} new{files}"
    if kept:
        yield "kept: " + ", ".join(f"{i.kind} {i.device}" for i in kept)
    elif not renewed:
        yield "none changed"


def _mac(change: Change) -> str:
    if change.new:
        return f"{change.old} -> {change.new} in {change.target}"
    return f"{change.old} unpinned in {change.target}"


def _by_reason(texts: Iterable[str]) -> list[str]:
    """Of notes that say ``X is kept: why``, those with one reason as one."""
    grouped: dict[str, list[str]] = {}
    for text in texts:
        _, kept, why = text.partition(" is kept: ")
        grouped.setdefault(why if kept else text, []).append(text)
    return [
        members[0] if len(members) == 1 else f"{len(members)} identifiers: {why}"
        for why, members in grouped.items()
    ]


def _steps(changes: Iterable[Change]) -> list[str]:
    counted = Counter(change.step for change in changes)
    names = [f"{step} ({number})" if number > 1 else step for step, number in counted.items()]
    return [", ".join(names)] if names else []


def _show_verification(page: Page, report: Report, *, verbose: bool) -> None:
    seen = report.verification
    text = f"{count(len(report.plan.changes), 'change')} read back, {_checked(seen.checks)}"
    if report.dry_run:
        page.field("rehearsed", [f"on an overlay that was thrown away: {text}"])
    else:
        page.field("proven", [text])
    for residue in seen.residue:
        page.field("warning", [_left(residue)], fg="yellow")
    if seen.unsearched:
        page.field("not searched", [", ".join(seen.unsearched)])
    if verbose:
        page.field("checks", [f"{check.device}: {check.output}" for check in seen.checks])


def _left(residue: Residue) -> str:
    place = f"{residue.path}:{residue.line}" if residue.line else residue.path
    if residue.kind != REMOVED_FILE:
        return f"the old {residue.kind} is mentioned in {place}"
    if not place and residue.value.endswith("/"):
        return f"{residue.value} was removed, and had too much in it to look for all its hard links"
    if not place:
        return f"{residue.value} was removed, and has another hard link that was not found"
    return f"what {residue.value} held is still in {place}"


def _checked(checks: Sequence[CheckResult]) -> str:
    """How many file systems are clean, and which could not be checked."""
    unchecked = [check for check in checks if check.state is CheckState.NOT_CHECKED]
    text = f"{count(len(checks) - len(unchecked), 'file system')} clean"
    if unchecked:
        reasons = dict.fromkeys(f"{check.type}: {check.output}" for check in unchecked)
        text += f", {len(unchecked)} not checked ({'; '.join(reasons)})"
    return text
