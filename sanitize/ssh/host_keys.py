"""The SSH host keys that are in a guest: found, read, and judged fit to be replaced.

Host key files are as hostile as everything else in a guest: they may be symlinks to anything,
folders, garbage, or a gigabyte. A file that only sshd's configuration names is touched when it
holds a private key and in no other case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.images.volumes import Kind
from unclone.sanitize.change import Level
from unclone.sanitize.ssh.key import (
    KEY_LIMIT,
    EncryptedKeyError,
    KeyFormat,
    NotAKeyError,
    PublicKey,
    can_generate,
    read_private,
)
from unclone.sanitize.ssh.sshd import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unclone.images.guest import Guest
    from unclone.images.volumes import Stat
    from unclone.sanitize.ssh.sshd import SshdConfig

_STANDARD = re.compile(rf"{FOLDER}/ssh_host_(?:(rsa|ecdsa|ed25519|dsa)_)?key")
_CERTIFICATE = re.compile(rb"[a-z0-9-]+-cert-v01@openssh\.com ")

#: Where Debian has dropbear's host keys for the initrd; nothing makes new ones at boot.
FOR_INITRDS = ("/etc/dropbear-initramfs", "/etc/dropbear/initramfs")

#: Folders of an sshd of ALT Linux, and of one that was not packaged.
_FOLDERS = ("/etc/openssh", "/usr/local/etc", "/usr/local/etc/ssh", "/opt/*/etc", "/opt/*/etc/ssh")

#: Host keys that are looked at. A machine has four; a host of many containers has some hundred.
MOST = 1000

#: Sizes taken where the old key cannot be read.
_USUAL_BITS = {"rsa": 3072, "ecdsa": 256, "ed25519": 256}


@dataclass(frozen=True, slots=True)
class HostKey:
    """One private key file. ``old`` is None where it cannot be read."""

    path: str
    form: KeyFormat
    kind: str
    bits: int
    old: PublicKey | None = None
    #: Its ``.pub`` file; "" when there is none to keep in step.
    public: str = ""

    @property
    def can_be_made(self) -> bool:
        """Whether a new one of the kind can be generated; DSA and SSH 1 keys cannot."""
        return can_generate(self.kind, self.bits)

    @property
    def is_for_initrds(self) -> bool:
        """Whether it is copied into initrds, and no daemon of the running machine has it."""
        folder, _, name = self.path.rpartition("/")
        return folder in FOR_INITRDS or name.startswith("dracut_")

    @property
    def is_standard(self) -> bool:
        """Whether it is one of the files that sshd uses without being told."""
        return _STANDARD.fullmatch(self.path) is not None


@dataclass(slots=True)
class Found:
    """What a search found: keys, and remarks about what is not one."""

    keys: dict[str, HostKey] = field(default_factory=dict)
    remarks: list[tuple[Level, str]] = field(default_factory=list)

    def remark(self, level: Level, path: str, text: str) -> None:
        self.remarks.append((level, f"{printable(path, 300)} {text}"))


def find_host_keys(guest: Guest, config: SshdConfig) -> Found:
    """Every OpenSSH and dropbear host key of *guest*.

    Raises ``RefusedError`` when there are more than :data:`MOST`.
    """
    found = Found()
    standard = [*guest.glob(f"{FOLDER}/ssh_host_*_key"), *guest.glob(f"{FOLDER}/ssh_host_key")]
    elsewhere = (path for folder in _FOLDERS for path in guest.glob(f"{folder}/ssh_host_*_key"))
    named = dict.fromkeys((*standard, *config.host_keys, *elsewhere))
    if len(named) > MOST:
        raise RefusedError(
            f"{len(named)} files are called like SSH host keys, most of them in {FOLDER}; no "
            f"machine has more than {MOST}",
            "Remove in the guest those that no daemon uses, then run again.",
        )
    for path in named:
        _look_at(guest, path, KeyFormat.OPENSSH, found)
    for path in guest.glob(f"{FOLDER}/dracut_ssh_host_*_key"):
        _look_at(guest, path, KeyFormat.OPENSSH, found)
    for folder in ("/etc/dropbear", "/var/lib/dropbear", *FOR_INITRDS):
        for path in guest.glob(f"{folder}/*_host_key"):
            _look_at(guest, path, KeyFormat.DROPBEAR, found)
    return found


def find_certificates(guest: Guest, config: SshdConfig, keys: Iterable[HostKey]) -> list[str]:
    """The paths of the certificates that were issued for the guest's host keys."""
    named = {f"{key.path}-cert.pub" for key in keys} | set(config.host_certificates)
    paths = {*guest.glob(f"{FOLDER}/ssh_host_*-cert.pub"), *named}
    return sorted(path for path in paths if _is_certificate(guest, path))


