"""``#cloud-config``: YAML that means what it looks like.

cloud-init reads YAML 1.1, where ``hostname: 0x1f`` is a number, ``- no`` is false, and a MAC of
digits is a number to the base of 60. Values are never quoted in messages about keys that hold
secrets.

References: YAML 1.1 "Language-Independent Types" (int, float, bool, timestamp);
cloud-init ``doc/rtd/reference/modules.rst``, ``doc/rtd/reference/merging.rst``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from unclone.seeds.checks import passwords, ssh_keys, values
from unclone.seeds.checks.guard import guarded
from unclone.seeds.checks.known_keys import probably_meant
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.names import host_name_problem
from unclone.seeds.yaml_text import ParsedYaml, entries, is_null, is_string, scalars

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from yaml.nodes import Node, ScalarNode

    from unclone.seeds.schema import Schema

#: Keys whose value is text wherever they stand.
_TEXT_KEYS = frozenset(
    [
        "hostname",
        "fqdn",
        "timezone",
        "name",
        "gecos",
        "passwd",
        "hashed_passwd",
        "plain_text_passwd",
        "password",
        "path",
        "owner",
        "group",
        "homedir",
        "shell",
        "primary_group",
        "id",
        "source",
        "keyid",
        "filename",
        "encoding",
        "expiredate",
        "device",
        "filesystem",
        "label",
        "apt_proxy",
        "http_proxy",
        "https_proxy",
    ]
)
#: Lists of text.
_TEXT_LISTS = frozenset(
    [
        "packages",
        "ssh_authorized_keys",
        "ssh-authorized-keys",
        "ssh_import_id",
        "groups",
        "runcmd",
        "bootcmd",
        "mounts",
        "ntp_client",
        "servers",
        "pools",
        "ssh_genkeytypes",
    ]
)


def check(file: str, text: str, schema: Schema | None) -> Iterator[Finding]:
    """Findings for one cloud-config document."""
    parsed = ParsedYaml(file, text)
    yield from parsed.problems
    if parsed.root is None or is_null(parsed.root):
        return
    if not isinstance(parsed.data, dict):
        yield Finding(
            file,
            parsed.root.start_mark.line + 1,
            parsed.root.start_mark.column + 1,
            Severity.ERROR,
            "not-a-mapping",
            "cloud-config is key: value at its top level; cloud-init ignores this",
            "Write a key, a colon and a space.",
        )
        return
    for path, node in scalars(parsed.root):
        yield from _check_scalar(file, path, node)
    yield from _check_keys(file, parsed.root)
    yield from guarded(file, partial(passwords.check, file, parsed.root))
    yield from guarded(file, partial(ssh_keys.check, file, parsed.root))
    if schema is not None:
        yield from guarded(file, partial(schema.check, parsed))


def check_overlap(configs: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Keys that several cloud-config parts have: without merge rules the last one replaces."""
    owners: dict[str, str] = {}
    for name, text in configs:
        parsed = ParsedYaml(name, text)
        if not isinstance(parsed.data, dict) or {"merge_how", "merge_type"} & parsed.data.keys():
            continue
        for key, node, _ in entries(parsed.root):
            if key in owners:
                yield values.at(
                    name,
                    node,
                    Severity.WARNING,
                    "parts-overlap",
                    f"{key} is also in {owners[key]}; this one replaces it, nothing is appended",
                    "Put both into one part, or add merge_how: (cloud-init's merging rules).",
                )
            owners[key] = name


def _check_scalar(file: str, path: tuple[str, ...], node: ScalarNode) -> Iterator[Finding]:
    key = path[-1] if path else ""
    in_list = path[-2] if key == "[]" and len(path) > 1 else ""
    listed = in_list if in_list != "[]" else next((p for p in reversed(path) if p != "[]"), "")
    if key in _TEXT_KEYS and not is_null(node) and not is_string(node):
        yield values.changed_type(file, node, key)
    elif listed in _TEXT_LISTS and not is_null(node) and values.spelling_changes(node):
        yield values.changed_type(file, node, listed)
    elif key == "permissions":
        yield from _check_permissions(file, node)
    else:
        yield from values.surprising_number(file, node, key or listed)
    if path == ("hostname",) or path == ("fqdn",):
        problem = host_name_problem(node.value) if is_string(node) else ""
        if problem:
            yield values.at(
                file,
                node,
                Severity.ERROR,
                "host-name",
                f"{node.value!r} cannot be a host name: {problem}",
                "Use letters, digits and hyphens.",
            )


def _check_permissions(file: str, node: ScalarNode) -> Iterator[Finding]:
    digits = node.value
    if node.tag.endswith(":int") and not digits.startswith("0"):
        yield values.at(
            file,
            node,
            Severity.ERROR,
            "permissions",
            f"permissions {digits} is a decimal number here, not the mode {digits}",
            f"Write '0{digits}', in quotes.",
        )


def _check_keys(file: str, root: Node) -> Iterator[Finding]:
    for name, key, value in entries(root):
        if name == "network" and entries(value):
            yield values.at(
                file,
                key,
                Severity.ERROR,
                "network-in-user-data",
                "cloud-init reads no network configuration from user-data",
                "Move it to network-config (without the key network:).",
            )
        elif name in {"local-hostname", "instance-id"}:
            yield values.at(
                file,
                key,
                Severity.WARNING,
                "meta-data-key",
                f"{name} belongs into meta-data; here it does nothing",
                "Move it.",
            )
        elif meant := probably_meant(name):
            yield values.at(
                file,
                key,
                Severity.WARNING,
                "unknown-key",
                f"cloud-init knows no key {name!r}, and ignores it",
                f"Did you mean {meant}?",
            )
