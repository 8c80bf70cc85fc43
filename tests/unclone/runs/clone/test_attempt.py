"""Attempts: none sees another, one of them gives names, the others are swept away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import UncloneError, UsageError
from unclone.runs.clone.attempt import Attempt, publish, sweep

if TYPE_CHECKING:
    from pathlib import Path

OWNER, OTHER = "a" * 48, "b" * 48


def made(folder: Path, owner: str = OWNER) -> Attempt:
    attempt = Attempt(folder, owner)
    for name in ("web-1", "web-2"):
        (attempt.begin(name) / "machine.json").write_text(attempt.name)
    attempt.sync()
    return attempt


def test_one_of_two_attempts_gives_the_names(tmp_path: Path) -> None:
    first, second = made(tmp_path), made(tmp_path)
    publish(tmp_path, first.name, ["web-1", "web-2"])
    assert (tmp_path / "web-1/machine.json").read_text() == first.name
    with pytest.raises(UsageError, match=r"web-1 has just been made by another run"):
        publish(tmp_path, second.name, ["web-1"])
    assert sweep(tmp_path, OWNER) == [second.name]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["web-1", "web-2"]


def test_names_that_were_given_in_part_are_given_again(tmp_path: Path) -> None:
    attempt = made(tmp_path)
    attempt.hidden("web-1").rename(tmp_path / "web-1")
    publish(tmp_path, attempt.name, ["web-1", "web-2"])
    publish(tmp_path, attempt.name, ["web-1", "web-2"])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["web-1", "web-2"]
    with pytest.raises(UncloneError, match="is gone"):
        publish(tmp_path, attempt.name, ["web-3"])


def test_a_name_that_leads_elsewhere_is_no_attempt(tmp_path: Path) -> None:
    for name in ("../x", ".", f".{OWNER}", "web-1"):
        with pytest.raises(UsageError, match="is no attempt"):
            publish(tmp_path, name, ["web-1"])


def test_only_attempts_of_runs_that_have_ended_are_swept(tmp_path: Path) -> None:
    made(tmp_path)
    alive, others = made(tmp_path, "a" * 32 + "c" * 16), made(tmp_path, OTHER)
    waits = made(tmp_path)
    sweep(tmp_path, "a" * 32, spare=["a" * 32 + "c" * 16, waits.name])
    left = sorted(each.name for each in tmp_path.iterdir())
    assert left == sorted([alive.name, others.name, waits.name])


def test_what_failed_leaves_nothing_of_a_machine(tmp_path: Path) -> None:
    attempt = made(tmp_path)
    with pytest.raises(ValueError, match="no"), attempt.making("web-2", replace=False):
        raise ValueError("no")
    assert not attempt.hidden("web-2").exists()
    assert attempt.hidden("web-1").exists()
