"""Put a new SSH host key of the same kind where an old one was, made here and now in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.guest import parent
from unclone.images.text import printable
from unclone.images.volumes import Kind
from unclone.sanitize.ssh.key import (
    KEY_LIMIT,
    KeyFormat,
    NotAKeyError,
    decode,
    encode,
    generate,
    public_half,
    read_public,
)

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change

#: What may be set on a private key: sshd refuses one that others can read.
_PRIVATE_MODES = 0o640


class GenerateSshHostKey:
    """Write a new private key to the target, and its public half beside it.

    ``details``: ``type`` (``rsa``, ``ecdsa``, ``ed25519``), ``bits``, ``format`` (``openssh``,
    ``dropbear``), ``public`` (path of the ``.pub`` file, or "" for none), ``comment`` (its last
    field). ``Change.old`` is the fingerprint that must not come back.
    """

    def apply(self, guest: Guest, change: Change) -> str:
        details = change.details
        key = generate(details["type"], details["bits"])
        _put(guest, change.target, encode(key, KeyFormat(details["format"])), mode=0o600)
        fresh = public_half(key)
        if details["public"]:
            line = key_line(key_name(fresh.blob), fresh.text, details["comment"])
            _put(guest, details["public"], line, mode=0o644, like=change.target)
        return fresh.fingerprint

    def verify(self, guest: Guest, change: Change, learned: str) -> str:
        path, public = change.target, change.details["public"]
        found = guest.lstat(path)
        if found is None or found.kind is not Kind.FILE:
            return f"{printable(path)} is not a regular file"
        if found.mode & ~_PRIVATE_MODES:
            return f"{printable(path)} can be read by others (mode {found.mode:04o})"
        try:
            form = KeyFormat(change.details["format"])
            key = decode(guest.read(path, KEY_LIMIT), form)
            beside = read_public(guest.read_text(public, KEY_LIMIT)) if public else key
        except NotAKeyError as error:
            return f"{printable(path)} or its public half {error}"
        if key.fingerprint != learned or key.fingerprint == change.old:
            return f"{printable(path)} is not the key that was made ({key.fingerprint})"
        return "" if beside == key else f"{printable(public)} does not fit {printable(path)}"


def key_name(blob: bytes) -> str:
    """The name a public key *blob* begins with (RFC 4253 section 6.6)."""
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii")


def key_line(name: str, text: str, comment: str) -> bytes:
    """The content of a ``.pub`` file."""
    return (" ".join(word for word in (name, text, comment) if word) + "\n").encode("ascii")


def _put(guest: Guest, path: str, content: bytes, *, mode: int, like: str = "") -> None:
    """Write *content* to *path* and nowhere else.

    A regular file of one name is written in place, so that owner, label and a mode no wider than
    allowed stay. Anything else (a symlink, one of several names of a file) is replaced, so that
    what it leads to is never written.
    """
    found = guest.lstat(path)
    if found is not None and found.kind is Kind.FILE and found.links == 1:
        if found.mode & ~(_PRIVATE_MODES | mode):
            guest.set_mode(path, mode)
        guest.write(path, content)
        return
    if found is not None and found.kind is Kind.FILE:
        like = path
    fresh = _free_name(guest, path)
    guest.create(fresh, content, mode=mode, like=like or parent(path))
    guest.rename(fresh, path)


def _free_name(guest: Guest, path: str) -> str:
    taken = set(guest.list(parent(path)))
    base = path.rsplit("/", 1)[-1]
    name = next(n for i in range(len(taken) + 1) if (n := f".{base}.{i}") not in taken)
    return f"{parent(path).rstrip('/')}/{name}"
