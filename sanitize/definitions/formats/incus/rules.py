"""Every field of an Incus or LXD instance that identifies it.

``where`` holds paths of Node.find (definitions/text/tree.py), from an instance.

References: Incus doc/config_options.txt (instance-volatile); internal/instance/config.go
(InstanceIncludeWhenCopying: what a copy keeps); LXD 5 documents the same keys.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.cloud_init_fields import seed_rules
from unclone.sanitize.definitions.formats.qemu.passed_on import argument_rules
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_OPTIONS = "https://linuxcontainers.org/incus/docs/main/reference/instance_options/"
_DEVICES = "https://linuxcontainers.org/incus/docs/main/reference/devices/"
_RENEW, _FOLLOW, _KEEP = Treatment.RENEW, Treatment.FOLLOW, Treatment.KEEP
_REMOVE = Treatment.REMOVE

_CONFIG = rules(
    _OPTIONS,
    ("name", FieldKind.NAME, Treatment.NAME, "name", "a project has one instance of a name"),
    (
        "uuid",
        FieldKind.MACHINE_UUID,
        _RENEW,
        "config/volatile.uuid",
        "instances are told by it; a virtual machine reads it as product_uuid",
    ),
    (
        "generation-id",
        FieldKind.GENERATION_ID,
        _RENEW,
        "config/volatile.uuid.generation",
        "a guest that sees it change knows that it is a copy, and reseeds its random numbers",
    ),
    (
        "instance-id",
        FieldKind.UUID,
        _RENEW,
        # Its documentation spells it with an underscore, its code with a hyphen.
        ("config/volatile.cloud-init.instance-id", "config/volatile.cloud_init.instance-id"),
        "cloud-init does its work again for a new one, and not for the old one",
    ),
    (
        "mac",
        FieldKind.MAC,
        _RENEW,
        ("config/volatile.*.hwaddr", "devices/*/hwaddr"),
        "two cards with one address on a network lose each other's packets",
    ),
    (
        "guest-input",
        FieldKind.OTHER,
        _KEEP,
        (
            "config/systemd.credential*",
            *(f"config/security.sev.session.{key}" for key in ("data", "dh")),
        ),
        "the guest is given it, or started with it, as the source was",
        Level.WARNING,
    ),
    (
        "smbios-text",
        FieldKind.OTHER,
        _KEEP,
        "config/smbios11.*",
        "the guest reads it, and only you know whether it is one machine's own",
    ),
    (
        "vsock-id",
        FieldKind.VSOCK_CID,
        _REMOVE,
        "config/volatile.vsock_id",
        "a host has one machine of a context id; a free one is found at the next start",
    ),
    (
        "id-map",
        FieldKind.OTHER,
        _REMOVE,
        "config/volatile.idmap.*",
        "the range of user ids belongs to the source; another is found at the next start",
    ),
    (
        "root-id-map",
        FieldKind.OTHER,
        _KEEP,
        "config/volatile.last_state.idmap",
        "it says who owns the files of the root disk as they are stored, and goes with the disk",
    ),
    (
        "last-state",
        FieldKind.OTHER,
        _REMOVE,
        (
            "config/volatile.last_state.power",
            "config/volatile.last_state.ready",
            "config/volatile.*.last_state.*",
            "config/volatile.evacuate.origin",
            "config/volatile.*.mig.uuid",
            "config/volatile.*.vgpu.uuid",
        ),
        "it is what the source did last",
    ),
    (
        "host-interface",
        FieldKind.INTERFACE,
        _REMOVE,
        "config/volatile.*.host_name",
        "the host's end of a card exists once; another is made at the next start",
    ),
)

_DEVICE = rules(
    _DEVICES,
    (
        "infiniband-address",
        FieldKind.OTHER,
        _KEEP,
        (
            *("config/volatile.*.hwaddr", "devices/*/hwaddr"),
            *("devices/*/node_guid", "devices/*/port_guid"),
        ),
        "an InfiniBand address is that of the host's card: give the new instance another card",
        Level.WARNING,
    ),
    (
        "disk-wwn",
        FieldKind.WWN,
        _RENEW,
        "devices/*/wwn",
        "a World Wide Name is unique; multipath takes two disks that share one for the same",
    ),
    (
        "device-host-interface",
        FieldKind.INTERFACE,
        _FOLLOW,
        "devices/*/host_name",
        "a host has one interface of a name",
    ),
    (
        "address",
        FieldKind.OTHER,
        _KEEP,
        tuple(
            f"devices/*/ipv{n}.{key}"
            for n in (4, 6)
            for key in ("address", "address.external", "routes", "routes.external")
        ),
        "the source has this address too: it has to be the new instance's own",
        Level.WARNING,
    ),
    (
        "listen",
        FieldKind.OTHER,
        _KEEP,
        "devices/*/listen",
        "the host's port or socket is taken while the source runs: choose another",
        Level.WARNING,
    ),
    (
        "disk",
        FieldKind.DISK,
        Treatment.MOVE,
        "devices/*/source",
        "both instances see the same folder or volume; give --disk OLD=NEW where they must not",
    ),
    (
        "host-device",
        FieldKind.OTHER,
        _KEEP,
        tuple(
            f"devices/*/{key}"
            for key in (
                *("address", "pci", "busnum", "serial", "mig.uuid", "mdev", "id"),
                *("parent", "source", "path"),
            )
        ),
        "a device of the host belongs to one running instance: give the new one another",
        Level.WARNING,
    ),
    (
        "tpm",
        FieldKind.TPM,
        _KEEP,
        "devices/*/type",
        "a TPM is one machine's own: its state must not be copied with the instance",
        Level.WARNING,
    ),
)

SEED = seed_rules(
    *(
        f"config/{prefix}.{key}"
        for prefix in ("cloud-init", "user")
        for key in ("user-data", "vendor-data", "network-config", "meta-data")
    )
)

#: Of what `incus export` adds, from the top of backup/index.yaml and backup.yaml.
STORAGE = rules(
    _OPTIONS,
    (
        "volume-name",
        FieldKind.OTHER,
        _FOLLOW,
        ("volume/name", "volume/used_by[]"),
        "the root disk's volume is called like the instance",
    ),
    (
        "other-uuid",
        FieldKind.UUID,
        _RENEW,
        (
            "volume/config/volatile.uuid",
            "volume_snapshots[]/config/volatile.uuid",
            "snapshots[]/config/volatile.uuid",
            "snapshots[]/expanded_config/volatile.uuid",
            "instance/snapshots[]/config/volatile.uuid",
            "instance/snapshots[]/expanded_config/volatile.uuid",
        ),
        "storage volumes and snapshots are told by it",
    ),
)

#: Names, UUIDs and addresses in it follow.
RAW = rules(
    _OPTIONS,
    (
        "raw-arguments",
        FieldKind.OTHER,
        _FOLLOW,
        ("config/raw.qemu", "config/raw.qemu.conf", "config/raw.lxc"),
        "they are passed on to the hypervisor as they are",
    ),
)

WITHIN_RAW = argument_rules(RAW[0].where, _OPTIONS)

INSTANCE = (*_CONFIG, *_DEVICE)
RULES = (*INSTANCE, *SEED, *STORAGE, *RAW, *WITHIN_RAW)
