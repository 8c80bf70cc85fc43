"""A fleet on three workers of Dask, of which one is killed and one stops: is all made, and once?

    python -m benchmarks.fleet_disturbed --machines 10000 --pause 60

The workers have folders of their own, limits (``ulimit``) and, as root, network namespaces of their
own. One is killed with SIGKILL when a quarter of the machines is made, and started again after
another was stopped for --pause seconds. Then the same command runs again and has nothing to do; one
machine is removed by hand, and made again as the same. The machines are read, and audited by
unclone, at the end: no value may be there twice, no folder half made.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.fleet_on_dask import WORKERS, used
from tests.guests import debian
from tests.support import dask_cluster
from tests.unclone.test_clone import DOMAIN, MAC
from tests.unclone.test_clone_dask import finish, machines
from tests.unclone.test_clone_stamped import golden_image
from unclone.sanitize.identities.machine import MachineIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.dask_cluster import Cluster

UNCLONE = Path(sys.executable).with_name("unclone")
LIMITS = ("bash", "-c", 'ulimit -n 1024 -c 0 -u 4096 -v 8000000; exec "$@"', "limited")
_BRIDGE, _NETWORK = "unclone0", "10.177.0"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def networks() -> Iterator[Mapping[str, tuple[str, ...]]]:
    """A network namespace for each worker, with a card on one bridge; what runs a command there."""
    with ExitStack() as stack:
        ip("link", "add", _BRIDGE, "type", "bridge")
        stack.callback(ip, "link", "del", _BRIDGE)
        ip("address", "add", f"{_NETWORK}.1/24", "dev", _BRIDGE)
        ip("link", "set", _BRIDGE, "up")
        found = {}
        for number, worker in enumerate(WORKERS, 2):
            name, card = f"unclone-{worker}", f"unclone{number}"
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)  # and its card
            ip("link", "add", card, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", card, "master", _BRIDGE, "up")
            ip("-n", name, "address", "add", f"{_NETWORK}.{number}/24", "dev", "eth0")
            for each in ("eth0", "lo"):
                ip("-n", name, "link", "set", each, "up")
            found[worker] = ("ip", "netns", "exec", name)
        yield found


def count(at: Cluster) -> int:
    return sum(1 for each in WORKERS for _ in at.output(each).glob("web-*"))


def disturb(
    at: Cluster, run: subprocess.Popen[str], wanted: int, pause: float, prefixes: Mapping[str, Any]
) -> None:
    """Kill one worker, and stop another for *pause* seconds, once *wanted* machines are there."""
    while count(at) < wanted:
        assert run.poll() is None, "it ended before it was disturbed"
        time.sleep(0.5)
    at.workers["a"].kill()
    at.workers["a"].wait()
    left = [each.name for each in at.output("a").glob(".*-attempt")]
    print(f"a was killed: {count(at)} machines; {len(left)} attempts of its were left", flush=True)
    at.workers["b"].send_signal(signal.SIGSTOP)
    begun, before = time.monotonic(), count(at)
    while time.monotonic() < begun + pause:
        assert run.poll() is None, "it ended while a worker was stopped"
        time.sleep(0.5)
    print(f"b stopped for {pause} s: {before} machines, then {count(at)}", flush=True)
    at.workers["b"].send_signal(signal.SIGCONT)
    at.start_worker("a", prefixes["a"])


def report(at: Cluster, title: str, begun: float, counts: Mapping[str, int]) -> None:
    cost = [used(each.pid) for each in at.processes]
    print(f"{title}: {counts}, {time.monotonic() - begun:.0f} s; scheduler and workers, processor "
          f"seconds and MB: {[(round(one, 1), peak) for one, peak in cost]}; "
          f"load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip


def run_all(at: Cluster, folder: Path, asked: argparse.Namespace, prefixes: Any) -> None:  # noqa: ANN401
    golden = golden_image(folder, "GPT")
    (folder / "golden.xml").write_text(DOMAIN.format(folder=folder, mac=MAC))
    command = (
        *("clone", golden, "--name", "web-{:05}", "--count", str(asked.machines), "-q"),
        *("--definition", folder / "golden.xml", "-o", folder / "driver", "--json-lines"),
        *("--ledger", folder / "ledger", "--prometheus", folder / "fleet.prom"),
    )
    begun = time.monotonic()
    run = at.unclone(*command)
    with ThreadPoolExecutor() as pool:  # what the run says has to be read meanwhile
        disturbing = pool.submit(disturb, at, run, asked.machines // 4, asked.pause, prefixes)
        counts = finish(run)
        disturbing.result()
    report(at, "first", begun, counts)
    assert counts == {"done": asked.machines}
    first = machines(at)
    assert len(first) == asked.machines

    begun = time.monotonic()
    report(at, "again", begun, counts := finish(at.unclone(*command)))
    assert counts == {"present": asked.machines}
    for place in (*map(at.output, WORKERS), folder / "driver"):
        hidden = {each.name for each in place.glob(".*")}
        assert hidden <= {".unclone-place", ".unclone-fleet.jsonl"}, hidden

    gone = next(at.output("b").glob("web-*"))
    shutil.rmtree(gone)
    begun = time.monotonic()
    report(at, f"without {gone.name}", begun, counts := finish(at.unclone(*command)))
    assert counts == {"done": 1, "present": asked.machines - 1}
    assert machines(at) == first, "who the machines are has changed"

    values = [
        value
        for each in first.values()
        for value in MachineIdentity.from_json(each).own_values()
        if value[1]
    ]
    print(f"{len(first)} machines, {len(values)} values, {len(set(values))} different ones")
    assert len(set(values)) == len(values)


def audit(at: Cluster, asked: argparse.Namespace) -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [UNCLONE, "audit", "-q", "--no-cache", "--json", *map(at.output, WORKERS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    (result,) = json.loads(done.stdout)["results"]
    print(f"audit: {len(result['machines'])} machines share {len(result['shared'])} values; "
          f"{time.monotonic() - begun:.0f} s")  # fmt: skip
    assert len(result["machines"]) == asked.machines
    assert not result["shared"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument(
        "--pause", type=float, default=60, help="seconds that one worker is stopped"
    )
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=debian.cache_directory()))
        )
        at = dask_cluster.Cluster(folder, dask_cluster.python())
        stack.callback(at.stop)
        prefixes: dict[str, tuple[str, ...]] = dict.fromkeys(WORKERS, LIMITS)
        host = "127.0.0.1"
        if os.geteuid() == 0:
            inside = stack.enter_context(networks())
            prefixes = {each: (*inside[each], *LIMITS) for each in WORKERS}
            host = f"{_NETWORK}.1"
        at.start(host)
        for each in WORKERS:
            at.start_worker(each, prefixes[each])
        run_all(at, folder, asked, prefixes)
        at.stop()
        audit(at, asked)


if __name__ == "__main__":
    main()
