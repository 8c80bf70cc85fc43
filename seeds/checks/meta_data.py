"""meta-data: the instance-id and the host name.

References: cloud-init ``cloudinit/sources/DataSourceNoCloud.py`` (the default id is ``nocloud``),
``cloudinit/sources/__init__.py`` ``get_hostname`` (IPv4 addresses become ``ip-1-2-3-4``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from unclone.seeds.checks import values
from unclone.seeds.checks.text import decoded
from unclone.seeds.errors import SeedError
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.instance_id import SHARED, checked_instance_id
from unclone.seeds.names import host_name_problem
from unclone.seeds.yaml_text import ParsedYaml, entries, is_null, is_string

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.nodes import Node

_FILE = "meta-data"
_NO_ID = "without an instance-id every machine is 'nocloud': a clone does not notice that it is one"


def check(content: bytes | None) -> Iterator[Finding]:
    """Findings for the file *content*; none when there is no file."""
    if content is None:
        return
    text, problems = decoded(_FILE, content, "YAML readers differ in what they make of it")
    yield from problems
    if problems:
        return
    parsed = ParsedYaml(_FILE, text)
    yield from parsed.problems
    if parsed.problems and parsed.root is None:
        return
    if parsed.data is not None and not isinstance(parsed.data, dict):
        yield Finding(
            _FILE,
            1,
            1,
            Severity.ERROR,
            "not-a-mapping",
            "meta-data is key: value, not a list or text",
        )
        return
    found = {name: (key, value) for name, key, value in entries(parsed.root)}
    if "instance-id" not in found or is_null(found["instance-id"][1]):
        hint = "Give instance-id, or let --hostname make one."
        yield Finding(_FILE, 0, 0, Severity.WARNING, "no-instance-id", _NO_ID, hint)
    else:
        yield from _check_instance_id(found["instance-id"][1])
    if "local-hostname" in found:
        yield from _check_host_name("local-hostname", found["local-hostname"][1])
    for key, meant in _MEANT.items():
        if key in found:
            yield values.at(
                _FILE,
                found[key][0],
                Severity.WARNING,
                "meta-data-unused",
                f"{key} does nothing in the meta-data of a NoCloud seed",
                f"Write {meant}.",
            )
    for key, (code, message, hint) in _TOLD.items():
        if key in found:
            yield values.at(_FILE, found[key][0], Severity.WARNING, code, message, hint)


#: Misspellings of what NoCloud reads, and names that other datasources have for it.
_MEANT = {
    "hostname": "local-hostname",
    "local_hostname": "local-hostname",
    "fqdn": "local-hostname",
    "instance_id": "instance-id",
    "instanceid": "instance-id",
    "public_keys": "public-keys",
    "network_interfaces": "network-interfaces",
}

_TOLD = {
    "seedfrom": (
        "seedfrom",
        "seedfrom makes cloud-init take user-data from elsewhere, and not from this seed",
        "Remove it, unless that is what you want.",
    ),
    "network-interfaces": (
        "network-interfaces",
        "network-interfaces is deprecated since cloud-init 24.3",
        "Use the file network-config.",
    ),
    "user-data": (
        "user-data-in-meta-data",
        "user-data inside meta-data does nothing in a NoCloud seed",
        "It is a file of its own.",
    ),
}


def _check_instance_id(node: Node) -> Iterator[Finding]:
    if not isinstance(node, yaml.ScalarNode) or not is_string(node):
        yield values.changed_type(_FILE, node, "instance-id")
        return
    if node.value in SHARED:
        yield values.at(
            _FILE,
            node,
            Severity.WARNING,
            "shared-instance-id",
            f"{node.value!r} is what other tools give to every machine: a clone does not notice "
            "that it is one",
            "Leave it out: one is made from the host name.",
        )
        return
    try:
        checked_instance_id(node.value)
    except SeedError as error:
        yield values.at(
            _FILE, node, Severity.WARNING, "instance-id-characters", error.message, error.hint
        )


def _check_host_name(key: str, node: Node) -> Iterator[Finding]:
    if not isinstance(node, yaml.ScalarNode) or not is_string(node):
        yield values.changed_type(_FILE, node, key)
        return
    problem = host_name_problem(node.value)
    if problem:
        yield values.at(
            _FILE,
            node,
            Severity.ERROR,
            "host-name",
            f"{node.value!r} cannot be a host name: {problem}",
            "Use letters, digits and hyphens.",
        )
