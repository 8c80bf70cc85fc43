"""What VMware's <vmw:ExtraConfig> and <vmw:Config> are: most keys are those of a .vmx.

References: the OVFs that ovftool and vCenter write; see the rules of .vmx.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.definitions.classification import is_telling, reason_of
from unclone.sanitize.definitions.formats.ovf import rules
from unclone.sanitize.definitions.formats.vmx import FORMAT as VMX
from unclone.sanitize.definitions.substitution import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.rule import Rule

CARD = re.compile(r"(ethernet\d+)\.address", re.IGNORECASE)
_EXTRA = (
    (rules.VMWARE_UUID, re.compile(r"uuid(\.(bios|location))?", re.IGNORECASE)),
    (rules.VMWARE_ID, re.compile(r"vc\.uuid|instanceuuid|policy\.vm\.mvmtid", re.IGNORECASE)),
    (rules.VMWARE_CARD, CARD),
    (rules.VMWARE_PORT, re.compile(r"remotedisplay\.vnc\.port", re.IGNORECASE)),
    (
        rules.VMWARE_MADE,
        re.compile(
            r"vm\.genidx?|vmci\d+\.id|ethernet\d+\.generatedaddress(offset)?|scsi\d+\.saswwid|"
            r"sched\.swap\.derivedname|migrate\.hostlog|extendedconfigfile",
            re.IGNORECASE,
        ),
    ),
    (
        rules.VMWARE_STORAGE_ADDRESS,
        re.compile(
            r"wwn\.(node|port|type)|npiv(node|port)worldwidename|nvme\d+\.subnqnuuid",
            re.IGNORECASE,
        ),
    ),
    (rules.VMWARE_VARIABLES, re.compile("nvram", re.IGNORECASE)),
    (
        rules.VMWARE_KEPT,
        re.compile(
            r"(scsi|sata|ide|nvme)\d+:\d+\.(hbr_filter\.rdid|fcd\.uuid)|hbr_filter\.gid|"
            r"ethernet\d+\.externalid|ethernet\d+\.dvs\.(portid|connectionid)",
            re.IGNORECASE,
        ),
    ),
    (rules.VMWARE_SERIAL, re.compile(r"(?:.*\.)?serial(?:number|_number)?", re.IGNORECASE)),
    (rules.VMWARE_SETTING, re.compile(r"smbios\.assettag", re.IGNORECASE)),
    (rules.GUEST_INFO, re.compile(r"guestinfo\..*|machine\.id", re.IGNORECASE)),
)
#: What a <vmw:Config> can hold of these.
_OF_CONFIG = (
    *(rules.VMWARE_UUID, rules.VMWARE_ID, rules.VMWARE_STORAGE_ADDRESS),
    rules.VMWARE_SERIAL,
)
#: Words of a key that say that its value is one machine's, or a secret.
_SECRET = re.compile(r"token|license|licence|password|secret|(?<![a-z])key", re.IGNORECASE)


def rules_of(tag: str, key: str, value: str) -> Iterator[tuple[Rule, bool]]:
    """The rules for *value*, and whether it may be a secret, which is not shown."""
    if value and not UUID.search(value) and _is_unknown(key):
        yield rules.VMWARE_SETTING, bool(_SECRET.search(key))
    for rule, pattern in _EXTRA:
        if tag == "Config" and rule not in _OF_CONFIG:
            continue
        if pattern.fullmatch(key) and (value or rule is rules.VMWARE_MADE):
            yield rule, rule is rules.GUEST_INFO


def _is_unknown(key: str) -> bool:
    """Whether *key* is called as identities are, and known neither here nor in a .vmx."""
    if any(pattern.fullmatch(key) for _, pattern in _EXTRA) or reason_of(VMX, key):
        return False
    return bool(_SECRET.search(key)) or is_telling(key.replace(".", "/"))
