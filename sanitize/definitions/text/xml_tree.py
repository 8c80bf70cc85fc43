"""XML read for editing: each element knows where its attributes and its text are.

Only what a definition needs, and nothing that can attack: a document type is refused (with it go
entities and everything external, as defusedxml does), and so are depth and numbers of elements that
no definition has.

References: XML 1.0 (fifth edition) 2.4, 3.1, 4.6; Namespaces in XML 1.0; expat's reference.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from xml.parsers import expat

from unclone.images.errors import RefusedError
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unclone.sanitize.definitions.text.source import Source

DEPTH_LIMIT = 100
ELEMENT_LIMIT = 50_000

_ATTRIBUTE = re.compile(r"""(\s+)([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')""")
#: What expat has found well-formed, up to the end of the next tag, comment, instruction or CDATA.
_TOKEN = re.compile(
    r"""[^<]*<(?:(/)[^>]*>|([^\s/>!?]+)((?:\s+[^\s=/>]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(/?)>|"""
    r"""!--.*?-->|!\[CDATA\[.*?\]\]>|\?.*?\?>)""",
    re.DOTALL,
)
_END_TAG, _START_TAG = 1, 4  # the last group that matches
_REFERENCE = re.compile(r"&(?:#x([0-9A-Fa-f]+)|#([0-9]+)|(lt|gt|amp|quot|apos));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
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


class Element:
    """An element. ``start``, ``end``: all of it, from ``<`` to ``>``; ``inner``: between its tags.

    ``inner`` is None for ``<tag/>``; ``tag`` has no prefix; ``tag_end`` is behind the ``>`` of the
    start tag. Attributes and text are understood when they are asked for: most never are.
    """

    __slots__ = (
        *("tag", "parent", "start", "tag_end", "end", "inner", "children"),
        *("_text", "_tag_start", "_attributes", "_number", "_is_alone", "_order", "_at", "_until"),
        "_by_tag",
    )

    def __init__(
        self,
        text: str,
        name: str,
        parent: Element | None,
        span: tuple[int, int, int],
        order: list[Element],
    ) -> None:
        """*span*: where it starts, where its name ends, and ``tag_end``. *order* gets it."""
        self.tag = name.rpartition(":")[2] if ":" in name else name
        self.parent = parent
        self.start, self._tag_start, self.tag_end = span
        self.end = self.tag_end
        self.inner: tuple[int, int] | None = None
        self.children: list[Element] = []
        self._text = text
        self._attributes: dict[str, Attribute] | None = None
        self._number = 0  # not counted yet
        self._is_alone = True
        self._order = order
        self._at = len(order)
        self._until = self._at + 1
        self._by_tag: dict[str, list[Element]] | None = None
        order.append(self)

    def close(self, start: int, end: int) -> None:
        """Say where its end tag is; everything below it has been read."""
        self.inner = (self.tag_end, start)
        self.end = end
        self._until = len(self._order)

    @property
    def attributes(self) -> dict[str, Attribute]:
        """The attributes by their names as they are written; declarations of names are none."""
        if self._attributes is None:
            self._attributes = {
                match[2]: Attribute(
                    match[2],
                    _attribute_value(match[3][1:-1]),
                    match.start(3) + 1,
                    match.end(3) - 1,
                    match.span(),
                )
                for match in _ATTRIBUTE.finditer(self._text, self._tag_start, self.tag_end)
                if not (match[2] == "xmlns" or match[2].startswith("xmlns:"))
            }
        return self._attributes

    @property
    def value(self) -> str:
        """Its own text, without white space around."""
        if self.inner is None:
            return ""
        if not self.children:
            return _characters(self._text[self.inner[0] : self.inner[1]]).strip()
        starts = [self.inner[0], *(child.end for child in self.children)]
        ends = [*(child.start for child in self.children), self.inner[1]]
        between = (self._text[a:b] for a, b in zip(starts, ends, strict=True))
        return "".join(map(_characters, between)).strip()

    @property
    def number(self) -> int:
        """Its number among siblings of the same name, from 1."""
        if not self._number:
            counts: Counter[str] = Counter()
            siblings = self.parent.children if self.parent else [self]
            for sibling in siblings:
                counts[sibling.tag] += 1
                sibling._number = counts[sibling.tag]  # noqa: SLF001 (its own class)
            for sibling in siblings:
                sibling._is_alone = counts[sibling.tag] == 1  # noqa: SLF001 (its own class)
        return self._number

    def get(self, attribute: str, default: str = "") -> str:
        """The value of an attribute."""
        found = self.attributes.get(attribute)
        return default if found is None else found.value

    def find(self, path: str) -> Iterator[Element]:
        """The elements at *path*: ``devices/interface``; ``*`` is any, ``[@a='b']`` a condition."""
        return self._found(_steps(path), 0)

    def _found(self, steps: Sequence[_Step], at: int) -> Iterator[Element]:
        tag, attribute, value = steps[at]
        is_last = at + 1 == len(steps)
        for child in self.children if tag == "*" else self._called(tag):
            if not attribute or child.get(attribute) == value:
                if is_last:
                    yield child
                else:
                    yield from child._found(steps, at + 1)  # noqa: SLF001 (its own class)

    def _called(self, tag: str) -> Sequence[Element]:
        """The children called *tag*: rules ask for the same few again and again."""
        if self._by_tag is None:
            self._by_tag = {}
            for child in self.children:
                self._by_tag.setdefault(child.tag, []).append(child)
        return self._by_tag.get(tag, ())

    def first(self, path: str) -> Element | None:
        """The first element at *path*."""
        return next(self.find(path), None)

    def walk(self) -> Iterator[Element]:
        """The element and all below, in the order of the text."""
        return iter(self._order[self._at : self._until])

    @property
    def place(self) -> str:
        """Where it is, as an XPath: ``/domain/devices/interface[2]``."""
        above = self.parent.place if self.parent else ""
        number = self.number
        return f"{above}/{self.tag}" if self._is_alone else f"{above}/{self.tag}[{number}]"


def read_xml(source: Source) -> Element:
    """The root element. Raises RefusedError for anything malformed or not harmless."""
    return _Reader(source).read()


def leaves(root: Element) -> Iterator[tuple[str, str, int, int]]:
    """Every attribute and text below *root*: its path from there, the value, and where it is."""
    paths = {root: ""}
    for element in root.walk():
        above = paths[element.parent] if element.parent and element is not root else None
        path = "" if above is None else f"{above}/{element.tag}" if above else element.tag
        if element.children:
            paths[element] = path
        for attribute in element.attributes.values():
            name = attribute.name.rpartition(":")[2]
            where = f"{path}/@{name}" if path else f"@{name}"
            yield where, attribute.value, attribute.start, attribute.end
        if element.inner and not element.children and (value := element.value):
            yield path, value, *element.inner


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
    """expat says whether the text is well-formed; its tokens then are found with their places."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self) -> Element:
        try:
            content = self._source.text.encode()
        except UnicodeEncodeError as error:
            raise RefusedError(
                f"{self._source.shown} is not XML", hint="Name the definition of a VM."
            ) from error
        parser = expat.ParserCreate("utf-8", " ")
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        try:
            parser.Parse(content, True)  # noqa: FBT003 (expat's signature)
        except expat.ExpatError as error:
            raise RefusedError(
                f"{self._source.shown}:{error.lineno}:{error.offset + 1}: is not valid XML: "
                f"{expat.ErrorString(error.code)}",
                hint="Is the file complete?",
            ) from error
        return self._elements()

    def _elements(self) -> Element:
        text = self._source.text
        order: list[Element] = []
        opened: list[Element] = []
        at = 0
        for token in _TOKEN.finditer(text):
            if token.start() != at:
                break
            at = token.end()
            if token.lastindex == _START_TAG:
                name = token.start(2)
                parent = opened[-1] if opened else None
                element = Element(text, token[2], parent, (name - 1, token.end(2), at), order)
                if parent:
                    parent.children.append(element)
                if not token[4]:
                    opened.append(element)
                if len(opened) > DEPTH_LIMIT or len(order) > ELEMENT_LIMIT:
                    self._refuse_size()
            elif token.lastindex == _END_TAG and opened:
                opened.pop().close(token.start(1) - 1, at)
        if not order or opened or "<" in text[at:]:
            raise RefusedError(
                f"{self._source.position(at)}: a tag that cannot be understood",
                hint="Write it as `virsh dumpxml` would.",
            )
        return order[0]

    def _refuse_size(self) -> NoReturn:
        raise RefusedError(
            f"{self._source.shown} has more than {ELEMENT_LIMIT} elements, or more than "
            f"{DEPTH_LIMIT} within each other",
            hint="That is no definition of a VM.",
        )

    def _refuse_doctype(self, *_: object) -> None:
        raise RefusedError(
            f"{self._source.shown} has a document type, which no definition of a VM has",
            hint="Its entities can be used for attacks: remove the <!DOCTYPE ...>.",
        )


def _attribute_value(raw: str) -> str:
    """What an attribute says: white space is blanks, references are resolved (XML 1.0, 3.3.3)."""
    if "\n" in raw or "\t" in raw or "\r" in raw:
        raw = raw.replace("\r\n", " ").translate({9: " ", 10: " ", 13: " "})
    return _REFERENCE.sub(_resolved, raw) if "&" in raw else raw


def _characters(raw: str) -> str:
    """What the text between tags says: lines end in a newline, references are resolved."""
    if "\r" in raw:
        raw = raw.replace("\r\n", "\n").replace("\r", "\n")
    if "<" in raw:
        pieces = _PIECE.finditer(raw)
        return "".join(p[2] or (_REFERENCE.sub(_resolved, p[3]) if p[3] else "") for p in pieces)
    return _REFERENCE.sub(_resolved, raw) if "&" in raw else raw


def _resolved(reference: re.Match[str]) -> str:
    if reference[3]:
        return _NAMED[reference[3]]
    return chr(int(reference[1], 16) if reference[1] else int(reference[2]))


class _Step(NamedTuple):
    """One step of a path; *attribute* is "" where it has no condition."""

    tag: str
    attribute: str
    value: str


@lru_cache(1024)
def _steps(path: str) -> tuple[_Step, ...]:
    found: list[_Step] = []
    for step in path.split("/"):
        tag, _, condition = step.partition("[")
        attribute, _, value = condition.removeprefix("@").rstrip("]").partition("=")
        found.append(_Step(tag, attribute, value.strip("'\"")))
    return tuple(found)


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
