"""Places of a KubeVirt machine that are called as identities are, and stay without a word.

References: KubeVirt api/openapi-spec/swagger.json (1.7).
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

TOP = r"(?:items\[\]/)?"
KEPT = (
    Kept(
        "a place on a bus inside the machine, the same in every copy",
        (
            "*/pciAddress",
            "*/bootOrder",
            "*/autoattachSerialConsole",
            "*/logSerialConsole",
            "*/useSerial",
            "*/containerPath",
        ),
    ),
    Kept(
        "a port of the guest, or of a service for it",
        (
            "*/ports[]",
            "spec/ports",
            "*Probe",
            "spec/*/dhcpOptions",
        ),
    ),
    Kept(
        "other objects and places inside the guest",
        (
            "*/containerDisk",
            "*/kernelBoot",
            "*/serviceAccount",
            "*/configMap",
            "*/downwardAPI",
            "*/downwardMetrics",
            "*/nodeAffinity",
            "*/affinity",
            "*/tolerations[]",
            "*/topologySpreadConstraints[]",
            "*/resourceClaims[]",
            "spec/selector",
        ),
    ),
    Kept("where the data of a template is from", ("spec/dataVolumeTemplates[]/spec",)),
)
