"""Files that are no definition, made to keep a reader busy: no format takes one for its own."""

from __future__ import annotations

import pytest

from unclone.sanitize.definitions.formats import all_formats
from unclone.sanitize.definitions.source import HEAD

PIECES = {
    "line-ends": b"\n",
    "blanks": b" ",
    "blank-lines": b"\t\r\n",
    "letters": b"a",
    "assignments": b"a=b ",
    "keys": b"a: \n",
    "comments": b"#\n",
    "slashes": b"/",
    "quotes": b"\"'",
    "less-than": b"<",
    "instructions": b"<?",
    "xml-comments": b"<!--",
    "document-types": b"<!DOCTYPE x[",
    "braces": b'{"a":',
    "items": b"- ",
    "sections": b"[a]\n",
    "options": b"env -a ",
    "zeros": b"\0",
}


@pytest.mark.parametrize("start", [b"", b"#!", b"#! "], ids=["", "script", "script-blank"])
@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_is_no_definition(start: bytes, piece: bytes) -> None:
    head = (start + piece * HEAD)[:HEAD]
    assert [each.id for each in all_formats() if each.detects(head)] == []
