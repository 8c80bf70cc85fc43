"""The residue scan: whether an old identifier is still somewhere in the guest.

What a rule rewrote, its own action verifies. This scan is for what no rule knows: it reads every
file in the places where configuration, boot and state live (``search_places``), and every file that
the next boot opens (``boot_view``), and looks for every spelling of every retired identifier, in
contents and in names.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from unclone.images.volumes import IdentifierKind, Kind
from unclone.sanitize import boot_view, initrds, restored_identities
from unclone.sanitize.actions.empty_in_initrd import MEMBERS
from unclone.sanitize.boot import efi_programs
from unclone.sanitize.boot.compression import detect
from unclone.sanitize.boot.kernel_image import HEADER_SIZE, is_packed
from unclone.sanitize.finder import Finder
from unclone.sanitize.joined_values import JoinedValues
from unclone.sanitize.partial_values import PartialValues
from unclone.sanitize.renewal import OtherKind
from unclone.sanitize.search_places import Places, select
from unclone.sanitize.ssh.copies import PRIVATE, KeyCopies
from unclone.sanitize.ssh.sshd import used_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Retired
    from unclone.sanitize.restored_identities import Restored

#: What the next boot reads: an old identifier left here is an error, elsewhere a warning.
READ_AT_BOOT = re.compile(
    r"/(boot|efi)/"
    r"|/etc/(machine-id|fstab|crypttab(\.initramfs)?|default/grub)$"  # and not /etc/fstab.orig
    r"|/etc/(fstab\.d|kernel|default/grub\.d|cmdline\.d|systemd|udev/rules\.d)/"
    r"|/usr/(local/)?lib/(systemd/system|kernel|(bootc/kargs|environment|modprobe|sysctl|tmpfiles)\.d)/"
    r"|/var/lib/dbus/machine-id$"
)

#: Files whose readers undo what a backslash escapes, or to which ``aB`` is ``ab``: fstab(5); GRUB
#: manual, "Quoting"; GRUB: grub-core/commands/search.c (case-insensitive).
_ESCAPING = re.compile(r"/(fstab|crypttab)$|/fstab\.d/|\.cfg$")
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")

#: Files whose readers replace variables by what other such files may have assigned.
_EXPANDING = re.compile(
    r"\.cfg$|/grubenv$|/grub\.d/|/etc/default/|/etc/kernel/|/etc/sysconfig/(grub|kernel)"
    r"|/initramfs-tools/|/(uEnv|\w*env)\.txt$|/boot\.(cmd|ini)$|/extlinux/"
    r"|/loader/entries/|/dracut\.conf|/rc\.local$|/local\.d/"
)

#: ``/etc/machine-id``, D-Bus' own, ``systemd.machine_id=``.
_MACHINE_ID = re.compile(rb"machine[-_]id")

#: What names a device. Anything else means nothing to most of what a boot opens.
_OF_DEVICES = {*IdentifierKind, OtherKind.DISK_NAME}

#: The kind of what a change removed and left under another name; the value is its path.
REMOVED_FILE = "removed-file"

#: Bytes that show whether a file is text.
_START = 4096
#: Bytes; larger files are data, not configuration, and are not read.
CONTENT_LIMIT = 1024 * 1024
#: Bytes that show whether a file is an archive.
_MAGIC = 16


@dataclass(frozen=True, slots=True)
class Residue:
    """An old identifier found after the change. ``line`` is 1-based; 0 means the path itself."""

    kind: str
    value: str
    path: str
    line: int
    read_at_boot: bool


def find_residue(
    guest: Guest, retired: Sequence[Retired], places: Places | None = None
) -> Sequence[Residue]:
    """Everything in *places* that still holds one of *retired*, sorted by path.

    The places are those of ``search_places`` when None are given.
    """
    if not retired:
        return ()
    places = places or select(guest)
    owners = {spelled: old for old in reversed(retired) for spelled in _values(old)}
    finder = Finder(owners, words=False)
    found: dict[Residue, None] = {}

    def add(spelled: bytes, path: str, line: int, *, at_boot: bool) -> None:
        old = owners[finder.values[spelled]]
        found[Residue(old.kind, old.value, path, line, at_boot)] = None

    opened = boot_view.files_read(guest)
    by_any = boot_view.files_read(guest, devices=False)

    @cache
    def restored() -> Restored:
        return restored_identities.find(guest, opened)

    def reads(spelled: bytes, path: str, line: int) -> bool:
        """Whether the next boot takes what is *spelled* in the file at *path* for what it is."""
        kind = owners[finder.values[spelled]].kind
        if kind == "machine-id" and (
            path in restored().ids or _is_set_by(guest, path, line, restored(), opened)
        ):
            return True
        return path in (opened if kind in _OF_DEVICES else by_any)

    partial, copies = PartialValues(retired), KeyCopies(retired)
    in_use = used_keys(guest) if copies.needles else frozenset()

    def brings_key(path: str) -> bool:
        """Whether the next boot takes the key in that file, or what sshd starts with."""
        return path in opened or path in in_use or restored().has_key(path)

    needles = [*finder.needles, *partial.needles, *copies.needles]

    def add_copies(content: bytes, path: str, at_boot: Callable[[str], bool] = _never) -> None:
        for old in copies.matches(content) if detect(content) is None else ():
            found[Residue(PRIVATE, old.value, path, 0, at_boot(path))] = None

    def add_partial(path: str, *, patterns: bool = False) -> None:
        start = guest.read(path, _START) if guest.is_file(path) else b""
        if start and b"\0" not in start:
            content = guest.read(path, boot_view.READ_LIMIT)
            for old, line in (partial.patterns if patterns else partial.matches)(content):
                found.setdefault(Residue(old.kind, old.value, path, line, read_at_boot=True))

    for path in guest.search(boot_view.FOLDERS, needles, limit=boot_view.READ_LIMIT):
        for spelled, line in _matches(guest, path, finder, boot_view.READ_LIMIT):
            add(spelled, path, line, at_boot=True)
        add_partial(path)
    for folder in boot_view.LOCAL_RULES:
        for name in guest.list(folder):
            add_partial(f"{folder}/{name}", patterns=True)
    exclude = (*places.excluded, *boot_view.FOLDERS)
    for path in guest.search(places.roots, needles, exclude=exclude, limit=CONTENT_LIMIT):
        always = READ_AT_BOOT.match(path) is not None
        # What a name in a folder of somebody's own means is for those to say who use it.
        named = opened.get(path, False) or path.startswith(places.named)
        for spelled, line in _matches(guest, path, finder, CONTENT_LIMIT, named=named):
            add(spelled, path, line, at_boot=always or reads(spelled, path, line))
        if guest.is_file(path):
            add_copies(guest.read(path, CONTENT_LIMIT), path, brings_key)
        if always or path in opened:
            add_partial(path)
    for path in in_use:
        add_copies(guest.read(path, CONTENT_LIMIT), path, _always)
    for path, by_name in opened.items():
        if not _is_scanned(guest, path, places):
            look = _matches if by_name else _in_content
            for spelled, line in look(guest, path, finder, boot_view.READ_LIMIT):
                add(spelled, path, line, at_boot=reads(spelled, path, line))
            add_partial(path)
            if path in by_any and guest.is_file(path):
                add_copies(guest.read(path, CONTENT_LIMIT), path, _always)
    for path in _large_binaries(guest):
        for spelled, line in _in_content(guest, path, finder, initrds.SIZE_LIMIT):
            add(spelled, path, line, at_boot=True)
    for path in filter(_ESCAPING.search, opened):
        for spelled, line in _escaped(guest, path, finder):
            add(spelled, path, line, at_boot=reads(spelled, path, line))
    for path, spelled, line in _joined(guest, filter(_EXPANDING.search, opened), finder):
        add(spelled, path, line, at_boot=reads(spelled, path, line))
    for path in dict.fromkeys((*initrds.find(guest), *boot_view.initrds(guest))):
        content = guest.read(path, initrds.SIZE_LIMIT)
        for member, text in _inside(content, needles):
            for _, spelled in finder.matches(text):
                add(spelled, f"{path}!{member}", 0, at_boot=True)
            add_copies(text, f"{path}!{member}")
    for path, program in efi_programs.find(guest).items():
        for member, text in (each for c in program.initrds for each in _inside(c, needles)):
            for _, spelled in finder.matches(text):
                # The plan refused these members or was told to leave them, and named host keys.
                key = owners[finder.values[spelled]].kind == "ssh-host-key"
                if member not in MEMBERS and not key:
                    add(spelled, f"{path}!{member}", 0, at_boot=True)
            add_copies(text, f"{path}!{member}")
    return sorted(found, key=lambda r: (r.path, r.line, r.kind))


def _large_binaries(guest: Guest) -> Iterator[str]:
    """The physical path of every file beside a boot loader that the search finds too large.

    Initrds, and kernels that are packed, are not among them: what they say is not seen so.
    """
    for root in boot_view.boot_roots(guest):
        for member in guest.walk(root, limit=_MAGIC):
            size = member.stat.size
            if not member.content or size <= CONTENT_LIMIT or detect(member.content) is not None:
                continue
            if not is_packed(guest.read(member.path, HEADER_SIZE)):
                yield member.path


def _is_set_by(
    guest: Guest, path: str, line: int, restored: Restored, opened: Container[str]
) -> bool:
    """Whether a script may set the machine-id to what it has in that line (from 1).

    The line, or more of the text, is about the file or the kernel argument.
    """
    if not line or not (path in opened or path in restored.started):
        return False
    lines = guest.read(path, boot_view.READ_LIMIT).split(b"\n")
    text = lines[line - 1] if line <= len(lines) else b""
    if text.lstrip().startswith(b"#"):
        return False
    return path in restored.speaking or _MACHINE_ID.search(text) is not None


def _never(_: str) -> bool:
    return False


def _always(_: str) -> bool:
    return True


def _values(old: Retired) -> Iterator[str]:
    """The value, and how a credential of systemd may hold it: in Base64, with any ending."""
    yield old.value
    if old.kind == "machine-id":
        # The last character also depends on what follows: padding, or a newline.
        yield base64.b64encode(old.value.encode()).decode("ascii").rstrip("=")[:-1]


def _is_scanned(guest: Guest, path: str, places: Places) -> bool:
    """Whether the search through *places* has read the file at the physical *path*."""
    stat = guest.lstat(path)
    inside = any(path.startswith(f"{root}/") for root in places.roots)
    excluded = any(path.startswith(f"{folder}/") for folder in places.excluded)
    return inside and not excluded and stat is not None and stat.size <= CONTENT_LIMIT


def _inside(content: bytes, needles: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """What an initrd unpacks to with one of *needles*, and anything reads: member and content.

    Also what is in a boot config, which is no member and is behind all archives.
    """
    survey = initrds.look_into(content, needles)
    for name in dict.fromkeys(hit.path for hit in survey.hits if not hit.harmless):
        member = survey.members.get(name)
        inside = survey.contents.get(name, b"")
        for text in (inside, member.header.name) if member else (content[survey.end :],):
            yield name, text


def _matches(
    guest: Guest, path: str, finder: Finder, limit: int, *, named: bool = True
) -> Iterator[tuple[bytes, int]]:
    """Spelling and line of everything that *finder* finds in what *path* is, and in its name."""
    kind = stat.kind if (stat := guest.lstat(path)) else Kind.OTHER
    texts = [path.rsplit("/", 1)[-1]] if named else []
    texts += [guest.readlink(path)] if kind is Kind.SYMLINK else []
    for text in texts:
        for _, spelled in finder.matches(text.encode("utf-8", "surrogateescape")):
            yield spelled, 0
    if kind is Kind.FILE:
        yield from _in_content(guest, path, finder, limit)


def _escaped(guest: Guest, path: str, finder: Finder) -> Iterator[tuple[bytes, int]]:
    """Spelling and line of what *path* holds only when its escapes or any case are read."""
    content = guest.read(path, boot_view.READ_LIMIT) if guest.is_file(path) else b""
    octal = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), content)
    for text in (octal.lower(), re.sub(rb"\\(.)", rb"\1", octal)):
        for start, spelled in finder.matches(text):
            yield spelled, text.count(b"\n", 0, start) + 1


def _joined(guest: Guest, paths: Iterable[str], finder: Finder) -> Iterator[tuple[str, bytes, int]]:
    """Path, spelling and line of everything that the files at *paths* put together."""
    paths = tuple(paths)
    guest.prefetch(files=paths)
    files = {path: guest.read(path, CONTENT_LIMIT) for path in paths if guest.is_file(path)}
    texts = {path: text for path, text in files.items() if b"\0" not in text}
    joined = JoinedValues(texts.values(), lambda value: any(finder.matches(value)))
    for path, text in texts.items():
        words = list(joined.expanded(text))
        lines = b"\n".join(word for _, word in words).lower()
        for start, spelled in finder.matches(lines):
            yield path, spelled, words[lines.count(b"\n", 0, start)][0]


def _in_content(guest: Guest, path: str, finder: Finder, limit: int) -> Iterator[tuple[bytes, int]]:
    content = guest.read(path, limit)
    if detect(content) is not None:
        return  # an archive: what counts is what it unpacks to
    for start, spelled in finder.matches(content):
        yield spelled, content.count(b"\n", 0, start) + 1
