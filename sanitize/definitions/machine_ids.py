"""The guest's machine-id in a definition: a credential of systemd, or a kernel argument.

``system.machine_id`` in SMBIOS type 11 strings or in QEMU's fw_cfg fills an empty
``/etc/machine-id``, so a disk that was sanitised would get the source's id back;
``systemd.machine_id=`` on the kernel's command line overrides the file. Hypervisors know nothing
of either: they stand in strings, arguments and extra data of any format. So they are looked for
in the text, whatever the format, and renewed there.

References: systemd.system-credentials(7); smbios-type-11(7); kernel-command-line(7); systemd
src/core/import-creds.c (v257).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Field
from unclone.sanitize.definitions.rule import FieldKind, Rule, Treatment
from unclone.sanitize.definitions.text.splicing import Edit, splice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unclone.sanitize.definitions.definition import Definition
    from unclone.sanitize.definitions.identity_map import IdentityMap

RULE = Rule(
    "machine-id",
    FieldKind.UUID,
    Treatment.RENEW,
    "system.machine_id | systemd.machine_id",
    "the guest takes it for its machine-id: a sanitised disk would get the old one back",
    "https://www.freedesktop.org/software/systemd/man/latest/systemd.system-credentials.html",
)

#: The credential's name, and that of its file in QEMU's fw_cfg.
CREDENTIAL = "system.machine_id"
FW_CFG_NAME = f"opt/io.systemd.credentials/{CREDENTIAL}"

_DIGITS = r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ID = rf"(?P<id>{_DIGITS})(?![0-9a-fA-F-])"
_BASE64 = r"(?P<base64>[A-Za-z0-9+/]{42,48}={0,2})"
#: What may stand between a name and its value in JSON, YAML, XML and command lines.
_IS = r"""(?:\\?["']?[ \t]*[:=>][ \t\r\n]*\\?["']?|,string=)"""
_FOUND = re.compile(
    "|".join(
        (
            rf"systemd\.machine[_-]id={_ID}",
            rf"(?:credential|set[_-]credential)[._-]binary[:=.]system\.machine_id{_IS}{_BASE64}",
            rf"system\.machine_id{_IS}{_ID.replace('<id>', '<credential>')}",
            rf"string={_ID.replace('<id>', '<before>')},name={re.escape(FW_CFG_NAME)}",
        )
    )
)
#: A file of the host that is the credential.
_FILE = re.compile(r"system\.machine_id[\"']?[,\s]+file=")


class Found(NamedTuple):
    """An id in a text: where it is written, what it is, and how another is written there."""

    start: int
    end: int
    value: str
    spell: Callable[[str], str]


def find(text: str) -> Iterator[Found]:
    """Every valid machine-id that *text* gives a guest."""
    if "machine" not in text:
        return
    for match in _FOUND.finditer(text):
        name = match.lastgroup or ""
        encoded = name == "base64"
        value = _decoded(match[name]) if encoded else match[name]
        if value and set(value) != {"0"}:
            spell: Callable[[str], str] = _encoded if encoded else str
            yield Found(match.start(name), match.end(name), value, spell)


def renewed(text: str, identities: IdentityMap) -> str:
    """*text* with every machine-id in it renewed."""
    edits = [
        Edit(one.start, one.end, one.spell(identities.uuid(one.value, field=RULE.id)))
        for one in find(text)
    ]
    return splice(text, edits)


def with_machine_ids(definition: Definition) -> Definition:
    """*definition* with a field for each machine-id in its text, and a note for what is in a file.

    What a format itself has found there, it renews; what stays there is shown without its value.
    """
    text = definition.source.text
    fields = list(definition.fields)
    for found in find(text):
        # What would follow another id there: it is not one that a format knows.
        same = [f for f in fields if (f.start, f.end) == (found.start, found.end)]
        follows = [f for f in same if f.rule.treatment is Treatment.FOLLOW]
        fields = [f for f in fields if f not in follows]
        inside = [f for f in fields if f.start < found.end and found.start < f.end]
        if any(field.rule.treatment is not Treatment.KEEP for field in inside):
            continue
        for field in inside:
            at = fields.index(field)
            fields[at] = replace(field, value="", end=field.start, spell=str)
        where = definition.source.position(found.start).removeprefix(f"{definition.source.shown}:")
        place = f"machine-id at {where}"
        fields.append(Field(RULE, place, found.value, found.start, found.end, found.spell))
    if fields == list(definition.fields) and not _is_in_a_file(text):
        return definition
    fields.sort(key=lambda field: field.start)
    return replace(definition, fields=tuple(fields), notes=(*definition.notes, *_notes(text)))


def _notes(text: str) -> Iterator[Note]:
    if _is_in_a_file(text):
        message = (
            "the guest gets its machine-id (system.machine_id) from a file of the host: give the "
            "new machine a file with another one"
        )
        yield Note(RULE.id, Level.WARNING, message)


def _is_in_a_file(text: str) -> bool:
    if _FILE.search(text):
        return True
    return CREDENTIAL in text and any(
        "file=" in one and other.startswith("name=") and CREDENTIAL in other
        for word in text.split()
        for one, other in pairwise(word.split(","))
    )


def _decoded(text: str) -> str:
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode().strip()
    except (binascii.Error, ValueError):
        return ""
    return value if re.fullmatch(_DIGITS, value) else ""


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode("ascii")
