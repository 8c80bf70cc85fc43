"""Places of an OVF descriptor that are called as identities are, and stay without a word.

References: DMTF dsp8023_2.1.1.xsd, CIM_ResourceAllocationSettingData; VirtualBox-settings.xsd.
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

TOP = r"(?:.*/)?"
KEPT = (
    Kept(
        "a name that other parts of the descriptor use",
        (
            "InstanceID",
            "InstanceId",
            "AddressOnParent",
            "PoolID",
            "ConfigurationFile",
            "ConfigurationID",
            "RecoveryFile",
            "SwapFileDataRoot",
            "Address",
            "Parent",
            "@diskId",
            "@fileRef",
            "@id",
            "HostResource",
            "@instanceID",
            "@parentRef",
        ),
    ),
    Kept(
        "the program that wrote it, or the kind of the system",
        (
            "@buildId",
            "@chunkSize",
            "LicenseSection",
            "NetworkConfigSection",
            "EulaSection",
        ),
    ),
    Kept(
        "ids of oVirt's other objects: an import makes its own",
        (
            "TemplateId",
            "@vm_snapshot_id",
            "StorageId",
            "StoragePoolId",
            "ClusterId",
            "QuotaId",
            "CpuProfileId",
            "DiskProfileId",
            "CreatedByUserId",
            "*Snapshot*",
            "*UserDomains*",
            "*AffinityGroup*",
            "*AffinityLabel*",
        ),
    ),
    Kept(
        "a disk in the archive: VirtualBox gives every one that it imports another id",
        (
            "Machine/*StorageControllers",
            "Machine/MediaRegistry",
        ),
    ),
    Kept(
        "as in a .vbox",
        (
            "*Machine/Hardware/USB",
            "*Machine/Hardware/GuestDebug",
            "*Machine/Hardware/Debugging",
            "*Machine/Hardware/Recording",
            "*Machine/Hardware/RemoteDisplay",
            "*Machine/Hardware/UART",
            "*Machine/Hardware/Network/Adapter/*/@hostip",
            "*Machine/Hardware/HostPci",
            "*Machine/Hardware/Network/Adapter/*/Property",
        ),
    ),
)
