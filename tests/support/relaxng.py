"""The places that a RELAX NG schema allows: elements with text, and attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NS = "{http://relaxng.org/ns/structure/1.0}"
#: No element of a definition is deeper.
_DEPTH = 9


class Schema:
    """A schema with those that it includes."""

    def __init__(self, file: Path) -> None:
        self._defined: dict[str, list[ET.Element]] = {}
        self._read: set[Path] = set()
        self._root = self._load(file)

    def paths(self) -> set[str]:
        """Every place, from below the root element: ``devices/interface/mac/@address``."""
        found: set[str] = set()
        for start in self._root.iter(f"{_NS}start"):
            self._walk(start, (), frozenset(), found)
        return {path.strip("/") for path in found}

    def _load(self, file: Path) -> ET.Element:
        self._read.add(file)
        root = ET.parse(file).getroot()
        for element in root.iter():
            if element.tag == f"{_NS}define":
                self._defined.setdefault(element.get("name", ""), []).append(element)
            elif element.tag == f"{_NS}include":
                included = file.with_name(element.get("href", ""))
                if included not in self._read:
                    self._load(included)
        return root

    def _walk(
        self, pattern: ET.Element, path: tuple[str, ...], stack: frozenset[str], found: set[str]
    ) -> None:
        for child in pattern:
            match child.tag.removeprefix(_NS):
                case "attribute":
                    found |= {"/".join((*path, f"@{name}")) for name in _names(child)}
                case "element" if len(path) < _DEPTH:
                    for name in _names(child):
                        below = (*path, name) if path or name not in _ROOTS else path
                        if self._has_text(child, stack):
                            found.add("/".join(below))
                        self._walk(child, below or ("",), stack, found)
                case "ref" if child.get("name", "") not in stack:
                    name = child.get("name", "")
                    for definition in self._defined.get(name, ()):
                        self._walk(definition, path, stack | {name}, found)
                case "element" | "ref":
                    pass
                case _:
                    self._walk(child, path, stack, found)

    def _has_text(self, pattern: ET.Element, stack: frozenset[str]) -> bool:
        for child in pattern:
            kind = child.tag.removeprefix(_NS)
            if kind in ("data", "text"):
                return True
            name = child.get("name", "")
            if kind == "ref" and name not in stack:
                defined = self._defined.get(name, ())
                if any(self._has_text(each, stack | {name}) for each in defined):
                    return True
            elif kind not in ("element", "attribute", "ref") and self._has_text(child, stack):
                return True
        return False


_ROOTS = {"domain"}


def _names(pattern: ET.Element) -> Iterator[str]:
    if name := pattern.get("name"):
        yield name.rpartition(":")[2]
    else:
        yield from (each.text or "" for each in pattern.findall(f"{_NS}name"))
