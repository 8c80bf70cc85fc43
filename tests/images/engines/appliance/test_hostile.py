"""Damaged XFS and btrfs: an error, or a sound file system, within the engine's limits."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.support.appliance import complaint, mounted_appliance
from tests.support.fuzz import Outcome, damaged_for_a_kernel, exercise
from unclone.images.engines.appliance import volumes

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_damage_is_an_error_and_nothing_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``benchmarks/fuzz_appliance.py`` does hundreds."""
    for name in ("LIMIT", "LONG_LIMIT"):
        monkeypatch.setattr(volumes, name, 10.0)
    seen = set()
    for seed in range(10):
        image, kind = damaged_for_a_kernel(tmp_path / "image", seed)
        outcome = exercise(image, random.Random(seed), mounted_appliance, complaint(kind))
        seen.add((kind, outcome is Outcome.REFUSED))
    assert {kind for kind, _ in seen} == {"xfs", "btrfs"}
    assert {refused for _, refused in seen} == {True, False}
