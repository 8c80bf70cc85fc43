"""The plan that the steps of a run add up to. Reads the guest, changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.guest import parent
from unclone.sanitize import bind_mounts, clone_readiness, seed_readiness, var_partition
from unclone.sanitize.change import ON_DEVICES, Level, Plan, StepPlan
from unclone.sanitize.facts import Facts
from unclone.sanitize.identifier_decision import decide
from unclone.sanitize.inventory.optional_steps import undecided
from unclone.sanitize.new_values import NewValues
from unclone.sanitize.references import REFERENCES, disk_names, verity
from unclone.sanitize.step import PlanningContext
from unclone.sanitize.step_selection import all_steps, is_selected
from unclone.sanitize.steps import LAST, STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change
    from unclone.sanitize.options import Options


def make_plan(guest: Guest, options: Options, new_values: NewValues | None = None) -> Plan:
    """The plan for *guest*. The same guest, options and *new_values* give the same plan.

    New values that are not given are drawn.

    Raises :class:`RefusedError` when a step meets something it cannot change safely, and, with
    ``strict``, when anything would be kept.
    """
    facts = Facts(guest)
    context = PlanningContext(
        guest,
        facts,
        options,
        new_values or NewValues(),
        var_partition=var_partition.find(guest, facts),
    )
    selected = [step for step in all_steps(options) if is_selected(step, options)]
    # Rows look into no initrd: those are still being unpacked meanwhile.
    code = set(map(id, (*STEPS, *LAST)))
    rows = {id(s): s.plan(context) for s in selected if id(s) not in code}
    chosen = set(map(id, selected))
    references = [reference for reference in REFERENCES if id(reference) in chosen]
    context = decide(context, selected if options.uuids == "renew" else (), references)
    if not context.renewals.renewed:  # then nothing refers to it either
        kept = disk_names.REFERENCE  # has to say what cannot follow
        others = {id(reference) for reference in REFERENCES if reference is not kept}
        selected = [step for step in selected if id(step) not in others]
    parts: list[StepPlan] = []
    before: tuple[Change, ...] = ()
    for step in selected:
        part = rows.get(id(step)) or step.plan(replace(context, changes=before))
        parts.append(part)
        before += part.changes
    ids = frozenset(step.info.id for step in selected)
    parts.append(StepPlan(notes=seed_readiness.notes(guest, context.facts, ids)))
    parts.append(StepPlan(notes=tuple(bind_mounts.notes(guest))))
    changes = tuple(change for part in parts for change in part.changes)
    parts.append(
        StepPlan(
            notes=clone_readiness.notes(
                guest, context.facts, context.initrds, context.renewals, changes
            )
        )
    )
    plan = Plan(
        profile=options.profile.value,
        changes=tuple(sorted(_without_covered(guest, parts), key=_is_on_a_device)),
        notes=tuple(note for part in parts for note in part.notes),
        retired=tuple(dict.fromkeys(retired for part in parts for retired in part.retired)),
    )
    var_partition.require_planned(context, plan)
    on_files = (_physical(guest, c.target) for c in plan.changes if not _is_on_a_device(c))
    verity.require_unhashed(guest, facts, on_files)
    if options.strict:
        _refuse_to_keep(plan, context)
    return plan


def _refuse_to_keep(plan: Plan, context: PlanningContext) -> None:
    left = [note.text for note in plan.notes if note.level is Level.KEPT]
    changed = {change.target for change in plan.changes}
    left += undecided(context.guest, context.facts, context.options, changed)
    if left:
        more = f"; and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        raise RefusedError(
            f"{len(left)} identities would stay (they cannot be changed safely, or are yours to "
            f"decide): {'; '.join(left[:_NAMED])}{more}",
            hint="`unclone steps ID` describes a step. --enable ID changes what is off by default, "
            "--disable ID keeps it as it is. Without --strict all of them stay, and the report "
            "names them.",
        )


#: Identities that a refusal names.
_NAMED = 10

#: What two steps may plan for one path, where once is enough.
_ONCE = {"remove", "replace-identifiers"}


def _is_on_a_device(change: Change) -> bool:
    """Whether the guest is unmounted for it: what is done to files comes first."""
    return change.action in ON_DEVICES


def _without_covered(guest: Guest, parts: Iterable[StepPlan]) -> Iterable[Change]:
    """Drop changes inside trees that another change removes, and what is planned twice."""
    changes = [change for part in parts for change in part.changes]
    places = {
        id(c): c.target if _is_on_a_device(c) else _physical(guest, c.target) for c in changes
    }
    removed = {places[id(c)] for c in changes if c.action == "remove"}
    seen: set[tuple[str, str]] = set()
    for change in changes:
        place = places[id(change)]
        covered = any(above in removed for above in _above(place))
        gone = change.action != "remove" and place in removed
        if not covered and not gone and (change.action, place) not in seen:
            yield change
        if change.action in _ONCE:
            seen.add((change.action, place))


def _physical(guest: Guest, target: str) -> str:
    """The one spelling of a path, so that two steps meeting through a symlink are noticed."""
    try:
        folder = guest.resolve(parent(target))
    except OSError:
        return target
    return f"{folder.rstrip('/')}/{target.rsplit('/', 1)[-1]}"


def _above(path: str) -> Iterable[str]:
    while (path := parent(path)) != "/":
        yield path
