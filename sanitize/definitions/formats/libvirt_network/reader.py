"""libvirt network XML, given with a domain: the domain's DHCP and DNS entries follow it.

The network stays what it is (its UUID and the bridge's address too); only the entries of the domain
are fields: by its MAC addresses and, for IPv6, where an entry has none, by its name.

References: libvirt "Network XML format" (formatnetwork.rst), section "Addressing".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.definition import Definition, Field
from unclone.sanitize.definitions.formats.libvirt_network import FORMAT
from unclone.sanitize.definitions.formats.libvirt_network.rules import (
    ADDRESS,
    CLIENT,
    HOST_NAME,
    MAC,
    NAME,
    SERVICE,
)
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import splice
from unclone.sanitize.definitions.text.xml_tree import read_xml, text_place
from unclone.sanitize.identities import mac as addresses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from unclone.sanitize.definitions.definition import DefinitionPlan
    from unclone.sanitize.definitions.text.xml_tree import Element


def read_network(source: Source, domain: str, macs: Collection[str]) -> Definition:
    """The entries of the machine called *domain* with the cards *macs* (lower case, colons)."""
    root = read_xml(source)
    if root.tag != "network":
        raise RefusedError(
            f"{source.shown} is not the definition of a libvirt network",
            hint="Give what `virsh net-dumpxml --inactive NETWORK` prints.",
        )
    fields = sorted(_fields(source, root, domain, macs), key=lambda field: field.start)
    if not fields:
        raise RefusedError(
            f"{source.shown} has no reservation for a card of {domain}",
            hint="Leave out --network, or name the network that has it.",
        )
    return Network(FORMAT, source, domain, tuple(fields))


class Network(Definition):
    """The entries of one machine in a network."""

    def reread(self, plan: DefinitionPlan) -> Definition:
        """The entries of the new machine."""
        text = splice(self.source.text, plan.edits)
        new = (each.new for each in plan.fields if each.field.rule is MAC and each.new)
        macs = {str(addresses.parse(mac)) for mac in new}
        renamed = (f.new for f in plan.fields if f.field.value == self.name and f.new)
        name = next(renamed, self.name)
        return read_network(Source(self.source.path, self.source.encoded(text)), name, macs)


def read(source: Source) -> Definition:
    """The network in *source* alone, in which nothing is a machine's: RefusedError."""
    return read_network(source, "", ())


def _fields(source: Source, root: Element, domain: str, macs: Collection[str]) -> Iterator[Field]:
    owned: set[str] = set()
    hosts = [(host, _is_own(source, host, macs)) for host in root.find("ip/dhcp/host")]
    names = {domain, *(host.get("name") for host, is_own in hosts if is_own)} - {""}
    for host, is_own in hosts:
        if not is_own and (host.get("mac") or host.get("name") not in names):
            continue
        owned.add(host.get("ip"))
        for rule, attribute in ((MAC, "mac"), (NAME, "name"), (CLIENT, "id"), (ADDRESS, "ip")):
            if found := host.attributes.get(attribute):
                place = f"{host.place}/@{attribute}"
                yield Field(rule, place, found.value, found.start, found.end, found.spell)
    for host in root.find("dns/host"):
        if host.get("ip") not in owned - {""}:
            continue
        for name in host.find("hostname"):
            if span := text_place(source, name):
                yield Field(HOST_NAME, name.place, name.value, *span)

    for service in root.find("dns/srv"):
        found = service.attributes.get("target")
        if found and found.value.rstrip(".") in names:
            place = f"{service.place}/@target"
            yield Field(SERVICE, place, found.value, found.start, found.end, found.spell)


def _is_own(source: Source, host: Element, macs: Collection[str]) -> bool:
    mac = host.get("mac")
    if not mac or addresses.is_null(mac):
        return False
    return str(addresses.parse(mac, f"{source.shown}: {host.place}")) in macs
