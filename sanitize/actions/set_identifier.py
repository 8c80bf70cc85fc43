"""Set an identifier of a device. Details: ``kind``; the change's ``new`` is the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class SetIdentifier:
    """Afterwards the device has the new value, read back from the disk."""

    def apply(self, guest: Guest, change: Change) -> str:
        """The guest is unmounted for it; applying sets all of a plan together, and last."""
        guest.set_identifiers([as_identifier(change)])
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """What a tool said proves nothing; the value on the device does."""
        wanted = as_identifier(change)
        values = {
            each.value
            for each in guest.identifiers()
            if (each.kind, each.device) == (wanted.kind, wanted.device)
        }
        if {value.lower() for value in values} != {wanted.value.lower()}:
            found = ", ".join(sorted(values)) or "none"
            return f"the {wanted.kind} of {wanted.device} is {found}, not {wanted.value}"
        return ""


def as_identifier(change: Change) -> Identifier:
    """The identifier that *change* sets."""
    return Identifier(IdentifierKind(change.details["kind"]), change.target, change.new)
