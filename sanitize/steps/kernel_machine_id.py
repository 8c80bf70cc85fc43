"""A machine-id baked into a kernel command line: ``systemd.machine_id=``.

kernel-install has written it into boot entries since systemd 251 wherever entries are named by
the machine-id. It overrides a valid ``/etc/machine-id``, so every clone would get the old id back
at every boot. The value ``firmware`` (systemd 257) names no id and stays.

References: kernel-command-line(7); systemd src/kernel-install/90-loaderentry.install.in and
src/core/main.c (v257).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize import machine_ids
from unclone.sanitize.change import Change, StepPlan
from unclone.sanitize.step import StepInfo
from unclone.sanitize.steps import boot_entries

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        """One change per file.

        Raises RefusedError for a signed unified kernel image: nothing in it can change, and the
        machine would go on booting with the old id.
        """
        if machine_ids.STEP in context.options.disable:
            return StepPlan()
        later = boot_entries.renamed_entries(context)
        changes = []
        for file, text in context.facts.kernel_argument_texts:
            baked = machine_ids.baked(file, text)
            if not baked:
                continue
            if machine_ids.is_signed(context.guest, file):
                raise _refused(file.path)
            details = {
                "kind": file.kind.value,
                "name": machine_ids.ARGUMENT,
                "keep": list(machine_ids.HARMLESS),
            }
            if (moved := _moved(file.path, later)) != file.path:
                details["later"] = moved
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
        return StepPlan(tuple(changes))


def _moved(path: str, renamed: Mapping[str, str]) -> str:
    """Where *path* will be when it, or a folder that it is in, was renamed."""
    for old, new in renamed.items():
        if path == old or path.startswith(f"{old}/"):
            return new + path.removeprefix(old)
    return path


def _refused(path: str) -> RefusedError:
    return RefusedError(
        f"{printable(path)} is signed and has {machine_ids.ARGUMENT}= inside: the machine would "
        "boot with the old machine-id whatever /etc/machine-id says",
        hint="Rebuild and sign it in the guest without that argument, or keep the old machine-id "
        f"in force with --disable {machine_ids.KERNEL_STEP}.",
    )
