"""Every setting of a .vmx that identifies the machine.

``where`` is the setting's name, ``#`` standing for a number; ``|`` is "or". Names are compared
without regard to case, as VMware does. Not every match is a field: reader.py says which are.

References: VMware knowledge base 1002403 (uuid.*), 219 and 1002149 (MAC addresses), 1026353 (swap
files); the settings VMware Workstation and ESXi write.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.formats.vmx.host_rules import HOST_RULES
from unclone.sanitize.definitions.rule import FieldKind, Rule, Treatment

_RENEW, _FOLLOW, _SET = Treatment.RENEW, Treatment.FOLLOW, Treatment.SET
_REMOVE, _KEEP, _MOVE = Treatment.REMOVE, Treatment.KEEP, Treatment.MOVE

_KB = "https://knowledge.broadcom.com/external/article/"
_UUIDS = _KB + "304564"
_ADDRESSES = _KB + "308904"
_FILES = "https://docs.vmware.com/en/VMware-vSphere/7.0/com.vmware.vsphere.vm_admin.doc/GUID-CEFF6D89-8C19-4143-8C26-4B6D6734D2CB.html"
_GENERATION = "https://williamlam.com/2013/10/what-is-vm-generation-id.html"
_SERIAL = "https://kb.vmware.com/s/article/1001987"
_NPIV = "https://knowledge.broadcom.com/external/article/324494"
_REPLICATION = "https://knowledge.broadcom.com/external/article/330451"
_GUEST = "https://github.com/vmware/open-vm-tools"

NAME = Rule(
    "display-name",
    FieldKind.NAME,
    Treatment.NAME,
    "displayName",
    "people and vCenter identify machines by it",
    _FILES,
)
MAC = Rule(
    "mac",
    FieldKind.MAC,
    _RENEW,
    "ethernet#.address | ethernet#.generatedAddress",
    "an address is unique in its network; a generated one becomes a static one, so that it is "
    "known before the machine starts",
    _ADDRESSES,
)
MAC_TYPE = Rule(
    "mac-type",
    FieldKind.OTHER,
    _SET,
    "ethernet#.addressType",
    "the address is given, and must not be generated again",
    _ADDRESSES,
)
MAC_UNUSED = Rule(
    "mac-unused",
    FieldKind.OTHER,
    _REMOVE,
    "ethernet#.address | ethernet#.generatedAddress",
    "the source's, and not the one in use",
    _ADDRESSES,
)
MAC_OFFSET = Rule(
    "mac-offset",
    FieldKind.OTHER,
    _REMOVE,
    "ethernet#.generatedAddressOffset",
    "it only goes with a generated address",
    _ADDRESSES,
)
MAC_CHECK = Rule(
    "mac-check",
    FieldKind.OTHER,
    _KEEP,
    "ethernet#.checkMACAddress",
    "VMware accepts addresses of any range with it",
    _ADDRESSES,
)
DISK = Rule(
    "disk",
    FieldKind.DISK,
    _MOVE,
    "scsi#:#.fileName | sata#:#.fileName | ide#:#.fileName | nvme#:#.fileName",
    "two machines cannot write to one disk",
    _FILES,
)
REMOVABLE = Rule(
    "removable-medium",
    FieldKind.DISK,
    _KEEP,
    "scsi#:#.fileName | sata#:#.fileName | ide#:#.fileName | floppy#.fileName",
    "machines may share it",
    _FILES,
)
NVRAM = Rule(
    "nvram",
    FieldKind.FIRMWARE,
    _FOLLOW,
    "nvram",
    "each machine writes UEFI or BIOS variables of its own; the file is copied",
    _FILES,
)
PIPE = Rule(
    "serial-pipe",
    FieldKind.SOCKET,
    _FOLLOW,
    "serial#.fileName | parallel#.fileName",
    "the second machine to listen on a pipe does not get it",
    _SERIAL,
)
LOG = Rule(
    "serial-file",
    FieldKind.FILE,
    _FOLLOW,
    "serial#.fileName | parallel#.fileName",
    "two machines would write into one file",
    _SERIAL,
)
SERIAL_PORT = Rule(
    "serial-port",
    FieldKind.PORT,
    _RENEW,
    "serial#.fileName",
    "the host's port is taken while the source runs",
    _SERIAL,
)
SERIAL_PEER = Rule(
    "serial-peer",
    FieldKind.OTHER,
    _KEEP,
    "serial#.fileName | parallel#.fileName",
    "a device of the host, or another machine's end of a connection",
    _SERIAL,
    Level.WARNING,
)

RULES = (
    NAME,
    Rule(
        "uuid-bios",
        FieldKind.MACHINE_UUID,
        _RENEW,
        "uuid.bios",
        "the guest reads it as product_uuid and, spelled otherwise, as its serial number",
        _UUIDS,
    ),
    Rule(
        "uuid-location",
        FieldKind.MACHINE_UUID,
        _RENEW,
        "uuid.location",
        "VMware keeps it equal to uuid.bios when it copies a machine",
        _UUIDS,
    ),
    Rule(
        "uuid-action",
        FieldKind.OTHER,
        _KEEP,
        "uuid.action",
        "VMware does this with the new UUID when the machine first starts in another place; "
        "with 'create' it makes yet another",
        _UUIDS,
        Level.WARNING,
    ),
    Rule(
        "vc-uuid",
        FieldKind.UUID,
        _RENEW,
        "vc.uuid",
        "vCenter identifies machines by it",
        _UUIDS,
    ),
    Rule(
        "player-id",
        FieldKind.UUID,
        _RENEW,
        "policy.vm.mvmtid",
        "VMware Workstation and Player identify machines by it",
        _UUIDS,
    ),
    Rule(
        "genid",
        FieldKind.GENERATION_NUMBER,
        _RENEW,
        "vm.genid | vm.genidX",
        "a guest that sees it change knows that it is a copy, and reseeds its random numbers",
        _GENERATION,
    ),
    Rule(
        "serial-number",
        FieldKind.SERIAL,
        _RENEW,
        "serialNumber | scsi#:#.serial* | sata#:#.serial* | ide#:#.serial* | nvme#:#.serial*",
        "the guest reads it as product_serial, or names a disk by it",
        _UUIDS,
    ),
    Rule(
        "asset-tag",
        FieldKind.OTHER,
        _KEEP,
        "SMBIOS.assettag",
        "guests recognise clouds by it; change it where yours is an inventory number",
        _UUIDS,
    ),
    Rule(
        "apple-identity",
        FieldKind.OTHER,
        _KEEP,
        "efi.nvram.var.ROM | efi.nvram.var.MLB",
        "Apple's services know the machine by it: give the new one another",
        _SERIAL,
        Level.WARNING,
    ),
    MAC,
    MAC_TYPE,
    MAC_UNUSED,
    MAC_OFFSET,
    MAC_CHECK,
    Rule(
        "dvs-port",
        FieldKind.OTHER,
        _KEEP,
        "ethernet#.dvs.portId | ethernet#.dvs.connectionId",
        "a port of a distributed switch has one card: connect the new one in vCenter",
        _FILES,
        Level.WARNING,
    ),
    DISK,
    REMOVABLE,
    Rule(
        "nvdimm",
        FieldKind.OTHER,
        _KEEP,
        "nvdimm#:#.fileName",
        "two machines cannot write to one file: give the new one a copy, or none",
        _FILES,
        Level.WARNING,
    ),
    Rule(
        "sas-address",
        FieldKind.WWN,
        _REMOVE,
        "scsi#.sasWWID",
        "VMware makes another",
        _FILES,
    ),
    NVRAM,
    Rule(
        "vmci-id",
        FieldKind.VSOCK_CID,
        _REMOVE,
        "vmci#.id",
        "a host has one machine of a context id; VMware makes another",
        "https://knowledge.broadcom.com/external/article/320597",
    ),
    Rule(
        "swap-file",
        FieldKind.FILE,
        _REMOVE,
        "sched.swap.derivedName",
        "ESXi makes another at every start",
        _FILES,
    ),
    Rule(
        "migration-log",
        FieldKind.FILE,
        _REMOVE,
        "migrate.hostLog | migrate.hostlog",
        "ESXi makes another",
        _FILES,
    ),
    Rule(
        "extended-config",
        FieldKind.FILE,
        _FOLLOW,
        "extendedConfigFile",
        "each machine has one; VMware makes it where it is not there",
        _FILES,
    ),
    Rule(
        "machine-file",
        FieldKind.FILE,
        _FOLLOW,
        "vmxstats.filename | vmx.log.fileName | log.fileName",
        "two machines would write into one file",
        _FILES,
    ),
    PIPE,
    LOG,
    SERIAL_PORT,
    SERIAL_PEER,
    Rule(
        "vnc-port",
        FieldKind.PORT,
        _RENEW,
        "RemoteDisplay.vnc.port | RemoteDisplay.vnc.webSocket.port",
        "the host's port is taken while the source runs",
        "https://knowledge.broadcom.com/external/article/311541",
    ),
    Rule(
        "vnc-password",
        FieldKind.OTHER,
        _KEEP,
        "RemoteDisplay.vnc.key | RemoteDisplay.vnc.password",
        "the new machine has the same password as the source",
        "https://knowledge.broadcom.com/external/article/311541",
        Level.WARNING,
    ),
    Rule(
        "guest-info",
        FieldKind.OTHER,
        _KEEP,
        "guestinfo.* | machine.id",
        "the guest reads it: cloud-init takes instance-id, host name and addresses from there",
        _GUEST,
        Level.WARNING,
    ),
    Rule(
        "host-device",
        FieldKind.OTHER,
        _KEEP,
        "pciPassthru#.id | pciPassthru#.systemId | usb.autoConnect.device#",
        "a device of the host belongs to one running machine: give the new one another",
        _FILES,
        Level.WARNING,
    ),
    Rule(
        "fibre-channel-names",
        FieldKind.WWN,
        _REMOVE,
        "wwn.node | wwn.port | wwn.type",
        "storage knows the machine by these names (NPIV); vCenter gives each machine its own",
        _NPIV,
    ),
    Rule(
        "nvme-uuid",
        FieldKind.UUID,
        _RENEW,
        "nvme#.subnqnUUID",
        "the guest identifies the NVMe controller by it",
        _FILES,
    ),
    Rule(
        "replication-id",
        FieldKind.OTHER,
        _KEEP,
        "hbr_filter.gid | scsi#:#.hbr_filter.rdid | sata#:#.hbr_filter.rdid | "
        "ide#:#.hbr_filter.rdid | nvme#:#.hbr_filter.rdid",
        "vSphere Replication takes the new machine for the source: take the hbr_filter lines out",
        _REPLICATION,
        Level.WARNING,
    ),
    Rule(
        "network-attachment",
        FieldKind.OTHER,
        _KEEP,
        "ethernet#.externalId | ethernet#.filter#.param*",
        "NSX knows the card's port by it: connect the new one anew",
        _FILES,
        Level.WARNING,
    ),
    Rule(
        "managed-disk",
        FieldKind.OTHER,
        _KEEP,
        "scsi#:#.fcd.uuid | sata#:#.fcd.uuid | ide#:#.fcd.uuid | nvme#:#.fcd.uuid",
        "vCenter knows the disk by it: a copy is another disk",
        _FILES,
        Level.WARNING,
    ),
    *HOST_RULES,
)

#: Rules whose values are never shown: passwords, and what may hold some.
SECRETS = frozenset({"vnc-password", "guest-info"})
