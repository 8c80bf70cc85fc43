"""What can be set in a template: the options of ``unclone sanitize``, and what becomes of them.

A setting is called as the option, with underscores. What a template says is checked by the command
itself, without a run.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from unclone.cli import options
from unclone.cli.commands.sanitize import command, require_sense
from unclone.images.errors import UsageError
from unclone.packer.gob import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The disks, instead of the artifact's files.
PATHS = "paths"

#: Options without a setting: they change nothing, or are asked at a terminal, or say what Packer
#: and ``paths`` say.
_LEFT_OUT = {
    *("--dry-run", "--save-plan", "--plan", "--jobs", "--json", "--verbose", "--quiet", "--debug"),
    *("--help", "--ask-passphrase", "--add-disk"),
}

#: Packer has a use of its own for ``name``.
_RENAMED = {"--name": "machine_name"}

#: What Packer has in place of a value that the build will bring. The settings come again then, and
#: still have it where the builder has no such value.
_UNKNOWN = "<unknown>"


def _settings() -> dict[str, tuple[str, Kind]]:
    found = {PATHS: ("", Kind.LIST)}
    for option in command.params:
        if not isinstance(option, click.Option) or _LEFT_OUT.intersection(option.opts):
            continue
        name = max(option.opts, key=len)
        kind = Kind.FLAG if option.is_flag else Kind.LIST if option.multiple else Kind.TEXT
        found[_RENAMED.get(name, name[2:].replace("-", "_"))] = (name, kind)
    return found


#: Each setting, its option and its kind.
SETTINGS = _settings()


def configured(configurations: Sequence[Any]) -> dict[str, Any]:
    """The settings in what Packer sends: bytes of an HCL2 template, or the first map of a JSON one.

    The other maps are Packer's own. Raises UsageError for a template function that is not known.
    """
    # HCL2 values come as JSON with their types: cty/json of github.com/zclconf/go-cty.
    said = [json.loads(each)["value"] for each in configurations if isinstance(each, bytes)]
    maps = [each for each in configurations if isinstance(each, dict)]
    found = (said or maps or [{}])[0]
    of_packer = {key: value for each in maps for key, value in each.items()}
    variables = {
        **(of_packer.get("packer_user_variables") or {}),
        "build_name": of_packer.get("packer_build_name", ""),
        "build_type": of_packer.get("packer_builder_type", ""),
    }
    return {
        key: _rendered(value, variables)
        for key, value in found.items()
        if value is not None and not key.startswith("packer_") and key != "type"
    }


def arguments(configuration: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The options of ``unclone sanitize``, and ``paths``, that *configuration* says.

    Raises UsageError for one that makes no sense.
    """
    found: list[str] = []
    paths: list[str] = []
    for key, value in configuration.items():
        if key not in SETTINGS:
            known = ", ".join(sorted(SETTINGS))
            raise UsageError(f"unknown setting {key!r}", hint=f"The settings are: {known}.")
        option, kind = SETTINGS[key]
        if kind is Kind.FLAG:
            found += [option] if _is_true(key, value) else []
            continue
        texts = [_text(key, each) for each in _listed(key, value, kind)]
        if key == PATHS:
            paths = texts
        else:
            found += [f"{option}={text}" for text in texts]
    if not any(_UNKNOWN in each for each in (*found, *paths)):
        check(found, paths)
    return found, paths


def check(given: Sequence[str], paths: Sequence[str]) -> None:
    """Raise UsageError when ``unclone sanitize`` would not take *given* for *paths*."""
    for each in given:
        if _UNKNOWN in each:
            raise UsageError(f"the builder did not say what {_in_settings(each)} needs")
    outputs = sum(each.startswith("--output=") for each in given)
    disks = paths or ["IMAGE"] * (outputs or 1)
    line = [*given, *(f"--add-disk={each}" for each in disks[1:]), "--", disks[0]]
    try:
        context = command.make_context("sanitize", line)
        require_sense(context.params["images"], context.params)
        options.options_from(context.params)
    except click.ClickException as error:
        raise UsageError(_in_settings(error.format_message())) from error
    except UsageError as error:
        raise UsageError(_in_settings(error.message), hint=_in_settings(error.hint)) from error


def _in_settings(text: str) -> str:
    """*text* with settings in place of options."""
    of_option = {option: key for key, (option, _) in SETTINGS.items()}
    return re.sub(r"--[a-z-]*[a-z]", lambda found: of_option.get(found[0], found[0]), text)


def _listed(key: str, value: object, kind: Kind) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    if kind is Kind.TEXT:
        raise UsageError(f"{key} is one value, not a list")
    return value


def _text(key: str, value: object) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise UsageError(f"{key} must be text, and not {json.dumps(value, default=str)}")


def _is_true(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in {"true", "false"}:
        return value == "true"
    raise UsageError(f"{key} must be true or false, and not {json.dumps(value, default=str)}")


def _rendered(value: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401 (any value)
    """*value* of a JSON template, with what its ``{{...}}`` stand for."""
    if isinstance(value, list):
        return [_rendered(each, variables) for each in value]
    if not isinstance(value, str):
        return value

    def render(found: re.Match[str]) -> str:
        said = re.fullmatch(r"user\s+[`\"]([^`\"]+)[`\"]|(build_name|build_type)", found[1].strip())
        name = said and (said[1] or said[2])
        if not name or name not in variables:
            raise UsageError(
                f"the template function {found[0]} is not known to this post-processor",
                hint="It knows user, build_name and build_type; others work in `variables`.",
            )
        return str(variables[name])

    return re.sub(r"\{\{(.*?)\}\}", render, value)
