"""``clone --executor``: what goes together; nothing of Dask is loaded unless it is asked for."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import unclone
from unclone.images.errors import UsageError
from unclone.images.text import about
from unclone.runs import dask_executor
from unclone.runs.clone.metrics import Metrics
from unclone.runs.completed import CompletedRun

if TYPE_CHECKING:
    from pathlib import Path

DASK = ("--executor", "dask", "--scheduler", "tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--executor", "dask"], "--executor dask needs --scheduler tls://HOST:8786"),
        (["--scheduler", "tcp://a:1"], "--scheduler is for --executor dask"),
        ([*DASK, "--dry-run"], "--dry-run is not for --executor dask"),
        ([*DASK, "--replace"], "--replace is not for --executor dask"),
        ([*DASK[:3], "http://a:1"], "http://a:1 is no address of a scheduler"),
        (
            [*DASK[:3], "tcp://10.0.0.1:1", "--generate-password"],
            "tcp://10.0.0.1:1 is without TLS",
        ),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "g.qcow2").touch()
    done = unclone("clone", tmp_path / "g.qcow2", "--name", "a", *options)
    assert done.returncode == 2
    assert said in done.stderr


def test_without_dask_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "distributed":
            raise ImportError("No module named 'distributed'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="needs Dask") as raised:
        dask_executor.DaskExecutor("tcp://127.0.0.1:1")
    assert "pip install 'unclone[dask]'" in raised.value.hint


@pytest.mark.parametrize("address", ["tls://10.0.0.1:1", "tcp://127.0.0.1:1", "tcp://localhost:1"])
def test_secrets_go_where_nobody_reads_them(address: str) -> None:
    dask_executor.require_private(address, secrets=True)


@pytest.mark.slow
def test_nothing_of_it_is_loaded_unless_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom unclone.cli.main import cli\n"
        "try: cli(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('distributed', 'dask') or "
        "m.endswith(('.distribution', '.worker_tasks', '.dask_executor', '.executors'))))"
    )
    (tmp_path / "g.qcow2").touch()
    for arguments in (["clone", "--help"], ["clone", tmp_path / "g.qcow2", "--name", "a"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]"


def test_numbers_of_a_run(tmp_path: Path) -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.count(CompletedRun("a", error=UsageError("no")))
    assert metrics.to_json()["counts"] == {"failed": 2}
    metrics.write(tmp_path / "clone.prom")
    text = (tmp_path / "clone.prom").read_text()
    assert 'unclone_clone_machines{status="failed"} 2\n' in text
    assert 'unclone_clone_machines{status="done"} 0\n' in text
    assert "# TYPE unclone_clone_seconds gauge\n" in text


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("/vms/a is there", "/vms/a is there"),
        ("/vms/a/seed.iso is gone", "/vms/a/seed.iso is gone"),
        ("/vms/ab is there", "/vms/a: /vms/ab is there"),
        ("no room", "/vms/a: no room"),
    ],
)
def test_a_path_is_said_once(message: str, said: str) -> None:
    assert about("/vms/a", message) == said
