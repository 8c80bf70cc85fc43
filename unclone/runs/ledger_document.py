"""The document that ``unclone ledger --json`` prints, and reads again to fill another ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

from unclone.images.errors import UsageError
from unclone.images.text import printable
from unclone.sanitize.identities.records import Identity, MachineRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "unclone.ledger/1"


def to_json(machine: MachineRecord) -> dict[str, Any]:
    """One result of the document."""
    identities = [one._asdict() for one in machine.identities]
    return {**machine._asdict(), "identities": identities}


def read(file: TextIO) -> list[MachineRecord]:
    """The machines of a document. Raises :class:`UsageError` for anything else."""
    import jsonschema  # noqa: PLC0415 (only needed here)

    from unclone import schemas  # noqa: PLC0415 (only needed here)

    try:
        document = json.load(file)
        jsonschema.validate(document, schemas.load(SCHEMA))
        return [_machine(result) for result in document["results"]]
    except (ValueError, KeyError, RecursionError, jsonschema.ValidationError) as error:
        words = getattr(error, "message", f"{type(error).__name__}: {error}")
        raise UsageError(
            f"{printable(file.name)} is not what a ledger prints: {printable(words, 80)}",
            hint="unclone ledger LEDGER --json > FILE makes such a file.",
        ) from None


def _machine(result: Mapping[str, Any]) -> MachineRecord:
    identities = (Identity(one["kind"], one["value"], one["field"]) for one in result["identities"])
    return MachineRecord(result["name"], result["source"], result["allocated"], tuple(identities))
