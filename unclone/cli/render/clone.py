"""What people read of machines that were made."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from unclone.cli.lines import plain, print_line
from unclone.images.text import about
from unclone.runs import failures
from unclone.sanitize.change import Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.runs.clone.making import Machine
    from unclone.runs.completed import CompletedRun


def show(runs: Sequence[CompletedRun[Machine]], *, verbose: bool, quiet: bool) -> None:
    """Print *runs*: of one machine, who it is; of several, a line for each, and how many."""
    several = len(runs) > 1
    told: set[str] = set()
    for each in runs:
        if each.result is None:
            if not several:
                print_line(plain(f"{each.image}: {failures.STATUS_NAMES[each.status]}"))
        elif not quiet or not several:
            _show_machine(each.result, told, verbose=verbose, detailed=not several)
    if several:
        counts: dict[str, int] = {}
        for each in runs:
            status = each.result.status if each.result else "failed"
            counts[status] = counts.get(status, 0) + 1
        total = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        print_line(plain(f"{len(runs)} machines: {total}", bold=True))
        registrations = Counter(
            each.result.registration.status
            for each in runs
            if each.result and each.result.registration
        )
        if registrations:
            counted = sorted(registrations.items())
            words = ", ".join(f"{n} {_REGISTERED[status]}" for status, n in counted)
            print_line(plain(f"  libvirt: {words}"))
        for each in runs:
            if each.error is not None:
                print_line(
                    plain("  ! ", fg="yellow"),
                    plain(about(each.image, failures.describe(each.error))),
                )
    backing = dict.fromkeys(path for each in runs if each.result for path in each.result.backing)
    for path in () if quiet else backing:
        print_line(plain(f"  · their backing file, which must not change any more: {path}"))


_REGISTERED = {
    "failed": "not registered",
    "present": "registered already",
    "registered": "registered",
}
_WORDS = {"done": "made", "planned": "would be made (--dry-run)", "present": "is there already"}


def _show_machine(machine: Machine, told: set[str], *, verbose: bool, detailed: bool) -> None:
    """*told* has what was said of other machines: it is not said again."""
    files = f": {', '.join(machine.files)}" if machine.files else ""
    print_line(plain(str(machine.path), bold=True), plain(f" {_WORDS[machine.status]}{files}"))
    identity = machine.identity
    if detailed or verbose:
        print_line(plain(f"  host name    {identity.hostname}"))
        print_line(plain(f"  instance-id  {identity.instance_id}"))
        for old, new in identity.macs.items():
            print_line(plain(f"  MAC          {old} -> {new}"))
    if verbose:
        for field, value in identity.identifiers.items():
            print_line(plain(f"  {field}  {value}"))
    registered = machine.registration
    if registered and registered.status == "failed":
        words = f"not registered in libvirt: {registered.message}"
        print_line(plain("  ! ", fg="yellow"), plain(words))
    elif registered and (detailed or verbose):
        print_line(plain(f"  libvirt      {_REGISTERED[registered.status]}"))
    for note in machine.notes:
        if note.level is Level.WARNING and note.text not in told:
            told.add(note.text)
            print_line(plain("  ! ", fg="yellow"), plain(note.text))
