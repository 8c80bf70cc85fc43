"""A machine-id baked into a kernel command line: ``systemd.machine_id=``.

kernel-install has written it into boot entries since systemd 251 wherever entries are named by
the machine-id. It overrides a valid ``/etc/machine-id``, so every clone would get the old id back
at every boot. The value ``firmware`` (systemd 257) names no id and stays.

References: kernel-command-line(7); systemd src/kernel-install/90-loaderentry.install.in and
src/core/main.c (v257).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize import machine_ids
from unclone.sanitize.boot import kernel_arguments
from unclone.sanitize.boot.kernel_arguments import ArgumentKind
from unclone.sanitize.change import Change, Level, Note, StepPlan
from unclone.sanitize.step import StepInfo
from unclone.sanitize.steps import boot_entries

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.step import PlanningContext


class KernelMachineId:
    """Strips the argument from every place that holds kernel arguments."""

    info = StepInfo(
        id=machine_ids.KERNEL_STEP,
        title="machine-id baked into the kernel command line",
        why="it overrides /etc/machine-id, so each clone gets the old id back at each boot",
        sources=(
            "kernel-command-line(7)",
            "https://github.com/systemd/systemd/pull/22463",
        ),
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change per file; a note per unified kernel image, which is not edited yet."""
        if machine_ids.STEP in context.options.disable:
            return StepPlan()
        later = boot_entries.renamed_entries(context)
        changes, notes = [], []
        for file, text in context.facts.kernel_argument_texts:
            baked = machine_ids.baked(file, text)
            if not baked:
                continue
            if file.kind is ArgumentKind.UKI:
                notes.append(_kept(context.guest, file.path))
                continue
            details = {
                "kind": file.kind.value,
                "name": machine_ids.ARGUMENT,
                "keep": list(machine_ids.HARMLESS),
            }
            if file.path in later:
                details["later"] = later[file.path]
            changes.append(
                Change(
                    step=self.info.id,
                    action="remove-kernel-argument",
                    target=file.path,
                    why=self.info.why,
                    old=printable(baked[0], 64),
                    details=details,
                )
            )
        return StepPlan(tuple(changes), tuple(notes))


def _kept(guest: Guest, path: str) -> Note:
    inside = kernel_arguments.read_uki(guest, path)
    signed = "is signed and " if inside and inside.signed else ""
    return Note(
        machine_ids.KERNEL_STEP,
        Level.KEPT,
        f"{printable(path)} {signed}has {machine_ids.ARGUMENT}= inside, which overrides "
        "/etc/machine-id at every boot: rebuild it in the guest without that argument",
    )
