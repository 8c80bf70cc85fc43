"""``--save-plan`` and ``--plan`` through the installed command, on real images."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import sanitized, unclone
from tests.support.disks import BARE_ROOT, Part, make_disk

if TYPE_CHECKING:
    from pathlib import Path

UUID = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"
TREE = {
    **BARE_ROOT,
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    "/usr/lib/systemd/systemd": "ELF",
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_disk(
        tmp_path / "web-01.qcow2", [Part("ext4", uuid=UUID, tree=TREE), Part("swap")], form="qcow2"
    )


def result(*arguments: str | Path) -> dict[str, Any]:
    return sanitized("--engine", "direct", *arguments)


def new(found: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(c["action"], c["target"]): c["new"] for c in found["changes"]}


@pytest.mark.slow
def test_a_saved_plan_is_carried_out_as_it_was_shown(image: Path, tmp_path: Path) -> None:
    plan = tmp_path / "web-01.plan"
    planned = result(image, "--dry-run", "--save-plan", plan, "--machine-id", "random")
    again = result(image, "--dry-run", "--plan", plan)
    assert again["changes"] == planned["changes"]
    done = result(image, "--plan", plan)
    assert [c | {"learned": ""} for c in done["changes"]] == planned["changes"]
    values = {(i["kind"], i["value"]) for i in done["identifiers"]}
    for change in planned["changes"]:
        if change["action"] == "set-identifier":
            assert (change["details"]["kind"], change["new"]) in values


@pytest.mark.slow
def test_a_plan_for_what_is_there_no_more_is_refused(image: Path, tmp_path: Path) -> None:
    plan, before = tmp_path / "web-01.plan", tmp_path / "before.qcow2"
    shutil.copy2(image, before)
    result(image, "--dry-run", "--save-plan", plan)
    result(image)
    done = unclone("sanitize", "--plan", plan, image)
    assert done.returncode == 4
    assert "the image has changed since it was planned for" in done.stderr
    result(before, "--plan", plan)  # the same image, moved


@pytest.mark.slow
def test_without_a_file_random_values_are_shown_as_such(image: Path) -> None:
    first, second = result(image, "--dry-run"), result(image, "--dry-run")
    assert first["changes"] == second["changes"]
    shown = new(first)
    assert {v for (action, _), v in shown.items() if action == "set-identifier"} == {"(random)"}
    done = new(result(image))
    assert "(random)" not in done.values()


@pytest.mark.slow
def test_the_file_is_not_replaced_unasked(image: Path, tmp_path: Path) -> None:
    plan = tmp_path / "web-01.plan"
    plan.write_text("mine")
    done = unclone("sanitize", image, "--dry-run", "--save-plan", plan)
    assert (done.returncode, plan.read_text()) == (2, "mine")
    result(image, "--dry-run", "--save-plan", plan, "--overwrite")
    assert json.loads(plan.read_text())["schema"] == "unclone.plan/1"


@pytest.mark.slow
def test_a_plan_that_would_fail_is_not_saved(tmp_path: Path) -> None:
    mixed = UUID.replace("a", "A", 1)  # in letters of both cases no rule reads it
    tree = TREE | {"/boot/custom/menu.bin": f"\0root={mixed}\n"}
    image = make_disk(tmp_path / "web-01.qcow2", [Part("ext4", uuid=UUID, tree=tree)], form="qcow2")
    plan = tmp_path / "web-01.plan"
    done = unclone("sanitize", image, "--dry-run", "--save-plan", plan)
    assert (done.returncode, plan.exists()) == (5, False)
