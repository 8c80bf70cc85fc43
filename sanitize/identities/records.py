"""What is recorded of a machine: the identities that were given to it."""

from __future__ import annotations

from typing import NamedTuple


class Identity(NamedTuple):
    """One value that was given out; ``kind`` is mac, uuid, ...; ``field`` says for what."""

    kind: str
    value: str
    field: str = ""


class MachineRecord(NamedTuple):
    """A machine in the ledger. ``source`` is what it was made from."""

    name: str
    source: str
    allocated: str
    identities: tuple[Identity, ...]
