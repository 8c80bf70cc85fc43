"""Definitions that must not become another machine: the failure, and that nothing was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from unclone.images.errors import RefusedError, UncloneError
from unclone.runs.define import Request, define, pool, read
from unclone.sanitize.identities.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.runs.define import Defined


def refusal(source: Path, **options: Any) -> UncloneError:
    """How the definition *source* fails; its folder is as before, and no identity was handed out.

    *options* are those of :class:`unclone.runs.define.Request`.
    """
    folder = source.parent
    before = contents(folder)
    ledger = folder / "fleet.ledger"
    options.setdefault("output", folder / f"web-01{source.suffix}")
    request = Request(source, "web-01", **options)
    with pytest.raises(UncloneError) as raised:
        defined(request, ledger=ledger)
    if ledger.exists():
        with Ledger.open(ledger) as book:
            assert book.machine("web-01") is None
        ledger.unlink()
    assert contents(folder) == before
    assert raised.value.hint
    assert raised.value.message.isprintable()
    return raised.value


def refused(source: Path, content: str | bytes, **options: Any) -> UncloneError:
    """As :func:`refusal`, of a definition that is written first."""
    source.write_bytes(content.encode() if isinstance(content, str) else content)
    return refusal(source, **options)


def require_refused(source: Path, content: str | bytes, words: str) -> None:
    """The definition is refused, with *words* and its name."""
    error = refused(source, content)
    assert isinstance(error, RefusedError)
    assert words in error.message
    assert source.name in error.message


def defined(request: Request, *, ledger: Path | None = None, key: bytes = b"") -> Defined:
    """What ``unclone define`` makes of *request*."""
    definition = read(request)
    with pool(request, ledger=ledger, key=key) as identities:
        return define(request, definition, identities)


def contents(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file below *folder*, with its size and the time it was changed."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}
