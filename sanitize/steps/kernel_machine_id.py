"""A machine-id baked into a kernel command line: ``systemd.machine_id=``, or as a credential.

kernel-install has written it into boot entries since systemd 251 wherever entries are named by
the machine-id. It overrides a valid ``/etc/machine-id``, so every clone would get the old id back
at every boot. ``systemd.set_credential=system.machine_id:`` fills the file when that holds no id.
The value ``firmware`` (systemd 257) names no id and stays.

References: kernel-command-line(7); systemd.system-credentials(7); systemd
src/kernel-install/90-loaderentry.install.in and src/core/main.c (v257).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize import machine_ids
from unclone.sanitize.boot.kernel_arguments import values
from unclone.sanitize.change import Change, StepPlan
from unclone.sanitize.step import StepInfo, StepKind
from unclone.sanitize.steps import boot_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.boot.kernel_arguments import KernelArgumentFile
    from unclone.sanitize.machine_ids import Baked
    from unclone.sanitize.step import PlanningContext


class KernelMachineId:
    """Strips the arguments from every place that holds kernel arguments."""

    info = StepInfo(
        id=machine_ids.KERNEL_STEP,
        title="machine-id baked into the kernel command line",
        why="it overrides or fills /etc/machine-id: each clone gets the old id back",
        sources=(
            "kernel-command-line(7)",
            "systemd.system-credentials(7)",
            "https://github.com/systemd/systemd/pull/22463",
        ),
        kind=StepKind.REMOVE,
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each file and argument.

        Raises RefusedError for a signed unified kernel image: nothing in it can change, and the
        machine would go on booting with the old id.
        """
        if machine_ids.STEP in context.options.disable:
            return StepPlan()
        later = boot_entries.renamed_entries(context)
        changes = []
        for file, text in context.facts.kernel_argument_texts:
            baked = machine_ids.baked(file, text)
            if baked and machine_ids.is_signed(context.guest, file):
                raise _refused(file.path, baked[0].name)
            for name in dict.fromkeys(one.name for one in baked):
                given = [one for one in baked if one.name == name]
                changes.append(
                    self._change(file, text, given, boot_entries.at_the_end(file.path, later))
                )
        return StepPlan(tuple(changes))

    def _change(
        self, file: KernelArgumentFile, text: str, baked: Sequence[Baked], later: str
    ) -> Change:
        """The change that takes *baked*, all of one name, out of *file*."""
        first = baked[0]
        given = values(text, file.kind, first.name)
        harmless = {value for value in given if value.startswith(first.prefix)}
        details: dict[str, object] = {"kind": file.kind.value, "name": first.name}
        if first.prefix:
            details["prefix"] = first.prefix
        details["keep"] = sorted(harmless - {one.value for one in baked})
        if later != file.path:
            details["later"] = later
        return Change(
            step=self.info.id,
            action="remove-kernel-argument",
            target=file.path,
            why=self.info.why,
            old=printable(first.id or first.value, 64),
            details=details,
        )


def _refused(path: str, name: str) -> RefusedError:
    effect = (
        "the machine would boot with the old machine-id whatever /etc/machine-id says"
        if name == machine_ids.ARGUMENT
        else f"an empty /etc/machine-id would get the old id back ({machine_ids.CREDENTIAL})"
    )
    return RefusedError(
        f"{printable(path)} is signed and has {name}= inside: {effect}",
        hint="Rebuild and sign it in the guest without that argument, or keep the old machine-id "
        f"in force with --disable {machine_ids.KERNEL_STEP}.",
    )
