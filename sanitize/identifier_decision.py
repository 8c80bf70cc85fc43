"""Which identifiers this run renews, and which stay because something could not follow.

Decided once, for all kinds together, before anything is planned: one file may refer to a file
system, a swap area and a partition, and what cannot be rewritten keeps all that it refers to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize import initrds, var_partition
from unclone.sanitize.identifiers import IdentifierStep, is_none
from unclone.sanitize.references import disk_names, initrd
from unclone.sanitize.renewal import Blocker, Renewal, Renewals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unclone.images.volumes import Identifier, IdentifierKind
    from unclone.sanitize.references.reference import Reference
    from unclone.sanitize.step import PlanningContext, Step

#: Attempts to draw a value that the guest does not have; one is nearly always enough.
_ATTEMPTS = 100


def decide(
    context: PlanningContext, steps: Iterable[Step], references: Sequence[Reference]
) -> PlanningContext:
    """*context* with what is renewed of the identifiers that *steps* own.

    Of those, what one of *references* cannot follow is kept. Raises ``OSError``.
    """
    guest = context.guest
    kinds = {step.kind: step for step in steps if isinstance(step, IdentifierStep)}
    names = disk_names.renewals(context.options.disk_serials)
    if not kinds and not names:
        return context
    present = guest.identifiers() if kinds else ()
    candidates = tuple(_candidates(present, kinds, context))
    kept = [
        Blocker(each, why, "")
        for each in candidates
        if (why := _unsettable(each, present, context))
    ]
    candidates += names
    renewed = _without(candidates, kept)
    if not renewed:  # then nothing has to follow, and what could not needs no looking for
        return replace(context, renewals=Renewals((), tuple(_first_of_each(kept))))
    context = replace(context, renewals=Renewals(renewed))
    # Initrds last: they are being unpacked meanwhile.
    for reference in sorted(references, key=lambda each: each is initrd.REFERENCE):
        if reference is initrd.REFERENCE:
            needles = context.renewals.rewriter.needles
            context = replace(context, initrds=initrds.surveys(guest, needles))
        kept += reference.blockers(context)
    decided = Renewals(_without(candidates, kept), tuple(_first_of_each(kept)))
    return replace(context, renewals=decided)


def _candidates(
    present: Sequence[Identifier],
    kinds: dict[IdentifierKind, IdentifierStep],
    context: PlanningContext,
) -> Iterator[Renewal]:
    taken = {identifier.value for identifier in present}
    new: dict[str, str] = {}
    if (var := context.var_partition) and (guid := var_partition.new_guid(context)):
        new[var.partition_uuid.lower()] = guid
        taken.add(guid)
    for identifier in present:
        step = kinds.get(identifier.kind)
        if step is None or is_none(identifier.value):
            continue
        # The devices of one btrfs or one array have one UUID, and have one afterwards; so has
        # whatever else was given the same value, because a reference cannot tell which is meant.
        key = identifier.value.lower()
        if key not in new:
            new[key] = _fresh(step, context, f"{identifier.kind} {identifier.device}", taken)
            taken.add(new[key])
        yield Renewal(identifier.kind, identifier.device, identifier.value, new[key])


def _unsettable(candidate: Renewal, present: Sequence[Identifier], context: PlanningContext) -> str:
    if candidate.old.lower() == candidate.new:
        return "it is made from the machine-id, which stays"
    return context.guest.unsettable(_as_identifier(candidate, present))


def _fresh(step: IdentifierStep, context: PlanningContext, field: str, taken: set[str]) -> str:
    given = context.new_values.identifiers.get(field)
    if given in taken:
        raise RefusedError(f"the new {field} of the saved plan is in use already: {given}")
    if given is not None:
        return given
    for attempt in range(_ATTEMPTS):
        value = step.form.draw(
            context.options.identities, f"{field} {attempt}" if attempt else field
        )
        if value not in taken:
            return value
    raise AssertionError(f"no new value for {field}")


def _as_identifier(renewal: Renewal, present: Sequence[Identifier]) -> Identifier:
    return next(i for i in present if (i.kind, i.device) == (renewal.kind, renewal.device))


def _without(candidates: Sequence[Renewal], kept: Sequence[Blocker]) -> tuple[Renewal, ...]:
    # What has the same old value stays with it: a reference cannot tell the two apart.
    values = {blocker.renewal.old.lower() for blocker in kept}
    return tuple(each for each in candidates if each.old.lower() not in values)


def _first_of_each(kept: Iterable[Blocker]) -> Iterator[Blocker]:
    """One reason for each identifier is enough to say."""
    seen = set()
    for blocker in kept:
        if blocker.renewal not in seen:
            seen.add(blocker.renewal)
            yield blocker
