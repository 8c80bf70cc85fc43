"""The steps that are code, because their decision needs more than paths.

Each has the same shape as a row of the catalogue (``Step``). The order is the
order of their changes: a reference is rewritten and an argument edited in a boot entry before the
entry is renamed. What is done to devices comes after everything else (``planning``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize import identifiers
from unclone.sanitize.references import REFERENCES
from unclone.sanitize.steps.boot_entries import BootEntries
from unclone.sanitize.steps.credential_machine_id import CredentialMachineId
from unclone.sanitize.steps.dhcp_identities import DhcpIdentities
from unclone.sanitize.steps.hostname import HostName
from unclone.sanitize.steps.initrd_copies import InitrdCopies
from unclone.sanitize.steps.initrd_machine_id import InitrdMachineId
from unclone.sanitize.steps.journal import Journal
from unclone.sanitize.steps.kernel_identities import KernelIdentities
from unclone.sanitize.steps.kernel_machine_id import KernelMachineId
from unclone.sanitize.steps.mac_pins import MacPins
from unclone.sanitize.steps.machine_id import MachineId
from unclone.sanitize.steps.snapshot_identities import SnapshotIdentities
from unclone.sanitize.steps.ssh_host_keys import SshHostKeys

if TYPE_CHECKING:
    from unclone.sanitize.step import Step

STEPS: tuple[Step, ...] = (
    *identifiers.STEPS,
    *REFERENCES,
    MachineId(),
    KernelMachineId(),
    CredentialMachineId(),
    InitrdMachineId(),
    BootEntries(),
    HostName(),
    DhcpIdentities(),
    MacPins(),
    Journal(),
    SshHostKeys(),
    SnapshotIdentities(),
)

#: What follows the changes of all other steps, rows of the catalogue included.
LAST: tuple[Step, ...] = (InitrdCopies(), KernelIdentities())
