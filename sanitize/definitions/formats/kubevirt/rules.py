"""Every field of a KubeVirt VirtualMachine that identifies the machine.

``where`` holds paths of Node.find (definitions/text/tree.py), from the VirtualMachine.

References: KubeVirt API reference, v1.0 to v1.6 (VirtualMachine, VirtualMachineInstanceSpec,
DomainSpec); pkg/virt-controller/watch/clone (what its own clone leaves out); Kubernetes API
conventions (metadata that the server sets).
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.cloud_init_fields import seed_rules
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_API = "https://kubevirt.io/api-reference/main/definitions.html"
_KUBERNETES = "https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/"
_RENEW, _FOLLOW, _KEEP = Treatment.RENEW, Treatment.FOLLOW, Treatment.KEEP
_REMOVE, _MOVE = Treatment.REMOVE, Treatment.MOVE

_SPECS = ("spec/template/spec", "spec")  # of a VirtualMachine, of an instance


def _in_spec(*paths: str) -> tuple[str, ...]:
    return tuple(f"{spec}/{path}" for spec in _SPECS for path in paths)


#: Objects within a machine that have metadata of their own.
_PARTS = ("spec/template/", "spec/dataVolumeTemplates[]/")
_METADATA = rules(
    _KUBERNETES,
    (
        "name",
        FieldKind.NAME,
        Treatment.NAME,
        "metadata/name",
        "a namespace has one machine of a name",
    ),
    (
        "uid",
        FieldKind.OTHER,
        _REMOVE,
        tuple(f"{part}metadata/uid" for part in ("", *_PARTS)),
        "Kubernetes gives every object one",
    ),
    (
        "server-set",
        FieldKind.OTHER,
        _REMOVE,
        tuple(
            f"{part}metadata/{name}"
            for part in ("", *_PARTS)
            for name in (
                "resourceVersion",
                "creationTimestamp",
                "generation",
                "managedFields",
                "selfLink",
                "ownerReferences",
            )
            if not (part and name == "creationTimestamp")
        ),
        "Kubernetes sets it, and refuses a new object with some of it",
    ),
    (
        "last-applied",
        FieldKind.OTHER,
        _REMOVE,
        "metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
        "it is a copy of the source's definition; kubectl makes another",
    ),
    ("status", FieldKind.OTHER, _REMOVE, "status", "it is the source's; KubeVirt makes another"),
    (
        "label",
        FieldKind.OTHER,
        _FOLLOW,
        ("metadata/labels/*", "spec/template/metadata/labels/*", "spec/template/metadata/name"),
        "services and policies find a machine by its labels",
    ),
)

_MACHINE = rules(
    _API,
    (
        "firmware-uuid",
        FieldKind.MACHINE_UUID,
        _RENEW,
        _in_spec("domain/firmware/uuid"),
        "the guest reads it as product_uuid",
    ),
    (
        "firmware-serial",
        FieldKind.SERIAL,
        _RENEW,
        _in_spec("domain/firmware/serial"),
        "the guest reads it as product_serial; inventories and licences identify machines by it",
    ),
    (
        "chassis-serial",
        FieldKind.SERIAL,
        _RENEW,
        _in_spec("domain/chassis/serial"),
        "the guest reads it as chassis_serial",
    ),
    (
        "asset-tag",
        FieldKind.OTHER,
        _KEEP,
        _in_spec("domain/chassis/asset"),
        "guests recognise clouds by it; change it where yours is an inventory number",
    ),
    (
        "mac",
        FieldKind.MAC,
        _RENEW,
        _in_spec("domain/devices/interfaces[]/macAddress"),
        "two cards with one address on a network lose each other's packets",
    ),
    (
        "disk-serial",
        FieldKind.SERIAL,
        _RENEW,
        _in_spec("domain/devices/disks[]/serial"),
        "the guest names disks by it in /dev/disk/by-id",
    ),
    (
        "host-name",
        FieldKind.OTHER,
        _FOLLOW,
        _in_spec("hostname"),
        "the guest gets it as its host name",
    ),
    (
        "data-volume",
        FieldKind.FILE,
        _FOLLOW,
        "spec/dataVolumeTemplates[]/metadata/name",
        "each machine has a data volume of its own made from the template",
    ),
    (
        "data-volume-used",
        FieldKind.FILE,
        _FOLLOW,
        _in_spec("volumes[]/dataVolume/name", "volumes[]/persistentVolumeClaim/claimName"),
        "it is made from a template that gets another name",
    ),
    (
        "disk",
        FieldKind.DISK,
        _MOVE,
        _in_spec(
            "volumes[]/dataVolume/name",
            "volumes[]/persistentVolumeClaim/claimName",
            "volumes[]/hostDisk/path",
            "volumes[]/memoryDump/claimName",
        ),
        "two machines that write to one volume destroy it; give --disk OLD=NEW",
    ),
    (
        "host-device",
        FieldKind.OTHER,
        _KEEP,
        _in_spec("domain/devices/hostDevices[]/deviceName", "domain/devices/gpus[]/deviceName"),
        "the new machine needs another such device to start while the source runs",
    ),
    (
        "state",
        FieldKind.TPM,
        _KEEP,
        _in_spec("domain/devices/tpm/persistent", "domain/firmware/bootloader/efi/persistent"),
        (
            "its state is kept under the machine's name: the new one starts with an empty TPM and "
            "empty UEFI variables"
        ),
    ),
    (
        "accounts-secret",
        FieldKind.OTHER,
        _KEEP,
        _in_spec(
            *(
                f"accessCredentials[]/{kind}/source/secret/secretName"
                for kind in ("sshPublicKey", "userPassword")
            ),
            "domain/firmware/acpi/slicNameRef",
            "domain/firmware/acpi/msdmNameRef",
        ),
        "the new machine gets the keys, the passwords or the licence in it, too",
    ),
    (
        "launch-security",
        FieldKind.OTHER,
        _KEEP,
        _in_spec("domain/launchSecurity/sev/session", "domain/launchSecurity/sev/dhCert"),
        "it was made by the owner of the source's guest: a new machine is measured anew",
        Level.WARNING,
    ),
    (
        "revision",
        FieldKind.OTHER,
        _REMOVE,
        ("spec/instancetype/revisionName", "spec/preference/revisionName"),
        "it is a copy that KubeVirt made for the source, and it makes another",
    ),
    (
        "node",
        FieldKind.OTHER,
        _KEEP,
        _in_spec("nodeSelector/kubernetes.io~1hostname"),
        "the new machine runs on the same host, too",
    ),
    (
        "seed-secret",
        FieldKind.OTHER,
        _KEEP,
        _in_spec(
            *(
                f"volumes[]/{source}/{reference}/name"
                for source in ("cloudInitNoCloud", "cloudInitConfigDrive")
                for reference in ("secretRef", "networkDataSecretRef")
            ),
            *(
                f"volumes[]/{source}/{encoded}"
                for source in ("cloudInitNoCloud", "cloudInitConfigDrive")
                for encoded in ("userDataBase64", "networkDataBase64")
            ),
            "volumes[]/sysprep/secret/name",
            "volumes[]/sysprep/configMap/name",
        ),
        "what it holds for one machine (host name, address, keys) the new one gets too",
        Level.WARNING,
    ),
)

SEED = seed_rules(
    *_in_spec(
        *(
            f"volumes[]/{source}/{key}"
            for source in ("cloudInitNoCloud", "cloudInitConfigDrive")
            for key in ("userData", "networkData")
        )
    )
)

#: Kubernetes leaves annotations to other programs: networks find addresses there.
_ANNOTATIONS = ("metadata/annotations/*", "spec/template/metadata/annotations/*")
ANNOTATION_MAC, ANNOTATION, ANNOTATION_ADDRESS = ANNOTATIONS = rules(
    _KUBERNETES,
    (
        "annotation-mac",
        FieldKind.MAC,
        _RENEW,
        _ANNOTATIONS,
        "a network gives the card this address",
    ),
    (
        "annotation",
        FieldKind.OTHER,
        _FOLLOW,
        _ANNOTATIONS,
        "other programs find the machine by it",
    ),
    (
        "annotation-address",
        FieldKind.OTHER,
        _KEEP,
        _ANNOTATIONS,
        "a network gives the machine this address: it has to be the new machine's own",
        Level.WARNING,
    ),
)

#: Of the other objects in the file.
OTHER_OBJECT = rules(
    _KUBERNETES,
    (
        "other-object",
        FieldKind.OTHER,
        _KEEP,
        "metadata/name",
        "it is the source's and stays in the file: see whether the new machine needs its own",
        Level.WARNING,
    ),
)

MACHINE = (*_METADATA, *_MACHINE)
RULES = (*MACHINE, *SEED, *ANNOTATIONS, *OTHER_OBJECT)
