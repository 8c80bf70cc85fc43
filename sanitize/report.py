"""What happened to one guest: the record behind the summary on the terminal and ``--json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from unclone.sanitize.inventory.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.layout import Layout
    from unclone.images.volumes import CheckResult, FileSystem, Identifier
    from unclone.sanitize.change import Change, Note, Plan
    from unclone.sanitize.left_behind import LeftBehind
    from unclone.sanitize.residue import Residue


#: Actions that make a new value whatever the old one was.
ALWAYS_RENEWED = frozenset({"set-identifier", "generate-ssh-host-key"})


def reference_steps() -> frozenset[str]:
    """The steps whose changes follow those of device identifiers."""
    from unclone.sanitize.references import REFERENCES  # noqa: PLC0415 (slow to load)

    return frozenset(reference.info.id for reference in REFERENCES)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One change, done. ``learned`` is the new value when it was made while applying."""

    change: Change
    learned: str = ""
    #: What it removed one name of, as it was before.
    left_behind: tuple[LeftBehind, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading back found: file systems, none damaged, and residue that does not block.

    ``unsearched`` are the directories in which no residue was looked for.
    """

    checks: tuple[CheckResult, ...] = ()
    residue: tuple[Residue, ...] = ()
    unsearched: tuple[str, ...] = ()


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
    #: What identifies the machine now.
    inventory: Inventory = field(default_factory=Inventory)
    warnings: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    #: Why a run would refuse the guest; the plan is empty then.
    refusal: str = ""

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
            "refusal": self.refusal,
            "inventory": self.inventory.to_json(),
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
    #: What identifies the machine: afterwards, or as it is where nothing was changed.
    inventory: Inventory = field(default_factory=Inventory)
    #: The image was left as it is because of ``if_needed``: a run would only renew again.
    left_alone: bool = False
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

    @property
    def only_renews(self) -> bool:
        """Whether the plan is nothing but what every run makes anew, also right after another.

        Those are the identifiers of devices with what refers to them, UUIDs in files, and the SSH
        host keys that are made here. So an image that was sanitised looks; a copy of it looks the
        same.
        """
        references = reference_steps()
        return all(
            change.action in ALWAYS_RENEWED
            or change.step in references
            or "drawn" in change.details
            for change in self.plan.changes
        )

    @property
    def host_name(self) -> tuple[str, str] | None:
        """The old host name and the new one; None when none was set."""
        changes = [change for change in self.plan.changes if change.step == "hostname"]
        return (changes[0].old, changes[0].new) if changes else None

    @property
    def status(self) -> str:
        """``done``, ``planned`` or ``unchanged``."""
        if self.left_alone:
            return "unchanged"
        return "planned" if self.dry_run else "done"

    def proven(
        self,
        outcomes: tuple[Outcome, ...],
        verification: Verification,
        identifiers: tuple[Identifier, ...],
        inventory: Inventory,
    ) -> Report:
        """The same report with what was done, how it was proven, and what is left."""
        return replace(
            self,
            outcomes=outcomes,
            verification=verification,
            identifiers=identifiers,
            inventory=inventory,
        )

    def leave_alone(self, inventory: Inventory) -> Report:
        """The same report of an image that is left as it is."""
        return replace(self, inventory=inventory, left_alone=True)

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
            "status": self.status,
            "engine": self.engine,
            "profile": self.plan.profile,
            "guest": self.guest.to_json(),
            "host_name": (
                dict(zip(("old", "new"), self.host_name, strict=True)) if self.host_name else None
            ),
            "changes": changes,
            "notes": [asdict(note) for note in self.plan.notes],
            "retired": [asdict(retired) for retired in self.plan.retired],
            "checks": [asdict(check) for check in self.verification.checks],
            "residue": [asdict(residue) for residue in self.verification.residue],
            "unsearched": list(self.verification.unsearched),
            "identifiers": [asdict(identifier) for identifier in self.identifiers],
            "inventory": self.inventory.to_json(),
            "only_renews": self.only_renews,
            "warnings": list(self.warnings),
            "timings": dict(self.timings),
        }
