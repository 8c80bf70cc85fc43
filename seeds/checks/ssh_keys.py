"""SSH keys in cloud-config that let nobody log in, and private ones, which everybody could read.

References: cloud-init ``cloudinit/config/cc_ssh.py``, ``cloudinit/distros/__init__.py`` (accounts):
each item is written to authorized_keys as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.seeds.checks import values
from unclone.seeds.errors import SeedError
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.ssh_keys import public_keys
from unclone.seeds.yaml_text import entries, is_string

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.nodes import Node

_KEYS = frozenset({"ssh_authorized_keys", "ssh-authorized-keys"})


def check(file: str, root: Node) -> Iterator[Finding]:
    """Findings for the cloud-config mapping *root*."""
    for mapping in (root, *values.accounts(root)):
        for name, _, value in entries(mapping):
            for item in values.items(value) if name in _KEYS else ():
                if is_string(item) and "{{" not in item.value:  # Jinja makes another text of it
                    yield from _key(file, name, item)


def _key(file: str, name: str, item: Node) -> Iterator[Finding]:
    try:
        public_keys(item.value, name)
    except SeedError as error:
        is_private = "PRIVATE KEY" in item.value
        yield values.at(
            file,
            item,
            Severity.ERROR if is_private else Severity.WARNING,
            "private-key" if is_private else "no-public-key",
            error.message,
            error.hint,
        )
