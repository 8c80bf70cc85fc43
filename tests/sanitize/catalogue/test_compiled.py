"""The compiled copies of the built-in catalogue: always what the text says."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import pytest

from unclone.sanitize.catalogue import built_in_files, compiled
from unclone.sanitize.catalogue.reading import parsed

FOLDER = Path(str(files("unclone.sanitize.catalogue")))


@pytest.mark.parametrize(("name", "text"), built_in_files(), ids=lambda value: value[:20])
def test_it_is_what_the_text_says(name: str, text: str) -> None:
    assert compiled.load(FOLDER / name) == parsed(text, name)


@pytest.mark.parametrize("kept", [True, False])
def test_a_file_that_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", not kept)
    file = tmp_path / "rows.yaml"
    file.write_text("- id: a\n")
    assert compiled.load(file) == [{"id": "a"}]
    assert (tmp_path / "__pycache__").exists() == kept
    assert compiled.load(file) == [{"id": "a"}]
    file.write_text("- id: another\n")
    assert compiled.load(file) == [{"id": "another"}]


def test_no_module_has_the_name_of_a_file() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py")}
    assert modules.isdisjoint(Path(name).stem for name, _ in built_in_files())
