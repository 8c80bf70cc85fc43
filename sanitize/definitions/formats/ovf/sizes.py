"""Sizes that an OVF descriptor says of files whose disks were changed where they are.

Reference: DMTF DSP0243 2.1.1, 7.1 (``ovf:size``, ``ovf:chunkSize``, ``ovf:compression``), 9.1
(``ovf:populatedSize``).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.formats.ovf.fields import disk_elements, local
from unclone.sanitize.definitions.text.splicing import Edit, splice
from unclone.sanitize.definitions.text.xml_tree import read_xml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.sanitize.definitions.text.source import Source
    from unclone.sanitize.definitions.text.xml_tree import Element


def require_plain_files(source: Source) -> None:
    """Raise RefusedError for files in pieces or compressed, and one that is two disks."""
    root = read_xml(source)
    for file in root.find("References/File"):
        packed = _value(file, "compression") not in ("", "identity")
        if packed or local(file, "chunkSize") is not None:
            raise RefusedError(
                f"{source.position(file.start)}: the file is compressed, or in pieces",
                hint="Export it again without.",
            )
    uses = Counter(_value(disk, "fileRef") for disk in disk_elements(root))
    if any(count > 1 for name, count in uses.items() if name):
        raise RefusedError(
            f"{source.shown}: two disks are made of one file",
            hint="Export it again, so that each disk has a file.",
        )


def with_sizes(source: Source, files: Mapping[str, int], populated: Mapping[str, int]) -> bytes:
    """The descriptor *source* with the sizes in bytes of *files*, and of the data in their disks.

    Both are by the name of the file. What the descriptor does not say is not added.
    """
    root = read_xml(source)
    edits, names = [], {}
    for file in root.find("References/File"):
        name = _value(file, "href")
        names[_value(file, "id")] = name
        if name in files and (said := local(file, "size")) is not None:
            edits.append(Edit(said.start, said.end, str(files[name])))
    for disk in disk_elements(root):
        name = names.get(_value(disk, "fileRef"), "")
        if name in populated and (said := local(disk, "populatedSize")) is not None:
            edits.append(Edit(said.start, said.end, str(populated[name])))
    return source.encoded(splice(source.text, edits))


def _value(element: Element, name: str) -> str:
    found = local(element, name)
    return found.value if found else ""
