"""A thousand seeds, by ``seeds`` in this process and by ``cloud-localds``, from the same input.

    python -m benchmarks.seeds_vs_cloud_localds [COUNT] [FOLDER]

Each machine has its own user-data, meta-data and network-config (version 2, static). Both write an
ISO image per machine into FOLDER (default: a temporary one). ``seeds`` checks, reads back and makes
durable what it writes; cloud-localds does none of these. The two take turns in rounds, so that a
busy host slows both. Memory is the peak of this process, and of those that cloud-localds starts.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.seeds import Format, Seed
from unclone.seeds.checks import check_files
from unclone.seeds.output import Batch, timestamp
from unclone.seeds.schema import newest

if TYPE_CHECKING:
    from unclone.seeds.schema import Schema

ROUNDS = 5

USER_DATA = """#cloud-config
hostname: web-{n}
users:
  - name: admin
    shell: /bin/bash
    sudo: "ALL=(ALL) NOPASSWD:ALL"
    ssh_authorized_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a@b
packages: [nginx, git]
runcmd:
  - [systemctl, enable, --now, nginx]
"""
META_DATA = "instance-id: i-{n}\nlocal-hostname: web-{n}\n"
NETWORK = """version: 2
ethernets:
  eth0:
    match: {{macaddress: "52:54:00:00:{a:02x}:{b:02x}"}}
    set-name: eth0
    addresses: [10.0.{a}.{b}/16]
    routes: [{{to: 0.0.0.0/0, via: 10.0.255.254}}]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("folder", type=Path, nargs="?")
    wanted = parser.parse_args()
    if shutil.which("cloud-localds") is None:
        print("cloud-localds is missing: apt-get install cloud-image-utils", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(dir=wanted.folder) as work:
        compare(Path(work), wanted.count)
    return 0


def compare(work: Path, count: int) -> None:
    for name in ("in", "localds", "seeds", "schema"):
        (work / name).mkdir()
    inputs = [Input(work / "in", n) for n in range(count)]
    theirs = flushing = ours = with_schema = 0.0
    for number in range(ROUNDS):
        share = inputs[number::ROUNDS]
        theirs += localds(share, work / "localds")
        seconds, flush = seeds(share, work / "seeds", None)
        ours, flushing = ours + seconds, flushing + flush
        with_schema += seeds(share, work / "schema", newest())[0]
    for name in ("localds", "seeds", "schema"):
        assert len(list((work / name).iterdir())) == count
    print(f"{count} seeds: user-data {len(inputs[0].user_data)} bytes, static network")
    rows = {
        "cloud-localds": theirs,
        "seeds: check, write, read back": ours,
        "... and cloud-init's schema": with_schema,
        "seeds, made durable as well": ours + flushing,
    }
    for name, seconds in rows.items():
        each, rate, times = 1000 * seconds / count, count / seconds, theirs / seconds
        print(f"  {name:<31} {each:6.2f} ms each, {rate:5.0f} per second, {times:5.1f} times")
    own, children = peak(resource.RUSAGE_SELF), peak(resource.RUSAGE_CHILDREN)
    print(f"  peak memory: seeds {own}, cloud-localds {children}")


class Input:
    """The files of one machine: on disk for cloud-localds, as bytes for ``seeds``."""

    def __init__(self, folder: Path, number: int) -> None:
        self.name = f"web-{number}.iso"
        values = {"n": number, "a": number // 250, "b": number % 250 + 1}
        self.user_data = USER_DATA.format(**values).encode()
        self.meta_data = META_DATA.format(**values).encode()
        self.network = NETWORK.format(**values).encode()
        self.paths = [folder / f"{number}.{part}" for part in ("user", "meta", "network")]
        for path, content in zip(
            self.paths, (self.user_data, self.meta_data, self.network), strict=True
        ):
            path.write_bytes(content)

    def seed(self) -> Seed:
        """The same, read from the same files."""
        user, meta, network = (path.read_bytes() for path in self.paths)
        return Seed(user, meta, network)


def localds(inputs: list[Input], out: Path) -> float:
    """Seconds spent."""
    started = time.perf_counter()
    for each in inputs:
        user, meta, network = each.paths
        subprocess.run(
            ["cloud-localds", f"--network-config={network}", out / each.name, user, meta],
            check=True,
            capture_output=True,
        )
    return time.perf_counter() - started


def seeds(inputs: list[Input], out: Path, schema: Schema | None) -> tuple[float, float]:
    """Seconds spent on the seeds, and on making all of them durable and naming them."""
    when = timestamp()
    started = time.perf_counter()
    with Batch() as batch:
        for each in inputs:
            seed = each.seed()
            assert check_files(seed.files, schema) == ()
            batch.add(seed.files, out / each.name, Format.ISO, when)
        made = time.perf_counter()
    return made - started, time.perf_counter() - made


def peak(whose: int) -> str:
    return f"{resource.getrusage(whose).ru_maxrss / 1024:.0f} MiB"


if __name__ == "__main__":
    sys.exit(main())
