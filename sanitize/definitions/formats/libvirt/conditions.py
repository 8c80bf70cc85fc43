"""When a match of a rule is a field: what libvirt fills in by itself at every start is none.

References: libvirt "Domain XML format"; src/conf/domain_conf.c.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.definitions.classification import is_telling
from unclone.sanitize.definitions.substitution import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

    from unclone.sanitize.definitions.text.xml_tree import Element

#: Rules whose values are never shown: passwords, and what may hold some.
SECRETS = frozenset(
    {"graphics-password", "oem-strings", "kernel-arguments", "other-metadata", "environment"}
)

#: The paths libvirt generates: /var/lib/libvirt/qemu/channel/target/domain-3-golden/org.qemu...
_GENERATED = re.compile(r"/channel/target/|/run/libvirt/qemu/channel/")


def applies(rule: str, element: Element, value: str) -> bool:
    """Whether *value* (of *element*, or an attribute of it), matched by the rule, is a field."""
    condition = _CONDITIONS.get(rule)
    return condition is None or condition(element, value)


def _always_fixed(element: Element, value: str) -> bool:
    """A port that libvirt does not choose itself at every start."""
    return value not in ("", "-1", "0") and element.get("autoport") != "yes"


def _unmanaged(element: Element, _value: str) -> bool:
    """An interface that was made for the machine outside of libvirt, under this name."""
    return element.get("managed") == "no"


def _fixes_port(element: Element, value: str) -> bool:
    ports = (element.get(name) for name in ("port", "tlsPort", "websocket"))
    return value == "no" and any(_always_fixed(element, port) for port in ports)


def _managed(element: Element, value: str) -> bool:
    return not _unmanaged(element, value)


def _shared(element: Element, _value: str) -> bool:
    """A disk that several machines may use: none writes to it, or all are meant to."""
    disk = element.parent
    return disk is not None and (
        disk.get("device") in ("cdrom", "floppy")
        or disk.first("readonly") is not None
        or disk.first("shareable") is not None
    )


def _own(element: Element, value: str) -> bool:
    return not _shared(element, value)


def _unnamed(element: Element, value: str) -> bool:
    """A disk of a server that has only one, or the one that it calls by no name."""
    return not element.get("name") and _own(element, value)


def _own_cid(element: Element, _value: str) -> bool:
    return element.get("auto") != "yes"


def _generated(element: Element, value: str) -> bool:
    return _kind(element) == "unix" and bool(_GENERATED.search(value))


def _listens(element: Element, value: str) -> bool:
    """A socket, pipe or file; a device of the host and a terminal that libvirt found are none."""
    listens = _kind(element) in ("unix", "file", "pipe") and not _generated(element, value)
    return listens and not (_is_random(element) and element.get("mode") == "connect")


def _is_random(element: Element) -> bool:
    return element.parent is not None and element.parent.tag == "backend"


def _off_vmware(element: Element, _value: str) -> bool:
    """A port that libvirt makes: one of a distributed switch of VMware is chosen by a person."""
    return _kind(element) != "vds"


def _names_disk(_element: Element, value: str) -> bool:
    return "UUID=" in value


def _is_unknown_metadata(element: Element, _value: str) -> bool:
    """What is no catalogue of operating systems, and not Nova's: that is looked into."""
    return element.tag not in ("libosinfo", "instance")


def _identifies(element: Element, value: str) -> bool:
    return is_telling(element.get("name")) or bool(UUID.search(value))


def _kind(element: Element) -> str:
    return element.parent.get("type") if element.parent else ""


_CONDITIONS: dict[str, Callable[[Element, str], bool]] = {
    "disk-source": _own,
    "disk-shared": _shared,
    "disk-network": _unnamed,
    "snapshot-network": _unnamed,
    "interface-target": _managed,
    "interface-made": _unmanaged,
    "interface-port-id": _off_vmware,
    "vsock-cid": _own_cid,
    "channel-generated-path": _generated,
    "character-path": _listens,
    "graphics-port": _always_fixed,
    "graphics-autoport": _fixes_port,
    "kernel-arguments": _names_disk,
    "other-metadata": _is_unknown_metadata,
    "environment": _identifies,
}
