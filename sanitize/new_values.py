"""The new values of a run: drawn by it, or those of a plan that was saved."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from unclone.images.discoverable import var_partition_uuid
from unclone.sanitize.change import SET_IDENTIFIER
from unclone.sanitize.finder import Finder
from unclone.sanitize.identities.derivation import IdentityGenerator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.sanitize.change import Change, Plan
    from unclone.sanitize.options import Options

#: Stands for a value that the run draws which carries the plan out.
RANDOM = "(random)"


@dataclass(frozen=True, slots=True)
class NewValues:
    """What is not decided by the guest and the options alone."""

    #: The id that ``--machine-id random`` gives: one for all steps that need it.
    machine_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    #: Those of device identifiers, by ``KIND DEVICE``; one that is missing is drawn.
    identifiers: Mapping[str, str] = field(default_factory=dict)

    def uuid(self, old: str, options: Options) -> str:
        """The UUID that follows *old*; in capitals where *old* is."""
        made = options.identities
        if not made.key:  # then it follows from what this run has drawn
            made = IdentityGenerator(key=self.machine_id.encode())
        new = made.uuid(f"uuid {old.lower()}")
        return new if old == old.lower() else new.upper()

    @classmethod
    def of(cls, plan: Plan, machine_id: str) -> NewValues:
        """Those in *plan*, with the *machine_id* it was made with."""
        identifiers = {
            f"{change.details['kind']} {change.target}": change.new
            for change in plan.changes
            if change.action == SET_IDENTIFIER
        }
        return cls(machine_id, identifiers)


def mask_random(plan: Plan, options: Options, new_values: NewValues) -> Plan:
    """*plan* with ``(random)`` in place of every value that another run would draw anew."""
    # An id that was not drawn for this run is in no plan.
    values = {new_values.machine_id, var_partition_uuid(new_values.machine_id)}
    if not options.identities.key:
        values |= {change.new for change in plan.changes if change.action == SET_IDENTIFIER}
        drawn = (change.details for change in plan.changes if change.details.get("drawn"))
        values |= {one["new"] for details in drawn for one in details["replacements"]}
    mask = _Mask(values)
    return replace(
        plan,
        changes=tuple(map(mask.change, plan.changes)),
        notes=tuple(replace(note, text=mask.text(note.text)) for note in plan.notes),
    )


class _Mask:
    def __init__(self, values: set[str]) -> None:
        self._values = values
        self._finder = Finder(values, words=True)

    def change(self, change: Change) -> Change:
        return replace(
            change,
            target=self.text(change.target),
            new=self.text(change.new),
            details=self._json(change.details),
        )

    def text(self, text: str) -> str:
        if text in self._values:
            return RANDOM
        content = text.encode("utf-8", "surrogateescape")
        pieces, done = [], 0
        for start, spelled in self._finder.matches(content):
            pieces += [content[done:start], RANDOM.encode()]
            done = start + len(spelled)
        return b"".join([*pieces, content[done:]]).decode("utf-8", "surrogateescape")

    def _json(self, value: Any) -> Any:  # noqa: ANN401 (any JSON value)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self._json(each) for each in value]
        if isinstance(value, dict):
            return {name: self._json(each) for name, each in value.items()}
        return value