def orphans(guest: Guest, keys: Iterable[HostKey]) -> list[str]:
    """Public halves in sshd's folder whose private key is gone."""
    beside = {key.public for key in keys}
    halves = guest.glob(f"{FOLDER}/ssh_host_*_key.pub")
    return [p for p in halves if p not in beside and not guest.glob(p.removesuffix(".pub"))]


def _look_at(guest: Guest, path: str, form: KeyFormat, found: Found) -> None:
    stat = _lstat(guest, path)
    standard = _STANDARD.fullmatch(path)
    if stat is None:
        return
    if stat.kind not in {Kind.FILE, Kind.SYMLINK}:
        found.remark(Level.WARNING, path, "is not a file, and is not changed")
        return
    place = path
    if stat.kind is Kind.SYMLINK:
        place = _target_in_folder(guest, path)
        if not place and not standard:
            found.remark(Level.KEPT, path, "is a symlink, and what it leads to is kept")
            return
    try:
        old = read_private(guest.read(path, KEY_LIMIT), form)
    except EncryptedKeyError as error:
        found.remark(Level.KEPT, path, f"{error}: an agent must hold it, and it is kept")
        return
    except (NotAKeyError, OSError) as error:
        reason = str(error) if isinstance(error, NotAKeyError) else "leads nowhere"
        kind = standard[1] or "rsa1" if standard else ""
        if not kind:
            found.remark(Level.KEPT, path, f"{reason}, and is not changed")
            return
        found.remark(Level.WARNING, path, f"{reason}; it is not what its name says")
        place = path if stat.kind is Kind.SYMLINK else place
        _add(guest, found, HostKey(place, form, kind, _USUAL_BITS.get(kind, 0)), path)
        return
    if old.type not in {*_USUAL_BITS, "dsa"}:
        found.remark(Level.KEPT, path, f"is a key of type {printable(old.type)}, and is kept")
        return
    if not place:
        found.remark(
            Level.KEPT,
            path,
            "leads out of its folder: the link is replaced, but the old key stays where it led",
        )
    _add(guest, found, HostKey(place or path, form, old.type, old.bits, old), path)


def _add(guest: Guest, found: Found, key: HostKey, named: str) -> None:
    public = next(
        (p for p in (f"{named}.pub", f"{key.path}.pub") if _is_there(guest, p)),
        f"{key.path}.pub" if key.form is KeyFormat.OPENSSH else "",
    )
    found.keys.setdefault(key.path, replace(key, public=public))


def _target_in_folder(guest: Guest, path: str) -> str:
    """Where the symlink at *path* leads, when that is a file in sshd's own folder; else ""."""
    try:
        folder, target = guest.resolve(FOLDER), guest.resolve(path)
    except OSError:
        return ""
    return target if target.startswith(f"{folder}/") and guest.is_file(target) else ""


def _is_there(guest: Guest, path: str) -> bool:
    stat = _lstat(guest, path)
    return stat is not None and stat.kind in {Kind.FILE, Kind.SYMLINK}


def _is_certificate(guest: Guest, path: str) -> bool:
    if not _is_there(guest, path):
        return False
    try:
        return _CERTIFICATE.match(guest.read(path, KEY_LIMIT)) is not None
    except OSError:
        return False


def _lstat(guest: Guest, path: str) -> Stat | None:
    try:
        return guest.lstat(path)
    except OSError:  # a symlink loop among the folders above
        return None
