"""The instance-id: what cloud-init compares to decide whether this machine is new.

It depends on the machine's name and on nothing that is in the seed: a rebuilt or corrected seed is
still the same machine, and cloud-init does not run its per-instance modules (new SSH host keys, new
users) a second time. A higher generation makes it do so.
"""

from __future__ import annotations

import re
import uuid

from unclone.seeds.errors import SeedError

#: uuid5(NAMESPACE_URL, "urn:unclone:instance-id"): fixed for ever, or rebuilt seeds would change.
_NAMESPACE = uuid.UUID("8887f0f5-b0e4-5401-bdcd-ac6fd610ee00")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")

#: What other tools write into every seed: with these a clone does not know that it is one.
SHARED = frozenset(
    {"nocloud", "iid-local01", "iid-datasource-none", "i-abcdefg", "someid/somehostname"}
)


def instance_id(name: str, generation: int = 1) -> str:
    """The id of the machine called *name* (its FQDN, or host name): ``iid-`` and a UUID.

    The same name and *generation* always give the same id; another generation gives another.
    """
    if generation < 1:
        raise SeedError(f"generation {generation} makes no sense", hint="The first is 1.")
    key = name.lower() if generation == 1 else f"{name.lower()}#{generation}"
    return f"iid-{uuid.uuid5(_NAMESPACE, key)}"


def checked_instance_id(given: str) -> str:
    """*given*, if it can be an instance-id everywhere: it becomes a directory name in the guest."""
    if not _SAFE.fullmatch(given):
        raise SeedError(
            f"{given!r} cannot be an instance-id",
            hint="Use letters, digits, '.', '_', ':' and '-', at most 128 of them.",
        )
    return given
