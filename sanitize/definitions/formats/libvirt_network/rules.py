"""The fields of a libvirt network that belong to one machine: its DHCP reservations and DNS names.

References: libvirt "Network XML format" (formatnetwork.rst), section "Addressing".
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Rule, Treatment

_DOC = "https://libvirt.org/formatnetwork.html#addressing"

MAC = Rule(
    "reservation-mac",
    FieldKind.MAC,
    Treatment.RENEW,
    "ip/dhcp/host/@mac",
    "the reservation is for the new machine's card",
    _DOC,
)
NAME = Rule(
    "reservation-name",
    FieldKind.OTHER,
    Treatment.FOLLOW,
    "ip/dhcp/host/@name",
    "the network's DNS answers to it",
    _DOC,
)
CLIENT = Rule(
    "reservation-client-id",
    FieldKind.OTHER,
    Treatment.KEEP,
    "ip/dhcp/host/@id",
    "a DHCP client id is made by the guest: the new machine has another one",
    _DOC,
    Level.WARNING,
)
ADDRESS = Rule(
    "reservation-address",
    FieldKind.OTHER,
    Treatment.KEEP,
    "ip/dhcp/host/@ip",
    "the source has this address too, where it still runs on this network",
    _DOC,
    Level.WARNING,
)
HOST_NAME = Rule(
    "dns-name",
    FieldKind.OTHER,
    Treatment.FOLLOW,
    "dns/host/hostname",
    "the network's DNS answers to it",
    _DOC,
)
SERVICE = Rule(
    "dns-service",
    FieldKind.OTHER,
    Treatment.FOLLOW,
    "dns/srv/@target",
    "the network's DNS says that the service is at this machine",
    _DOC,
)
RULES = (MAC, NAME, CLIENT, ADDRESS, HOST_NAME, SERVICE)
