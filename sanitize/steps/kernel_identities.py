"""Names of the machine among kernel arguments: its iSCSI initiator, its NVMe host.

They override the files that hold the same names. Where a run renews or removes the file, the
argument goes, and the machine uses what is made anew; else it stays with the file, and is named.

References: dracut.cmdline(7) (``rd.iscsi.initiator``, ``rd.nvmf.hostnqn``, ``rd.nvmf.hostid``,
``etc/cmdline.d``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unclone.images.text import printable
from unclone.sanitize import initrds, machine_ids
from unclone.sanitize.boot.kernel_arguments import ArgumentKind, values
from unclone.sanitize.change import Change, Level, Note, StepPlan
from unclone.sanitize.step import StepInfo, StepKind
from unclone.sanitize.steps import boot_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.boot.kernel_arguments import KernelArgumentFile
    from unclone.sanitize.step import PlanningContext

#: What is done to a file that holds the name.
_RENEWING = {"remove", "write", "truncate", "drop-lines", "replace-text"}

#: dracut's own arguments, inside its initrds.
_IN_INITRDS = "etc/cmdline.d/"


class Argument(NamedTuple):
    """An argument, what it names, and the file that holds the same."""

    name: str
    what: str
    file: str


ARGUMENTS = (
    Argument("rd.iscsi.initiator", "iSCSI initiator", "/etc/iscsi/initiatorname.iscsi"),
    Argument("iscsi_initiator", "iSCSI initiator", "/etc/iscsi/initiatorname.iscsi"),
    Argument("ISCSI_INITIATOR", "iSCSI initiator", "/etc/iscsi/initiatorname.iscsi"),
    Argument("rd.nvmf.hostnqn", "NVMe host NQN", "/etc/nvme/hostnqn"),
    Argument("rd.nvmf.hostid", "NVMe host id", "/etc/nvme/hostid"),
)


class KernelIdentities:
    """Removes the arguments where their files are renewed."""

    info = StepInfo(
        id="kernel-identities",
        title="iSCSI and NVMe names among kernel arguments",
        why="they override the files: each clone would go on using the old name",
        sources=("dracut.cmdline(7)",),
        kind=StepKind.REMOVE,
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each file and argument, or a note where the argument stays."""
        later = boot_entries.renamed_entries(context)
        renewed = {c.target for c in context.changes if c.action in _RENEWING}
        changes, notes = [], []
        for file, text in context.facts.kernel_argument_texts:
            for argument in ARGUMENTS:
                given = values(text, file.kind, argument.name)
                if not given:
                    continue
                place = boot_entries.at_the_end(file.path, later)
                if argument.file in renewed and not machine_ids.is_signed(context.guest, file):
                    changes.append(self._change(file, argument, given[0], place))
                else:
                    why = "nothing renews it" if argument.file not in renewed else "it is signed"
                    notes.append(self._kept(place, argument, given[0], why))
        notes += self._in_initrds(context)
        return StepPlan(tuple(changes), tuple(dict.fromkeys(notes)))

    def _change(
        self, file: KernelArgumentFile, argument: Argument, value: str, place: str
    ) -> Change:
        details: dict[str, object] = {"kind": file.kind.value, "name": argument.name, "keep": []}
        why, old = self.info.why, printable(value, 200)
        return Change(self.info.id, "remove-kernel-argument", place, why, old, "", details)

    def _kept(self, path: str, argument: Argument, value: str, why: str) -> Note:
        given = f"{argument.name}={printable(value, 120)}"
        text = f"{printable(path)} keeps the {argument.what} of the machine, {given}: {why}"
        return Note(self.info.id, Level.KEPT, text)

    def _in_initrds(self, context: PlanningContext) -> Iterator[Note]:
        """What dracut's initrds say themselves: these texts are not edited."""
        for path in initrds.find(context.guest):
            content = context.guest.read(path, initrds.SIZE_LIMIT)
            members = [
                member
                for member in initrds.look_into(content, ()).members
                if member.startswith(_IN_INITRDS)
            ]
            contents = initrds.look_into(content, (), read=members).contents if members else {}
            for member in members:
                text = contents.get(member, b"").decode("utf-8", "surrogateescape")
                for argument in ARGUMENTS:
                    for value in values(text, ArgumentKind.TEMPLATE, argument.name)[:1]:
                        place = f"{path}!{member}"
                        yield self._kept(place, argument, value, "make the initrd anew")
