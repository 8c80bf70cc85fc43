"""A rule: one kind of field in a format that identifies the machine, and what is done with it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from unclone.sanitize.change import Level


class FieldKind(StrEnum):
    """What a field holds. Fields of one kind and equal value stay equal when they are renewed."""

    NAME = "name"  # the machine's name
    MACHINE_UUID = "machine-uuid"  # the machine's UUID, wherever it is repeated
    UUID = "uuid"  # any other UUID
    GENERATION_ID = "generation-id"  # VM generation id
    GENERATION_NUMBER = "generation-number"  # half of one, as VMware writes it: 64 bits, signed
    MAC = "mac"
    SERIAL = "serial"
    WWN = "wwn"
    VSOCK_CID = "vsock-cid"
    PORT = "port"  # a TCP or UDP port of the host
    DISPLAY = "display"  # the number of a VNC display: its port is 5900 more
    SOCKET = "socket"  # a socket or pipe on the host
    INTERFACE = "interface"  # a network interface on the host
    FIRMWARE = "firmware-state"  # the file with the machine's own UEFI variables
    TPM = "tpm-state"
    DISK = "disk"
    FILE = "file"  # another file or folder of the host
    OTHER = "other"


class Treatment(StrEnum):
    """What is done with a field."""

    RENEW = "renew"  # gets a new value; equal old values get equal new ones
    NAME = "name"  # becomes the new machine's name
    FOLLOW = "follow"  # the old name, UUID or MAC in it becomes the new one; else made different
    SET = "set"  # gets the value the format gives (Field.to)
    REMOVE = "remove"  # is taken out: the hypervisor makes a new one
    MOVE = "move"  # a disk: --disk says where; else it stays, and the report names it
    KEEP = "keep"  # stays, and the report says so


class Rule(NamedTuple):
    """One field a format knows.

    ``id`` is unique within the format; ``where`` is how the format's documentation addresses the
    field (``devices/interface/mac/@address``, ``ethernetN.address``); ``why`` ends in no full
    stop and explains the treatment; ``source`` is where that was learned. ``stays`` is how much it
    matters that the field was left as it is: None for what fits the treatment.
    """

    id: str
    kind: FieldKind
    treatment: Treatment
    where: str
    why: str
    source: str
    stays: Level | None = None


def rules(
    source: str,
    *lines: tuple[str, FieldKind, Treatment, str | tuple[str, ...], str, *tuple[Level, ...]],
) -> tuple[Rule, ...]:
    """The rules in *lines*, which all have the page *source* as their source."""
    return tuple(
        Rule(
            id_,
            kind,
            treatment,
            where if isinstance(where, str) else " | ".join(where),
            why,
            source,
            *stays,
        )
        for id_, kind, treatment, where, why, *stays in lines
    )
