"""Where a ledger is: a file, or a database server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from unclone.images.errors import UsageError
from unclone.images.text import printable

_SCHEMES = ("postgresql://", "postgres://")
#: Parameters of libpq that hold a secret.
_SECRETS = {"password", "sslpassword"}


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL database. *url* is a connection URI of libpq, without any secret.

    Reference: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    """

    url: str

    def __str__(self) -> str:
        return self.url


Place = Path | Server


def parse_place(text: str) -> Place:
    """The ledger that *text* names. Raises :class:`UsageError` for a URL with a password in it."""
    if not text.startswith(_SCHEMES):
        return Path(text)
    hint = (
        "Put the password into ~/.pgpass (mode 0600) or a service file, where libpq finds it. "
        "Other users can read the arguments of a program."
    )
    try:
        parts = urlsplit(text)
        secret = parts.password is not None or bool(_SECRETS & set(parse_qs(parts.query)))
    except ValueError as error:
        raise UsageError(
            f"the ledger's address cannot be read: {printable(str(error), 80)}",
            hint="Write it as postgresql://HOST/DATABASE.",
        ) from None
    if secret:
        raise UsageError("the ledger's address has a password in it", hint=hint)
    return Server(text)
