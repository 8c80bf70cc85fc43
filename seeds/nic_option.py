"""``--nic``, ``--bond`` and ``--vlan``: one interface written as ``key=value,key=value``.

The same keys, as a mapping, describe an interface in a ``--machines`` file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.seeds.errors import SeedError
from unclone.seeds.network import Bond, Interface, Route, Vlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Keys that may be given several times, and the field of an Interface each becomes.
_LISTS = {"address": "addresses", "gateway": "gateways", "dns": "nameservers", "search": "search"}
_COMMON = {*_LISTS, "name", "mac", "dhcp", "mtu", "route"}
_OWN = {"nic": set[str](), "bond": {"links", "mode", "monitor"}, "vlan": {"id", "link"}}
_DHCP = {"4": (True, False), "6": (False, True), "both": (True, True), "no": (False, False)}
_EXAMPLES = {
    "nic": "mac=52:54:00:12:34:56,address=192.0.2.10/24,gateway=192.0.2.1,dns=192.0.2.53",
    "bond": "name=bond0,links=eth0+eth1,mode=802.3ad,address=192.0.2.10/24",
    "vlan": "name=eth0.20,link=eth0,id=20,address=198.51.100.10/24",
}


@dataclass(frozen=True, slots=True)
class Description:
    """An interface as it was described. ``where`` begins the message when it makes no sense."""

    kind: str  # nic, bond or vlan
    where: str
    values: Mapping[str, tuple[str, ...]]

    def first(self, key: str) -> str:
        """The value of *key*, or nothing."""
        return self.values.get(key, ("",))[0]

    @property
    def links(self) -> tuple[str, ...]:
        """The interfaces below this one."""
        listed = self.first("links").split("+") if self.kind == "bond" else [self.first("link")]
        return tuple(link for link in listed if link)


def parse_option(kind: str, text: str, where: str = "") -> Description:
    """What ``--nic TEXT``, ``--bond TEXT`` or ``--vlan TEXT`` describes.

    *where* begins messages about it; the default is the option itself.
    """
    where = where or f"--{kind} {text}"
    pairs: list[tuple[str, str]] = []
    for part in text.split(","):
        key, separator, value = part.strip().partition("=")
        if key == "dhcp" and not separator:
            value = "4"
        elif not value:
            raise SeedError(
                f"{where}: {part!r} is not key=value", hint=f"For example: {_EXAMPLES[kind]}"
            )
        pairs.append((key, value))
    return describe(kind, pairs, where)


def describe(kind: str, pairs: Iterable[tuple[str, str]], where: str) -> Description:
    """A description from key and value pairs, whose keys are checked here."""
    allowed = _COMMON | _OWN[kind]
    values: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        if key not in allowed:
            raise SeedError(
                f"{where}: there is no key {key!r}", hint=f"Keys: {', '.join(sorted(allowed))}."
            )
        if key in values and key not in {*_LISTS, "route"}:
            raise SeedError(f"{where}: {key} is given twice", hint="Keep one of them.")
        values[key] = (*values.get(key, ()), value)
    return Description(kind, where, values)


def interfaces(descriptions: Sequence[Description]) -> tuple[Interface, ...]:
    """The interfaces that are described, completed.

    A card without a name becomes ``eth0``, ``eth1`` ... in order, and needs its MAC. An interface
    with no address asks by DHCP, unless a bond or VLAN sits on it: there DHCP has to be asked for.
    """
    below = {link for description in descriptions for link in description.links}
    named = {description.first("name") for description in descriptions}
    count = len(descriptions) + len(named)
    free = (name for number in range(count) if (name := f"eth{number}") not in named)
    made = []
    for description in descriptions:
        name = description.first("name") or _default_name(description, free)
        quiet = name in below or "address" in description.values
        try:
            made.append(_interface(description, name, "no" if quiet else "4"))
        except SeedError as error:
            raise SeedError(f"{description.where}: {error.message}", hint=error.hint) from None
    return tuple(made)


def _interface(given: Description, name: str, dhcp_default: str) -> Interface:
    dhcp = given.first("dhcp") or dhcp_default
    if dhcp not in _DHCP:
        raise SeedError(f"dhcp={dhcp}", hint="dhcp is 4, 6, both or no.")
    lists = {field: given.values.get(key, ()) for key, field in _LISTS.items()}
    return Interface(
        name=name,
        mac=given.first("mac").lower().replace("-", ":"),
        addresses=lists["addresses"],
        gateways=lists["gateways"],
        nameservers=lists["nameservers"],
        search=lists["search"],
        routes=tuple(_route(text) for text in given.values.get("route", ())),
        dhcp4=_DHCP[dhcp][0],
        dhcp6=_DHCP[dhcp][1],
        mtu=_number("mtu", given.first("mtu")) if given.first("mtu") else None,
        bond=_bond(given) if given.kind == "bond" else None,
        vlan=Vlan(_number("id", given.first("id")), given.first("link"))
        if given.kind == "vlan"
        else None,
    )


def _default_name(given: Description, free: Iterable[str]) -> str:
    if given.kind == "vlan" and given.first("link") and given.first("id"):
        return f"{given.first('link')}.{given.first('id')}"
    if given.kind != "nic":
        raise SeedError(f"{given.where}: it has no name", hint="Add name=.")
    if not given.first("mac"):
        raise SeedError(
            f"{given.where}: nothing says which card is meant",
            hint="Add mac=, or name= with the name the guest's kernel gives it.",
        )
    return next(iter(free))


def _bond(given: Description) -> Bond:
    monitor = given.first("monitor")
    return Bond(
        interfaces=given.links,
        mode=given.first("mode") or Bond(()).mode,
        monitor=_number("monitor", monitor) if monitor else Bond(()).monitor,
    )


def _route(text: str) -> Route:
    to, _, via = text.partition("@")
    if not via:
        raise SeedError(f"route={text}", hint="Write route=198.51.100.0/24@192.0.2.254")
    return Route(to, via)


def _number(key: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise SeedError(f"{key}={text or '(nothing)'} is not a number")
    return int(text)
