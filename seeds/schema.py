"""cloud-init's own schema for cloud-config, where the host has cloud-init, shown line by line.

The schema file of the installed package is read and applied here rather than by running
``cloud-init schema``: a thousand seeds need one reading of it, its findings get the line they
belong to, and no message quotes a value, which may be a password.

References: cloud-init ``cloudinit/config/schemas/schema-cloud-config-v1.json`` (JSON Schema draft
04) and ``cloudinit/config/schema.py``.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml
from jsonschema.exceptions import best_match

from unclone.seeds.checks import values
from unclone.seeds.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema.exceptions import ValidationError
    from yaml.nodes import Node

    from unclone.seeds.yaml_text import ParsedYaml

_NAME = "schema-cloud-config-v1.json"
#: Debian and Ubuntu; Fedora, SUSE and Arch.
_PLACES = (
    "/usr/lib/python3/dist-packages/cloudinit/config/schemas",
    "/usr/lib/python3*/site-packages/cloudinit/config/schemas",
)
_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


class Schema:
    """The schema in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        schema: dict[str, Any] = json.loads(path.read_text())
        validator = jsonschema.Draft4Validator(schema)
        modules = schema.get("allOf", [])
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        self._always: list[Any] = [validator.evolve(schema=rest)]
        self._by_key: dict[str, list[Any]] = {}
        for module in modules:
            # The part of one module of cloud-init, which mostly says nothing about other keys.
            one = validator.evolve(schema=module)
            keys = _only_about(_resolved(schema, module))
            if keys is None:
                self._always.append(one)
            for key in keys or ():
                self._by_key.setdefault(key, []).append(one)

    def check(self, parsed: ParsedYaml) -> Iterator[Finding]:
        """Findings for one cloud-config document that is a mapping."""
        if parsed.root is None:
            return
        relevant = {id(v): v for key in parsed.data for v in self._by_key.get(str(key), ())}
        seen = set()
        for validator in (*self._always, *relevant.values()):
            for error in validator.iter_errors(parsed.data):
                leaf = best_match([error]) or error
                finding = _finding(parsed.file, parsed.root, leaf)
                if finding not in seen:
                    seen.add(finding)
                    yield finding


def _only_about(module: Mapping[str, Any]) -> frozenset[str] | None:
    """The top-level keys a module's schema constrains; None when it constrains all documents."""
    if module.keys() <= {"type", "properties", "title", "description", "$schema"}:
        return frozenset(module.get("properties", {}))
    return None


def _resolved(schema: Mapping[str, Any], module: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(module.get("$ref", "")).removeprefix("#/$defs/")
    found = schema.get("$defs", {}).get(name, module)
    return found if isinstance(found, dict) else module


def installed(places: Iterable[str] = _PLACES) -> Schema | None:
    """The schema of the cloud-init package on this host, or None."""
    for pattern in places:
        for folder in sorted(Path("/").glob(pattern.lstrip("/"))):
            if (folder / _NAME).is_file():
                return _loaded(folder / _NAME)
    return None


@cache
def _loaded(path: Path) -> Schema:
    return Schema(path)


def _finding(file: str, root: Node, error: ValidationError) -> Finding:
    path = list(error.absolute_path)
    where = ".".join(str(step) for step in path) or "the document"
    node = _node_at(root, path)
    message = f"{where}: {_words(error)}"
    if error.validator == "additionalProperties":
        unknown = _unknown_keys(error)
        node = _key_at(node, unknown[0]) if unknown else node
        message = f"{', '.join(map(repr, unknown))}: cloud-init knows no such key in {where}"
    return values.at(
        file,
        node,
        Severity.WARNING,  # the installed release may be older than the guest's
        "schema",
        message,
        "This is cloud-init's own schema; see its module reference.",
    )


def _words(error: ValidationError) -> str:
    """What is wrong, without the value."""
    rule: Any = error.validator
    limit: Any = error.validator_value
    instance: Any = error.instance
    if rule == "type":
        kinds = [limit] if isinstance(limit, str) else limit
        return f"must be {' or '.join(_TYPE_NAMES.get(kind, kind) for kind in kinds)}"
    if rule == "required":
        missing = [key for key in limit if key not in instance]
        return f"has no {', '.join(missing)}"
    if rule == "enum":
        return f"must be one of: {', '.join(map(str, limit))}"
    if rule in {"pattern", "format"}:
        return f"must match {limit}"
    if rule in {"minItems", "minLength", "minProperties"}:
        return "must not be empty" if limit == 1 else f"must have at least {limit} entries"
    if rule in {"anyOf", "oneOf"}:
        return "has none of the forms that cloud-init takes"
    return f"does not fulfil {rule}"


def _unknown_keys(error: ValidationError) -> list[str]:
    instance: Any = error.instance
    known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
    return [str(key) for key in instance if key not in known]


def _node_at(root: Node, path: Iterable[str | int]) -> Node:
    """The node that *path* leads to, or the last one before it that can be found."""
    node = root
    for step in path:
        below: Node | None = None
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            below = node.value[step]
        elif isinstance(node, yaml.MappingNode):
            # Of a key that is there twice, the last one counts.
            below = next((v for k, v in reversed(node.value) if str(k.value) == str(step)), None)
        if below is None:
            break
        node = below
    return node


def _key_at(node: Node, name: str) -> Node:
    pairs = reversed(node.value) if isinstance(node, yaml.MappingNode) else ()
    return next((key for key, _ in pairs if str(key.value) == name), node)
