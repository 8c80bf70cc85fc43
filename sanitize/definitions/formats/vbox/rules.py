"""Everything in a .vbox that identifies the machine.

``where`` is relative to ``<Machine>``; what is in ``<Hardware>`` is repeated in each snapshot.

References: VirtualBox src/VBox/Main/xml/Settings.cpp and VirtualBox-settings.xsd; the VirtualBox
manual, "VBoxManage clonevm", "Configuring the BIOS DMI information".
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Rule, Treatment

_RENEW, _FOLLOW, _REMOVE = Treatment.RENEW, Treatment.FOLLOW, Treatment.REMOVE
_KEEP, _MOVE = Treatment.KEEP, Treatment.MOVE

_SETTINGS = "https://www.virtualbox.org/browser/vbox/trunk/src/VBox/Main/xml/Settings.cpp"
_MANUAL = "https://www.virtualbox.org/manual/"

NAME = Rule(
    "name",
    FieldKind.NAME,
    Treatment.NAME,
    "@name",
    "VirtualBox has one machine of a name",
    _SETTINGS,
)
UUID = Rule(
    "uuid",
    FieldKind.MACHINE_UUID,
    _RENEW,
    "@uuid",
    "VirtualBox identifies a machine by it",
    _SETTINGS,
)
HARDWARE_UUID = Rule(
    "hardware-uuid",
    FieldKind.MACHINE_UUID,
    _RENEW,
    "Hardware/@uuid",
    "the guest reads it as product_uuid; without it, it reads the machine's",
    _SETTINGS,
)
SNAPSHOT = Rule(
    "snapshot-uuid",
    FieldKind.UUID,
    _RENEW,
    "@currentSnapshot | Snapshot/@uuid",
    "a snapshot is one machine's",
    _SETTINGS,
)
SNAPSHOT_STATE = Rule(
    "snapshot-state",
    FieldKind.OTHER,
    _KEEP,
    "Snapshot/@stateFile",
    "it is the memory of the source: a machine that is restored to it is the source again",
    _SETTINGS,
    Level.WARNING,
)
SNAPSHOT_FOLDER = Rule(
    "snapshot-folder",
    FieldKind.OTHER,
    _FOLLOW,
    "@snapshotFolder",
    "each machine keeps its snapshots in a folder of its own",
    _SETTINGS,
)
GROUP = Rule(
    "group",
    FieldKind.OTHER,
    _FOLLOW,
    "Groups/Group/@name",
    "a group that is called as the source is is the source's",
    _SETTINGS,
)
MAC = Rule(
    "mac",
    FieldKind.MAC,
    _RENEW,
    "Hardware/Network/Adapter/@MACAddress",
    "an address is unique in its network",
    _SETTINGS,
)
FORWARDED = Rule(
    "forwarded-port",
    FieldKind.PORT,
    _RENEW,
    "Hardware/Network/Adapter/NAT/Forwarding/@hostport | "
    "ExtraData/ExtraDataItem[@name='VBoxInternal/Devices/.../HostPort']/@value",
    "the host's port is taken while the source runs",
    _MANUAL,
)
DISK = Rule(
    "disk",
    FieldKind.DISK,
    _MOVE,
    "MediaRegistry/HardDisks/HardDisk/@location",
    "two machines cannot write to one disk",
    _SETTINGS,
)
DISK_UUID = Rule(
    "disk-uuid",
    FieldKind.UUID,
    _RENEW,
    "MediaRegistry/HardDisks/HardDisk/@uuid | StorageControllers/StorageController/"
    "AttachedDevice/Image/@uuid",
    "VirtualBox identifies disks by it; the header of a moved disk gets it too",
    _SETTINGS,
)
REMOVABLE = Rule(
    "removable-medium",
    FieldKind.DISK,
    _KEEP,
    "MediaRegistry/DVDImages/Image/@location | MediaRegistry/FloppyImages/Image/@location",
    "machines may share it",
    _SETTINGS,
)
NVRAM = Rule(
    "nvram",
    FieldKind.FIRMWARE,
    _FOLLOW,
    "Hardware/BIOS/NVRAM/@path | Hardware/Firmware/NVRAM/@path | Hardware/NVRAM/@path",
    "each machine writes UEFI variables, and its TPM keys, of its own; the file is copied",
    _SETTINGS,
)
DISPLAY_PORT = Rule(
    "remote-display-port",
    FieldKind.PORT,
    _RENEW,
    "Hardware/RemoteDisplay/VRDEProperties/Property[@name='TCP/Ports']/@value | "
    "Hardware/RemoteDisplay/@port",
    "the host's port is taken while the source runs",
    _MANUAL,
)
PIPE = Rule(
    "serial-pipe",
    FieldKind.SOCKET,
    _FOLLOW,
    "Hardware/UART/Port/@path",
    "the second machine to listen on a socket takes it from the first",
    _MANUAL,
)
LOG = Rule(
    "serial-file",
    FieldKind.FILE,
    _FOLLOW,
    "Hardware/UART/Port/@path",
    "two machines would write into one file",
    _MANUAL,
)
SERIAL_PORT = Rule(
    "serial-port",
    FieldKind.PORT,
    _RENEW,
    "Hardware/UART/Port/@path",
    "the host's port is taken while the source runs",
    _MANUAL,
)
SERIAL_PEER = Rule(
    "serial-peer",
    FieldKind.OTHER,
    _KEEP,
    "Hardware/UART/Port/@path | Hardware/LPT/Port/@path",
    "a device of the host, or another machine's end of a connection",
    _MANUAL,
    Level.WARNING,
)
VIDEO = Rule(
    "video-file",
    FieldKind.FILE,
    _FOLLOW,
    "Hardware/VideoCapture/@file | Hardware/VideoCapture/Screens/Screen/@file | "
    "Hardware/VideoRecording/@file | Hardware/Network/Adapter/@tracefile | "
    "Hardware/Recording/Screen/@file",
    "two machines would write into one file",
    _SETTINGS,
)
GUEST_PROPERTY = Rule(
    "guest-property",
    FieldKind.OTHER,
    _REMOVE,
    "Hardware/GuestProperties/GuestProperty",
    "the source's guest said so of itself; the new one's guest says it again",
    _MANUAL,
)
USER_PROPERTY = Rule(
    "user-property",
    FieldKind.OTHER,
    _KEEP,
    "Hardware/GuestProperties/GuestProperty",
    "a program of yours or of the guest keeps it there: see whether it names the source",
    _MANUAL,
)
SYSTEM_UUID = Rule(
    "dmi-uuid",
    FieldKind.MACHINE_UUID,
    _RENEW,
    "ExtraData/ExtraDataItem[@name='VBoxInternal/Devices/.../DmiSystemUuid']/@value",
    "the guest reads it as product_uuid, whatever the machine's UUID is",
    _MANUAL,
)
SERIAL = Rule(
    "dmi-serial",
    FieldKind.SERIAL,
    _RENEW,
    "ExtraData/ExtraDataItem[@name='VBoxInternal/Devices/.../Dmi...Serial']/@value",
    "the guest reads it as the serial number of system, board or chassis",
    _MANUAL,
)
ASSET = Rule(
    "dmi-asset-tag",
    FieldKind.OTHER,
    _KEEP,
    "ExtraData/ExtraDataItem[@name='VBoxInternal/Devices/.../Dmi...AssetTag']/@value",
    "guests recognise clouds by it; change it where yours is an inventory number",
    _MANUAL,
)
DISK_SERIAL = Rule(
    "disk-serial",
    FieldKind.SERIAL,
    _RENEW,
    "ExtraData/ExtraDataItem[@name='VBoxInternal/Devices/.../SerialNumber']/@value",
    "the guest finds disks by it",
    _MANUAL,
)
HOST_DEVICE = Rule(
    "host-device",
    FieldKind.OTHER,
    _KEEP,
    "Hardware/HostPci/Devices/Device/@host | Hardware/USB/DeviceFilters/DeviceFilter/@name",
    "a device of the host belongs to one running machine: give the new one another",
    _MANUAL,
    Level.WARNING,
)
DEBUGGER_PORT = Rule(
    "debugger-port",
    FieldKind.PORT,
    _RENEW,
    "Hardware/GuestDebug/@port | Hardware/Debugging/@port | Teleporter/@port",
    "the host's port is taken while the source runs",
    _SETTINGS,
)
NETWORK_PORT = Rule(
    "network-port",
    FieldKind.PORT,
    _RENEW,
    "Hardware/Network/Adapter/GenericInterface/Property[@name='sport']/@value",
    "the host's port is taken while the source runs",
    _MANUAL,
)
SHARED_FOLDER = Rule(
    "shared-folder",
    FieldKind.OTHER,
    _KEEP,
    "Hardware/SharedFolders/SharedFolder/@hostPath",
    "both machines see the same folder; give the new one its own where they must not",
    _MANUAL,
)
TPM = Rule(
    "tpm",
    FieldKind.TPM,
    _KEEP,
    "Hardware/TrustedPlatformModule/@location",
    "a TPM is one machine's own: give the new one another",
    _SETTINGS,
    Level.WARNING,
)
INITIATOR = Rule(
    "iscsi-initiator",
    FieldKind.OTHER,
    _KEEP,
    "MediaRegistry/HardDisks/HardDisk/Property[@name='InitiatorName']/@value",
    "the target knows the machine by it, and takes both for one: give the new one another",
    _MANUAL,
    Level.WARNING,
)

RULES = (
    NAME,
    UUID,
    HARDWARE_UUID,
    SNAPSHOT,
    SNAPSHOT_STATE,
    SNAPSHOT_FOLDER,
    GROUP,
    MAC,
    FORWARDED,
    DISK,
    DISK_UUID,
    REMOVABLE,
    NVRAM,
    DISPLAY_PORT,
    PIPE,
    LOG,
    SERIAL_PORT,
    SERIAL_PEER,
    VIDEO,
    GUEST_PROPERTY,
    USER_PROPERTY,
    SYSTEM_UUID,
    SERIAL,
    ASSET,
    DISK_SERIAL,
    HOST_DEVICE,
    DEBUGGER_PORT,
    NETWORK_PORT,
    SHARED_FOLDER,
    TPM,
    INITIATOR,
)
