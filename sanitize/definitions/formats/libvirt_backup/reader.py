"""libvirt backup XML, given with a domain: where the machine's backup goes.

References: libvirt "Backup XML format" (formatbackup.rst).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.definitions.definition import Definition, Field
from unclone.sanitize.definitions.formats.libvirt_backup import FORMAT
from unclone.sanitize.definitions.formats.libvirt_backup.rules import RULES
from unclone.sanitize.definitions.formats.table import definition_in
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import splice
from unclone.sanitize.definitions.text.xml_tree import read_xml, text_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.sanitize.definitions.definition import DefinitionPlan
    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.xml_tree import Element


def read_of_domain(path: Path, domain: str) -> Definition:
    """A snapshot, a checkpoint or a backup of *domain*; RefusedError for another machine's."""
    source = Source(path)
    if FORMAT.detects(source.head):
        return read_backup(source, domain)
    snapshot = definition_in(source)
    if snapshot.name != domain:
        raise RefusedError(
            f"{source.shown} is a snapshot of {printable(snapshot.name)}, not of "
            f"{printable(domain)}",
            hint="Give the snapshots of this machine.",
        )
    return snapshot


def read_backup(source: Source, domain: str) -> Definition:
    """The backup of the machine called *domain*. Raises RefusedError for another document."""
    root = read_xml(source)
    if root.tag != "domainbackup":
        raise RefusedError(
            f"{source.shown} is not the definition of a libvirt backup",
            hint="Give what `virsh backup-begin` takes.",
        )
    fields = (field for rule in RULES for field in _fields(source, root, rule))
    return Backup(FORMAT, source, domain, tuple(sorted(fields, key=lambda field: field.start)))


def read(source: Source) -> Definition:
    """The backup in *source*, of a machine that it does not name."""
    return read_backup(source, "")


class Backup(Definition):
    """A backup of one machine."""

    def reread(self, plan: DefinitionPlan) -> Definition:
        """The backup of the new machine."""
        text = splice(self.source.text, plan.edits)
        return read_backup(Source(self.source.path, self.source.encoded(text)), self.name)


def _fields(source: Source, root: Element, rule: Rule) -> Iterator[Field]:
    for where in rule.where.split(" | "):
        path, _, attribute = where.partition("/@")
        for element in root.find(path):
            found = element.attributes.get(attribute)
            if found is not None and found.value not in ("", "0"):
                place = f"{element.place}/@{attribute}"
                yield Field(rule, place, found.value, found.start, found.end, found.spell)
            elif not attribute and element.value and (span := text_place(source, element)):
                yield Field(rule, element.place, element.value, *span)
