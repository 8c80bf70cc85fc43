"""Definitions made to be slow to read: a run of one thing where a reader may look back at it.

Read in time that grows with the square of their size, each of these would take minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import NAME
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition

if TYPE_CHECKING:
    from pathlib import Path

SPACES = " " * 200_000
XEN = 'name = "golden"\nmemory = 512\nuuid = "11111111-2222-3333-4444-555555555555"\n'
FILES = "file=" * 40_000

JSON = '{"boot-source": {"kernel_image_path": "/k", "boot_args": "'

HOSTILE = {
    "spaces in a card": ("xen", f'{XEN}vif = [ "ip=a{SPACES}b,mac=00:16:3e:00:00:01" ]\n'),
    "spaces in a disk": ("xen", f'{XEN}disk = [ "format=a{SPACES}b,vdev=xvda,target=/d" ]\n'),
    "files": ("firecracker", f'{JSON}{FILES} system.machine_id"}}}}'),
}


@pytest.mark.parametrize(("form", "text"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_definition_takes_no_time(tmp_path: Path, form: str, text: str) -> None:
    path = tmp_path / "definition"
    path.write_text(text)
    definition = read_definition(path, form)
    plan = plan_definition(definition, IdentityMap(Counting(), NAME, oui=b""))
    assert plan.definition.source.text == text
    assert [field.field.rule.id for field in plan.fields if "00:16:3e" in field.field.value] == (
        ["mac"] if "00:16:3e" in text else []
    )
