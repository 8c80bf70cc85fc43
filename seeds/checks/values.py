"""YAML values that are not what they look like, shared by the checks of all files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml
from yaml.constructor import SafeConstructor

from unclone.seeds.findings import Finding, Severity
from unclone.seeds.yaml_text import CONSTRUCTION_ERRORS, entries, is_plain, is_string

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.nodes import Node, ScalarNode

#: Keys whose values are never shown.
_SECRET = re.compile(r"pass|secret|token|key", re.IGNORECASE)
_TYPE_NAMES = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
    "binary": "binary data",
}
_BASE_60 = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?")
#: 6 bytes, and 20 of InfiniBand.
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}(([:-][0-9A-Fa-f]{2}){14})?")
#: What netplan takes in place of an address to be set.
_MAC_POLICIES = frozenset({"permanent", "random", "stable", "preserve", "stable-ssid"})


def at(
    file: str, node: Node, severity: Severity, code: str, message: str, hint: str = ""
) -> Finding:
    """A finding where *node* begins."""
    mark = node.start_mark
    return Finding(file, mark.line + 1, mark.column + 1, severity, code, message, hint)


def items(node: Node) -> list[Node]:
    """The items of a list; none of anything else."""
    return node.value if isinstance(node, yaml.SequenceNode) else []


def accounts(root: Node) -> Iterator[Node]:
    """What describes an account, wherever the cloud-config mapping *root* has one."""
    for name, _, value in entries(root):
        if name == "users":
            yield from items(value)
            yield from (account for _, _, account in entries(value))
        elif name == "user":
            yield value
        elif name == "system_info":
            yield from (field for key, _, field in entries(value) if key == "default_user")


def changed_type(file: str, node: Node, key: str) -> Finding:
    """*key* should hold text, and *node* is something else."""
    became = _TYPE_NAMES.get(node.tag.rsplit(":", 1)[-1], "no text")
    if isinstance(node, yaml.ScalarNode) and not _SECRET.search(key):
        shown = _constructed(node)
        what = f"{node.value} is read as {became}{'' if shown is None else f' ({shown})'}, not text"
    else:
        what = f"the value is read as {became}, not text"
    return at(file, node, Severity.ERROR, "type-change", f"{key}: {what}", "Put it in quotes.")


def spelling_changes(node: ScalarNode) -> bool:
    """Whether *node*, turned into text again, would be another text (``1.10``, ``no``, ``010``)."""
    return not is_string(node) and str(_constructed(node)) != node.value


def surprising_number(file: str, node: ScalarNode, key: str) -> Iterator[Finding]:
    """Plain scalars that YAML 1.1 alone takes for numbers: base 60, and octal by a leading zero."""
    if not is_plain(node) or is_string(node):
        return
    if _BASE_60.fullmatch(node.value) or re.fullmatch(r"[-+]?0\d+", node.value):
        yield changed_type(file, node, key or "value")


def mac_problem(node: Node, *, is_compared: bool = True) -> tuple[Severity, str, str] | None:
    """What is wrong with how a MAC address is written: severity, message, hint.

    *is_compared*: a card is looked for by it.
    """
    if not isinstance(node, yaml.ScalarNode):
        return (Severity.ERROR, "is no MAC address", "Write it as '52:54:00:12:34:56'.")
    text = node.value
    if not is_string(node) and _MAC.fullmatch(text):
        return (
            Severity.ERROR,
            f"{text} is read as the number {_constructed(node)}: digits and colons are base 60",
            f"Write '{text.lower()}', in quotes.",
        )
    if text in _MAC_POLICIES:
        return None
    if not _MAC.fullmatch(text):
        return (Severity.ERROR, f"{text!r} is no MAC address", "Write it as '52:54:00:12:34:56'.")
    if is_compared and text != text.lower():
        return (
            Severity.ERROR,
            f"{text} has capital letters; cloud-init compares with lower-case ones",
            f"Write '{text.lower()}'.",
        )
    if is_plain(node):
        return (
            Severity.WARNING,
            f"{text} is not in quotes; with other digits it would be read as a number",
            f"Write '{text}'.",
        )
    return None


def _constructed(node: ScalarNode) -> object:
    try:
        return SafeConstructor().construct_object(node)
    except CONSTRUCTION_ERRORS:
        return None
