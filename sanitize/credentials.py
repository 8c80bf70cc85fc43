"""Systemd's credentials as a guest keeps them: files in credential stores and on boot partitions.

Those on a boot partition are always encrypted; of the stores, ``credstore.encrypted`` has such.
What kernel command lines give is decoded here as well.

References: systemd.system-credentials(7); systemd.exec(5) (``LoadCredential=``: where stores are);
systemd-stub(7) (``loader/credentials``, ``*.efi.extra.d``); UAPI Group, "Boot Loader Specification"
(``extra``); systemd src/core/import-creds.c (which sources PID 1 reads, v257).
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.volumes import Kind
from unclone.sanitize.files import BOOT_ROOTS, other_esps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.guest import Guest

#: ``/run`` has a store, too, which no disk keeps.
STORES = tuple(
    f"{folder}/credstore{suffix}"
    for folder in ("/etc", "/usr/local/lib", "/usr/lib", "/lib")
    for suffix in ("", ".encrypted")
)
_ENCRYPTED = ".encrypted"
#: Of a credential's file on a boot partition, whose name may have any case there.
_SUFFIX = ".cred"

#: Kernel arguments that are credentials, NAME:VALUE; the value of the second is Base64.
ARGUMENT, BINARY_ARGUMENT = "systemd.set_credential", "systemd.set_credential_binary"

#: Bytes. systemd takes no credential that is larger.
SIZE_LIMIT = 1024 * 1024


class Credential(NamedTuple):
    """One file. *text* is what it holds; "" when it is encrypted, or too large to be taken."""

    path: str
    name: str
    encrypted: bool
    text: str


def find(guest: Guest) -> Iterator[Credential]:
    """Every credential in a store or on a boot partition, each path once."""
    seen: set[str] = set()
    for store in STORES:
        if guest.is_dir(store) and (folder := guest.resolve(store)) not in seen:
            seen.add(folder)
            encrypted = store.endswith(_ENCRYPTED)
            for name in guest.list(folder):
                path = f"{folder.rstrip('/')}/{name}"
                if guest.is_file(path) or _is_link(guest, path):
                    text = "" if encrypted else guest.text_or_empty(path, SIZE_LIMIT)
                    yield Credential(path, name, encrypted, text)
    for path in _on_boot_partitions(guest):
        yield Credential(path, path.rpartition("/")[2][: -len(_SUFFIX)], encrypted=True, text="")


def decoded(argument: str, value: str) -> str:
    """What a credential on a kernel command line holds; "" when systemd could not decode it."""
    _, _, text = value.partition(":")
    if argument != BINARY_ARGUMENT:
        return text
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _on_boot_partitions(guest: Guest) -> Iterator[str]:
    walked: list[str] = []
    for root in (*BOOT_ROOTS, *other_esps(guest)):
        if not guest.is_dir(root):
            continue
        top = guest.resolve(root)
        if any(top == above or top.startswith(f"{above}/") for above in walked):
            continue
        walked.append(top)
        for member in guest.walk(top, limit=0):
            if member.path.lower().endswith(_SUFFIX) and member.stat.kind is not Kind.DIRECTORY:
                yield member.path


def _is_link(guest: Guest, path: str) -> bool:
    found = guest.lstat(path)
    return found is not None and found.kind is Kind.SYMLINK
