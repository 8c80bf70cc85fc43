"""The network cards of a libvirt domain, so that nobody copies MAC addresses by hand.

References: libvirt "Domain XML format", section "Network interfaces". A document type is refused,
as libvirt never writes one: entities are only good for attacks.
"""

from __future__ import annotations

from xml.parsers import expat

from unclone.seeds.errors import SeedError
from unclone.seeds.nic_option import Description, parse_option

_CARD = ["domain", "devices", "interface"]
_HINT = "Give a domain's own XML, as `virsh dumpxml NAME` prints it."


def read_cards(content: bytes, name: str) -> tuple[Description, ...]:
    """A card with DHCP for each ``interface`` of the domain XML *content*, in its order.

    *name* is the file's, for messages. Raises :class:`SeedError` for anything but a domain with
    at least one card, and for a card without a MAC address: libvirt would make up another one.
    """
    cards = _macs(content, name)
    if not cards:
        raise SeedError(f"{name}: the domain has no network card", hint=_HINT)
    for number, mac in enumerate(cards, 1):
        if not mac:
            raise SeedError(
                f"{name}: card {number} has no MAC address",
                hint="Let libvirt give it one first: define the domain, then dump it again.",
            )
    return tuple(parse_option("nic", f"mac={mac},dhcp", f"{name}: card {mac}") for mac in cards)


def _macs(content: bytes, name: str) -> list[str]:
    """The MAC address of each card; "" for a card without one."""
    place: list[str] = []
    cards: list[str] = []

    def begin(element: str, attributes: dict[str, str]) -> None:
        if not place and element != "domain":
            raise SeedError(f"{name} is not the definition of a libvirt domain", hint=_HINT)
        place.append(element)
        if place == _CARD:
            cards.append("")
        elif place == [*_CARD, "mac"]:
            cards[-1] = attributes.get("address", "")

    def refuse(*_: object) -> None:
        raise SeedError(f"{name} has a document type, which no domain has", hint=_HINT)

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda _: place.pop()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)  # noqa: FBT003 (expat's signature)
    except expat.ExpatError as error:
        words = expat.ErrorString(error.code)
        raise SeedError(
            f"{name}:{error.lineno}:{error.offset + 1}: is not valid XML: {words}", hint=_HINT
        ) from error
    return cards
