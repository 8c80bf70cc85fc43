"""A step: one identity, how it is found and what is planned for it.

Steps only read. They come from two places: a row of the catalogue (``catalogue``), or
a module in ``steps`` where the decision needs more than paths. Both look the same to
the rest of the program, and ``unclone steps`` lists both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from unclone.sanitize.identities.derivation import IdentityGenerator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import StepPlan
    from unclone.sanitize.facts import Facts


class Profile(StrEnum):
    """How far a run goes."""

    IDENTITY = "identity"  # what must not be shared; a configured machine stays configured
    GOLDEN = "golden"  # also logs, histories, caches: a template that others are made from


@dataclass(frozen=True, slots=True)
class StepInfo:
    """What ``unclone steps`` says about a step."""

    id: str
    title: str
    why: str
    sources: tuple[str, ...]
    profile: Profile = Profile.IDENTITY
    #: Why the step is off unless enabled by name; empty when it is on.
    off_because: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """What the person asked for, as far as steps care."""

    profile: Profile = Profile.IDENTITY
    enable: frozenset[str] = frozenset()
    disable: frozenset[str] = frozenset()
    #: auto, remove, empty, uninitialized, random, or 32 lower-case hex digits.
    machine_id: str = "auto"
    #: auto, remove, generate, keep.
    ssh_host_keys: str = "auto"
    #: renew, keep: the UUIDs and other identifiers of file systems, partitions and containers.
    uuids: str = "renew"
    #: Where new values come from.
    identities: IdentityGenerator = field(default_factory=IdentityGenerator)
    strict: bool = False
    #: MAC addresses of the definition, old to new; empty when the image is changed alone.
    macs: Mapping[str, str] = field(default_factory=dict)
    #: Catalogue files of the person's own, as host paths.
    catalogues: Sequence[str] = field(default=())


class Step(Protocol):
    """One identity kind."""

    @property
    def info(self) -> StepInfo:
        """Its description."""

    def plan(self, guest: Guest, facts: Facts, options: Options) -> StepPlan:
        """Look at the guest and say what has to change. Reads only; may raise RefusedError."""
