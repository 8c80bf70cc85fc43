"""What is in a piece of user-data, in whatever form: its cloud-config, and who can log in by it.

References: cloud-init ``cloudinit/user_data.py`` (MIME, archives), ``cloudinit/config/cc_ssh.py``,
``cc_set_passwords.py``, ``cc_ssh_import_id.py``, ``cloudinit/distros/ug_util.py`` (accounts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unclone.seeds.errors import SeedError
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.formats import ARCHIVE, CLOUD_CONFIG, GUESSED_TYPES, is_mime, kind_of, unpacked
from unclone.seeds.mime import parts_of
from unclone.seeds.yaml_text import ParsedYaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_FOR_DEFAULT_USER = ("password", "ssh_authorized_keys", "ssh_import_id")
_FOR_ACCOUNT = (
    *("passwd", "hashed_passwd", "plain_text_passwd", "snapuser"),
    *("ssh_authorized_keys", "ssh-authorized-keys", "ssh_import_id"),
)


@dataclass(frozen=True, slots=True)
class Contents:
    """The cloud-config mappings in user-data. ``other``: there is more, or it cannot be read."""

    configs: tuple[Mapping[str, Any], ...] = ()
    other: bool = False

    @property
    def keys(self) -> frozenset[str]:
        """The top-level keys of all mappings."""
        return frozenset(str(key) for config in self.configs for key in config)


def contents(content: bytes) -> Contents:
    """What is in *content* and its parts."""
    try:
        plain = unpacked(content)
        if is_mime(plain):
            return _joined(_part(part.content, part.type) for part in parts_of(plain))
    except SeedError:
        return Contents(other=True)
    text = plain.decode("utf-8", "replace")
    return _text(text, kind_of(text))


def no_login(files: Mapping[str, bytes]) -> Iterator[Finding]:
    """The warning that nobody can log in by the seed of these *files*, where that is certain.

    A script, an include or a template may make an account: then nothing is said.
    """
    found = [contents(files[name]) for name in ("user-data", "vendor-data") if name in files]
    meta_data = ParsedYaml("meta-data", files.get("meta-data", b"").decode("utf-8", "replace")).data
    has_key = isinstance(meta_data, dict) and meta_data.get("public-keys")
    configs = [config for each in found for config in each.configs]
    if has_key or any(each.other for each in found) or any(map(_lets_in, configs)):
        return
    yield Finding(
        "user-data",
        0,
        0,
        Severity.WARNING,
        "no-login",
        "no account in this seed has a password or an SSH key, so it lets nobody log in",
        "Add --user with --ssh-key or --password-file, unless the image has accounts of its own.",
    )


def _part(content: bytes, kind: str) -> Contents:
    if kind in GUESSED_TYPES or kind not in {CLOUD_CONFIG, ARCHIVE}:
        return contents(content)
    try:
        return _text(unpacked(content).decode("utf-8", "replace"), kind)
    except SeedError:
        return Contents(other=True)


def _text(text: str, kind: str) -> Contents:
    if not text.strip():
        return Contents()
    if kind not in {CLOUD_CONFIG, ARCHIVE}:
        return Contents(other=True)
    parsed = ParsedYaml("user-data", text)
    if kind == ARCHIVE and isinstance(parsed.data, list):
        return _joined(map(_entry, parsed.data))
    if isinstance(parsed.data, dict):
        return Contents((parsed.data,))
    return Contents(other=parsed.root is None and bool(parsed.problems))


def _entry(entry: object) -> Contents:
    """One entry of an archive: text, or a mapping with ``content`` and perhaps a ``type``."""
    content = entry.get("content") if isinstance(entry, dict) else entry
    if not isinstance(content, str):
        return Contents(other=True)
    kind = entry.get("type") if isinstance(entry, dict) else None
    kind = kind or kind_of(content) or CLOUD_CONFIG
    # Archives in archives end somewhere; following them might not.
    return Contents(other=True) if kind == ARCHIVE else _text(content, str(kind))


def _joined(pieces: Iterable[Contents]) -> Contents:
    listed = list(pieces)
    configs = tuple(config for piece in listed for config in piece.configs)
    return Contents(configs, any(piece.other for piece in listed))


def _lets_in(config: Mapping[str, Any]) -> bool:
    """Whether an account gets a password or a key, or may get one (an installer's answers)."""
    if config.get("autoinstall") or any(config.get(key) for key in _FOR_DEFAULT_USER):
        return True
    passwords = config.get("chpasswd")
    if isinstance(passwords, dict) and (passwords.get("list") or passwords.get("users")):
        return True
    users = config.get("users")
    accounts = list(users.values()) if isinstance(users, dict) else users
    listed = [*(accounts if isinstance(accounts, list) else []), config.get("user")]
    return any(isinstance(one, dict) and any(map(one.get, _FOR_ACCOUNT)) for one in listed)
