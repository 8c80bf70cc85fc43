"""What ``unclone sanitize`` did to an image."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from unclone.cli.render import count, new_table, plain
from unclone.images.text import printable
from unclone.images.volumes import CheckState
from unclone.sanitize.change import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from unclone.images.volumes import CheckResult
    from unclone.runs.define import Defined
    from unclone.sanitize.change import Change, Note
    from unclone.sanitize.report import GuestSummary, Report

#: Changes of one step that are shown one by one; -v shows all.
SHOWN_CHANGES = 4

_NOTE_STYLES = {Level.INFO: ("·", ""), Level.WARNING: ("!", "yellow"), Level.KEPT: ("=", "magenta")}


def show_report(out: Console, report: Report, *, verbose: bool) -> None:
    """What ``sanitize`` did to one image, or would do."""
    verb = "planned, nothing was changed" if report.dry_run else "done"
    out.print(plain(report.image, "bold") + Text(f": {verb}"))
    if report.result != report.image and not report.dry_run:
        out.print(Text("  result: ") + plain(report.result))
    out.print(plain(f"  {guest_line(report.guest)}; profile {report.plan.profile}"))
    learned = {id(outcome.change): outcome.learned for outcome in report.outcomes}
    show_changes(out, report.plan.changes, learned, verbose=verbose)
    show_notes(out, report.notes, report.warnings)
    if not report.dry_run:
        _show_verification(out, report, verbose=verbose)
    if verbose:
        show_timings(out, report.timings.items())


def show_definition(out: Console, defined: Defined) -> None:
    """The definition that was written together with the disks."""
    verb = "would be written" if defined.request.dry_run else "written"
    name = printable(defined.identities.name)
    out.print(plain(f"  definition of {name} {verb}: {defined.parts[0].output}"), soft_wrap=True)
    for old, new in defined.identities.macs.items():
        out.print(plain(f"  MAC address {old} -> {new}"))
    show_notes(out, defined.notes, ())


def guest_line(guest: GuestSummary) -> str:
    named = f", hostname {guest.hostname}" if guest.hostname else ""
    return f"{guest.name} ({guest.init}{named})"


def show_changes(
    out: Console, changes: Sequence[Change], learned: dict[int, str], *, verbose: bool
) -> None:
    if not changes:
        out.print("  nothing to change")
        return
    table = new_table("step", "change", "where", "old", "new", *(["why"] if verbose else []))
    for step, group in groupby(changes, key=lambda change: change.step):
        members = list(group)
        shown = members if verbose else members[: max(SHOWN_CHANGES, 1)]
        for number, change in enumerate(shown):
            new = learned.get(id(change)) or change.new
            row = [step if number == 0 else "", change.action, change.target, change.old, new]
            table.add_row(*map(plain, row + ([change.why] if verbose else [])))
        if len(members) > len(shown):
            table.add_row("", "", Text(f"and {len(members) - len(shown)} more (-v)", "dim"), "", "")
    out.print(Padding(table, (0, 0, 0, 2), expand=False))


def show_notes(out: Console, notes: Iterable[Note], warnings: Iterable[str]) -> None:
    for warning in warnings:
        out.print(Text("  ! ", "yellow") + plain(warning))
    for note in notes:
        mark, style = _NOTE_STYLES[note.level]
        out.print(Text(f"  {mark} ", style) + plain(f"{note.step}: {note.text}"))


def _show_verification(out: Console, report: Report, *, verbose: bool) -> None:
    seen = report.verification
    out.print(
        f"  proven: {count(len(report.outcomes), 'change')} read back, {_checked(seen.checks)}"
    )
    for residue in seen.residue:
        place = f"{residue.path}:{residue.line}" if residue.line else residue.path
        text = f"the old {residue.kind} is mentioned in {place}"
        out.print(Text("  ! ", "yellow") + plain(text))
    if verbose:
        for check in seen.checks:
            out.print(plain(f"    {check.device}: {check.output}", "dim"))


def _checked(checks: Sequence[CheckResult]) -> str:
    """How many file systems are clean, and which could not be checked."""
    unchecked = [check for check in checks if check.state is CheckState.NOT_CHECKED]
    text = f"{count(len(checks) - len(unchecked), 'file system')} clean"
    if unchecked:
        reasons = dict.fromkeys(f"{check.type}: {check.output}" for check in unchecked)
        text += f", {len(unchecked)} not checked ({'; '.join(reasons)})"
    return text


def show_timings(out: Console, timings: Iterable[tuple[str, float]]) -> None:
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timings)
    if spent:
        out.print(plain(f"  {spent}", "dim"))
