"""Machines made by Dask's workers, of which one is killed and one stops for a while."""

from __future__ import annotations

import json
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import unclone
from tests.support.dask_cluster import Cluster, certificates, cluster
from tests.unclone.test_clone import DOMAIN, MAC
from tests.unclone.test_clone_stamped import golden_image
from unclone.sanitize.identities.ledger import Ledger

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.slow

COUNT = 60
WORKERS = ("a", "b", "c")
LIMITS = ("bash", "-c", 'ulimit -n 512 -c 0; exec "$@"', "limited")


def machines(at: Cluster) -> dict[str, dict[str, Any]]:
    """Who each machine is, wherever it is; each is there once, with all its files."""
    found: dict[str, dict[str, Any]] = {}
    for worker in WORKERS:
        for path in at.output(worker).glob("[!.]*"):
            document = json.loads((path / "machine.json").read_text())
            assert path.name not in found
            for file in document["files"]:
                assert (path / file["path"]).stat().st_size == file["size"]
            found[path.name] = document["machine"]
    return found


def finish(run: subprocess.Popen[str], status: int = 0) -> dict[str, int]:
    """Wait for *run*, and return its summary."""
    said, told = run.communicate(timeout=1200)
    assert run.returncode == status, told
    counts: dict[str, int] = json.loads(said.splitlines()[-1])["results"][0]["counts"]
    return counts


def test_a_worker_is_killed_and_one_stops(tmp_path: Path) -> None:
    golden, driver, book = golden_image(tmp_path, "GPT"), tmp_path / "driver", tmp_path / "ledger"
    (tmp_path / "golden.xml").write_text(DOMAIN.format(folder=tmp_path, mac=MAC))
    command = (
        *("clone", golden, "--name", "web-{:02}", "--count", str(COUNT), "-o", driver, "-q"),
        *("--definition", tmp_path / "golden.xml", "--ledger", book, "--json-lines"),
        *("--prometheus", tmp_path / "clone.prom"),
    )
    with cluster(tmp_path) as at:
        for worker in WORKERS:
            at.start_worker(worker, LIMITS)
        run = at.unclone(*command)
        until = time.monotonic() + 1200
        while not list(at.output("a").glob(".*attempt/web-*")):
            assert time.monotonic() < until
            assert run.poll() is None
            time.sleep(0.01)
        at.workers["a"].kill()
        at.workers["a"].wait()
        at.workers["b"].send_signal(signal.SIGSTOP)
        time.sleep(5)
        assert run.poll() is None
        at.workers["b"].send_signal(signal.SIGCONT)
        at.start_worker("a", LIMITS)
        assert finish(run) == {"done": COUNT}
        first = machines(at)
        assert len(first) == COUNT
        assert 'status="done"} 60' in (tmp_path / "clone.prom").read_text()
        assert len(list(tmp_path.glob("golden.prepared-*.qcow2"))) == 1

        # Again: nothing is made, and what the killed worker left is gone. One is removed by hand.
        assert finish(at.unclone(*command)) == {"present": COUNT}
        assert machines(at) == first
        for folder in (*map(at.output, WORKERS), driver):
            hidden = {each.name for each in folder.glob(".*")}
            assert hidden <= {".unclone-place", ".unclone-fleet.jsonl"}
        gone = next(at.output("b").glob("web-*"))
        shutil.rmtree(gone)
        assert finish(at.unclone(*command)) == {"done": 1, "present": COUNT - 1}
        assert machines(at) == first

    with Ledger.open(book) as ledger:
        assert len(list(ledger.machines())) == COUNT
    done = unclone("audit", "-q", "--no-cache", "--json", *map(at.output, WORKERS))
    assert done.returncode == 0, done.stdout
    assert len(json.loads(done.stdout)["results"][0]["machines"]) == COUNT


def test_a_host_that_is_gone_keeps_its_machines(tmp_path: Path) -> None:
    golden, driver = golden_image(tmp_path, "GPT"), tmp_path / "driver"
    command = (
        "clone",
        golden,
        "--name",
        "m-{}",
        "--count",
        "8",
        "-o",
        driver,
        "-q",
        "--json-lines",
    )
    with cluster(tmp_path) as at:
        at.start_worker("a")
        assert finish(at.unclone(*command)) == {"done": 8}
        at.workers["a"].kill()
        at.workers["a"].wait()
        at.start_worker("b")
        run = at.unclone(*command)
        _, told = run.communicate(timeout=600)
        assert run.returncode == 1
        assert "where no worker runs" in told
        assert list(at.output("b").glob("m-*")) == []
        # Another image under the same name is not the golden image of the run.
        other = tmp_path / "other"
        other.mkdir()
        (other / golden.name).write_bytes(golden.read_bytes() + bytes(512))
        at.start_worker("c", UNCLONE_WORKER_GOLDEN=other)
        run = at.unclone(*command)
        _, told = run.communicate(timeout=600)
        assert "is not the golden image of the run" in told


def test_ctrl_c_leaves_whole_machines_and_the_next_run_makes_the_rest(tmp_path: Path) -> None:
    golden, driver = golden_image(tmp_path, "GPT"), tmp_path / "driver"
    command = ("clone", golden, "--name", "m-{:03}", "--count", "200", "-o", driver, "-q",
               "--ledger", tmp_path / "ledger", "--json-lines")  # fmt: skip
    with cluster(tmp_path) as at:
        for worker in ("a", "b"):
            at.start_worker(worker)
        run = at.unclone(*command)
        until = time.monotonic() + 1200
        while not machines(at):
            assert time.monotonic() < until
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        said, told = run.communicate(timeout=1200)
        assert run.returncode == 1, told
        assert told == (
            "unclone: interrupted; each machine is complete or was not made\n"
            "  The same command makes those that are missing.\n"
        )
        assert json.loads(said.splitlines()[-1])["results"][0]["status"] == "failed"
        first = machines(at)
        finish(at.unclone(*command))
        again = machines(at)
        assert len(again) == 200
        assert first.items() <= again.items()
    with Ledger.open(tmp_path / "ledger") as ledger:
        assert len(list(ledger.machines())) == 200


def test_a_cluster_with_certificates_gets_secrets(tmp_path: Path) -> None:
    golden, driver = golden_image(tmp_path, "GPT"), tmp_path / "driver"
    (tmp_path / "secret").write_text("a derivation secret of this test\n")
    (tmp_path / "secret").chmod(0o600)
    command = ("clone", golden, "--name", "m-{}", "--count", "3", "-o", driver, "-q",
               "--derive-from", tmp_path / "secret", "--json-lines")  # fmt: skip
    with cluster(tmp_path, certificates(tmp_path / "tls")) as at:
        assert at.address.startswith("tls://")
        at.start_worker("a")
        assert finish(at.unclone(*command)) == {"done": 3}
        # Who has no certificate of the cluster does not get in.
        at.tls = None
        run = at.unclone(*command)
        _, told = run.communicate(timeout=600)
        assert run.returncode == 1, told
        assert f"the scheduler {at.address} cannot be used" in told
