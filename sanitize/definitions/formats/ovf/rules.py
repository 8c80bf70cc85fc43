"""Everything in an OVF descriptor that identifies the machine.

``where`` is relative to ``<VirtualSystem>`` or, with a leading slash, to ``<Envelope>``. What
VirtualBox adds (``vbox:Machine``) has the rules of a .vbox.

References: DMTF DSP0243 (OVF 1.1.1, 2.1.1); DMTF CIM_ResourceAllocationSettingData
(ResourceType 10 is an Ethernet adapter); VirtualBox src/VBox/Main/xml/ovfreader.cpp; the OVFs of
VMware's ovftool; cloud-init's OVF data source.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.formats.vbox import rules as vbox
from unclone.sanitize.definitions.rule import FieldKind, Rule, Treatment

_RENEW, _FOLLOW, _REMOVE = Treatment.RENEW, Treatment.FOLLOW, Treatment.REMOVE
_KEEP, _MOVE = Treatment.KEEP, Treatment.MOVE

_SPEC = "https://www.dmtf.org/standards/ovf"
_VMWARE = "https://developer.broadcom.com/tools/open-virtualization-format-ovf-tool/latest"
_CLOUD_INIT = "https://docs.cloud-init.io/en/latest/reference/datasources/ovf.html"
_VIRTUALBOX = "https://www.virtualbox.org/browser/vbox/trunk/src/VBox/Main/xml/ovfreader.cpp"

SYSTEM_ID = Rule(
    "system-id",
    FieldKind.OTHER,
    _FOLLOW,
    "@ovf:id | /StartupSection/Item/@ovf:id",
    "many programs use it as the machine's name",
    _SPEC,
)
SYSTEM_REFERENCE = Rule(
    "system-reference",
    FieldKind.OTHER,
    _KEEP,
    "@ovf:id",
    "it is the source's in vCenter, which gives an imported machine another",
    _VMWARE,
)
ADDRESS = Rule(
    "address",
    FieldKind.OTHER,
    _KEEP,
    "VirtualHardwareSection/Item/Connection/@vcloud:ipAddress | "
    "NetworkConnectionSection/NetworkConnection/IpAddress",
    "the source has this address too: it has to be the new machine's own",
    "https://developer.broadcom.com/xapis/vmware-cloud-director-api/latest/",
    Level.WARNING,
)
SYSTEM_NAME = Rule(
    "system-name", FieldKind.NAME, Treatment.NAME, "Name", "importers use it as the name", _SPEC
)
IDENTIFIER = Rule(
    "system-identifier",
    FieldKind.NAME,
    Treatment.NAME,
    "VirtualHardwareSection/System/VirtualSystemIdentifier",
    "importers use it as the name of a machine without one",
    _SPEC,
)
CARD = Rule(
    "card-address",
    FieldKind.MAC,
    _RENEW,
    "VirtualHardwareSection/Item[ResourceType=10]/Address | "
    "VirtualHardwareSection/Item[ResourceType=10]/MACAddress | "
    "VirtualHardwareSection/EthernetPortItem/Address",
    "an address is unique in its network",
    _SPEC,
)
DISK = Rule(
    "disk-file",
    FieldKind.DISK,
    _MOVE,
    "/References/File/@ovf:href",
    "the new machine's disk has to be a copy",
    _SPEC,
)
DISK_SIZE = Rule(
    "disk-file-size",
    FieldKind.OTHER,
    _REMOVE,
    "/References/File/@ovf:size",
    "the copy may have another size; it need not be given",
    _SPEC,
)
DISK_ID = Rule(
    "disk-id",
    FieldKind.OTHER,
    _KEEP,
    "/DiskSection/Disk/@vbox:uuid",
    "VirtualBox gives every disk it imports another",
    _VIRTUALBOX,
)
HOST_NAME = Rule(
    "property-host-name",
    FieldKind.OTHER,
    _FOLLOW,
    "ProductSection/Property[@ovf:key='hostname']/@ovf:value",
    "the guest takes its host name from there",
    _CLOUD_INIT,
)
INSTANCE_ID = Rule(
    "property-instance-id",
    FieldKind.OTHER,
    Treatment.NAME,
    "ProductSection/Property[@ovf:key='instance-id']/@ovf:value",
    "cloud-init does its work again only where it changes",
    _CLOUD_INIT,
)
PROPERTY = Rule(
    "property",
    FieldKind.OTHER,
    _KEEP,
    "ProductSection/Property/@ovf:value",
    "the guest reads it, and only you know whether it is one machine's own",
    _SPEC,
)
VMWARE_UUID = Rule(
    "vmware-uuid",
    FieldKind.MACHINE_UUID,
    _RENEW,
    "VirtualHardwareSection/ExtraConfig[@vmw:key='uuid.bios' or 'uuid.location']/@vmw:value | "
    "VirtualHardwareSection/Config[@vmw:key='uuid']/@vmw:value",
    "the guest reads it as product_uuid",
    _VMWARE,
)
VMWARE_ID = Rule(
    "vmware-id",
    FieldKind.UUID,
    _RENEW,
    "VirtualHardwareSection/ExtraConfig[@vmw:key='vc.uuid' or 'policy.vm.mvmtid']/@vmw:value",
    "vCenter identifies machines by it",
    _VMWARE,
)
VMWARE_CARD = Rule(
    "vmware-address",
    FieldKind.MAC,
    _RENEW,
    "VirtualHardwareSection/ExtraConfig[@vmw:key='ethernet#.address']/@vmw:value",
    "an address is unique in its network",
    _VMWARE,
)
VMWARE_PORT = Rule(
    "vmware-vnc-port",
    FieldKind.PORT,
    _RENEW,
    "VirtualHardwareSection/ExtraConfig[@vmw:key='RemoteDisplay.vnc.port']/@vmw:value",
    "the host's port is taken while the source runs",
    _VMWARE,
)
VMWARE_MADE = Rule(
    "vmware-generated",
    FieldKind.OTHER,
    _REMOVE,
    "VirtualHardwareSection/ExtraConfig[@vmw:key='vm.genid' and others]",
    "VMware made it for the source, and makes another",
    _VMWARE,
)
GUEST_INFO = Rule(
    "vmware-guest-info",
    FieldKind.OTHER,
    _KEEP,
    "VirtualHardwareSection/ExtraConfig[@vmw:key='guestinfo.*']/@vmw:value",
    "the guest reads it: cloud-init takes instance-id, host name and addresses from there",
    _VMWARE,
    Level.WARNING,
)
VMWARE_STORAGE_ADDRESS = Rule(
    "vmware-storage-address",
    FieldKind.OTHER,
    _REMOVE,
    "VirtualHardwareSection/ExtraConfig[@vmw:key='wwn.node' and others]",
    "storage knows the machine by it; vCenter gives each machine its own",
    _VMWARE,
)
VMWARE_VARIABLES = Rule(
    "vmware-nvram",
    FieldKind.OTHER,
    _KEEP,
    "VirtualHardwareSection/ExtraConfig[@vmw:key='nvram']/@vmw:value",
    "the importer gives the machine a copy of that file",
    _VMWARE,
)
VMWARE_KEPT = Rule(
    "vmware-attachment",
    FieldKind.OTHER,
    _KEEP,
    "VirtualHardwareSection/ExtraConfig[@vmw:key='ethernet#.externalId' and others]/@vmw:value",
    "a switch port, a replication or a disk of vCenter belongs to one machine: attach it anew",
    _VMWARE,
    Level.WARNING,
)
VMWARE_SERIAL = Rule(
    "vmware-serial-number",
    FieldKind.SERIAL,
    _RENEW,
    "VirtualHardwareSection/ExtraConfig[@vmw:key='serialNumber' and others]/@vmw:value",
    "the guest reads it as product_serial, or names a disk by it",
    _VMWARE,
)
VMWARE_SETTING = Rule(
    "vmware-setting",
    FieldKind.OTHER,
    _KEEP,
    "VirtualHardwareSection/ExtraConfig/@vmw:value | VirtualHardwareSection/Config/@vmw:value | "
    "VirtualHardwareSection/Item/Config/@vmw:value",
    "it is called as identities are, and only you know whether it is one machine's own",
    _VMWARE,
)
OVIRT_ID = Rule(
    "ovirt-id",
    FieldKind.MACHINE_UUID,
    _RENEW,
    "OperatingSystemSection/@ovf:id",
    "oVirt takes it for the machine's id, which the guest reads as product_uuid",
    "https://github.com/oVirt/ovirt-engine/blob/master/backend/manager/modules/utils/src/main/"
    "java/org/ovirt/engine/core/utils/ovf/OvfVmReader.java",
)
OVIRT_SERIAL = Rule(
    "ovirt-serial",
    FieldKind.SERIAL,
    _RENEW,
    "CustomSerialNumber",
    "the guest reads it as product_serial",
    "https://github.com/oVirt/ovirt-engine/blob/master/backend/manager/modules/utils/src/main/"
    "java/org/ovirt/engine/core/utils/ovf/OvfReader.java",
)

#: What VirtualBox's own description of the machine has, of what a .vbox can have.
VIRTUALBOX = tuple(
    rule
    for rule in vbox.RULES
    if rule
    not in (
        vbox.SNAPSHOT,
        vbox.SNAPSHOT_STATE,
        vbox.DISK,
        vbox.DISK_UUID,
        vbox.REMOVABLE,
        vbox.INITIATOR,
    )
)
#: In an archive the disks are members, and stay so.
ARCHIVE_RULES = (
    SYSTEM_ID,
    SYSTEM_REFERENCE,
    ADDRESS,
    SYSTEM_NAME,
    IDENTIFIER,
    CARD,
    DISK_ID,
    HOST_NAME,
    INSTANCE_ID,
    PROPERTY,
    VMWARE_UUID,
    VMWARE_ID,
    VMWARE_CARD,
    VMWARE_PORT,
    VMWARE_MADE,
    GUEST_INFO,
    VMWARE_STORAGE_ADDRESS,
    VMWARE_VARIABLES,
    VMWARE_KEPT,
    VMWARE_SERIAL,
    VMWARE_SETTING,
    *VIRTUALBOX,
)
RULES = (*ARCHIVE_RULES, DISK, DISK_SIZE, OVIRT_ID, OVIRT_SERIAL)
