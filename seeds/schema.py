"""cloud-init's own schemas, which travel with unclone, shown line by line.

Those of the newest release are in ``seeds/schemas/`` (see its NOTICE), so a seed is checked the
same way on every host. They are applied here rather than by running ``cloud-init schema``: a
thousand seeds need one reading of them, findings get the line they belong to, and no message quotes
a value, which may be a password. A guest's own, older schema is applied by ``--check``.

References: cloud-init 26.2 ``cloudinit/config/schemas/`` (JSON Schema draft 04, network draft 07)
and ``cloudinit/config/schema.py`` (binary data counts as text).
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml

from unclone.seeds.checks import values
from unclone.seeds.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jsonschema.exceptions import ValidationError
    from yaml.nodes import Node

    from unclone.seeds.yaml_text import ParsedYaml

#: The release whose schemas are in seeds/schemas/.
RELEASE = "26.2"
CLOUD_CONFIG = "schema-cloud-config-v1.json"
NETWORK = {
    1: ("schema-network-config-v1.json", "network_config_version1"),
    2: ("schema-network-config-v2.json", "network_config_version2"),
}
#: Of values that are known to be right: how many, and the longest in characters.
_MOST_KNOWN, _LONGEST_KNOWN = 2000, 20_000
#: What version 1 works without, whatever its schema says (cloudinit/net/network_state.py).
_NOT_NEEDED = {"bridge_interfaces": "params"}

_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def _is_text(checker: object, instance: object) -> bool:  # noqa: ARG001 (jsonschema's signature)
    return isinstance(instance, str | bytes)


_TYPES = jsonschema.Draft4Validator.TYPE_CHECKER.redefine("string", _is_text)
extended: Any = jsonschema.validators.extend
DRAFT_4: Any = extended(jsonschema.Draft4Validator, type_checker=_TYPES)


class Schema:
    """A schema for cloud-config. ``release`` is the cloud-init that it belongs to."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        release: str = RELEASE,
        kind: Any = DRAFT_4,  # noqa: ANN401 (jsonschema's validators have no common type)
    ) -> None:
        self.release = release
        validator = kind(schema)
        modules = schema.get("allOf", [])
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        self._always: list[Any] = [validator.evolve(schema=rest)]
        self._by_key: dict[str, list[Any]] = {}
        self._about: dict[int, frozenset[str]] = {}
        #: What a module found nothing wrong with: of machines of one fleet, most is the same.
        self._right: set[tuple[int, str]] = set()
        for module in modules:
            # The part of one module of cloud-init, which mostly says nothing about other keys.
            one = validator.evolve(schema=module)
            keys = _only_about(_resolved(schema, module))
            if keys is None:
                self._always.append(one)
            self._about[id(one)] = keys or frozenset()
            for key in keys or ():
                self._by_key.setdefault(key, []).append(one)

    def check(self, parsed: ParsedYaml) -> Iterator[Finding]:
        """Findings for one cloud-config document that is a mapping."""
        if parsed.root is None:
            return
        relevant = {id(v): v for key in parsed.data for v in self._by_key.get(str(key), ())}
        for validator in self._always:
            yield from _findings(parsed, parsed.root, validator, parsed.data, (), self.release)
        for number, validator in relevant.items():
            known = (number, repr([parsed.data.get(key) for key in sorted(self._about[number])]))
            if known in self._right:
                continue
            found = [*_findings(parsed, parsed.root, validator, parsed.data, (), self.release)]
            yield from found
            if not found and len(self._right) < _MOST_KNOWN and len(known[1]) < _LONGEST_KNOWN:
                self._right.add(known)

    def check_network(
        self, parsed: ParsedYaml, root: Node, data: Mapping[str, Any], version: int
    ) -> Iterator[Finding]:
        """Findings for network configuration, whose mapping is *root* and *data* in *parsed*.

        In version 1 it has a list ``config``.
        """
        validator, items = _network_validator(version)
        if version == 1:
            # By its type, an item has one schema; "none of six" would say nothing.
            for number, item in enumerate(data["config"]):
                kind = item.get("type") if isinstance(item, dict) else None
                one = items.get(kind) if isinstance(kind, str) else None
                if one is not None:
                    at = ("config", number)
                    yield from _findings(parsed, root, one, item, at, self.release)
        else:
            yield from _findings(parsed, root, validator, data, (), self.release)


@cache
def newest() -> Schema:
    """The schema of the newest release that is known."""
    return Schema(shipped(CLOUD_CONFIG))


