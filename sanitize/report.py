"""What happened to one guest: the record behind the summary on the terminal and ``--json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.layout import Layout
    from unclone.images.volumes import CheckResult, FileSystem, Identifier
    from unclone.sanitize.change import Change, Note, Plan
    from unclone.sanitize.residue import Residue


@dataclass(frozen=True, slots=True)
class Outcome:
    """One change, done. ``learned`` is the new value when it was made while applying."""

    change: Change
    learned: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading back found: file systems, none damaged, and residue that does not block."""

    checks: tuple[CheckResult, ...] = ()
    residue: tuple[Residue, ...] = ()


@dataclass(frozen=True, slots=True)
class GuestSummary:
    """What the guest is."""

    name: str  # os-release PRETTY_NAME
    distribution: str  # os-release ID
    version: str  # os-release VERSION_ID
    init: str
    hostname: str
    layout: Layout

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "init": self.init,
            "hostname": self.hostname,
            "mounts": [asdict(mount) for mount in self.layout.mounts_in_order],
        }


@dataclass(frozen=True, slots=True)
class Inspection:
    """``unclone inspect``: what is in an image, and what a run would change."""

    image: str
    format: str
    virtual_size: int
    engine: str
    guest: GuestSummary
    file_systems: tuple[FileSystem, ...]
    identifiers: tuple[Identifier, ...]
    plan: Plan
    warnings: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return {
            "image": self.image,
            "format": self.format,
            "virtual_size": self.virtual_size,
            "engine": self.engine,
            "guest": self.guest.to_json(),
            "file_systems": [asdict(fs) for fs in self.file_systems],
            "identifiers": [asdict(identifier) for identifier in self.identifiers],
            "plan": self.plan.to_json(),
            "warnings": list(self.warnings),
            "timings": dict(self.timings),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """``unclone sanitize``: what was changed in an image, and how that was proven."""

    image: str
    #: Where the result is: the image itself, or the file given with --output.
    result: str
    dry_run: bool
    engine: str
    guest: GuestSummary
    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    verification: Verification = field(default_factory=Verification)
    #: Identifiers read from the devices afterwards.
    identifiers: tuple[Identifier, ...] = ()
    warnings: tuple[str, ...] = ()
    #: Seconds per phase, in order.
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the steps had to say."""
        return self.plan.notes

    def proven(
        self,
        outcomes: tuple[Outcome, ...],
        verification: Verification,
        identifiers: tuple[Identifier, ...],
    ) -> Report:
        """The same report with what was done, and how it was proven."""
        return replace(self, outcomes=outcomes, verification=verification, identifiers=identifiers)

    def finished(self, timings: Mapping[str, float]) -> Report:
        """The same report with the time each phase took."""
        return replace(self, timings=timings)

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        learned = {id(outcome.change): outcome.learned for outcome in self.outcomes}
        changes = [{**asdict(c), "learned": learned.get(id(c), "")} for c in self.plan.changes]
        return {
            "image": self.image,
            "result": self.result,
            "status": "planned" if self.dry_run else "done",
            "engine": self.engine,
            "profile": self.plan.profile,
            "guest": self.guest.to_json(),
            "changes": changes,
            "notes": [asdict(note) for note in self.plan.notes],
            "retired": [asdict(retired) for retired in self.plan.retired],
            "checks": [asdict(check) for check in self.verification.checks],
            "residue": [asdict(residue) for residue in self.verification.residue],
            "identifiers": [asdict(identifier) for identifier in self.identifiers],
            "warnings": list(self.warnings),
            "timings": dict(self.timings),
        }
