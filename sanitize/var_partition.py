"""A /var partition that systemd mounts by its type, and only for the right machine-id.

Its partition GUID is made from the machine-id. So where one of the two changes, so does the other:
the machine-id is given, and the GUID made from it. A guest that made an id of its own at the next
boot would start without its /var.

References: systemd-gpt-auto-generator(8); :mod:`unclone.images.discoverable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.discoverable import var_partition_uuid
from unclone.images.errors import RefusedError
from unclone.images.volumes import IdentifierKind
from unclone.sanitize import machine_ids
from unclone.sanitize.change import SET_IDENTIFIER
from unclone.sanitize.machine_ids import Mode, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unclone.images.guest import Guest
    from unclone.images.volumes import FileSystem
    from unclone.sanitize.change import Plan
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.step import PlanningContext

_OFF = {"0", "no", "n", "false", "f", "off"}


def find(guest: Guest, facts: Facts) -> FileSystem | None:
    """The partition that is /var because of the machine-id, or will be when an id is given."""
    candidates = guest.layout.var_partitions
    if not candidates or not _applies(facts):
        return None
    try:
        etc, dbus = machine_ids.read_systemd(guest), machine_ids.read_dbus(guest)
    except RefusedError:  # the step of the machine-id says so
        return None
    given = [old for one in facts.kernel_argument_texts for old in machine_ids.baked_ids(*one)]
    given += map(machine_ids.credential_id, machine_ids.credential_files(facts))
    ids = {each for each in (etc.id, dbus.id, *given) if each}
    guids = {var_partition_uuid(each) for each in ids}
    for partition in candidates:
        if partition.partition_uuid.lower() in guids:
            return partition
    if ids or etc.state is State.VOLATILE:
        return None
    return next((each for each in candidates if is_mounted(guest, each)), None)


def is_mounted(guest: Guest, partition: FileSystem) -> bool:
    """Whether *partition*, or the container in it, is what the guest mounts as /var."""
    mount = guest.layout.mounts.get("/var")
    inside = f"/dev/mapper/luks-{partition.uuid}"
    return mount is not None and mount.device in {partition.device, inside}


def new_guid(context: PlanningContext) -> str:
    """The GUID that the partition has to have after this run; "" when any will do."""
    partition = context.var_partition
    if partition is None:
        return ""
    disable = context.options.disable
    if machine_ids.KERNEL_STEP in disable and (forced := _forced(context.facts)):
        return var_partition_uuid(forced)
    if machine_ids.STEP in disable:
        return partition.partition_uuid.lower()
    new = machine_ids.requested(context)[1]
    return var_partition_uuid(new) if new else ""


def require(context: PlanningContext, mode: Mode) -> None:
    """Raise RefusedError when *mode* leaves the guest without the id that its /var needs."""
    partition = context.var_partition
    if partition is None or mode in {Mode.AUTO, Mode.SET}:
        return
    if is_mounted(context.guest, partition):
        raise RefusedError(
            f"--machine-id {mode}: systemd mounts {partition.device} as /var only while its "
            "partition GUID is made from the machine-id, and the guest would start without its "
            "/var",
            hint="Use --machine-id random: the GUID is made from the new id. Or name the partition "
            "in the guest's fstab.",
        )


def require_planned(context: PlanningContext, plan: Plan) -> None:
    """Raise RefusedError unless *plan* leaves the GUID as the machine-id wants it."""
    partition, wanted = context.var_partition, new_guid(context)
    if partition is None or wanted in {"", partition.partition_uuid.lower()}:
        return
    kind = IdentifierKind.PARTITION_GUID
    for change in plan.changes:
        at = (change.action, change.target, change.details.get("kind"))
        if at == (SET_IDENTIFIER, partition.device, kind) and change.new == wanted:
            return
    kept = [
        blocker.why
        for blocker in context.renewals.kept
        if (blocker.renewal.kind, blocker.renewal.device) == (kind, partition.device)
    ]
    why = kept[0] if kept else "the options say so"
    raise RefusedError(
        f"the machine-id changes, but not the partition GUID of {partition.device} ({why}): "
        "systemd would not mount it as /var",
        hint="Renew partition GUIDs as well, keep the machine-id with --disable machine-id, or "
        "name the partition in the guest's fstab.",
    )


def lost(guest: Guest, facts: Facts, plan: Plan) -> str:
    """Why the guest, as it is on its disks now, would not mount its /var; "" when it does.

    It is asked for what systemd looks at, and for nothing that the changes were made from.
    """
    mounted = [each for each in guest.layout.var_partitions if is_mounted(guest, each)]
    if not mounted or not _applies(facts):
        return ""
    guids = {
        each.value.lower()
        for each in guest.identifiers()
        if (each.kind, each.device) == (IdentifierKind.PARTITION_GUID, mounted[0].device)
    }
    old_ids = {old.value for old in plan.retired if old.kind == "machine-id"}
    old_guids = {old.value.lower() for old in plan.retired} | guids
    was_mounted = any(var_partition_uuid(each) in old_guids for each in old_ids)
    etc = machine_ids.read_systemd(guest)
    if etc.state is State.UNINITIALIZED:  # as it was asked for, or was before
        return ""
    now = _forced(facts) or etc.id
    if (now and var_partition_uuid(now) in guids) or not (now or was_mounted):
        return ""
    return f"{mounted[0].device} is not made for the machine-id '{now}': /var would not be mounted"


def _forced(facts: Facts) -> str:
    """The id that a kernel command line gives, whatever the file says; "" when none does."""
    given = (each for one in facts.kernel_argument_texts for each in machine_ids.baked(*one))
    return next((each.id for each in given if each.name == machine_ids.ARGUMENT and each.id), "")


def _applies(facts: Facts) -> bool:
    """Whether systemd looks for partitions by their types."""
    if facts.init not in {"systemd", "unknown"}:
        return False
    lines = facts.kernel_command_lines
    return not lines or not all(_is_off(line.arguments) for line in lines)


def _is_off(words: Iterable[str]) -> bool:
    settings = [word for word in words if word.startswith("systemd.gpt_auto=")]
    return bool(settings) and settings[-1].partition("=")[2].lower() in _OFF
