"""user-data and vendor-data: does cloud-init see what it is, and can it read it.

References: cloud-init ``cloudinit/user_data.py``, ``cloudinit/handlers/__init__.py``; issues 3929
(``---`` before the header), 6114 (no header: one warning in a log), 6178 (MIME without its header).
"""

from __future__ import annotations

import json
import re
from difflib import SequenceMatcher
from itertools import islice
from typing import TYPE_CHECKING

from unclone.seeds.checks import cloud_config
from unclone.seeds.checks.text import decoded
from unclone.seeds.errors import SeedError
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.formats import (
    ARCHIVE,
    BOOTHOOK,
    CLOUD_CONFIG,
    GUESSED_TYPES,
    HEADERS,
    INCLUDE,
    INCLUDE_ONCE,
    JINJA,
    JSON_PATCH,
    MIME_WINDOW,
    PART_TYPES,
    SHELL_SCRIPT,
    is_mime,
    kind_of,
    unpacked,
)
from unclone.seeds.mime import parts_of
from unclone.seeds.yaml_text import ParsedYaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.seeds.schema import Schema

_HEADER_HINT = "The first line says what the file is: #cloud-config, or #! and an interpreter."
#: What an #include can name: a URL, or a file of the guest.
_SOURCE = re.compile(r"((https?|ftps?|file):/)?/\S+", re.IGNORECASE)
_IGNORED = "cloud-init does not recognise the header behind it and ignores the file"
_PATCH_HINT = 'Such as [{"op": "replace", "path": "/packages", "value": ["nginx"]}].'
_MAX_PARTS = 1000
#: One letter too few or too many in #cloud-config is 0.96, one that differs 0.92.
_NEARLY = 0.85
_MAIL_HEADERS = (b"content-", b"from ", b"from:", b"to:", b"subject:", b"date:", b"received:")


def check(file: str, content: bytes, schema: Schema | None) -> Iterator[Finding]:
    """Findings for *content*, which is called *file* in them."""
    try:
        plain = unpacked(content)
    except SeedError as error:
        yield _finding(file, 0, "gzip", error.message, "Pack it again, or do not pack it.")
        return
    if is_mime(plain):
        yield from _check_message(file, plain, schema)
        return
    text, problems = decoded(file, plain, _IGNORED)
    yield from problems
    if not text.strip():
        return  # an empty file is valid: it says nothing
    if _is_late_mime(plain):
        yield _finding(
            file,
            1,
            "mime-header",
            f"a MIME message without MIME-Version in its first {MIME_WINDOW} bytes; cloud-init "
            "does not see that it is one",
            "Put 'MIME-Version: 1.0' into the first lines.",
        )
        return
    yield from _check_text(file, text, kind_of(text), schema)


def _check_text(file: str, text: str, kind: str, schema: Schema | None) -> Iterator[Finding]:
    """One piece of user-data of a known or (empty) unknown *kind*."""
    if not kind:
        yield _unknown(file, text)
        return
    skipped = len(text) - len(text.lstrip())
    if skipped:
        yield Finding(
            file,
            1,
            1,
            Severity.WARNING,
            "space-before-header",
            "empty lines or spaces come before the header; cloud-init's schema command refuses it",
            "Begin with the header.",
        )
    yield from _check_header(file, text, kind)
    if kind == JINJA:
        yield from _check_template(file, text)
    elif kind == CLOUD_CONFIG:
        yield from cloud_config.check(file, text, schema)
    elif kind == ARCHIVE:
        yield from _check_archive(file, text, schema)
    elif kind == JSON_PATCH:
        yield from _check_patch(file, text)
    elif kind in {INCLUDE, INCLUDE_ONCE}:
        yield from _check_urls(file, text)
    elif kind.startswith((SHELL_SCRIPT, BOOTHOOK)):
        yield from _check_line_endings(file, text)


def _check_patch(file: str, text: str) -> Iterator[Finding]:
    """A JSON patch of the cloud-config of other parts (RFC 6902): a list of operations."""
    body = text.lstrip().removeprefix("#cloud-config-jsonp")
    try:
        patch = json.loads(body)
    except ValueError as error:
        yield _finding(file, 1, "json-patch", f"not valid JSON: {error}", _PATCH_HINT)
        return
    steps = patch if isinstance(patch, list) else [None]
    if not all(isinstance(step, dict) and {"op", "path"} <= step.keys() for step in steps):
        message = "a JSON patch is a list of operations, each with op and path"
        yield _finding(file, 1, "json-patch", message, _PATCH_HINT)


def _check_line_endings(file: str, text: str) -> Iterator[Finding]:
    """cloud-init makes Unix line endings of a script whose first line has Windows ones."""
    first, _, rest = text.partition("\n")
    if "\r\n" in rest and not first.endswith("\r"):
        line = 2 + rest[: rest.index("\r\n")].count("\n")
        yield Finding(
            file,
            line,
            1,
            Severity.WARNING,
            "crlf-script",
            "the first line has a Unix line ending and this one a Windows one, which stays: the "
            "shell sees a carriage return at its end",
            "Save it with Unix line endings.",
        )


def _check_header(file: str, text: str, kind: str) -> Iterator[Finding]:
    """A header with something glued to it still counts at boot, as one of its beginning."""
    word = text.lstrip().split(None, 1)[0].lower()
    header = next((h for h in HEADERS if HEADERS[h] == kind and word.startswith(h)), word)
    if kind not in {SHELL_SCRIPT, JINJA} and word != header and not _is_url(word, header):
        yield Finding(
            file,
            1,
            1,
            Severity.WARNING,
            "header-glued",
            f"the first line is {header} with more glued to it; cloud-init takes it for {header}",
            f"Write it exactly: {header}",
        )


