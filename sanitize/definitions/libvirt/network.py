"""libvirt network XML given beside a domain: the domain's DHCP and DNS entries follow it.

The network stays what it is; only the entries of the domain's own MAC addresses are fields.

References: libvirt "Network XML format" (formatnetwork.rst), section "Addressing".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level
from unclone.sanitize.definitions.definition import Definition, Field, Format
from unclone.sanitize.definitions.row import Kind, Row, Treatment
from unclone.sanitize.definitions.source import Source
from unclone.sanitize.definitions.splicing import splice
from unclone.sanitize.definitions.xml_text import read_xml, words
from unclone.sanitize.identities import mac as addresses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from unclone.sanitize.definitions.renewal import Renewal
    from unclone.sanitize.definitions.xml_text import Element

_DOC = "https://libvirt.org/formatnetwork.html#addressing"

MAC = Row(
    "reservation-mac",
    Kind.MAC,
    Treatment.RENEW,
    "ip/dhcp/host/@mac",
    "the reservation is for the new machine's card",
    _DOC,
)
NAME = Row(
    "reservation-name",
    Kind.OTHER,
    Treatment.FOLLOW,
    "ip/dhcp/host/@name",
    "the network's DNS answers to it",
    _DOC,
)
CLIENT = Row(
    "reservation-client-id",
    Kind.OTHER,
    Treatment.KEEP,
    "ip/dhcp/host/@id",
    "a DHCP client id is made by the guest: the new machine has another one",
    _DOC,
    Level.WARNING,
)
ADDRESS = Row(
    "reservation-address",
    Kind.OTHER,
    Treatment.KEEP,
    "ip/dhcp/host/@ip",
    "the source has this address too, where it still runs on this network",
    _DOC,
    Level.WARNING,
)
HOST_NAME = Row(
    "dns-name",
    Kind.OTHER,
    Treatment.FOLLOW,
    "dns/host/hostname",
    "the network's DNS answers to it",
    _DOC,
)
ROWS = (MAC, NAME, CLIENT, ADDRESS, HOST_NAME)


def read_network(source: Source, domain: str, macs: Collection[str]) -> Definition:
    """The entries of the machine called *domain* with the cards *macs* (lower case, colons)."""
    root = read_xml(source)
    if root.tag != "network":
        raise RefusedError(
            f"{source.shown} is not the definition of a libvirt network",
            hint="Give what `virsh net-dumpxml --inactive NETWORK` prints.",
        )
    fields = sorted(_fields(source, root, macs), key=lambda field: field.start)
    if not fields:
        raise RefusedError(
            f"{source.shown} has no reservation for a card of {domain}",
            hint="Leave out --network, or name the network that has it.",
        )
    return Network(FORMAT, source, domain, tuple(fields))


class Network(Definition):
    """The entries of one machine in a network."""

    def reread(self, renewal: Renewal) -> Definition:
        """The entries of the new machine."""
        text = splice(self.source.text, renewal.edits)
        new = (each.new for each in renewal.fields if each.field.row is MAC and each.new)
        macs = {str(addresses.parse(mac)) for mac in new}
        return read_network(Source(self.source.path, self.source.encoded(text)), self.name, macs)


def _detects(_head: bytes) -> bool:
    """Never: a network is no machine, and is only read beside one."""
    return False


def _read(source: Source) -> Definition:
    return read_network(source, "", ())


FORMAT = Format("libvirt-network", "libvirt network XML", ROWS, _detects, _read)


def _fields(source: Source, root: Element, macs: Collection[str]) -> Iterator[Field]:
    owned: set[str] = set()
    for host in root.find("ip/dhcp/host"):
        if not _is_own(source, host, macs):
            continue
        owned.add(host.get("ip"))
        for row, attribute in ((MAC, "mac"), (NAME, "name"), (CLIENT, "id"), (ADDRESS, "ip")):
            if found := host.attributes.get(attribute):
                place = f"{host.place}/@{attribute}"
                yield Field(row, place, found.value, found.start, found.end, found.spell)
    for host in root.find("dns/host"):
        if host.get("ip") not in owned - {""}:
            continue
        for name in host.find("hostname"):
            if span := words(source, name):
                yield Field(HOST_NAME, name.place, name.value, *span)


def _is_own(source: Source, host: Element, macs: Collection[str]) -> bool:
    mac = host.get("mac")
    return bool(mac) and str(addresses.parse(mac, f"{source.shown}: {host.place}")) in macs
