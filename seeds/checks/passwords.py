"""Passwords that anybody who can read the seed can read, wherever cloud-config takes one.

References: cloud-init ``cloudinit/config/cc_set_passwords.py`` (``chpasswd``, where ``type`` is
hash unless said otherwise), ``cc_users_groups.py``, ``cloudinit/distros/__init__.py`` (accounts).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from unclone.seeds.checks import values
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.yaml_text import entries, is_string

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.nodes import Node

#: A crypt(5) hash, or a value that no password can equal.
_HASH = re.compile(r"\$[0-9a-z]{1,3}\$.+|[!*].*|_[./0-9A-Za-z]{19}|[./0-9A-Za-z]{13}")
#: What cloud-init replaces by a password of its own making.
_RANDOM = frozenset({"R", "RANDOM"})
_HINT = "Use a hash: --password-file makes one, and so does `openssl passwd -6`."

_SUBSCRIPTION_HINT = "Use an activation-key and org, which can be withdrawn."


def check(file: str, root: Node) -> Iterator[Finding]:
    """Findings for the cloud-config mapping *root*."""
    for name, _, value in entries(root):
        if name == "password":
            yield from _plain(file, value, name)
        elif name == "chpasswd":
            yield from _chpasswd(file, value)
        elif name == "rh_subscription":
            for password in (field for key, _, field in entries(value) if key == "password"):
                if _text(password):
                    yield _at(file, password, f"{name}.password", _SUBSCRIPTION_HINT)
    for account in values.accounts(root):
        yield from _account(file, account)


def _account(file: str, account: Node) -> Iterator[Finding]:
    for name, _, value in entries(account):
        if name == "plain_text_passwd" and _text(value):
            yield _at(file, value, name)
        given = _text(value) if is_string(value) else ""
        if name in {"passwd", "hashed_passwd"} and given and not _HASH.fullmatch(given):
            yield values.at(
                file,
                value,
                Severity.WARNING,
                "password-no-hash",
                f"{name} takes a hash, and this is none: nobody can log in with it",
                _HINT,
            )


def _chpasswd(file: str, node: Node) -> Iterator[Finding]:
    for name, _, value in entries(node):
        if name == "list":
            lines = values.items(value) or ([value] if _text(value) else [])
            given = [(line, part) for line in lines for part in _text(line).split("\n")]
            for line in {line for line, part in given if _is_plain(part.partition(":")[2])}:
                yield _at(file, line, "chpasswd.list")
        elif name == "users":
            for user in values.items(value):
                fields = {key: field for key, _, field in entries(user)}
                kind = _text(fields["type"]) if "type" in fields else "hash"
                if "password" in fields and kind == "text":
                    yield from _plain(file, fields["password"], "chpasswd.users.password")


def _plain(file: str, node: Node, key: str) -> Iterator[Finding]:
    if _is_plain(_text(node)):
        yield _at(file, node, key)


def _is_plain(text: str) -> bool:
    return bool(text.strip()) and text not in _RANDOM and not _HASH.fullmatch(text.strip())


def _text(node: Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else ""


def _at(file: str, node: Node, key: str, hint: str = _HINT) -> Finding:
    return values.at(
        file,
        node,
        Severity.WARNING,
        "plain-password",
        f"{key} holds a password that anybody who can read the seed can read",
        hint,
    )
