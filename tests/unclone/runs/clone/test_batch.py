"""A machine's folder is complete or absent, and a killed run's values are used once."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import InUseError, UsageError
from unclone.runs.clone.batch import RECORD, SCHEMA, Batch
from unclone.sanitize.identities.allocation import Replaced
from unclone.sanitize.identities.machine import MachineIdentity

if TYPE_CHECKING:
    from pathlib import Path

WEB = MachineIdentity(
    "web-01",
    "web-01",
    "iid-1",
    "0" * 31 + "1",
    (Replaced("mac", "net0", "52:54:00:00:00:01", "52:54:00:00:00:02"),),
    {"file-system-uuid /dev/sda1": "u"},
)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def finish(folder: Path) -> None:
    (folder / RECORD).write_text(f'{{"schema": "{SCHEMA}"}}')


def test_a_machine_appears_complete(tmp_path: Path) -> None:
    with Batch(tmp_path / "vms") as batch:
        batch.begin(WEB)
        batch.sync()
        with batch.making("web-01", replace=False) as hidden:
            assert not (tmp_path / "vms/web-01").exists()
            finish(hidden)
    assert names(tmp_path / "vms") == ["web-01"]
    assert names(tmp_path / "vms/web-01") == [RECORD]


def test_a_machine_that_failed_leaves_nothing(tmp_path: Path) -> None:
    with Batch(tmp_path) as batch:
        batch.begin(WEB)
        with pytest.raises(ValueError, match="no"), batch.making("web-01", replace=False):
            raise ValueError("no")
    assert names(tmp_path) == []


def test_what_was_begun_and_not_made_goes(tmp_path: Path) -> None:
    with Batch(tmp_path) as batch:
        batch.begin(WEB)
    assert names(tmp_path) == []


def killed_run(folder: Path) -> None:
    """A run in another process that decides about WEB, and is killed."""
    child = os.fork()
    if not child:
        batch = Batch(folder).__enter__()
        batch.begin(WEB)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_what_a_killed_run_decided_is_found_until_it_is_made(tmp_path: Path) -> None:
    killed_run(tmp_path)
    assert len(names(tmp_path)) == 2
    hidden = next(each for each in tmp_path.iterdir() if each.is_dir())
    (hidden / "disk.qcow2").write_text("half of it")
    with Batch(tmp_path) as batch:
        assert batch.left_over("web-01") == WEB
    # As by a run that was killed before it could say so anew.
    with Batch(tmp_path) as batch:
        assert batch.left_over("web-01") == WEB
        assert [each.name for each in hidden.iterdir()] == [".intent.json"]
        batch.begin(WEB)
        with batch.making("web-01", replace=False) as folder:
            finish(folder)
    assert names(tmp_path) == ["web-01"]
    assert names(tmp_path / "web-01") == [RECORD]


def test_what_no_run_decided_is_removed(tmp_path: Path) -> None:
    hidden = Batch(tmp_path).hidden("web-01")
    hidden.mkdir()
    (hidden / ".intent.json").write_text("{")
    with Batch(tmp_path) as batch:
        assert batch.left_over("web-01") is None
    assert names(tmp_path) == []


def test_another_run_that_lives_is_left_alone(tmp_path: Path) -> None:
    with Batch(tmp_path) as first:
        first.begin(WEB)
        with Batch(tmp_path) as second, pytest.raises(InUseError, match="another run is making"):
            second.left_over("web-01")
        with first.making("web-01", replace=False) as hidden:
            finish(hidden)
    assert names(tmp_path) == ["web-01"]


@pytest.mark.parametrize("what", ["file", "folder", "link", "bad record"])
def test_something_else_under_the_name_is_kept(tmp_path: Path, what: str) -> None:
    path = tmp_path / "web-01"
    if what == "file":
        path.write_text("mine")
    elif what == "link":
        path.symlink_to(tmp_path)
    else:
        path.mkdir()
        if what == "bad record":
            (path / RECORD).write_text("[" * 100_000)
    with Batch(tmp_path) as batch, pytest.raises(UsageError, match="is not a machine"):
        batch.finished("web-01")
    assert path.exists()


def test_a_machine_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with Batch(tmp_path) as batch:
        batch.begin(WEB)
        making = batch.making("web-01", replace=False)
        making.__enter__()
        (tmp_path / "web-01").mkdir()
        finish(tmp_path / "web-01")
        with pytest.raises(UsageError, match="just been made"):
            making.__exit__(None, None, None)
    assert names(tmp_path / "web-01") == [RECORD]
