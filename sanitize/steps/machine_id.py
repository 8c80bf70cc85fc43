"""The machine-id pair: ``/etc/machine-id`` and D-Bus' copy of it.

An old regular file of D-Bus brings the old id back at the next boot even when ``/etc/machine-id``
is empty, so the two are always treated together.

References: machine-id(5) "First Boot Semantics"; systemd src/shared/machine-id-setup.c and
src/core/main.c; measured on Debian 12 (systemd 252): without the file and with a root that
starts read-only, the machine runs without any id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize import machine_ids, var_partition
from unclone.sanitize.change import Change, Level, Note, Retired, StepPlan
from unclone.sanitize.machine_ids import DBUS, SYSTEMD, Mode, State
from unclone.sanitize.step import StepInfo
from unclone.sanitize.steps import initrd_machine_id
from unclone.sanitize.systemd.presets import first_boot_changes, first_boot_prompts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.images.volumes import FileSystem
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.machine_ids import MachineIdFile
    from unclone.sanitize.step import PlanningContext
    from unclone.sanitize.systemd.presets import UnitChange

#: ``uninitialized`` means a first boot since this version; before, it is an invalid id.
UNINITIALIZED_SINCE = 247

#: Other machines' trees inside this one. Their ids are theirs.
NESTED = ("/var/lib/machines/*/etc/machine-id", "/var/lib/lxc/*/rootfs/etc/machine-id")

WHY = "systemd, D-Bus, the journal, DHCP (DUID) and agents treat machines with the same id as one"

#: How many units a note names; the rest are counted.
NAMED_UNITS = 8


class MachineId:
    """Takes the id out of both files, or puts a new one in."""

    info = StepInfo(
        id=machine_ids.STEP,
        title="machine-id of systemd and D-Bus",
        why=WHY,
        sources=(
            "machine-id(5)",
            "https://systemd.io/BUILDING_IMAGES/",
            "https://github.com/systemd/systemd/blob/main/src/shared/machine-id-setup.c",
        ),
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """Decide what becomes of the pair, and say why."""
        guest, facts = context.guest, context.facts
        asked, new = machine_ids.requested(context)
        etc = machine_ids.read_systemd(guest)
        dbus = machine_ids.read_dbus(guest)
        var_partition.require(context, asked)
        mode, notes = _decide(guest, facts, asked)
        if asked is Mode.AUTO and etc.state is State.ABSENT and not _needs_file(facts):
            mode, notes = Mode.REMOVE, [_info(f"{SYSTEMD} does not exist, and none is made")]
        if asked is Mode.AUTO and etc.state is State.UNINITIALIZED:
            # The image asks for a first boot; an emptied file would prevent it.
            why = f"{SYSTEMD} stays `uninitialized`: the next boot is a first boot"
            mode, notes = Mode.UNINITIALIZED, [_info(why)]
        var = context.var_partition
        if var is not None and context.options.machine_id == Mode.AUTO:
            notes = [_for_var(var, asked)]
        return StepPlan(
            changes=(*_dbus_changes(dbus), *_systemd_changes(etc, dbus, mode, new)),
            notes=(*notes, *_warnings(guest, facts, etc, dbus, mode), *_in_force(context)),
            retired=tuple(
                Retired(self.info.id, "machine-id", old) for old in machine_ids.retiring(context)
            ),
        )


def _for_var(var: FileSystem, mode: Mode) -> Note:
    if mode is Mode.AUTO:
        return _warning(
            f"{SYSTEMD} stays `uninitialized`, and systemd mounts {var.device} as /var only when "
            "its partition GUID is made from the machine-id: the guest starts without it. "
            "--machine-id random gives an id"
        )
    return _info(
        f"{SYSTEMD} is given a new id: systemd mounts {var.device} as /var only while its "
        "partition GUID is made from the machine-id, and so it is. Sanitise every copy of the "
        "result: a copy has the same id"
    )


def _needs_file(facts: Facts) -> bool:
    """Whether the guest stays without any id when the file does not exist."""
    return facts.init == "systemd" and facts.root_start.read_only is True


def _decide(guest: Guest, facts: Facts, asked: Mode) -> tuple[Mode, list[Note]]:
    if asked is Mode.AUTO:
        mode, reason = _auto(guest, facts)
        return mode, [_info(f"{SYSTEMD} is {_done(mode)}: {reason}")]
    notes = [_info(f"{SYSTEMD} is {_done(asked)}, as asked")]
    if facts.init == "systemd" and asked in {Mode.REMOVE, Mode.UNINITIALIZED}:
        notes += _first_boot_notes(guest, facts, asked)
    return asked, notes


def _auto(guest: Guest, facts: Facts) -> tuple[Mode, str]:
    """Remove the file where the guest can live without it, else empty it."""
    if facts.init == "unknown":
        return Mode.EMPTY, "what starts this guest is not known, and systemd may need the file"
    if facts.init != "systemd":
        return Mode.REMOVE, f"this guest starts with {facts.init}, which does not need it"
    start = facts.root_start
    if start.read_only is None:
        return Mode.EMPTY, f"{start.reason}, and the root file system may start read-only"
    if start.read_only:
        return Mode.EMPTY, (
            f"the root file system starts read-only ({start.reason}), and without the file systemd "
            "could not make a new id"
        )
    changes = first_boot_changes(guest, facts)
    if changes:
        return Mode.EMPTY, f"without the file, presets would {_listed(changes)}"
    prompts = first_boot_prompts(guest)
    if prompts:
        return Mode.EMPTY, f"without the file, systemd-firstboot would ask for {prompts[0]}"
    return Mode.REMOVE, f"{start.reason}, and a first boot would change no unit and ask nothing"


def _first_boot_notes(guest: Guest, facts: Facts, mode: Mode) -> Iterator[Note]:
    if mode is Mode.REMOVE and facts.root_start.read_only:
        yield _warning(
            f"{facts.root_start.reason}: systemd cannot make a new {SYSTEMD} on a read-only root, "
            "so the guest would run without a machine-id; --machine-id empty avoids that"
        )
    version = facts.systemd_version
    if mode is Mode.UNINITIALIZED and version is not None and version < UNINITIALIZED_SINCE:
        yield _warning(
            f"systemd {version} does not know `uninitialized` (it came with "
            f"{UNINITIALIZED_SINCE}): the guest gets a new id, but no first boot"
        )
        return
    changes = first_boot_changes(guest, facts)
    if changes:
        yield _info(f"the first boot will {_listed(changes)}, as its presets say")
    else:
        yield _info("the first boot will enable or disable no unit")
    for prompt in first_boot_prompts(guest):
        yield _warning(f"at the first boot, systemd-firstboot will ask for {prompt} and wait")


def _dbus_changes(dbus: MachineIdFile) -> Iterator[Change]:
    if dbus.state is State.ABSENT:
        return
    why = "a separate file of D-Bus brings the old id back at the next boot"
    if dbus.is_link:
        why = f"this link does not lead to {SYSTEMD}"
    yield Change(machine_ids.STEP, "remove", DBUS, why, old=dbus.id)


def _systemd_changes(
    etc: MachineIdFile, dbus: MachineIdFile, mode: Mode, new: str
) -> Iterator[Change]:
    if etc.state is State.VOLATILE and mode is not Mode.SET:
        return  # no id is kept on disk
    if mode is Mode.REMOVE:
        if etc.state is not State.ABSENT:
            yield Change(machine_ids.STEP, "remove", SYSTEMD, WHY, old=etc.id)
            if etc.is_link and etc.physical != dbus.physical:
                yield Change(machine_ids.STEP, "remove", etc.physical, WHY, old=etc.id)
        return
    text = {Mode.SET: f"{new}\n", Mode.UNINITIALIZED: "uninitialized\n"}.get(mode, "")
    target_state = {
        Mode.SET: State.ID,
        Mode.UNINITIALIZED: State.UNINITIALIZED,
        Mode.EMPTY: State.EMPTY,
    }[mode]
    # A link into D-Bus' folder would dangle, because the file there goes.
    unlink = etc.is_link and (etc.state is State.VOLATILE or etc.physical == dbus.physical)
    if etc.state is target_state and etc.id == new and not unlink:
        return
    details: dict[str, object] = {"text": text, "mode": 0o444, "like": "/etc"}
    if unlink:
        details["instead_of_link"] = True
    shown = new or f"({target_state})"
    yield Change(machine_ids.STEP, "write", SYSTEMD, WHY, etc.id, shown, details)


def _warnings(
    guest: Guest, facts: Facts, etc: MachineIdFile, dbus: MachineIdFile, mode: Mode
) -> Iterator[Note]:
    if etc.state is State.VOLATILE:
        yield _info(f"{SYSTEMD} leads to {printable(etc.physical)}, made anew at every boot")
    if etc.id and dbus.id and etc.id != dbus.id:
        yield _info(f"the two files held different ids: {etc.id}, and {dbus.id} for D-Bus")
    if facts.init == "systemd" and mode is not Mode.SET:
        yield _info(
            "on KVM and some other hypervisors the next id is made from the UUID of the virtual "
            "machine: give each clone's definition a UUID of its own"
        )
    if facts.init != "systemd" and mode is Mode.EMPTY:
        yield _warning(
            f"without systemd nothing fills an empty {SYSTEMD}, and `dbus-uuidgen --ensure` fails "
            "on it; if this guest has no systemd, use --machine-id remove"
        )
    for pattern in NESTED:
        for path in guest.glob(pattern):
            found = guest.stat(path)
            if found is not None and found.size:
                yield _warning(f"{printable(path)} belongs to a nested machine and is not changed")


def _in_force(context: PlanningContext) -> Iterator[Note]:
    """What keeps an old id in force, because the step that would remove it is disabled."""
    disable, facts = context.options.disable, context.facts
    if machine_ids.KERNEL_STEP in disable:
        for file, text in facts.kernel_argument_texts:
            for one in machine_ids.baked(file, text):
                effect = f"the machine boots with this id, whatever {SYSTEMD} says"
                if one.prefix:
                    effect = f"an empty or missing {SYSTEMD} is filled with this id"
                if one.id:
                    given = f"{one.name}={one.prefix}{one.id}"
                    yield _kept(
                        f"{printable(file.path)} has {given}, and {effect}: "
                        f"{machine_ids.KERNEL_STEP} is disabled"
                    )
    if machine_ids.CREDENTIAL_STEP in disable:
        for credential in machine_ids.credential_files(facts):
            yield _kept(
                f"{printable(credential.path)} fills an empty or missing {SYSTEMD} with the old "
                f"id: {machine_ids.CREDENTIAL_STEP} is disabled"
            )
    if (step := initrd_machine_id.InitrdMachineId.info.id) in disable:
        for path in initrd_machine_id.inside_programs(context):
            yield _kept(
                f"the initrd inside {printable(path)} has the old machine-id, and runs with it: "
                f"{step} is disabled"
            )


def _done(mode: Mode) -> str:
    return {
        Mode.REMOVE: "removed",
        Mode.EMPTY: "emptied",
        Mode.UNINITIALIZED: "set to `uninitialized`",
        Mode.SET: "given a new id",
    }[mode]


def _listed(changes: Sequence[UnitChange]) -> str:
    parts = []
    for then, verb in (("enabled", "enable"), ("disabled", "disable")):
        units = [printable(change.unit, 80) for change in changes if change.then == then]
        if units:
            more = f" and {len(units) - NAMED_UNITS} more" if len(units) > NAMED_UNITS else ""
            parts.append(f"{verb} {', '.join(units[:NAMED_UNITS])}{more}")
    return " and ".join(parts)


def _kept(text: str) -> Note:
    return Note(machine_ids.STEP, Level.KEPT, text)


def _info(text: str) -> Note:
    return Note(machine_ids.STEP, Level.INFO, text)


def _warning(text: str) -> Note:
    return Note(machine_ids.STEP, Level.WARNING, text)
