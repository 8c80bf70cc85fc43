"""Which steps run, and how their plans add up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError, UsageError
from unclone.sanitize import planning
from unclone.sanitize.change import Change, Level, Note, Retired, StepPlan
from unclone.sanitize.options import Options, Profile
from unclone.sanitize.planning import make_plan
from unclone.sanitize.step import PlanningContext, StepInfo
from unclone.sanitize.step_selection import all_steps, is_selected

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class FixedStep:
    """A step that always plans the same."""

    info: StepInfo
    result: StepPlan = field(default_factory=StepPlan)

    def plan(self, context: PlanningContext) -> StepPlan:
        return self.result


def step(
    name: str, *changes: Change, profile: Profile = Profile.IDENTITY, off: str = ""
) -> FixedStep:
    return FixedStep(StepInfo(name, name, "why", ("source",), profile, off), StepPlan(changes))


def change(action: str, target: str) -> Change:
    return Change("s", action, target, "why")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[FixedStep]:
    """The steps that exist, for the test to fill."""
    fixed: list[FixedStep] = []
    monkeypatch.setattr(planning, "all_steps", lambda options: fixed)
    return fixed


@pytest.mark.parametrize(
    ("candidate", "options", "selected"),
    [
        (step("a"), Options(), True),
        (step("a"), Options(disable=frozenset({"a"})), False),
        (step("a", off="locks people out"), Options(), False),
        (step("a", off="locks people out"), Options(enable=frozenset({"a"})), True),
        (step("a", profile=Profile.GOLDEN), Options(), False),
        (step("a", profile=Profile.GOLDEN), Options(profile=Profile.GOLDEN), True),
        (step("a", profile=Profile.GOLDEN), Options(enable=frozenset({"a"})), True),
        (step("a", profile=Profile.GOLDEN, off="x"), Options(profile=Profile.GOLDEN), False),
        (step("a"), Options(enable=frozenset({"a"}), disable=frozenset({"a"})), False),
    ],
)
def test_selection(candidate: FixedStep, options: Options, *, selected: bool) -> None:
    assert is_selected(candidate, options) is selected


def test_every_step_has_its_own_id() -> None:
    ids = [s.info.id for s in all_steps(Options())]
    assert len(ids) == len(set(ids))
    assert "machine-id" in ids


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(UsageError, match="no step called nonsense"):
        all_steps(Options(enable=frozenset({"nonsense"})))


def test_a_row_cannot_take_the_id_of_a_built_in_step(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "- id: machine-id\n  title: t\n  why: w\n  action: remove\n"
        "  paths: [/etc/x]\n  sources: [https://example.org/]\n"
    )
    with pytest.raises(UsageError, match="machine-id: id: is taken"):
        all_steps(Options(catalogues=(str(own),)))


def test_what_is_inside_a_removed_tree_is_not_planned_twice(
    tmp_path: Path, steps: list[FixedStep]
) -> None:
    plant(tmp_path, {"/var/log/journal/id/f": "x", "/var/logs": "-> log", "/etc/f": "x"})
    steps += [
        step("one", change("truncate", "/var/log/journal/id/f"), change("drop-lines", "/etc/f")),
        step("two", change("remove", "/var/log/journal"), change("remove", "/var/log/journal/id")),
        step("three", change("remove", "/var/logs/journal")),
    ]
    planned = make_plan(guest_at(tmp_path), Options())
    assert [(c.action, c.target) for c in planned.changes] == [
        ("drop-lines", "/etc/f"),
        ("remove", "/var/log/journal"),
    ]


def test_notes_and_retired_identifiers_add_up(tmp_path: Path, steps: list[FixedStep]) -> None:
    retired = Retired("one", "machine-id", "0" * 32)
    info = StepInfo("one", "one", "why", ("source",))
    steps += [
        FixedStep(info, StepPlan(notes=(Note("one", Level.INFO, "a"),), retired=(retired,))),
        FixedStep(info, StepPlan(notes=(Note("one", Level.KEPT, "b"),), retired=(retired,))),
    ]
    planned = make_plan(guest_at(tmp_path), Options())
    assert [note.text for note in planned.notes] == ["a", "b"]
    assert planned.retired == (retired,)


def test_strict_refuses_what_would_be_kept(tmp_path: Path, steps: list[FixedStep]) -> None:
    info = StepInfo("one", "one", "why", ("source",))
    steps.append(FixedStep(info, StepPlan(notes=(Note("one", Level.KEPT, "a signed UKI"),))))
    with pytest.raises(RefusedError, match="a signed UKI"):
        make_plan(guest_at(tmp_path), Options(strict=True))
