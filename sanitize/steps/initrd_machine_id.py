"""The machine-id that dracut copies into its initrds (``hostonly``: Fedora, RHEL, openSUSE).

The initrd's systemd takes it for the machine's own, and hands it on where the root's file is empty.
dracut itself leaves the file empty where it does not copy it; so it is afterwards.

References: dracut modules.d/*systemd*/module-setup.sh (``/etc/machine-id``, ``/etc/machine-info``);
machine-id(5) ("Initialization"); kernel-install(8) (``KERNEL_INSTALL_MACHINE_ID=``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize import initrds, machine_ids
from unclone.sanitize.actions.empty_in_initrd import ACTION, held_by
from unclone.sanitize.change import Change, Level, Note, StepPlan
from unclone.sanitize.finder import Finder
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.step import PlanningContext


#: Other makers of initrds do not copy it: what cannot be read there is no reason for a warning.
_DRACUT = ("/usr/lib/dracut", "/lib/dracut", "/usr/bin/dracut", "/usr/sbin/dracut")


class InitrdMachineId:
    """Empties the copies in every initrd."""

    info = StepInfo(
        id="initrd-machine-id",
        title="machine-id inside initrds",
        why="the initrd's systemd takes it for the machine's own",
        sources=("dracut: modules.d/01systemd/module-setup.sh", "machine-id(5)"),
        kind=StepKind.REMOVE,
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each initrd with an old id in it.

        Raises RefusedError for an initrd inside a unified kernel image, which cannot be corrected;
        and for one that cannot be read, where an id in it would be the machine's.
        """
        guest = context.guest
        ids = machine_ids.retiring(context)
        if not ids:
            return StepPlan()
        finder = Finder(ids, words=False)
        makes_copies = any(guest.exists(path) for path in _DRACUT)
        changes, notes = [], []
        for path in initrds.find(guest):
            content = guest.read(path, initrds.SIZE_LIMIT)
            survey = initrds.look_into(content, finder.needles)
            if survey.unreadable and not makes_copies:
                continue
            if survey.unreadable:
                notes.append(_unread(context, printable(path), survey.unreadable))
            elif members := held_by(survey, finder):
                details = {"ids": list(ids), "members": list(members)}
                why = self.info.why
                changes.append(Change(self.info.id, ACTION, path, why, ids[0], "", details))
        for path in inside_programs(context):
            raise _refused(path)
        programs = context.facts.efi_programs if makes_copies else {}
        notes += [
            _unread(context, f"the initrd inside {printable(path)}", why)
            for path, program in programs.items()
            for content in program.initrds
            if (why := initrds.look_into(content, finder.needles).unreadable)
        ]
        return StepPlan(tuple(changes), tuple(notes))


def inside_programs(context: PlanningContext) -> Iterator[str]:
    """The unified kernel images whose own initrd has a copy of an old machine-id."""
    finder = Finder(machine_ids.retiring(context), words=False)
    for path, program in context.facts.efi_programs.items():
        if any(held_by(initrds.look_into(c, finder.needles), finder) for c in program.initrds):
            yield path


def _unread(context: PlanningContext, what: str, why: str) -> Note:
    """What is said of an initrd that cannot be read. Raises RefusedError where an id counts."""
    text = f"{what} may hold the old machine-id: {why}"
    # An id in the root's own file is the machine's, whatever the initrd had.
    if machine_ids.requested(context)[0] is not machine_ids.Mode.SET:
        raise RefusedError(
            text,
            hint="Make the initrd anew in the guest, or remove it there; or give the machine an id "
            "with --machine-id random, which no copy in an initrd replaces.",
        )
    return Note(InitrdMachineId.info.id, Level.WARNING, text)


def _refused(path: str) -> RefusedError:
    return RefusedError(
        f"the initrd inside {printable(path)} has the old machine-id, and it cannot be corrected",
        hint="Build the unified kernel image in the guest again after emptying /etc/machine-id, or "
        f"keep the old machine-id in its initrd with --disable {InitrdMachineId.info.id}.",
    )
