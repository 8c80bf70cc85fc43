"""docs/json.md names every field of the schemas, and shows a failure as it is printed."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from tests.packaging.conftest import ROOT
from tests.support.command import PROGRAM
from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone import schemas
from unclone.cli.commands.clone import command
from unclone.images.lock import ImageLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JSON_MD = (ROOT / "docs" / "json.md").read_text()
SCHEMAS = {
    file.name: json.loads(file.read_text())
    for file in files(schemas).iterdir()
    if file.name.endswith(".json")
}


#: Of a file that people write: docs/clone.md has it, and its keys are the options.
WRITTEN = {"fleet-1.json"}


@pytest.mark.parametrize("name", sorted({*SCHEMAS} - WRITTEN))
def test_every_field_is_named(name: str) -> None:
    named = set(re.findall(r"`([a-z_0-9]+)`", JSON_MD)) | {"schema", "results", "error", "message"}
    named |= set(re.findall(r'"([a-z_]+)":', JSON_MD))
    assert sorted(set(fields(SCHEMAS[name])) - named) == []


def test_every_key_of_a_fleet_file_is_shown_or_an_option() -> None:
    text = (ROOT / "docs" / "clone.md").read_text()
    named = set(re.findall(r"\b([a-z-]+):", text)) | set(re.findall(r"`([a-z-]+)`", text))
    options = {max(each.opts, key=len).removeprefix("--") for each in command.params}
    assert set(fields(SCHEMAS["fleet-1.json"])) - named - options - {"schema"} == set()


def fields(schema: Any) -> Iterator[str]:
    """The names of all properties in *schema*."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for value in schema.values():
            yield from fields(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from fields(value)


@pytest.mark.slow
def test_an_image_in_use_fails_as_shown(tmp_path: Path) -> None:
    (shown,) = (
        json.loads(text)
        for text in re.findall(r"^```json\n(.*?)^```$", JSON_MD, re.MULTILINE | re.DOTALL)
        if '"exit_status"' in text
    )
    image = make_disk(tmp_path / shown["image"], [Part("ext4", BARE_ROOT)], form="qcow2")
    with ImageLock() as lock:
        lock.exclusive([image])
        done = subprocess.run(
            [PROGRAM, "sanitize", "--json", shown["image"]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == shown["error"]["exit_status"]
    printed = done.stdout.replace(str(tmp_path), "/srv/vm")
    printed = re.sub(r"\(\S+, process \d+\)", "(qemu-system-x86, process 4711)", printed)
    assert json.loads(printed)["results"] == [shown]
