"""What the kinds of pins have in common: files, roles, and what is to become of a pin."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Protocol

from unclone.images.text import printable
from unclone.sanitize.change import Level
from unclone.sanitize.identities import mac

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts


#: How many addresses a note names.
_SHOWN = 3


class Role(Enum):
    """What an address does in a file."""

    MATCH = auto()  # says which card the settings are for: a clone's card is another one
    ASSIGNED = auto()  # is given to an interface: clones would share it


class Text(NamedTuple):
    """A file of the guest; ``path`` has no symlinks in it."""

    path: str
    text: str


class Splice(NamedTuple):
    """Characters ``start`` to before ``end`` become ``new``."""

    start: int
    end: int
    new: str


@dataclass
class Unpinning:
    """What the kinds want done, and which pins they have to ask about.

    ``renewed`` is the map of old to new addresses. Empty, every pin has to go; else those in it
    are rewritten by the step, and only assigned addresses that are not in it go.
    """

    renewed: Mapping[str, str] = field(default_factory=dict)
    splices: dict[str, list[Splice]] = field(default_factory=dict)
    removals: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: In the order they were said; each once.
    notes: dict[tuple[Level, str], None] = field(default_factory=dict)
    #: Addresses that stay somewhere, although they are in the map.
    kept: set[str] = field(default_factory=set)

    def goes(self, role: Role, path: str, macs: Collection[str]) -> bool:
        """Whether a pin of *macs* has to go; a note when it stays and matches no card."""
        if not self.renewed:
            return True
        if any(one in self.renewed or one in self.renewed.values() for one in macs):
            return False  # the step rewrites it, or has done so
        if role is Role.MATCH and macs:
            text = f"{shown(macs)}, which no card of the definition has"
            self.note(Level.WARNING, f"{printable(path)} is for the MAC address {text}")
        return role is Role.ASSIGNED

    def splice(self, path: str, start: int, end: int, new: str = "") -> None:
        """Replace characters *start* to before *end* of the file."""
        self.splices.setdefault(path, []).append(Splice(start, end, new))

    def keep(self, path: str, what: str, macs: Iterable[str] = ()) -> None:
        """A pin of *macs* stays, because what should take its place is not known."""
        self.kept.update(macs)
        self.note(
            Level.KEPT,
            f"{printable(path)} {what}: give the definition together with the image, or change "
            "it in the guest",
        )

    def note(self, level: Level, text: str) -> None:
        """Say something once."""
        self.notes[level, text] = None


class NetworkFiles(Protocol):
    """One kind of file that pins MAC addresses."""

    @property
    def globs(self) -> Sequence[str]:
        """Where its files are; addresses in them that are in the map are rewritten."""

    def unpin(
        self, guest: Guest, facts: Facts, files: Sequence[Text], unpinning: Unpinning
    ) -> None:
        """Say what becomes of each pin that goes. Reads only."""


def addresses(text: str) -> tuple[str, ...]:
    """The MAC addresses in *text*, lower case with colons.

    Twelve digits without separators are something else in most places, so they do not count.
    """
    return tuple(dict.fromkeys(str(f.mac) for f in mac.find(text) if f.mac.separator))


def shown(macs: Collection[str]) -> str:
    """Some of *macs*, and how many more there are."""
    more = f" and {len(macs) - _SHOWN} more" if len(macs) > _SHOWN else ""
    return ", ".join(list(macs)[:_SHOWN]) + more
