"""What ``unclone audit`` found, for people: identities that are shared first, then the rest."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from unclone.cli.render.page import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unclone.cli.render.page import Page
    from unclone.runs.audit.index import Shared
    from unclone.runs.audit.run import Audit

#: Machines of one value that are named, values of one kind, and values that no rule knows.
_MACHINES, _VALUES, _UNKNOWN = 4, 10, 10


def show_audit(page: Page, found: Audit, *, verbose: bool) -> None:
    """What is shared, by kind; with *verbose* all machines and places, and what is harmless."""
    machines = count(len(found.machines), "machine")
    affected = {number for each in found.shared for number in each.machines}
    kinds = Counter(each.kind for each in found.shared)
    if found.shared:
        values = f"{count(len(found.shared), 'identity').replace('identitys', 'identities')}"
        text = f"{len(affected)} share {values} of {count(len(kinds), 'kind')}"
        page.headline(machines, f" compared: {text}")
    else:
        # What was not read may be shared all the same.
        where = " in what was read" if found.failures else ""
        page.headline(machines, f" compared: no identity is shared{where}")
    for kind, values_of_kind in groupby(found.shared, key=lambda each: each.kind):
        page.line(f"{kind} ({kinds[kind]})", bold=True, fg="red")
        _show_values(page, list(values_of_kind), found, verbose=verbose)
    if found.unknown:
        page.line("no rule knows these; look at them, the likeliest first:", bold=True)
        shown = found.unknown if verbose else found.unknown[:_UNKNOWN]
        for each in shown:
            page.line(f"{each.kind} {each.value}", indent=4)
            _show_machines(page, each, found, verbose=verbose)
        _show_more(page, len(found.unknown) - len(shown), "value")
    _show_rest(page, found, verbose=verbose)


def _show_values(page: Page, values: Sequence[Shared], found: Audit, *, verbose: bool) -> None:
    shown = values if verbose else values[:_VALUES]
    for each in shown:
        page.line(each.value, indent=4)
        _show_machines(page, each, found, verbose=verbose)
    _show_more(page, len(values) - len(shown), "value")


def _show_machines(page: Page, each: Shared, found: Audit, *, verbose: bool) -> None:
    pairs = list(each.machines.items())
    names = [found.machines[number].name for number, _ in pairs]
    if len(set(each.machines.values())) == 1 and not verbose:
        several = len(pairs) > _MACHINES
        all_of = len(pairs) == len(found.machines)
        listed = f"all {len(pairs)}" if several and all_of else ", ".join(names[:_MACHINES])
        more = f" and {len(pairs) - _MACHINES} more" if several and not all_of else ""
        page.line(f"{_places(names, pairs[0][1], 1)}: {listed}{more}", indent=6)
        return
    for number, places in pairs if verbose else pairs[:_MACHINES]:
        name = found.machines[number].name
        page.line(f"{name}: {_places([name], places, len(places) if verbose else 1)}", indent=6)
    _show_more(page, 0 if verbose else len(pairs) - _MACHINES, "machine", indent=6)


def _places(names: Sequence[str], places: Sequence[str], most: int) -> str:
    """The first *most* of *places*; a file that is the machine, or the last one's, is not said."""
    more = len(places) - most
    own = {name.rpartition("/")[2] for name in names}
    before = own.pop() if len(own) == 1 else ""
    said = []
    for place in places[:most]:
        file, colon, rest = place.partition(": ")
        said.append(rest if colon and file == before else place)
        before = file if colon else before
    return ", ".join(said) + (f" and {count(more, 'more place')}" if more > 0 else "")


def _show_more(page: Page, number: int, noun: str, *, indent: int = 4) -> None:
    if number > 0:
        page.line(f"and {count(number, f'more {noun}')} (-v shows all)", indent=indent)


def _show_rest(page: Page, found: Audit, *, verbose: bool) -> None:
    if found.harmless:
        page.field("harmless", _reasons(found.harmless, verbose=verbose))
    notes = [f"{machine.name}: {note}" for machine in found.machines for note in machine.notes]
    page.field("not compared", notes if verbose else notes[:_VALUES])
    if len(notes) > _VALUES and not verbose:
        page.field("", [f"and {len(notes) - _VALUES} more (-v shows all)"])
    page.field(
        "failed",
        [f"{each.image}: {each.error['error']['message']}" for each in found.failures],
        fg="red",
    )
    if found.ignored:
        page.field("ignored", [f"{count(found.ignored, 'file')} that belong to no machine"])


def _reasons(harmless: Iterable[Shared], *, verbose: bool) -> list[str]:
    if verbose:
        return [f"{each.kind} {each.value}: {each.harmless}" for each in harmless]
    numbers = Counter((each.kind, each.harmless) for each in harmless)
    return [f"{number} {kind}: {why}" for (kind, why), number in numbers.items()]
