"""The steps that are code, because their decision needs more than paths.

Each has the same shape as a row of the catalogue (:class:`sanitize.step.Step`). The order is the
order of their changes: a reference is rewritten and an argument edited in a boot entry before the
entry is renamed. What is done to devices comes after everything else (:mod:`sanitize.planning`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanitize import identifiers
from sanitize.references import REFERENCES
from sanitize.steps.boot_entries import BootEntries
from sanitize.steps.initrd_machine_id import InitrdMachineId
from sanitize.steps.journal import Journal
from sanitize.steps.kernel_machine_id import KernelMachineId
from sanitize.steps.mac_pins import MacPins
from sanitize.steps.machine_id import MachineId
from sanitize.steps.ssh_host_keys import SshHostKeys

if TYPE_CHECKING:
    from sanitize.step import Step

STEPS: tuple[Step, ...] = (
    *identifiers.STEPS,
    *REFERENCES,
    MachineId(),
    KernelMachineId(),
    InitrdMachineId(),
    BootEntries(),
    MacPins(),
    Journal(),
    SshHostKeys(),
)
