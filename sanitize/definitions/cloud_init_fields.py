"""cloud-init's files inside a definition: host names and MAC addresses in them follow.

Nothing else in them is changed or shown: they hold keys and passwords.

References: cloud-init "Set hostname" module and NoCloud meta-data (local-hostname, instance-id);
network configuration version 2 (match: macaddress).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Field
from unclone.sanitize.definitions.rule import FieldKind, Rule, Treatment
from unclone.sanitize.definitions.substitution import name_pattern
from unclone.sanitize.definitions.text.tree import Shape
from unclone.sanitize.identities import mac as addresses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.sanitize.definitions.text.tree import Node

#: In a block of lines, in quotes with line ends written as \n, or alone.
_NAMED = re.compile(
    r"(?:^|\\n|[\"'])[ \t]*(?P<key>hostname|fqdn|local-hostname|instance-id):[ \t]+"
    r"\\?[\"']?(?P<value>[A-Za-z0-9][A-Za-z0-9._-]*)",
    re.MULTILINE,
)
_DOC = "https://cloudinit.readthedocs.io/en/latest/reference/modules.html#set-hostname"
_NETWORK = "https://cloudinit.readthedocs.io/en/latest/reference/network-config-format-v2.html"


def seed_rules(*where: str) -> tuple[Rule, ...]:
    """The rules of a format whose paths *where* hold cloud-init's files."""
    paths = " | ".join(where)
    return (
        Rule(
            "seed",
            FieldKind.OTHER,
            Treatment.KEEP,
            paths,
            "what it sets for one machine (host name, address, keys) it sets for the new one too",
            _DOC,
            Level.WARNING,
        ),
        Rule(
            "seed-name",
            FieldKind.OTHER,
            Treatment.FOLLOW,
            paths,
            "cloud-init gives the guest this host name or instance-id",
            _DOC,
        ),
        Rule(
            "seed-mac",
            FieldKind.OTHER,
            Treatment.FOLLOW,
            paths,
            "a card's configuration is found by its MAC address",
            _NETWORK,
        ),
    )


def seed_fields(
    rules: Iterable[Rule], root: Node, text: str, old_name: str, scope: str = ""
) -> Iterator[Field | Note]:
    """What of the seeds below *root* is a field, and a note for a name that does not follow."""
    by_id = {rule.id: rule for rule in rules}
    pattern = name_pattern(old_name)
    for path in by_id["seed"].where.split(" | "):
        for node in root.find(path):
            if node.shape is not Shape.SCALAR or not node.value:
                continue
            yield Field(by_id["seed"], node.place, "", node.start, node.start, str, scope=scope)
            start, end = node.inner
            part = text[start:end]
            for found in _NAMED.finditer(part):
                value, span = found["value"], found.span("value")
                place = f"{node.place}: {found['key']}"
                if pattern is not None and pattern.search(value):
                    yield _part(by_id["seed-name"], place, value, start, span, scope)
                else:
                    message = f"{place} is {printable(value, 80)} for the new machine too"
                    yield Note("seed-name", Level.WARNING, message)
            for mac in addresses.find(part):
                span = (mac.start, mac.end)
                yield _part(by_id["seed-mac"], node.place, mac.text, start, span, scope)


def _part(
    rule: Rule, place: str, value: str, start: int, span: tuple[int, int], scope: str
) -> Field:
    return Field(rule, place, value, start + span[0], start + span[1], str, scope=scope)
