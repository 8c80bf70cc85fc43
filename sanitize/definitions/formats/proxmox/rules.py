"""Every key of a qemu-server configuration that identifies the machine.

``where`` is ``KEY`` or ``KEY/OPTION``, ``#`` standing for a number. Not every match is a field:
reader.py says which are.

References: qm.conf(5); pve-qemu-server src/PVE/API2/Qemu.pm (clone_vm) for what Proxmox itself
changes in a clone.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.formats.qemu.passed_on import argument_rules
from unclone.sanitize.definitions.rule import FieldKind, Rule, Treatment

_RENEW, _FOLLOW, _REMOVE = Treatment.RENEW, Treatment.FOLLOW, Treatment.REMOVE
_KEEP, _MOVE = Treatment.KEEP, Treatment.MOVE

_DOC = "https://pve.proxmox.com/pve-docs/qm.conf.5.html"
_DISKS = "scsi# | virtio# | sata# | ide#"

NAME = Rule("name", FieldKind.NAME, Treatment.NAME, "name", "people know machines by it", _DOC)
UUID = Rule(
    "smbios-uuid",
    FieldKind.MACHINE_UUID,
    _RENEW,
    "smbios1/uuid",
    "the guest reads it as product_uuid",
    _DOC,
)
SERIAL = Rule(
    "smbios-serial",
    FieldKind.SERIAL,
    _RENEW,
    "smbios1/serial",
    "the guest reads it as product_serial; inventories and licences identify machines by it",
    _DOC,
)
GENID = Rule(
    "vmgenid",
    FieldKind.GENERATION_ID,
    _RENEW,
    "vmgenid",
    "a guest that sees it change knows that it is a copy, and reseeds its random numbers",
    _DOC,
)
MAC = Rule("mac", FieldKind.MAC, _RENEW, "net#", "an address is unique in its network", _DOC)
DISK = Rule("disk", FieldKind.DISK, _MOVE, _DISKS, "two machines cannot write to one disk", _DOC)
CLOUD_INIT = Rule(
    "cloud-init-drive",
    FieldKind.DISK,
    _MOVE,
    _DISKS,
    "each machine has a cloud-init drive of its own, which Proxmox writes",
    _DOC,
)
REMOVABLE = Rule("removable-medium", FieldKind.DISK, _KEEP, _DISKS, "machines may share a CD", _DOC)
DISK_SERIAL = Rule(
    "disk-serial",
    FieldKind.SERIAL,
    _RENEW,
    "scsi#/serial | virtio#/serial | sata#/serial | ide#/serial",
    "the guest finds disks by it",
    _DOC,
)
DISK_WWN = Rule(
    "disk-wwn",
    FieldKind.WWN,
    _RENEW,
    "scsi#/wwn | sata#/wwn | ide#/wwn",
    "the guest finds disks by it, and multipath treats two disks with the same name as one disk",
    _DOC,
)
EFI = Rule(
    "efi-disk",
    FieldKind.FIRMWARE,
    _MOVE,
    "efidisk#",
    "each machine writes UEFI variables of its own",
    _DOC,
)
TPM = Rule(
    "tpm-state", FieldKind.TPM, _MOVE, "tpmstate#", "the keys in a TPM are one machine's", _DOC
)
UNUSED = Rule(
    "unused-disk",
    FieldKind.DISK,
    _REMOVE,
    "unused#",
    "it is the source's: destroying the new machine would destroy it",
    _DOC,
)
STATE = Rule(
    "snapshot-state",
    FieldKind.DISK,
    _MOVE,
    "vmstate",
    "the memory of the source when the snapshot was taken",
    _DOC,
)
TEMPLATE = Rule(
    "template",
    FieldKind.OTHER,
    _REMOVE,
    "template",
    "the new machine is to be started",
    _DOC,
)
ARGUMENTS = Rule(
    "qemu-arguments",
    FieldKind.OTHER,
    _FOLLOW,
    "args",
    "Proxmox passes these arguments to QEMU as they are",
    _DOC,
)
#: What is found within them.
WITHIN_ARGUMENTS = argument_rules("args", _DOC)
ADDRESS = Rule(
    "cloud-init-address",
    FieldKind.OTHER,
    _KEEP,
    "ipconfig#",
    "cloud-init gives the guest this address: it has to be the new machine's",
    _DOC,
    Level.WARNING,
)
PASSWORD = Rule(
    "cloud-init-password",
    FieldKind.OTHER,
    _KEEP,
    "cipassword",
    "the new machine has the same password as the source",
    _DOC,
    Level.WARNING,
)
CUSTOM = Rule(
    "cloud-init-files",
    FieldKind.FILE,
    _KEEP,
    "cicustom",
    "see whether these files name the source; meta-data holds an instance-id",
    _DOC,
    Level.WARNING,
)
SHARED_MEMORY = Rule(
    "shared-memory",
    FieldKind.OTHER,
    _KEEP,
    "ivshmem/name",
    "both machines share the memory of this name",
    _DOC,
    Level.WARNING,
)
HOST_DEVICE = Rule(
    "host-device",
    FieldKind.OTHER,
    _KEEP,
    "hostpci# | usb# | serial# | parallel#",
    "a device of the host belongs to one running machine: give the new one another",
    _DOC,
    Level.WARNING,
)

SHARED_FOLDER = Rule(
    "shared-folder",
    FieldKind.OTHER,
    _KEEP,
    "virtiofs#",
    "both machines see the same folder; give the new one its own where they must not",
    _DOC,
)
HOOK = Rule(
    "hook-script",
    FieldKind.OTHER,
    _KEEP,
    "hookscript",
    "it is run for both machines, with the number of each: see whether it names the source",
    _DOC,
)
FLEECING = Rule(
    "fleecing-images",
    FieldKind.DISK,
    _REMOVE,
    "fleecing-images",
    "a backup of the source left them: removing the new machine's would remove the source's",
    _DOC,
)

RULES = (
    NAME,
    UUID,
    SERIAL,
    GENID,
    MAC,
    DISK,
    CLOUD_INIT,
    REMOVABLE,
    DISK_SERIAL,
    DISK_WWN,
    EFI,
    TPM,
    UNUSED,
    STATE,
    TEMPLATE,
    ARGUMENTS,
    *WITHIN_ARGUMENTS,
    ADDRESS,
    PASSWORD,
    CUSTOM,
    SHARED_MEMORY,
    HOST_DEVICE,
    SHARED_FOLDER,
    HOOK,
    FLEECING,
)
