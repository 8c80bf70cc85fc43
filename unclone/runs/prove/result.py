"""What proving one machine came to."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from unclone.images.errors import ExitStatus
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.boot.booting import Ending
    from unclone.runs.prove.comparing import Difference
    from unclone.runs.prove.guest_report import GuestReport


@dataclass(frozen=True)
class Boot:
    """One boot, and what the guest said in it, if it did."""

    ending: Ending
    said: GuestReport | None

    def to_json(self, *, screen: bool) -> dict[str, Any]:
        """As documented in docs/json.md."""
        picture = base64.b64encode(self.ending.screen).decode() if screen else ""
        return {
            "reported": self.said is not None,
            "phase": str(self.ending.phase),
            "reason": printable(self.ending.reason),
            "seconds": self.ending.seconds,
            "phases": {str(phase): at for phase, at in self.ending.phases.items()},
            "report": self.said.to_json() if self.said else {},
            "console": list(self.ending.console.last_lines()),
            "screen": picture,
        }


@dataclass(frozen=True)
class Proof:
    """The boots of a machine, compared."""

    image: str
    guest: str
    init: str
    firmware: str
    kvm: bool
    boots: tuple[Boot, ...]
    differences: tuple[Difference, ...] = ()
    #: Units that failed, and failed in the original, too.
    failed_before: tuple[str, ...] = ()
    #: Kind and value of identities that the original has, too.
    shared: tuple[tuple[str, str], ...] = ()
    original: Boot | None = None
    notes: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def booted(self) -> bool:
        """Whether every boot came as far as its services: in emergency mode none does."""
        return all(
            boot.said is not None
            and boot.said.first("state") not in {"maintenance", "initializing"}
            for boot in self.boots
        )

    @property
    def status(self) -> str:
        """``proven``, ``different`` or ``not-booted``."""
        if not self.booted:
            return "not-booted"
        return "different" if self.differences or self.shared else "proven"

    @property
    def exit_status(self) -> ExitStatus:
        """Its part of the exit status."""
        return ExitStatus.DONE if self.status == "proven" else ExitStatus.RESIDUE

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return {
            "image": self.image,
            "status": self.status,
            "guest": printable(self.guest),
            "init": self.init,
            "firmware": self.firmware,
            "kvm": self.kvm,
            "differences": [
                {name: printable(text) for name, text in asdict(each).items()}
                for each in self.differences
            ],
            "failed_before": [printable(unit) for unit in self.failed_before],
            "shared": [
                {"kind": printable(kind), "value": printable(value)} for kind, value in self.shared
            ],
            "boots": [boot.to_json(screen=True) for boot in self.boots],
            "original": self.original.to_json(screen=True) if self.original else None,
            "notes": [printable(note) for note in self.notes],
            "timings": dict(self.timings),
        }
