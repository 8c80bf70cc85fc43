"""Steps that are left out, where they would find something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.tree import guest_at, plant
from unclone.sanitize.catalogue import load
from unclone.sanitize.facts import Facts
from unclone.sanitize.inventory.optional_steps import Off, OptionalStep, optional_steps
from unclone.sanitize.options import Options, Profile
from unclone.sanitize.step import PlanningContext

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "/var/lib/systemd/credential.secret"
FILES: dict[str, str | bytes | None] = {
    SECRET: b"x" * 100,
    "/var/log/nginx/access.log": "GET /\n",
    "/var/log/empty.log": "",
    "/var/log/a/b/c/deep.log": "x",
    "/etc/machine-info": "PRETTY_HOSTNAME=web\n",
}


def found(folder: Path, options: Options) -> dict[str, OptionalStep]:
    guest = guest_at(folder)
    return {each.step: each for each in optional_steps(guest, Facts(guest), options)}


def test_a_step_that_is_off_and_finds_something_is_listed_with_the_reason(tmp_path: Path) -> None:
    plant(tmp_path, FILES)
    steps = found(tmp_path, Options())
    assert set(steps) == {"systemd-credential-secret", "machine-info", "log-files"}
    secret = steps["systemd-credential-secret"]
    assert (secret.off, secret.path) == (Off.BY_DEFAULT, SECRET)
    assert secret.off_because
    logs = steps["log-files"]
    assert (logs.off, logs.path) == (Off.GOLDEN, "/var/log/nginx/access.log")


def test_a_step_that_runs_is_not_listed(tmp_path: Path) -> None:
    plant(tmp_path, FILES)
    options = Options(profile=Profile.GOLDEN, enable=frozenset({"machine-info"}))
    assert set(found(tmp_path, options)) == {"systemd-credential-secret"}


def test_a_disabled_step_is_listed_as_such(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/lib/systemd/random-seed": b"x" * 32})
    options = Options(disable=frozenset({"random-seed", "machine-id", "dhclient-leases"}))
    steps = found(tmp_path, options)
    assert {step: each.off for step, each in steps.items()} == {
        "random-seed": Off.DISABLED,
        "machine-id": Off.DISABLED,
    }


def test_what_is_found_would_be_changed_and_what_is_not_would_not(tmp_path: Path) -> None:
    """For every row that searches no whole tree, the short look agrees with the plan."""
    plant(tmp_path, FILES)
    guest = guest_at(tmp_path)
    facts = Facts(guest)
    context = PlanningContext(guest, facts, Options())
    for step in load():
        if not any("/**/" in pattern for pattern in step.row.paths):
            planned = step.plan(context).changes
            assert (step.first_place(guest, facts) != "") == bool(planned), step.info.id


def test_a_tree_is_looked_at_two_levels_deep(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/log/a/b/c/deep.log": "x"})
    assert "log-files" not in found(tmp_path, Options())