def shipped(name: str) -> dict[str, Any]:
    """The schema in the file *name* of seeds/schemas/."""
    text = files("unclone.seeds").joinpath("schemas", name).read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def _network_validator(version: int) -> tuple[Any, Mapping[str, Any]]:
    """For a whole file without the key ``network:``, and for the items of each type."""
    name, definition = NETWORK[version]
    schema = shipped(name)
    validator = jsonschema.Draft7Validator(schema)
    parts: dict[str, Any] = schema["$defs"]
    items = {
        key.removeprefix("anyOf_type_"): validator.evolve(schema=part)
        for key, part in parts.items()
        if key.startswith("anyOf_type_")
    }
    return validator.evolve(schema=parts[definition]), items


def _only_about(module: Mapping[str, Any]) -> frozenset[str] | None:
    """The top-level keys a module's schema constrains; None when it constrains all documents."""
    if module.keys() <= {"type", "properties", "title", "description", "$schema"}:
        return frozenset(module.get("properties", {}))
    return None


def _resolved(schema: Mapping[str, Any], module: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(module.get("$ref", "")).removeprefix("#/$defs/")
    found = schema.get("$defs", {}).get(name, module)
    return found if isinstance(found, dict) else module


def _findings(
    parsed: ParsedYaml,
    root: Node,
    validator: Any,  # noqa: ANN401 (jsonschema's validators have no common type)
    data: object,
    above: Sequence[str | int],
    release: str,
) -> Iterator[Finding]:
    """What *validator* says about *data*, which is at the path *above* below *root*."""
    seen = set()
    try:
        errors = list(validator.iter_errors(data))
    except TypeError:  # JSON knows no keys that are numbers
        errors = list(validator.iter_errors(_with_text_keys(data)))
    for error in errors:
        leaf = _leaf(error)
        path = [*above, *leaf.absolute_path]
        if leaf.validator == "required" and not _missing(leaf):
            continue
        finding = _finding(parsed.file, _node_at(root, path), path, leaf, release)
        if finding not in seen:
            seen.add(finding)
            yield finding


def _with_text_keys(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _with_text_keys(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_text_keys(each) for each in value]
    return value


def _leaf(error: ValidationError) -> ValidationError:
    """What is really wrong: inside the one form that the value has, where there is only one."""
    while error.validator in {"anyOf", "oneOf"} and error.context:
        forms: dict[object, list[ValidationError]] = {}
        for below in error.context:
            forms.setdefault(below.schema_path[0], []).append(below)
        fitting = [
            errors
            for errors in forms.values()
            if not any(e.validator == "type" and not e.path for e in errors)
        ]
        if len(fitting) != 1:
            break
        error = fitting[0][0]
    return error


def _finding(
    file: str, node: Node, path: Sequence[str | int], error: ValidationError, release: str
) -> Finding:
    severity = Severity.WARNING  # cloud-init says so in its log, and goes on
    if file == "network-config" and error.validator == "type" and _is_deep(error.instance):
        severity = Severity.ERROR  # it takes what belongs there apart, and stops
    where = ".".join(str(step) for step in path) or "the document"
    message = f"{where}: {_words(error)}"
    if error.validator == "additionalProperties":
        unknown = _unknown_keys(error)
        node = _key_at(node, unknown[0]) if unknown else node
        message = f"{', '.join(map(repr, unknown))}: cloud-init knows no such key in {where}"
    return values.at(
        file,
        node,
        severity,
        "schema",
        message,
        f"This is the schema of cloud-init {release}; see its reference.",
    )


def _is_deep(value: object) -> bool:
    return isinstance(value, dict | list)


def _words(error: ValidationError) -> str:
    """What is wrong, without the value."""
    rule: Any = error.validator
    limit: Any = error.validator_value
    if rule == "type":
        kinds = [limit] if isinstance(limit, str) else limit
        return f"must be {' or '.join(_TYPE_NAMES.get(kind, kind) for kind in kinds)}"
    if rule == "required":
        return f"has no {', '.join(_missing(error))}"
    if rule == "enum":
        return f"must be one of: {', '.join(map(str, limit))}"
    if rule in {"pattern", "format"}:
        return f"must match {limit}"
    if rule in {"minItems", "minLength", "minProperties"}:
        return "must not be empty" if limit == 1 else f"must have at least {limit} entries"
    if rule in {"maxItems", "maxLength", "maximum", "minimum"}:
        return f"must have {'at most' if rule.startswith('max') else 'at least'} {limit}"
    if rule in {"anyOf", "oneOf"}:
        return "has none of the forms that cloud-init takes"
    return f"does not fulfil {rule}"


def _missing(error: ValidationError) -> list[str]:
    limit: Any = error.validator_value
    instance: Any = error.instance
    spared = {key for given, key in _NOT_NEEDED.items() if given in instance}
    return [key for key in limit if key not in instance and key not in spared]


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
