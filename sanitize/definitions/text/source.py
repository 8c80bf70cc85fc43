"""The file a definition is read from: small, and decoded so that encoding gives back its bytes."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError, UncloneError, UsageError
from unclone.images.text import shown

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes; the definition of one machine is far smaller.
LIMIT = 8 * 2**20

#: How much of a file is looked at to tell its format. In bytes.
HEAD = 64 * 2**10

_DECLARED = re.compile(rb"""\A\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ENCODINGS = {"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16-le", "utf-16-be"}


class Source:
    """A file, or bytes with a name for messages (*content*). ``text`` keeps line endings."""

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        """Nothing is read yet."""
        self.path = path
        self._given = content

    @property
    def shown(self) -> str:
        """The file's name for messages."""
        return shown(self.path)

    @cached_property
    def head(self) -> bytes:
        """The first :data:`HEAD` bytes. Raises UsageError for what is not a readable file."""
        if self._given is not None:
            return self._given[:HEAD]
        if not self.path.is_file():
            what = "is not a file" if self.path.exists() else "does not exist"
            raise UsageError(f"{self.shown} {what}", hint="Name the file of a VM definition.")
        return self._read(HEAD)

    @cached_property
    def content(self) -> bytes:
        """All bytes. Raises RefusedError when there are more than :data:`LIMIT`."""
        content = self._given
        if content is None and self.head is not None:
            content = self._read(LIMIT + 1)
        if content is None or len(content) > LIMIT:
            raise RefusedError(
                f"{self.shown} has more than {LIMIT // 2**20} MiB: that is no definition of a VM",
                hint="Name the definition, not a disk.",
            )
        return content

    @cached_property
    def text(self) -> str:
        """The content as text, without a byte order mark. Raises RefusedError for other bytes."""
        encoding, mark = self._encoding
        try:
            text = self.content[len(mark) :].decode(encoding, self._errors)
        except UnicodeDecodeError as error:
            raise RefusedError(
                f"{self.shown} is not valid {encoding} at byte {error.start + len(mark)}",
                hint="Is it complete, and a definition at all?",
            ) from error
        if "\0" in text:
            raise RefusedError(
                f"{self.shown} holds null characters: it is no text",
                hint="Name the definition, not a disk.",
            )
        return text

    def encoded(self, text: str) -> bytes:
        """*text* as bytes in the encoding of the file.

        A new character that an XML file's encoding has not got becomes a character reference.
        """
        encoding, mark = self._encoding
        errors = "xmlcharrefreplace" if self._errors == "strict" else self._errors
        return mark + text.encode(encoding, errors)

    def position(self, offset: int) -> str:
        """``FILE:LINE:COLUMN`` (both from 1) of character *offset* of the text, for messages."""
        line = bisect_left(self._breaks, offset)
        column = offset - (self._breaks[line - 1] if line else -1)
        return f"{self.shown}:{line + 1}:{column}"

    @cached_property
    def _breaks(self) -> list[int]:
        """Where lines end: positions are asked for thousands of fields."""
        return [match.start() for match in re.finditer("\n", self.text)]

    @cached_property
    def _encoding(self) -> tuple[str, bytes]:
        for mark, encoding in _MARKS:
            if self.content.startswith(mark):
                return encoding, mark
        declared = _DECLARED.match(self.content[:200])
        if declared is None:
            return "utf-8", b""
        try:
            encoding = codecs.lookup(declared[1].decode("ascii")).name
        except LookupError:
            encoding = ""
        if encoding not in _ENCODINGS:
            raise RefusedError(
                f"{self.shown} is in an encoding that is not supported: "
                f"{declared[1].decode('ascii')}",
                hint="Convert it to UTF-8.",
            )
        return encoding, b""

    @property
    def _errors(self) -> str:
        """XML must be valid in its encoding; settings files may hold any byte (PEP 383)."""
        is_xml = self.content.lstrip()[:1] == b"<" or self._encoding[1]
        return "strict" if is_xml else "surrogateescape"

    def _read(self, size: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                return file.read(size)
        except OSError as error:
            raise UncloneError(f"cannot read {self.shown}: {error.strerror}") from error
