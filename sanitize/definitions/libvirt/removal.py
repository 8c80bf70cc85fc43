"""Taking an element out so that the rest looks as if it had never been there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unclone.sanitize.definitions.source import Source
    from unclone.sanitize.definitions.xml_text import Element

_REST_OF_LINE = re.compile(r"[ \t]*(\r\n|\n|\r)")


def with_line(source: Source, element: Element) -> tuple[int, int]:
    """All of *element*, with its line where it stands alone on it."""
    text, start = source.text, element.start
    while start > 0 and text[start - 1] in " \t":
        start -= 1
    ending = _REST_OF_LINE.match(text, element.end)
    if ending and (start == 0 or text[start - 1] in "\r\n"):
        return start, ending.end()
    return element.start, element.end
