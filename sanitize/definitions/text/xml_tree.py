"""XML read for editing: each element knows where its attributes and its text are.

Only what a definition needs, and nothing that can attack: a document type is refused (with it go
entities and everything external, as defusedxml does), and so are depth and numbers of elements that
no definition has.

References: XML 1.0 (fifth edition) 2.4, 3.1, 4.6; Namespaces in XML 1.0; expat's reference.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat

from unclone.images.errors import RefusedError
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unclone.sanitize.definitions.text.source import Source

DEPTH_LIMIT = 100
ELEMENT_LIMIT = 50_000

_NAME = re.compile(r"<([^\s/>]+)")
_ATTRIBUTE = re.compile(r"""(\s+)([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG_END = re.compile(r"\s*(/?)>")
#: What stands in an element without children: comments and instructions, CDATA, text.
_PIECE = re.compile(r"(<!--.*?-->|<\?.*?\?>)|<!\[CDATA\[(.*?)\]\]>|([^<]+)", re.DOTALL)
#: What may follow an element on its last line.
_REST_OF_LINE = re.compile(r"[ \t]*(\r\n|\n|\r)")


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute. ``start``, ``end``: its value, without quotes. ``removal``: with its space."""

    name: str  # as it is written, with its prefix
    value: str
    start: int
    end: int
    removal: tuple[int, int]

    def spell(self, value: str) -> str:
        """*value* as it is written between either kind of quotes."""
        return _escaped(value).replace('"', "&quot;").replace("'", "&apos;").replace("\n", "&#10;")


@dataclass(slots=True)
class Element:
    """An element. ``start``, ``end``: all of it, from ``<`` to ``>``; ``inner``: between its tags.

    ``inner`` is None for ``<tag/>``. ``value`` is its own message, without white space around.
    """

    tag: str  # without prefix
    namespace: str  # its URI, or ""
    parent: Element | None
    number: int  # among siblings of the same name, from 1
    start: int
    tag_end: int  # behind the ">" of the start tag
    attributes: dict[str, Attribute]
    end: int = 0
    inner: tuple[int, int] | None = None
    value: str = ""
    children: list[Element] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # of the children, by tag

    def get(self, attribute: str, default: str = "") -> str:
        """The value of an attribute."""
        found = self.attributes.get(attribute)
        return default if found is None else found.value

    def find(self, path: str) -> Iterator[Element]:
        """The elements at *path*: ``devices/interface``; ``*`` is any, ``[@a='b']`` a condition."""
        step, _, rest = path.partition("/")
        for child in self.children:
            if _matches(child, step):
                yield from child.find(rest) if rest else (child,)

    def first(self, path: str) -> Element | None:
        """The first element at *path*."""
        return next(self.find(path), None)

    def walk(self) -> Iterator[Element]:
        """The element and all below, in the order of the text."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += reversed(element.children)

    @property
    def place(self) -> str:
        """Where it is, as an XPath: ``/domain/devices/interface[2]``."""
        above = self.parent.place if self.parent else ""
        alone = self.parent is None or self.parent.counts[self.tag] == 1
        return f"{above}/{self.tag}" if alone else f"{above}/{self.tag}[{self.number}]"


def read_xml(source: Source) -> Element:
    """The root element. Raises RefusedError for anything malformed or not harmless."""
    return _Reader(source).read()


def leaves(root: Element) -> Iterator[tuple[str, str, int, int]]:
    """Every attribute and text below *root*: its path from there, the value, and where it is."""
    waiting = [(root, "")]
    while waiting:
        element, path = waiting.pop()
        for attribute in element.attributes.values():
            name = attribute.name.rpartition(":")[2]
            yield f"{path}/@{name}".lstrip("/"), attribute.value, attribute.start, attribute.end
        if element.value and element.inner and not element.children:
            yield path, element.value, *element.inner
        waiting += [(child, f"{path}/{child.tag}".lstrip("/")) for child in element.children]


def text_place(source: Source, element: Element) -> tuple[int, int, Callable[[str], str]] | None:
    """Where the text of an *element* without children is, and how new text is written there.

    White space around them, comments and CDATA stay. None for ``<tag/>``. Raises RefusedError for
    an element with children.
    """
    if element.inner is None:
        return None
    if element.children:
        raise RefusedError(
            f"{source.position(element.start)}: {element.place} has elements where text should be",
            hint="Correct the definition first.",
        )
    start, end = element.inner
    pieces = list(_PIECE.finditer(source.text, start, end))
    spoken = [p for p in pieces if p[1] is None and (p[2] or p[3] or "").strip()]
    chosen = next((p for p in spoken), None)
    if chosen is None:
        return start, start, _escaped
    if len(spoken) == 1:
        group = 2 if chosen[2] is not None else 3
        start, end = _stripped(source.text, *chosen.span(group))
        return start, end, _in_cdata if group == 2 else _escaped

    def spell(value: str) -> str:
        kept = [_escaped(value) if p is chosen else p[0] if p not in spoken else "" for p in pieces]
        return "".join(kept)

    return start, end, spell


class _Reader:
    """One pass of expat over the text, as UTF-8; offsets are turned into characters on the way."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._bytes = b""
        self._seen = (0, 0)  # bytes, characters: places only come forward
        self._root: Element | None = None
        self._open: list[Element] = []
        self._words: list[list[str]] = []
        self._count = 0

    def read(self) -> Element:
        try:
            self._bytes = self._source.text.encode()
        except UnicodeEncodeError as error:
            raise RefusedError(
                f"{self._source.shown} is not XML", hint="Name the definition of a VM."
            ) from error
        parser = self._parser = expat.ParserCreate("utf-8", " ")
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._say
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        try:
            parser.Parse(self._bytes, True)  # noqa: FBT003 (expat's signature)
        except expat.ExpatError as error:
            raise RefusedError(
                f"{self._source.shown}:{error.lineno}:{error.offset + 1}: is not valid XML: "
                f"{expat.ErrorString(error.code)}",
                hint="Is the file complete?",
            ) from error
        if self._root is None:
            raise RefusedError(f"{self._source.shown} has no element", hint="Is it complete?")
        return self._root

    def _start(self, name: str, flat: list[str]) -> None:
        self._count += 1
        if len(self._open) >= DEPTH_LIMIT or self._count > ELEMENT_LIMIT:
            raise RefusedError(
                f"{self._source.shown} has more than {ELEMENT_LIMIT} elements, or more than "
                f"{DEPTH_LIMIT} within each other",
                hint="That is no definition of a VM.",
            )
        namespace, _, tag = name.rpartition(" ")
        start = self._here()
        attributes, tag_end, empty = self._attributes(start, flat[1::2])
        parent = self._open[-1] if self._open else None
        number = parent.counts[tag] + 1 if parent else 1
        element = Element(tag, namespace, parent, number, start, tag_end, attributes)
        if not empty:
            element.inner = (tag_end, tag_end)
        if parent:
            parent.children.append(element)
            parent.counts[tag] += 1
        else:
            self._root = element
        self._open.append(element)
        self._words.append([])

    def _end(self, _name: str) -> None:
        element = self._open.pop()
        element.value = "".join(self._words.pop()).strip()
        if element.inner is None:
            element.end = element.tag_end
            return
        inner_end = self._here()
        element.inner = (element.tag_end, inner_end)
        element.end = self._source.text.index(">", inner_end) + 1

    def _say(self, message: str) -> None:
        self._words[-1].append(message)

    def _attributes(self, start: int, values: list[str]) -> tuple[dict[str, Attribute], int, bool]:
        text = self._source.text
        name = _NAME.match(text, start)
        at = name.end() if name else start
        found: dict[str, Attribute] = {}
        waiting = iter(values)  # as expat understood them; it leaves declarations of names out
        while match := _ATTRIBUTE.match(text, at):
            at = match.end()
            if match[2] == "xmlns" or match[2].startswith("xmlns:"):
                continue
            value = next(waiting)
            span = match.start(3) + 1, match.end(3) - 1
            found[match[2]] = Attribute(match[2], value, *span, match.span())
        ending = _TAG_END.match(text, at)
        if name is None or ending is None:
            raise RefusedError(
                f"{self._source.position(start)}: a tag that cannot be understood",
                hint="Write it as `virsh dumpxml` would.",
            )
        return found, ending.end(), bool(ending[1])

    def _here(self) -> int:
        """The place of the present event, in characters."""
        index = self._parser.CurrentByteIndex
        seen_bytes, seen = self._seen
        seen += len(self._bytes[seen_bytes:index].decode())
        self._seen = (index, seen)
        return seen

    def _refuse_doctype(self, *_: object) -> None:
        raise RefusedError(
            f"{self._source.shown} has a document type, which no definition of a VM has",
            hint="Its entities can be used for attacks: remove the <!DOCTYPE ...>.",
        )


def _matches(element: Element, step: str) -> bool:
    tag, _, condition = step.partition("[")
    if tag not in ("*", element.tag):
        return False
    if not condition:
        return True
    attribute, _, value = condition.removeprefix("@").rstrip("]").partition("=")
    return element.get(attribute) == value.strip("'\"")


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _escaped(value: str) -> str:
    _require_characters(value)
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _in_cdata(value: str) -> str:
    _require_characters(value)
    return value.replace("]]>", "]]]]><![CDATA[>")


def _require_characters(value: str) -> None:
    """XML 1.0 2.2: control characters cannot be said at all."""
    if any(c < " " and c not in "\t\n\r" for c in value):
        raise RefusedError(
            f"'{printable(value)}' cannot be written in XML", hint="Use no control characters."
        )


def with_line(source: Source, element: Element) -> tuple[int, int]:
    """All of *element*, with its line where it stands alone on it."""
    text, start = source.text, element.start
    while start > 0 and text[start - 1] in " \t":
        start -= 1
    ending = _REST_OF_LINE.match(text, element.end)
    if ending and (start == 0 or text[start - 1] in "\r\n"):
        return start, ending.end()
    return element.start, element.end
