"""The manifest of an OVF: one line with the digest of each file.

References: DMTF DSP0243 2.1.1, 5.1: ``SHA256(file.vmdk)= 9f86d081...``; VirtualBox writes blanks.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.text.splicing import Edit, splice

if TYPE_CHECKING:
    from collections.abc import Mapping

#: More than any machine has files. In bytes.
LIMIT = 2**20

_LINE = re.compile(
    r"^(?P<algorithm>[A-Za-z0-9-]+)[ \t]*\((?P<name>[^()\r\n]+)\)[ \t]*="
    r"[ \t]*(?P<digest>\S+)[ \t]*$",
    re.MULTILINE,
)
_ALGORITHMS = {"SHA1", "SHA224", "SHA256", "SHA384", "SHA512"}


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of one file. ``start`` and ``end``: where it stands in the manifest."""

    name: str
    algorithm: str  # as hashlib calls it
    value: str
    start: int
    end: int
    named: tuple[int, int]
    whole: tuple[int, int]

    def of(self, content: bytes) -> str:
        """The digest that *content* would have."""
        return hashlib.new(self.algorithm, content, usedforsecurity=False).hexdigest()

    def require(self, value: str, file: str) -> None:
        """Raise RefusedError unless *value* is what the manifest says."""
        if value != self.value.lower():
            raise RefusedError(
                f"{file}: {printable(self.name, 200)} is not what its manifest says: it was "
                "changed or damaged after it was exported",
                hint="Export or download it again.",
            )


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was read."""

    text: str
    digests: Mapping[str, Digest]

    def changed(self, new: Mapping[str, tuple[str, str]], *, without: tuple[str, ...] = ()) -> str:
        """The text with other names and digests; *new* maps an old name to both."""
        edits = []
        for name, digest in self.digests.items():
            if name in without:
                edits.append(Edit(*digest.whole, ""))
            elif name in new:
                edits.append(Edit(*digest.named, new[name][0]))
                edits.append(Edit(digest.start, digest.end, new[name][1]))
        return splice(self.text, edits)


def empty_note(name: str) -> Note:
    """What is said of a manifest without digests, called *name*."""
    message = f"{printable(name, 200)} is empty: it is left out, and no digest was checked"
    return Note("manifest", Level.WARNING, message)


def read_manifest(content: bytes, file: str) -> Manifest:
    """The manifest in *content*; *file* is what messages call it. Raises RefusedError.

    One without a line, as VirtualBox writes some, has no digests.
    """
    if len(content) > LIMIT:
        raise RefusedError(f"{file}: its manifest is too long", hint="Export it again.")
    text = content.decode("utf-8", "surrogateescape")
    digests: dict[str, Digest] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not _LINE.fullmatch(line):
            raise RefusedError(
                f"{file}: line {number} of its manifest is not ALGORITHM(FILE)= DIGEST",
                hint="Export it again.",
            )
    for found in _LINE.finditer(text.replace("\r", " ")):
        algorithm = found["algorithm"].upper().replace("-", "")
        if algorithm not in _ALGORITHMS:
            raise RefusedError(
                f"{file}: its manifest has digests of an unknown kind, "
                f"{printable(found['algorithm'], 40)}",
                hint=f"Known are {', '.join(sorted(_ALGORITHMS))}.",
            )
        end = text.find("\n", found.end()) + 1 or len(text)
        digests[found["name"]] = Digest(
            found["name"],
            algorithm.lower(),
            found["digest"],
            *found.span("digest"),
            found.span("name"),
            (found.start(), end),
        )
    return Manifest(text, digests)
