"""The pages of the reference, each made from the one place in the code that says it."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click

from release.help_formatter import MarkupFormatter
from release.man_pages import EXIT_STATUS, commands
from unclone.cli.main import cli
from unclone.sanitize.definitions.formats.table import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_KINDS = {
    "renew": "Made anew",
    "remove": "Removed",
    "keep": "Kept and named, unless enabled",
    "tell": "Named, for you to decide",
}


def reference_pages() -> dict[str, str]:
    """The pages by their file names: one for each command, the identities, the definitions."""
    pages = {"identities.md": _identities(), "definition-fields.md": _definition_fields()}
    names = []
    for name, (command, summary) in commands().items():
        file = f"{name.replace(' ', '-')}.md"
        pages[file] = _command(command, name, summary)
        names.append(f"- [`{name}`]({file}): {_text(summary)}")
    pages["index.md"] = "\n".join(["# Commands", "", *names, ""])
    return pages


def schema_page(folder: Path) -> str:
    """The page of the JSON Schemas in *folder*: what each describes, field by field."""
    parts = [
        "# JSON Schemas\n",
        "[JSON](../../docs/json.md) says what the fields mean, and how versions differ.\n",
    ]
    for path in sorted(folder.glob("*.json")):
        schema = json.loads(path.read_text())
        parts.append(f"## `{schema['title']}`\n\n[{path.name}]({path.name})\n")
        if "description" in schema:
            parts.append(f"{_text(schema['description'])}\n")
        rows = [(f"`{place}`", f"`{kind}`", _text(what)) for place, kind, what in _fields(schema)]
        parts.append(_table(("field", "type", ""), rows))
    return "\n".join(parts)


class _Markdown(MarkupFormatter):
    """Writes Markdown, with definition lists."""

    def spell_usage(self, prog: str, args: str) -> str:
        return f"```text\n{prog} {args}\n```\n\n"

    def spell_heading(self, heading: str) -> str:
        return f"## {_text(heading)}\n\n"

    def spell_prose(self, lines: Sequence[str], *, first: bool) -> str:  # noqa: ARG002 (all alike)
        return _text("\n".join(lines)) + "\n\n"

    def spell_verbatim(self, lines: Sequence[str]) -> str:
        body = inspect.cleandoc("\n".join(lines))
        return f"```text\n{body}\n```\n\n"

    def spell_term(self, term: str, text: str) -> str:
        return f"`{term}`\n:   {_text(text) or '&nbsp;'}\n\n"


def _command(command: click.Command, name: str, summary: str) -> str:
    context = click.Context(command, info_name=name, **cli.context_settings)
    out = _Markdown()
    out.write(f"# `{name}`\n\n")
    command.format_usage(context, out)
    out.write_text(inspect.cleandoc(command.help or summary))
    command.format_options(context, out)
    if command.epilog:
        heading, _, lines = command.epilog.replace("\b", "").strip().partition("\n")
        out.write_heading(heading.rstrip(":"))
        examples, _, more = lines.partition("\n\n")
        out.write(f"```sh\n{inspect.cleandoc(examples)}\n```\n\n")
        if more:
            out.write_text(more)
    out.write_heading("Exit status")
    out.write_dl(EXIT_STATUS)
    out.write("[Exit statuses and bad input](../docs/exit-status.md) has the cases.\n")
    return out.getvalue()


def _identities() -> str:
    """What ``unclone steps --json`` prints."""
    command = [sys.executable, "-m", "unclone", "steps", "--json"]
    steps: list[dict[str, Any]] = json.loads(subprocess.check_output(command))["results"]
    parts = [
        f"# Identities\n\nAll {len(steps)} that `unclone steps` lists.\n",
        "[The catalogue](../docs/catalogue.md) says what the words mean, and how to add one.\n",
    ]
    for kind, heading in _KINDS.items():
        parts.append(f"## {heading}\n")
        parts += [_identity(step) for step in steps if step["kind"] == kind]
    return "\n".join(parts)


def _identity(step: dict[str, Any]) -> str:
    lines = [
        f"### `{step['id']}` {{ #{step['id']} }}",
        f"{_sentence(step['title'])} {_sentence(step['why'])}",
    ]
    if step["profile"] != "identity":
        lines.append(f"Only with `--profile {step['profile']}`.")
    if step["off_because"]:
        lines.append(f"Off by default: {_text(step['off_because'])}")
    details = [
        (name, step[name])
        for name in ("action", "paths", "except", "lines", "when_exists", "when_missing")
        if step.get(name)
    ]
    if details:
        lines.append(
            "\n".join(
                f"- {_text(name.replace('_', ' '))}: " + ", ".join(f"`{each}`" for each in values)
                for name, values in details
            )
        )
    lines += [_text(remedy) for remedy in step.get("remedy", ())]
    lines.append("Source: " + ", ".join(_source(each) for each in step["sources"]))
    return "\n\n".join([*lines, ""])


def _sentence(text: str) -> str:
    return f"{_text(text[0].upper() + text[1:].rstrip('.'))}."


def _source(text: str) -> str:
    return f"<{text}>" if text.startswith("https://") else _text(text)


def _definition_fields() -> str:
    """What ``unclone define --fields`` prints."""
    parts = [
        "# Fields of definitions\n",
        "[VM definitions](../docs/definitions.md) says what the words for what is done mean.\n",
    ]
    for each in FORMATS:
        rows = [
            (f"`{rule.id}`", str(rule.treatment), f"`{rule.where}`", _text(rule.why))
            for rule in each.rules
        ]
        parts.append(f"## {_text(each.title)}\n")
        parts.append(_table(("field", "what is done", "where", "why"), rows))
    return "\n".join(parts)


def _fields(schema: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Place, type and description of every property in *schema* and its definitions."""
    groups = {"": schema, **schema.get("$defs", {})}
    for group, part in groups.items():
        for name, said in _properties(part):
            where = f"{group}.{name}" if group else name
            yield where, _type(said), said.get("description", "") if isinstance(said, dict) else ""


def _properties(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 (JSON)
    if not isinstance(part, dict):
        return
    for name, said in part.get("properties", {}).items():
        yield f"{prefix}{name}", said
        yield from _properties(said, f"{prefix}{name}.")
    for key in ("items", "additionalProperties"):
        yield from _properties(part.get(key), f"{prefix}[].")
    for key in ("anyOf", "oneOf", "allOf"):
        for each in part.get(key, ()):
            yield from _properties(each, prefix)


def _type(said: Any) -> str:  # noqa: ANN401 (JSON)
    if not isinstance(said, dict):
        return "any"
    if "$ref" in said:
        return str(said["$ref"]).rpartition("/")[2]
    if "const" in said:
        return json.dumps(said["const"])
    if "enum" in said:
        return " | ".join(json.dumps(each) for each in said["enum"])
    for key in ("anyOf", "oneOf"):
        if key in said:
            return " | ".join(dict.fromkeys(_type(each) for each in said[key]))
    kind = said.get("type", "any")
    text = " | ".join(kind) if isinstance(kind, list) else str(kind)
    return f"array of {_type(said['items'])}" if text == "array" and "items" in said else text


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join([*("| " + " | ".join(line) + " |" for line in cells), ""])


def _text(text: str) -> str:
    """*text* as it is to be read, but for code between backticks."""
    parts = re.split(r"(`[^`]*`)", text)
    for number in range(0, len(parts), 2):
        escaped = re.sub(r"([\\*_{}\[\]#])", r"\\\1", parts[number])
        parts[number] = escaped.replace("&", "&amp;").replace("<", "&lt;")
    return "".join(parts)
