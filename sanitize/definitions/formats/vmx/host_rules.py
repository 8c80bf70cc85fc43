"""What a .vmx says of the host and of vCenter: it stays, and the report says why.

References: see rules.py.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Rule, Treatment

_FILES = "https://docs.vmware.com/en/VMware-vSphere/7.0/com.vmware.vsphere.vm_admin.doc/GUID-CEFF6D89-8C19-4143-8C26-4B6D6734D2CB.html"
_KEEP, _RENEW = Treatment.KEEP, Treatment.RENEW

HOST_RULES = (
    Rule(
        "tpm",
        FieldKind.TPM,
        _KEEP,
        "vtpm.present | vtpm.ekCSR* | vtpm.ekCRT*",
        "a TPM is one machine's own: remove it from the new machine and add another",
        _FILES,
        Level.WARNING,
    ),
    Rule(
        "shared-folder",
        FieldKind.OTHER,
        _KEEP,
        "sharedFolder#.hostPath",
        "both machines see the same folder; give the new one its own where they must not",
        _FILES,
    ),
    Rule(
        "machine-folder",
        FieldKind.OTHER,
        _KEEP,
        "workingDir | suspend.directory | sched.swap.dir | snapshot.redoNotWithParent",
        "both machines would keep swap, saved states and snapshots there",
        _FILES,
        Level.WARNING,
    ),
    Rule(
        "debugger-port",
        FieldKind.PORT,
        _RENEW,
        "debugStub.port.guest32 | debugStub.port.guest64",
        "the host's port is taken while the source runs",
        _FILES,
    ),
    Rule(
        "inventory-reference",
        FieldKind.OTHER,
        _KEEP,
        "viv.moid | vmx.moid | managedVM.ID",
        "it is the source's in vCenter, which gives the new machine another",
        _FILES,
    ),
)
