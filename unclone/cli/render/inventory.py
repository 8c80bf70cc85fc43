"""What identifies the machine: all of it for ``inspect``, what a run keeps for ``sanitize``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.cli.render.page import LABEL_WIDTH, columns
from unclone.sanitize.inventory.optional_steps import Off
from unclone.sanitize.inventory.users import Password

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.cli.render.page import Page
    from unclone.sanitize.inventory.host_names import HostName
    from unclone.sanitize.inventory.inventory import Inventory
    from unclone.sanitize.inventory.network import Fixed
    from unclone.sanitize.inventory.optional_steps import OptionalStep, Told
    from unclone.sanitize.inventory.users import User

#: Of one kind of thing, how many are named in a summary; the rest are counted.
_NAMED = 6

#: Paths of one step that are named.
_PLACES = 3

_PASSWORDS = {
    Password.SET: "password",
    Password.EMPTY: "EMPTY password",
    Password.LOCKED: "no password",
    Password.UNKNOWN: "password unknown",
}


def show_identities(page: Page, found: Inventory, other_machine_ids: Sequence[str]) -> None:
    """Everything that identifies the machine, for ``inspect``."""
    page.field("host name", [_names(found.host_names)] if found.host_names else [])
    page.field(
        "machine-id",
        [
            *[f"{each.id or each.state} ({each.path})" for each in found.machine_ids],
            *other_machine_ids,
        ],
    )
    page.field(
        "SSH host keys",
        [f"{key.type:8} {key.fingerprint or key.path}" for key in found.ssh_host_keys],
    )
    page.field("MAC addresses", _some(found.macs))
    page.field("addresses", _some(found.addresses))
    page.field("users", _users(found.users))
    page.field("certificates", [", ".join(found.certificates)] if found.certificates else [])


def show_kept(
    page: Page, found: Inventory, reasons: Sequence[str], *, named: bool, verbose: bool
) -> None:
    """What still identifies the machine after a run; *reasons* are those of kept identities.

    *named*: a host name was given, and there are others. Where each is only if *verbose*.
    """
    kept = list(_kept(found, named=named, verbose=verbose))
    texts = kept if verbose or not kept else ["; ".join(kept)]
    page.field("kept", [*texts, *reasons], fg="magenta")


def show_optional_steps(page: Page, found: Inventory, *, verbose: bool) -> None:
    """Steps that were left out and that find something, with the option that runs each."""
    room = page.width - LABEL_WIDTH
    page.field("off by default", _optional(found.optional_steps, room, verbose=verbose), fg="cyan")


def show_told(page: Page, found: Inventory, *, verbose: bool) -> None:
    """What stays because only the person can renew it; how, where *verbose*."""
    page.field("you decide", _told(found.told, verbose=verbose), fg="cyan")


def count_undecided(found: Inventory) -> tuple[int, int]:
    """How many steps are off by default and find something, and how many things are told."""
    return sum(each.off is Off.BY_DEFAULT for each in found.optional_steps), len(found.told)


def _kept(found: Inventory, *, named: bool, verbose: bool) -> Iterator[str]:
    if found.host_names:
        how = "" if named else " (--hostname NAME changes it)"
        yield f"host name {_names(found.host_names, places=verbose)}{how}"
    for text in _users(found.users):
        yield f"users {text}"
    for kind, places in (("address", found.addresses), ("MAC address", found.macs)):
        if verbose:
            yield from (f"{kind} {text}" for text in _some(places))
        elif places:
            more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
            yield f"{kind} {', '.join(each.value for each in places[:_NAMED])}{more}"
    if found.certificates:
        yield f"certificates: {', '.join(found.certificates[:_NAMED])}"
    disabled = [each.step for each in found.optional_steps if each.off is Off.DISABLED]
    if disabled:
        yield f"as asked (--disable): {', '.join(disabled)}"


def _optional(steps: Sequence[OptionalStep], room: int, *, verbose: bool) -> Iterator[str]:
    for each in steps:
        if each.off is Off.BY_DEFAULT:
            option = f"--enable {each.step}"
            titled = f"{option}: {each.title}"
            yield titled if verbose or columns(titled) <= room else option
            if verbose:
                yield f"  {_places(each.paths)}. Off because: {each.off_because}"
    golden = [each for each in steps if each.off is Off.GOLDEN]
    if verbose:
        yield from (f"--enable {each.step}: {each.title} ({each.path})" for each in golden)
    elif golden:
        yield f"--profile golden: {', '.join(each.step for each in golden)}"


def _told(told: Sequence[Told], *, verbose: bool) -> Iterator[str]:
    for each in told:
        yield f"{each.step}: {each.title} ({_places(each.paths)})"
        if verbose:
            yield f"  {each.why} {each.remedy}"


def _places(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _PLACES} more" if len(paths) > _PLACES else ""
    return f"{', '.join(paths[:_PLACES])}{more}"


def _names(names: Sequence[HostName], *, places: bool = True) -> str:
    values = [name.value for name in names[:_NAMED]]
    paths = dict.fromkeys(path for name in names for path in name.paths)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(values)}{more}" + (f" ({', '.join(paths)})" if places else "")


def _users(users: Sequence[User]) -> Iterator[str]:
    named = [user for user in users if user.uid or user.password is not Password.LOCKED]
    shown = [f"{user.name} ({_PASSWORDS[user.password]})" for user in named[:_NAMED]]
    if len(named) > _NAMED:
        shown.append(f"and {len(named) - _NAMED} more")
    if shown:
        yield ", ".join(shown)


def _some(found: Sequence[Fixed]) -> Iterator[str]:
    yield from map(_place, found[:_NAMED])
    if len(found) > _NAMED:
        yield f"and {len(found) - _NAMED} more"


def _place(found: Fixed) -> str:
    more = f" and {len(found.paths) - _NAMED} more" if len(found.paths) > _NAMED else ""
    return f"{found.value} ({', '.join(found.paths[:_NAMED])}{more})"
