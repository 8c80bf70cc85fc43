"""Results for people, on stdout: tables that fit the terminal, whole lines in a pipe.

Everything that came from a guest passes through :func:`plain`: no control character, no markup.
Colour is rich's business, which honours ``NO_COLOR`` and draws none into a pipe.
"""

from __future__ import annotations

import os
import sys
from itertools import groupby
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from unclone.images.text import printable
from unclone.images.volumes import CheckState
from unclone.sanitize.change import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unclone.images.volumes import CheckResult
    from unclone.runs.define import Defined
    from unclone.runs.doctor import Check
    from unclone.sanitize.change import Change, Note
    from unclone.sanitize.report import GuestSummary, Inspection, Report
    from unclone.sanitize.step import Step, StepInfo

#: Changes of one step that are shown one by one; -v shows all.
SHOWN_CHANGES = 4

#: Columns of output that is not read on a terminal: nothing is folded there.
PIPE_WIDTH = 1000

_NOTE_STYLES = {Level.INFO: ("·", ""), Level.WARNING: ("!", "yellow"), Level.KEPT: ("=", "magenta")}
_STATE_STYLES = {"ok": "green", "missing": "red", "optional": "yellow"}


def console() -> Console:
    """A console on stdout, without markup, emoji codes or guessed highlights."""
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPE_WIDTH
    return Console(
        file=sys.stdout, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False
    )


def plain(text: str, style: str = "") -> Text:
    """Text from anywhere, safe to print."""
    return Text(printable(text), style=style)


def show_report(out: Console, report: Report, *, verbose: bool) -> None:
    """What ``sanitize`` did to one image, or would do."""
    verb = "planned, nothing was changed" if report.dry_run else "done"
    out.print(plain(report.image, "bold") + Text(f": {verb}"))
    if report.result != report.image and not report.dry_run:
        out.print(Text("  result: ") + plain(report.result))
    out.print(plain(f"  {_guest_line(report.guest)}; profile {report.plan.profile}"))
    learned = {id(outcome.change): outcome.learned for outcome in report.outcomes}
    _show_changes(out, report.plan.changes, learned, verbose=verbose)
    _show_notes(out, report.notes, report.warnings)
    if not report.dry_run:
        _show_verification(out, report, verbose=verbose)
    if verbose:
        _show_timings(out, report.timings.items())


def show_definition(out: Console, defined: Defined) -> None:
    """The definition that was written together with the disks."""
    verb = "would be written" if defined.request.dry_run else "written"
    name = printable(defined.identities.name)
    out.print(plain(f"  definition of {name} {verb}: {defined.parts[0].output}"), soft_wrap=True)
    for old, new in defined.identities.macs.items():
        out.print(plain(f"  MAC address {old} -> {new}"))
    _show_notes(out, defined.notes, ())


def show_inspection(out: Console, found: Inspection, *, verbose: bool) -> None:
    """What ``inspect`` saw in one image."""
    size = f"{found.virtual_size / 2**30:.1f} GiB"
    out.print(plain(found.image, "bold") + plain(f": {found.format}, {size}"))
    out.print(plain(f"  {_guest_line(found.guest)}"))
    mounts = {m.device: m.mount_point for m in reversed(found.guest.layout.mounts_in_order)}
    table = _table("device", "type", "mounted at", "UUID", "partition UUID", "label")
    for fs in found.file_systems:
        row = (fs.device, fs.type, mounts.get(fs.device, ""), fs.uuid, fs.partition_uuid, fs.label)
        table.add_row(*map(plain, row))
    out.print(Padding(table, (1, 0, 0, 2), expand=False))
    if verbose and found.identifiers:
        table = _table("identifier", "device", "value")
        for each in found.identifiers:
            table.add_row(plain(each.kind), plain(each.device), plain(each.value))
        out.print(Padding(table, (0, 0, 0, 2), expand=False))
    if found.plan.retired:
        table = _table("identity", "value")
        for retired in found.plan.retired:
            table.add_row(plain(retired.kind), plain(retired.value[:64]))
        out.print(Padding(table, (0, 0, 0, 2), expand=False))
    _show_changes(out, found.plan.changes, {}, verbose=verbose)
    _show_notes(out, found.plan.notes, found.warnings)
    count, steps = len(found.plan.changes), len({c.step for c in found.plan.changes})
    out.print(
        f"  `unclone sanitize` would make {_count(count, 'change')} in {_count(steps, 'step')}"
    )
    if verbose:
        _show_timings(out, found.timings.items())


def show_steps(out: Console, steps: Iterable[tuple[StepInfo, bool]]) -> None:
    """Every step, and whether it runs."""
    table = _table("step", "profile", "runs", "title")
    for info, runs in steps:
        mark = Text("yes", "green") if runs else Text("no", "dim")
        table.add_row(plain(info.id), Text(info.profile), mark, plain(info.title))
    out.print(table)


def show_step(out: Console, step: Step, details: Sequence[tuple[str, Sequence[str]]]) -> None:
    """All that is known about one step. *details* are the fields of a catalogue row."""
    info = step.info
    out.print(plain(info.id, "bold") + plain(f": {info.title}"))
    fields = [
        ("profile", [info.profile.value]),
        ("why", [info.why]),
        ("off because", [info.off_because] if info.off_because else []),
        *details,
        ("sources", info.sources),
    ]
    grid = _grid()
    for name, values in fields:
        for number, value in enumerate(values):
            grid.add_row(Text(name if number == 0 else "", "dim"), plain(value))
    out.print(Padding(grid, (0, 0, 0, 2), expand=False))


def show_checks(out: Console, checks: Iterable[Check]) -> None:
    """What this host has and lacks."""
    grid = _grid()
    for check in checks:
        mark = Text(check.state, _STATE_STYLES[check.state])
        grid.add_row(mark, plain(f"{check.title}: {check.found}"))
        if check.state != "ok":
            grid.add_row("", plain(f"needed for {check.needed_for}", "dim"))
            if check.fix:
                grid.add_row("", plain(check.fix))
    out.print(grid)


def _guest_line(guest: GuestSummary) -> str:
    named = f", hostname {guest.hostname}" if guest.hostname else ""
    return f"{guest.name} ({guest.init}{named})"


def _show_changes(
    out: Console, changes: Sequence[Change], learned: dict[int, str], *, verbose: bool
) -> None:
    if not changes:
        out.print("  nothing to change")
        return
    table = _table("step", "change", "where", "old", "new", *(["why"] if verbose else []))
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


def _show_notes(out: Console, notes: Iterable[Note], warnings: Iterable[str]) -> None:
    for warning in warnings:
        out.print(Text("  ! ", "yellow") + plain(warning))
    for note in notes:
        mark, style = _NOTE_STYLES[note.level]
        out.print(Text(f"  {mark} ", style) + plain(f"{note.step}: {note.text}"))


def _show_verification(out: Console, report: Report, *, verbose: bool) -> None:
    seen = report.verification
    out.print(
        f"  proven: {_count(len(report.outcomes), 'change')} read back, {_checked(seen.checks)}"
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
    text = f"{_count(len(checks) - len(unchecked), 'file system')} clean"
    if unchecked:
        reasons = dict.fromkeys(f"{check.type}: {check.output}" for check in unchecked)
        text += f", {len(unchecked)} not checked ({'; '.join(reasons)})"
    return text


def _show_timings(out: Console, timings: Iterable[tuple[str, float]]) -> None:
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timings)
    if spent:
        out.print(plain(f"  {spent}", "dim"))


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _grid() -> Table:
    """Two columns; what does not fit is folded under its own column."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
