"""A plan is data: frozen, ordered, JSON-serialisable. Nothing here touches an image."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The actions on devices. The guest is unmounted for them, so they come after those on files.
SET_IDENTIFIER = "set-identifier"
DELETE_SUBVOLUME = "delete-subvolume"
ON_DEVICES = frozenset({SET_IDENTIFIER, DELETE_SUBVOLUME})


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that will be done to the guest.

    ``action`` names a class in ``actions``; ``target`` is a guest path or device;
    ``details`` are the action's own parameters (JSON values). ``old`` and ``new`` are what a
    person is shown: an identifier, a fingerprint, a count; never a secret.
    """

    step: str
    action: str
    target: str
    why: str
    old: str = ""
    new: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class Level(StrEnum):
    """How much a :class:`Note` matters."""

    INFO = "info"  # what was decided, and why
    WARNING = "warning"  # the person should know, nothing is wrong
    KEPT = "kept"  # an identity stays because changing it is not proven safe; --strict refuses


@dataclass(frozen=True, slots=True)
class Note:
    """Something a step has to say that is not a change."""

    step: str
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Retired:
    """An old identifier that must be found nowhere afterwards; the residue scan looks for it."""

    step: str
    kind: str  # "machine-id", "file-system-uuid" ...
    value: str


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What one step wants done."""

    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()
    retired: tuple[Retired, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that will be done to one guest, in order."""

    profile: str
    changes: tuple[Change, ...]
    notes: tuple[Note, ...]
    retired: tuple[Retired, ...]

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values, as ``--json`` prints it (docs/json.md)."""
        return asdict(self)
