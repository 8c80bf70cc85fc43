"""The helper programs load little: each is started once per image."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from unclone.images.engines.direct.helpers import helper

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Each takes milliseconds, or loads what does.
SLOW = {"contextlib", "dataclasses", "enum", "inspect", "pathlib", "re", "subprocess", "typing"}


def loaded_by(module: str) -> Sequence[str]:
    """What is loaded when ``main()`` of *module* begins."""
    command = [*helper(module)]
    start = command.index("-c") + 1
    command[start] = command[start].replace("main()", "print(*sys.modules)")
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()


@pytest.mark.parametrize("name", ["worker", "checker"])
def test_a_helper_loads_only_what_it_needs(name: str) -> None:
    loaded = loaded_by(f"unclone.images.engines.direct.ext.{name}")
    assert f"unclone.images.engines.direct.ext.{name}" in loaded
    assert SLOW.isdisjoint(loaded)
    below = ("unclone.images.engines.direct.ext", "unclone.images.engines.direct.access")
    ours = {module for module in loaded if module.startswith("unclone")}
    others = {module for module in ours if not module.startswith(below)}
    packages = {below[0].rsplit(".", depth)[0] for depth in range(1, 5)}
    structures = "unclone.images.file_systems"
    assert others - packages <= {
        "unclone.images.clock",
        "unclone.images.needles",
        "unclone.sanitize",  # an empty package: its name is also that of a function
        structures,
        f"{structures}.ext_superblock",
    }
