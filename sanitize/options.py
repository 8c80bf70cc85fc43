"""What a person asks of a run, as far as the steps care."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from unclone.sanitize.identities.derivation import IdentityGenerator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Profile(StrEnum):
    """How far a run goes."""

    IDENTITY = "identity"  # what must not be shared; a configured machine stays configured
    GOLDEN = "golden"  # also logs, histories, caches: a template that others are made from


#: What ``--ssh-host-keys`` and ``--uuids`` may say.
SSH_HOST_KEYS = ("auto", "remove", "generate", "keep")
UUIDS = ("renew", "keep")

#: A host name or FQDN (RFC 1123, 2.1). Linux has room for 64 characters (hostname(7)).
HOST_NAME_LENGTH = 64
HOST_NAME = re.compile(
    r"(?![0-9.]+\Z)(?=.{1,64}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. The defaults are those of the command line."""

    profile: Profile = Profile.IDENTITY
    enable: frozenset[str] = frozenset()
    disable: frozenset[str] = frozenset()
    #: auto, remove, empty, uninitialized, random, or 32 lower-case hex digits.
    machine_id: str = "auto"
    #: One of :data:`SSH_HOST_KEYS`.
    ssh_host_keys: str = "auto"
    #: One of :data:`UUIDS`: all identifiers of file systems, partitions and containers.
    uuids: str = "renew"
    #: Where new values come from.
    identities: IdentityGenerator = field(default_factory=IdentityGenerator)
    strict: bool = False
    #: The new host name, as :data:`HOST_NAME` has it; "" to leave the old one.
    hostname: str = ""
    #: MAC addresses of the definition, old to new; empty when the image is changed alone.
    macs: Mapping[str, str] = field(default_factory=dict)
    #: Serial numbers and World Wide Names of the definition's disks, old to new; likewise.
    disk_serials: Mapping[str, str] = field(default_factory=dict)
    #: Catalogue files of the person's own, as host paths.
    catalogues: Sequence[str] = field(default=())
