"""The key that identifiers are derived from (``derivation``), as a person gives it."""

from __future__ import annotations

from pathlib import Path

from unclone.images.errors import UsageError
from unclone.images.text import printable

#: What ``--derive-from`` says in ``--help``.
KEY_HELP = (
    "Derive new identifiers from the key in FILE and the machine's name instead of drawing them: "
    "the same machine gets the same ones each time. The key is read from a file (- for standard "
    "input), never from the command line, which every user of this host can see. Anyone with the "
    "key can tell the identifiers of every machine: keep it as you keep a password."
)

#: Bytes. A key is a line or a few random bytes; what is longer is some other file.
KEY_LIMIT = 64 * 1024
#: Shorter keys can be found by trying, from one derived identifier.
KEY_MINIMUM = 16


def read_key(file: str) -> bytes:
    """The key in *file*, a path or - for standard input, without the line's end.

    Raises :class:`UsageError` when it cannot be read or cannot be a key.
    """
    shown = "standard input" if file == "-" else printable(file)
    try:
        with Path("/dev/stdin" if file == "-" else file).open("rb") as stream:
            content = stream.read(KEY_LIMIT + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the key in {shown}: {error.strerror}",
            hint="--derive-from takes the name of a file that holds the key.",
        ) from None
    key = content.rstrip(b"\r\n")
    if not KEY_MINIMUM <= len(key) <= KEY_LIMIT:
        message = "too long for a key" if len(key) > KEY_LIMIT else "too short for a key"
        raise UsageError(
            f"{shown} has {len(key)} bytes and is {message}",
            hint=f"Make one with `openssl rand -hex 32 > FILE`; {KEY_MINIMUM} bytes at least.",
        )
    return key
