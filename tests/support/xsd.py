"""The places that XML schemas (XSD) allow: attributes, and elements with text.

To make the list of a format's leaves from its schemas, of which no text is copied::

    python -m tests.support.xsd ROOT FILE... > tests/sanitize/definitions/leaves/FORMAT.txt

References: W3C "XML Schema Part 1: Structures" (second edition), 3.3 to 3.8.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from unclone.sanitize.definitions.classification import is_telling

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NS = "{http://www.w3.org/2001/XMLSchema}"
_NAMED = ("element", "complexType", "simpleType", "attributeGroup", "group", "attribute")
#: Parts that have all that another has: snapshots, collections, and what is no machine's.
_COPIES = (
    *("Machine/Snapshot/Hardware/", "Machine/Snapshot/StorageControllers/", "Global/"),
    *("VirtualSystemCollection/", "Content/"),
)
#: No element of a definition is deeper.
_DEPTH = 12


class Schema:
    """Schemas that belong together. Names are taken without their prefixes."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._named: dict[tuple[str, str], ET.Element] = {}
        self._substitutes: dict[str, list[ET.Element]] = {}
        for file in files:
            for child in ET.parse(file).getroot():
                kind = child.tag.removeprefix(_NS)
                if kind in _NAMED:
                    self._named.setdefault((kind, child.get("name", "")), child)
                if head := _local(child.get("substitutionGroup", "")):
                    self._substitutes.setdefault(head, []).append(child)

    def paths(self, root: str) -> set[str]:
        """Every place, from below the element *root*: ``Machine/Hardware/@uuid``."""
        found: set[str] = set()
        self._content(self._named["element", root], "", frozenset(), found)
        return found

    def _element(
        self, element: ET.Element, path: str, stack: frozenset[str], out: set[str]
    ) -> None:
        if reference := _local(element.get("ref", "")):
            own = self._named.get(("element", reference))
            others = self._substitutes.get(reference, [])
            for target in others if own is None else [own, *others]:
                self._element(target, path, stack, out)
            return
        if element.get("abstract") != "true" and path.count("/") < _DEPTH:
            name = element.get("name", "")
            self._content(element, f"{path}/{name}" if path else name, stack, out)

    def _content(
        self, element: ET.Element, path: str, stack: frozenset[str], out: set[str]
    ) -> None:
        """What is in an element: of a type with a name, or written there."""
        type_ = _local(element.get("type", ""))
        if path and self._is_text(element, type_):
            out.add(path)
        if type_ in stack:
            return
        named = self._named.get(("complexType", type_))
        self._particles(element if named is None else named, path, stack | {type_} - {""}, out)

    def _is_text(self, element: ET.Element, type_: str) -> bool:
        complex_ = self._named.get(("complexType", type_))
        if complex_ is None:
            complex_ = element.find(f"{_NS}complexType")
        return complex_ is None or complex_.find(f"{_NS}simpleContent") is not None

    def _particles(self, part: ET.Element, path: str, stack: frozenset[str], out: set[str]) -> None:
        for child in part:
            kind = child.tag.removeprefix(_NS)
            reference = _local(child.get("ref", ""))
            if kind == "element":
                self._element(child, path, stack, out)
            elif kind == "attribute":
                name = reference or child.get("name", "")
                out.add(f"{path}/@{name}" if path else f"@{name}")
            elif kind in ("group", "attributeGroup") and reference:
                target = self._named.get((kind, reference))
                if target is not None:
                    self._particles(target, path, stack, out)
            elif kind in ("extension", "restriction"):
                base = _local(child.get("base", ""))
                named = self._named.get(("complexType", base))
                if named is not None and base not in stack:
                    self._particles(named, path, stack | {base}, out)
                self._particles(child, path, stack, out)
            else:
                self._particles(child, path, stack, out)


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def listing(root: str, files: Sequence[Path]) -> Iterator[str]:
    """The lines of a list: what is called as identities are. Of copies one is enough."""
    yield "# Places whose names tell of identities, made by tests/support/xsd.py from"
    yield from (f"# {file.name}" for file in files)
    found = sorted(filter(is_telling, Schema(files).paths(root)))
    yield from (path for path in found if not path.startswith(_COPIES))


if __name__ == "__main__":
    print("\n".join(listing(sys.argv[1], [Path(each) for each in sys.argv[2:]])))
