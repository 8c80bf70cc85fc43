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
    "VirtualHardwareSection/ExtraConfig[@vmw:key='uuid.bios' or 'uuid.location']/@vmw:value",
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

#: What VirtualBox's own description of the machine has, of what a .vbox can have.
VIRTUALBOX = tuple(
    rule
    for rule in vbox.RULES
    if rule not in (vbox.SNAPSHOT, vbox.DISK, vbox.DISK_UUID, vbox.REMOVABLE)
)
#: In an archive the disks are members, and stay so.
ARCHIVE_RULES = (
    SYSTEM_ID,
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
    *VIRTUALBOX,
)
RULES = (*ARCHIVE_RULES, DISK, DISK_SIZE)
