"""The proof: the new definition is read as any other, and must say what was promised.

A parser that found a place and an editor that wrote there may both be wrong; reading the result
with the parser shows it before anything is written.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError, ResidueError
from unclone.images.text import printable
from unclone.sanitize.definitions.machine_ids import with_machine_ids
from unclone.sanitize.definitions.rule import FieldKind, Treatment
from unclone.sanitize.identities import mac as addresses
from unclone.sanitize.identities.uuids import hexadecimal

if TYPE_CHECKING:
    from unclone.sanitize.definitions.definition import Definition, DefinitionPlan, Field

_REPORT = "Please report this with the definition; look through it first for what is private."
_UUIDS = (FieldKind.MACHINE_UUID, FieldKind.UUID, FieldKind.GENERATION_ID)
_PROMISED = {Treatment.NAME, Treatment.RENEW}


def verify(plan: DefinitionPlan) -> None:
    """Raise ResidueError unless every new value is read where it was put, and no old one is."""
    definition = plan.definition
    try:
        again = with_machine_ids(definition.reread(plan))
    except RefusedError as error:
        raise ResidueError(
            f"{definition.source.shown}: what came out of it cannot be read: {error.message}",
            hint=_REPORT,
        ) from error
    promised = Counter(
        (each.field.rule.id, each.new)
        for each in plan.fields
        if each.changed and each.new and each.field.rule.treatment in _PROMISED
    )
    missing = promised - Counter((f.rule.id, f.value) for f in again.fields)
    for rule, value in missing:
        raise ResidueError(
            f"{definition.source.shown}: the new {rule} '{printable(value or '', 200)}' is not in "
            "the result",
            hint=_REPORT,
        )
    # A short serial number may have become what another one was.
    others = [f for f in again.fields if (f.rule.id, f.value) not in promised]
    _require_renewed(definition, plan, others)


def _require_renewed(definition: Definition, plan: DefinitionPlan, fields: list[Field]) -> None:
    retired = {
        _key(each.field): each.field.rule.id
        for each in plan.fields
        if each.changed and _is_identity(each.field)
    }
    for field in fields:
        if _is_identity(field) and _key(field) in retired:
            raise ResidueError(
                f"{definition.source.shown}: the old {retired[_key(field)]} "
                f"'{printable(field.value, 200)}' is still in the result, at {field.place}",
                hint=_REPORT,
            )


def _is_identity(field: Field) -> bool:
    """Whether no other field may have its value; a port of one may become another's."""
    kinds = (*_UUIDS, FieldKind.MAC, FieldKind.SERIAL, FieldKind.WWN)
    return (
        field.rule.treatment is Treatment.RENEW and field.rule.kind in kinds and bool(field.value)
    )


def _key(field: Field) -> tuple[str, str]:
    """What makes values equal: how they are spelled does not."""
    if field.rule.kind is FieldKind.MAC:
        return "mac", addresses.compared(field.value)
    if field.rule.kind in _UUIDS:
        return "uuid", hexadecimal(field.value)
    return field.rule.id, field.value
