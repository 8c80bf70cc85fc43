"""The context that steps plan from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.planning import context
from tests.support.tree import guest_at
from unclone.sanitize.renewal import Renewals

if TYPE_CHECKING:
    from pathlib import Path


def test_the_new_machine_id_is_one_for_a_run_and_another_for_the_next(tmp_path: Path) -> None:
    first, second = context(guest_at(tmp_path)), context(guest_at(tmp_path))
    decided = replace(first, renewals=Renewals())
    assert decided.new_values == first.new_values
    assert second.new_values.machine_id != first.new_values.machine_id
    assert len(first.new_values.machine_id) == 32
