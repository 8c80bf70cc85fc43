"""Values that look like an identity and that no rule knows, with how much each looks like one.

Files that a package brought and that are as it had them hold none: they are the same everywhere.
The rest is compared between machines, and what two have is worth a look: it may be a row to write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unclone.images.needles import Needles
from unclone.sanitize.audit import forms
from unclone.sanitize.audit.in_initrds import initrd_files
from unclone.sanitize.audit.packages import Packages
from unclone.sanitize.audit.values import Found, bare_digits, digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from unclone.images.guest import Guest

#: Where machines keep what is theirs.
TOPS = ("/etc", "/var/lib", "/opt", "/boot")
#: Where packages keep what is everybody's, searched where there is no database of packages.
_VENDORS = ("/usr/lib", "/usr/share")

#: Package managers' own, files made from what packages bring, accounts, other machines.
_EXCLUDED = (
    *("/var/lib/dpkg", "/var/lib/apt", "/var/lib/rpm", "/var/lib/dnf", "/var/lib/pacman"),
    *("/var/lib/PackageKit", "/var/lib/ucf", "/var/lib/swcatalog", "/var/lib/app-info"),
    *("/etc/ssl/certs", "/etc/ca-certificates", "/etc/pki/ca-trust", "/var/lib/ca-certificates"),
    *("/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/flatpak"),
    *("/var/lib/machines", "/var/lib/portables", "/var/lib/libvirt", "/var/lib/snapd"),
    *("/var/lib/systemd/catalog", "/etc/alternatives"),
)
_EXCLUDED_FILES = re.compile(
    r"/etc/(?:g?shadow-?|passwd-?|group-?|ld\.so\.cache|\.pwd\.lock|ssh/(?:moduli|ssh_host_.*))"
    r"|/boot/(?:System\.map|config|vmlinu)[^/]*"
)

#: Bytes of a file that is looked at, and of one that may be random as a whole.
FILE_LIMIT, SHORT = 256 * 1024, 4096
#: Bytes of packages' files that are remembered.
_VENDOR_BYTES = 16 * 1024 * 1024
#: Files of a machine, and their bytes: what comes after them is not looked at.
FILES, BYTES = 100_000, 256 * 1024 * 1024
#: Values of one file: with more it is a list of something; the most that are taken. Of a machine.
_LIST, _MOST, VALUES = 24, 200, 5_000

#: What names of files and settings call identities, and what they call something else.
_HINT = re.compile(
    rb"(?i)(?:^|[^a-z])(?:id|ids|[a-z]*_?(?:uuid|guid)|serial|token|secret|cookie|seed|identity"
    rb"|fingerprint|credential|registration|enrol\w*|(?:host|node|agent|client|machine|device"
    rb"|instance|server|install\w*|cluster|member|peer|system|sensor)[-_. ]?(?:id|key|name)"
    rb"|[a-z]*key)(?:$|[^a-z])|[a-z](?:Id|ID|Uuid|UUID|Key|Token)\b"
)
_NO_HINT = re.compile(rb"(?i)version|release|build|date|time|size|limit|(?:^|_)[gup]id$")
_KEYED = re.compile(
    rb"[\"']?([A-Za-z][\w.-]{0,60})[\"']?[ \t]{0,20}[:=>][ \t]{0,20}[\"']?"
    rb"([0-9A-Za-z][\w:@.+/=-]{5,255})"
)
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
#: A text that is one word of letters and digits, longer than words are.
_WORD = re.compile(rb"[0-9A-Za-z]{16,256}")
#: Digits and letters of a hexadecimal number.
_SHORT_ID = re.compile(rb"(?=[0-9a-f]*[0-9][0-9a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,15}")
#: Bytes of a hexadecimal number in a name; shorter ones are versions and checksums.
_LONG_NAME = 24

#: How much a form looks like an identity, before anything else is known.
_BASE = {
    "private-key": 80,
    "uuid": 55,
    "hexadecimal": 45,
    "mac": 50,
    "octets": 45,
    "certificate": 50,
    "token": 40,
    "random-file": 60,
    "setting": 25,
    "short-file": 25,
}
_HINTED, _ALONE, _LONG, _STATE, _LISTED, _COMMENT = 25, 15, 10, 10, -40, -30
#: From this score on a value is compared.
_LEAST = 50


@dataclass
class _File:
    """The values of one file by kind and value, each with its score."""

    path: str
    content: bytes
    initrd: str = ""
    values: dict[tuple[str, bytes], int] = field(default_factory=dict)
    shown: dict[tuple[str, bytes], str] = field(default_factory=dict)
    _taken: bytearray = field(default_factory=bytearray)

    @property
    def place(self) -> str:
        return f"{self.initrd}: {self.path[1:]}" if self.initrd else self.path

    def is_free(self, start: int, end: int) -> bool:
        """Whether nothing between the two is part of a value already."""
        return not any(self._taken[start:end])

    def take(
        self, kind: str, value: bytes, start: int, *, length: int = 0, hint: bytes = b""
    ) -> None:
        """Add *value*, whose bytes begin at *start*, with what its surroundings say of it."""
        if not self._taken:
            self._taken = bytearray(len(self.content))
        end = start + (length or len(value))
        self._taken[start:end] = b"\1" * (end - start)
        before = self.content[max(0, start - 80) : start].rpartition(b"\n")[2]
        name = self.path.rpartition("/")[2].encode("utf-8", "replace")
        score = _BASE[kind]
        if any(_HINT.search(each) for each in (hint, before, name)):
            score += _HINTED
        if len(self.content.strip()) <= len(value) + 16:
            score += _ALONE
        if kind == "token" and len(value) >= 32:
            score += _LONG
        if self.path.startswith(("/var/lib/", "/opt/")):
            score += _STATE
        if before.lstrip().startswith((b"#", b"//", b";")):
            score += _COMMENT
        key = kind, value
        self.values[key] = max(score, self.values.get(key, 0))
        # A token may be spelled as a UUID: only addresses are never a secret.
        same = bare_digits(value) if kind in {"uuid", "hexadecimal"} else value
        self.shown[key] = value.decode("ascii") if kind == "mac" else digest(same)


def unknown(guest: Guest, known: Collection[Found]) -> Iterator[Found]:
    """What in *guest* looks like an identity and is in none of *known*; the likeliest first."""
    packages = Packages(guest, TOPS)
    places = {found.place for found in known}
    digits = {bare_digits(found.value.encode("utf-8", "replace")) for found in known}
    files: list[_File] = []
    vendors = bytearray()
    for path, content, link, initrd in _members(guest):
        if path in places or forms.is_object(content):
            continue
        if packages.brought(path, content):
            vendors += b"\n" + content if len(vendors) < _VENDOR_BYTES else b""
            continue
        file = _read(_File(path, content, initrd))
        _read_name(file, link)
        if file.values:
            files.append(file)
    best: dict[tuple[str, bytes], tuple[int, str, str]] = {}
    for file in files:
        for key, score in file.values.items():
            is_new = bare_digits(key[1]) not in digits
            if is_new and score >= _LEAST and score > best.get(key, (0, "", ""))[0]:
                best[key] = score, file.place, file.shown[key]
    for key in _of_vendors(guest, best, vendors, everywhere=not packages):
        del best[key]
    ranked = sorted(best.items(), key=lambda item: -item[1][0])[:VALUES]
    for (kind, _), (score, path, shown) in ranked:
        yield Found(kind, shown, path, "", score)


def _members(guest: Guest) -> Iterator[tuple[str, bytes, str, str]]:
    """What is looked at: path, content of a file as a whole, target of a link, initrd if in one."""
    left, files = BYTES, FILES
    for top in TOPS:
        for member in guest.walk(top, exclude=_EXCLUDED, limit=FILE_LIMIT + 1):
            content = member.content or b""
            left, files = left - len(content), files - 1
            if left < 0 or files < 0:
                return
            if not _EXCLUDED_FILES.fullmatch(member.path):
                whole = content if len(content) <= FILE_LIMIT else b""
                yield member.path, whole, member.link_target, ""
    for file in initrd_files(guest, FILE_LIMIT):
        if not _EXCLUDED_FILES.fullmatch(file.path):
            yield file.path, file.content, "", file.initrd


def _of_vendors(
    guest: Guest,
    values: Collection[tuple[str, bytes]],
    vendors: bytes | bytearray,
    *,
    everywhere: bool,
) -> set[tuple[str, bytes]]:
    """Those that are also in *vendors*, what packages brought; *everywhere*: in their folders."""
    if not values:
        return set()
    wanted = Needles([value for _, value in values])
    found = {value for text in (vendors, vendors.lower()) for value in wanted.found_in(bytes(text))}
    for top in _VENDORS if everywhere else ():
        for number, member in enumerate(guest.walk(top, limit=FILE_LIMIT)):
            if number > FILES:
                break
            if member.content:
                found.update(wanted.found_in(member.content))
    return {key for key in values if key[1] in found}


def _read(file: _File) -> _File:
    """Add what is in *file*, longest forms first: what is part of one is none of its own."""
    content, text = file.content, file.content.strip()
    if forms.is_binary(content):
        if len(content) <= SHORT and len(content) >= 8 and forms.is_random_binary(content):
            file.take("random-file", content, 0)
        _add_matches(file, {"uuid": forms.UUID, "hexadecimal": forms.HEXADECIMAL})
        return file
    for match in _BEGIN.finditer(content):
        end = content.find(b"-----END", match.end())
        if end >= 0 and file.is_free(*match.span()):
            kind = "private-key" if b"PRIVATE" in match[1] else "certificate"
            file.take(kind, content[match.start() : end], match.start())
    _add_matches(
        file,
        {
            "uuid": forms.UUID,
            "octets": forms.OCTETS,
            "mac": forms.MAC,
            "hexadecimal": forms.HEXADECIMAL,
            "token": forms.TOKEN,
        },
    )
    for match in _KEYED.finditer(content):
        if len(file.values) > _LIST:
            break
        named = _HINT.search(match[1]) and not _NO_HINT.search(match[1])
        is_named = named and _is_opaque(match[2])
        if is_named and file.is_free(*match.span(2)):
            file.take("setting", match[2], match.start(2), hint=match[1])
    name = file.path.rpartition("/")[2].encode("utf-8", "replace")
    if not file.values and 4 <= len(text) <= 256 and b"\n" not in text:
        if _WORD.fullmatch(text) and forms.entropy(text) >= 3.2:
            file.take("random-file", text, 0)
        elif _is_opaque(text) and (_HINT.search(name) or _SHORT_ID.fullmatch(text)):
            file.take("short-file", text, 0)
    if len(file.values) > _LIST:
        file.values = {key: score + _LISTED for key, score in file.values.items()}
    return file


def _read_name(file: _File, link: str) -> None:
    """Add what is in the name of *file*, and in where it leads to."""
    name = file.path.rpartition("/")[2].encode("utf-8", "surrogateescape")
    text = b"/".join((name, link.encode("utf-8", "surrogateescape")))
    for kind, pattern in (("uuid", forms.UUID), ("hexadecimal", forms.HEXADECIMAL)):
        for match in pattern.finditer(text):
            if len(match[0]) >= _LONG_NAME and len(set(match[0])) > 5:
                named = _File(file.path, b"")
                named.take(kind, match[0].lower(), 0)
                file.values = {**named.values, **file.values}
                file.shown = {**named.shown, **file.shown}


def _add_matches(file: _File, patterns: dict[str, re.Pattern[bytes]]) -> None:
    for kind, pattern in patterns.items():
        for match in pattern.finditer(file.content):
            value = match[0] if kind == "token" else match[0].lower()
            drawn = forms.is_random_token(value) if kind == "token" else len(set(value)) > 5
            if drawn and file.is_free(*match.span()):
                file.take(kind, value, match.start(), length=len(match[0]))
            if len(file.values) > _MOST:
                return


def _is_opaque(value: bytes) -> bool:
    """Whether *value* has digits enough for a number that was given, and is no path or version."""
    digits = len(re.findall(rb"[0-9]", value))
    if b"/" in value or re.fullmatch(rb"v?[0-9]+(?:\.[0-9]+)+\S*", value):
        return False
    if value.isdigit():
        return len(value) >= 8
    if len(value) >= 8 and re.fullmatch(rb"(?:[0-9]+[a-f]|[a-f]+[0-9])[0-9a-f]+", value.lower()):
        return True
    return digits >= 3 and digits * 6 >= len(value)