def _is_url(word: str, header: str) -> bool:
    return header in {"#include", "#include-once"} and "://" in word


def _unknown(file: str, text: str) -> Finding:
    """What was probably meant by a first line that means nothing."""
    first = text.lstrip().split("\n", 1)[0].strip()
    if first.startswith("---"):
        return _finding(
            file,
            1,
            "dashes-before-header",
            "'---' comes first; cloud-init does not recognise the header behind it and ignores "
            "the file",
            "Remove the line, or put #cloud-config above it.",
        )
    close = first.lower().replace(" ", "").replace("_", "-")
    if SequenceMatcher(None, close, "#cloud-config").ratio() > _NEARLY:
        return _finding(
            file,
            1,
            "header-spelling",
            "the first line is nearly #cloud-config, and not quite: cloud-init ignores the file",
            "Write it exactly: #cloud-config",
        )
    return _finding(
        file,
        1,
        "no-header",
        "the first line is no header that cloud-init knows, so it ignores the file",
        f"{_HEADER_HINT} Known: {', '.join(sorted(HEADERS))}, MIME.",
    )


def _check_template(file: str, text: str) -> Iterator[Finding]:
    """``## template: jinja``: only the guest can render it, but its second line is known."""
    _, _, rest = text.lstrip().partition("\n")
    broken = _broken_jinja(text)
    if broken:
        yield _finding(file, broken, "jinja", "a Jinja tag that does not end: cloud-init drops all")
    internal = re.search(r"\{[{%][^}]*\.__\w+", text)
    if internal:
        line = text.count("\n", 0, internal.start()) + 1
        message = "a Jinja tag asks for an internal attribute: cloud-init refuses the template"
        yield _finding(file, line, "jinja", message)
    # What statements and comments of Jinja leave there is known to the guest alone.
    if not kind_of(rest) and not rest.lstrip().startswith(("{%", "{#", "{{")):
        yield _finding(
            file,
            2,
            "no-header",
            "after '## template: jinja' comes no header that cloud-init knows",
            f"The header goes into the second line. {_HEADER_HINT}",
        )


def _broken_jinja(text: str) -> int:
    """The line of a tag that another tag or the end of the text comes before the end of, or 0."""
    if "raw" in text:
        return 0
    for match in re.finditer(r"\{([%{#])", text):
        end = {"%": "%}", "{": "}}", "#": "#}"}[match[1]]
        rest = text[match.end() :]
        following = re.search(r"\{%", rest)
        limit = following.start() if following and match[1] == "%" else len(rest)
        if end not in rest[:limit]:
            return text.count("\n", 0, match.start()) + 1
    return 0


def _check_archive(file: str, text: str, schema: Schema | None) -> Iterator[Finding]:
    parsed = ParsedYaml(file, text)
    yield from parsed.problems
    if parsed.root is None:
        return
    if not isinstance(parsed.data, list):
        yield _finding(
            file, 1, "archive", "a #cloud-config-archive is a list", "Write '- type: ...'."
        )
        return
    for number, entry in enumerate(parsed.data, 1):
        content = entry.get("content") if isinstance(entry, dict) else entry
        if isinstance(content, str):
            name = f"{file} (entry {number})"
            kind = entry.get("type", "") if isinstance(entry, dict) else ""
            kind = str(kind or kind_of(content) or CLOUD_CONFIG)
            if kind != ARCHIVE:  # archives in archives end somewhere; looking into them might not
                yield from _check_text(name, content, kind, schema)


def _check_urls(file: str, text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        word = re.sub(r"^#include(-once)?", "", line.strip(), flags=re.IGNORECASE).strip()
        if word and not word.startswith("#") and not _SOURCE.fullmatch(word):
            yield _finding(
                file,
                number,
                "include-url",
                "an #include line that is no URL and no path",
                "Each line is one URL, such as https://example.org/user-data",
            )


def _is_late_mime(content: bytes) -> bool:
    start = content[:MIME_WINDOW].lstrip().lower()
    if start.startswith(b"content-type: multipart/"):
        return True
    return start.startswith(_MAIL_HEADERS) and b"mime-version:" in content.lower()


def _check_message(file: str, content: bytes, schema: Schema | None) -> Iterator[Finding]:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        yield _finding(
            file,
            line,
            "not-utf-8",
            "a MIME message that is not UTF-8; cloud-init stops at it",
            "Encode that part in base64.",
        )
        return
    configs = []
    found = 0
    try:
        parts = list(islice(parts_of(content), _MAX_PARTS))
    except SeedError as error:
        yield _finding(file, 0, "mime", error.message, "Give the parts side by side.")
        return
    for found, part in enumerate(parts, 1):
        name = f"{file} (part {found}, {part.name!r})"
        try:
            body = unpacked(part.content)
        except SeedError as error:
            yield _finding(name, 0, "gzip", error.message)
            continue
        text, problems = decoded(name, body, _IGNORED)
        yield from problems
        kind = kind_of(text) if part.type in GUESSED_TYPES else part.type
        if kind and kind not in PART_TYPES and not kind.startswith("application/"):
            yield Finding(
                name,
                0,
                0,
                Severity.WARNING,
                "part-type",
                f"cloud-init has no handler for the type {kind!r}",
                "A #part-handler part before it can bring one.",
            )
        elif text.strip():
            yield from _check_text(name, text, kind, schema)
        if kind == CLOUD_CONFIG:
            configs.append((name, text))
    if not found:
        hint = "Give it a part, or leave the file empty."
        yield _finding(file, 0, "mime", "a MIME message without any part", hint)
    yield from cloud_config.check_overlap(configs)


def _finding(file: str, line: int, code: str, message: str, hint: str = "") -> Finding:
    return Finding(file, line, 1 if line else 0, Severity.ERROR, code, message, hint)
