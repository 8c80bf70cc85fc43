"""What is recorded of a machine: the identities that were given to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """One value that was given out; ``kind`` is mac, uuid, ...; ``field`` says for what."""

    kind: str
    value: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """A machine in the ledger. ``source`` is what it was made from."""

    name: str
    source: str
    allocated: str
    identities: tuple[Identity, ...]
