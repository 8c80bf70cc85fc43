"""What a seed needs of a guest, and what in the guest is in its way."""

from __future__ import annotations

from typing import Any, NamedTuple


class Wanted(NamedTuple):
    """What a seed needs of the guest. The default: a host name and a network, by an ISO image."""

    #: Top-level keys of its user-data and vendor-data.
    keys: frozenset[str] = frozenset()
    hostname: bool = True
    network: bool = True
    #: Keys of :data:`unclone.sanitize.seed_readiness.NEEDS`.
    features: frozenset[str] = frozenset()


class Obstacle(NamedTuple):
    """One reason why a seed would not do what it says."""

    id: str
    path: str  # in the guest; empty where no file is to blame
    meaning: str
    remedy: str
    #: The whole seed is ignored; otherwise a part of it.
    whole: bool = False
    #: The step of ``unclone sanitize`` that removes it, and whether that runs by default.
    step: str = ""
    by_default: bool = False

    def to_json(self) -> dict[str, Any]:
        """As ``unclone seed --check --json`` prints it (docs/json.md)."""
        return {
            "id": self.id,
            "path": self.path,
            "meaning": self.meaning,
            "remedy": self.remedy,
            "whole": self.whole,
            "step": self.step,
            "by_default": self.by_default,
        }
