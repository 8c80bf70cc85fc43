"""``unclone clone`` from the Debian guest of the tests, and what others take, in one run.

Machines have disk, definition, seed and record. Beside them ``qemu-img create -b`` for as many
disks, and virt-sysprep on one copy. Then the same for other numbers of machines, four processes
at once on one ledger, a run that is killed again and again, and what the cluster size of an overlay
costs who writes to it.

    python -m benchmarks.clone [--machines 1000] [--scale 10 100 10000] [--each 2500]
        [--kills 100] [--without virt-sysprep ledger kills clusters]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.guests import debian
from tests.support import readback
from unclone.images.qcow2_overlay import Overlay
from unclone.sanitize.stamps.stamp import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable

UNCLONE = Path(sys.executable).with_name("unclone")
PROCESSES = 4
#: Cluster sizes of an overlay: what `qemu-img create -o` takes.
CLUSTERS = ("4k", "8k", "16k", "64k", "64k,extended_l2=on")
DOMAIN = """\
<domain type='kvm'>
  <name>golden</name>
  <uuid>11111111-2222-4333-8444-555555555555</uuid>
  <memory>786432</memory>
  <os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{golden}'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <source file='{golden}.seed.iso'/><target dev='sda' bus='sata'/><readonly/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:aa:bb:cc'/><source network='default'/>
    </interface>
  </devices>
</domain>
"""


class Bench:
    """A golden image in *folder*, and commands that make machines from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.golden = folder / "golden.qcow2"
        shutil.copyfile(debian.cached(_tell), self.golden)
        (folder / "golden.xml").write_text(DOMAIN.format(golden=self.golden))
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)

    def command(self, name: str, count: int, vms: Path, *more: str | Path) -> list[str | Path]:
        """`unclone clone` for *count* machines in *vms*."""
        return [
            *(UNCLONE, "clone", self.golden, "--name", f"{name}-{{:05}}", "--count", str(count)),
            *("--definition", self.folder / "golden.xml", "--user", "ops", "-q"),
            *("--ssh-key", self.folder / "key.pub", "-o", vms, *more),
        ]

    def machines(self, count: int, *more: str | Path) -> dict[str, Any]:
        """Make *count* machines and take them away: seconds, memory, room."""
        vms = self.folder / f"vms-{count}"
        found = _measured(self.command("web", count, vms, *more))
        found["ms each"] = round(found["seconds"] / count * 1000, 2)
        found["bytes each"] = _room(vms) // count
        shutil.rmtree(vms)
        return {"machines": count, **found}

    def prepare(self) -> dict[str, Any]:
        """The first run, which prepares the golden image."""
        return self.machines(8)

    def disks_alone(self, count: int) -> dict[str, Any]:
        """Only the stamped overlays, as the command writes them, with one flush."""
        (record,) = self.folder.glob("golden.prepared-*.json")
        document = json.loads(record.read_text())
        (stamp,) = [Stamp.from_json(each) for each in document["stamps"]]
        overlay = Overlay(self.folder / document["images"][0], "qcow2", stamp.size, {*stamp.blocks})
        draw = random.Random(1)

        def write(path: Path) -> None:
            values = {key: _like(value, draw) for key, value in stamp.values.items()}
            content = stamp.stamped(values)
            overlay.write(path, content)
            assert overlay.holds(path, content)

        return self._disks(count, write)

    def qemu_img(self, count: int) -> dict[str, Any]:
        """An empty overlay each, with its own process, as one would without a tool."""
        return self._disks(count, lambda path: _create(path, self.golden))

    def _disks(self, count: int, write: Callable[[Path], None]) -> dict[str, Any]:
        """*count* disks by *write*, with one flush: seconds, room."""
        folder = self.folder / "disks"
        folder.mkdir()
        began, used = time.monotonic(), _used()
        for number in range(count):
            write(folder / f"{number}.qcow2")
        os.sync()
        found = {
            "disks": count,
            "seconds": round(time.monotonic() - began, 2),
            "processor seconds": round(_used() - used, 2),
            "bytes each": _room(folder) // count,
        }
        shutil.rmtree(folder)
        return found

    def virt_sysprep(self) -> dict[str, Any]:
        """One copy of the golden image, with what virt-sysprep does by itself."""
        copy = self.folder / "copy.qcow2"
        began = time.monotonic()
        shutil.copyfile(self.golden, copy)
        subprocess.run(
            ["virt-sysprep", "--quiet", "--format", "qcow2", "-a", copy],
            check=True,
            env=readback.environment(),
            stdout=subprocess.DEVNULL,
        )
        copy.unlink()
        return {"disks": 1, "seconds": round(time.monotonic() - began, 1)}

    def one_ledger(self, each: int) -> dict[str, Any]:
        """Four processes at once; every value in every record is there once."""
        vms, ledger = self.folder / "vms-together", self.folder / "together.ledger"
        began = time.monotonic()
        running = [
            subprocess.Popen(
                self.command(f"p{n}", each, vms, "--ledger", ledger), stdout=subprocess.DEVNULL
            )
            for n in range(PROCESSES)
        ]
        failed = [process.wait() for process in running if process.wait()]
        seconds = time.monotonic() - began
        found = _unique(vms)
        shutil.rmtree(vms)
        assert not failed
        assert found["machines"] == PROCESSES * each
        return {"processes": PROCESSES, "seconds": round(seconds, 1), **found}

    def killed(self, kills: int, count: int) -> dict[str, Any]:
        """A run that is killed at random moments and started again, until it comes through."""
        vms, ledger = self.folder / "vms-killed", self.folder / "killed.ledger"
        draw = random.Random(2)
        rounds, done, lasts, number = 0, 0, 0.0, 0
        while done < kills:
            rounds += 1
            command = self.command(f"k{rounds}", count, vms, "--ledger", ledger)
            while done < kills:
                before = {path.name for path in vms.iterdir()} if vms.exists() else set()
                began = time.monotonic()
                said = (self.folder / "said").open("w+b")
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
                try:
                    process.wait(draw.uniform(0, lasts or 5))
                except subprocess.TimeoutExpired:
                    process.send_signal(
                        draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
                    )
                    process.wait()
                    done += 1
                else:
                    assert process.returncode == 0, (self.folder / "said").read_text()
                    lasts = max(lasts, time.monotonic() - began)
                    break
                kept = {name for name in before if not name.startswith(".")}
                assert kept <= {path.name for path in vms.iterdir()}
                _unique(vms)
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            number += count
        found = _unique(vms)
        hidden = [path.name for path in vms.iterdir() if path.name.startswith(".")]
        assert not hidden, hidden
        assert found["machines"] == number
        shutil.rmtree(vms)
        return {"kills": done, "rounds": rounds, **found}

    def clusters(self) -> list[dict[str, Any]]:
        """Seconds for what a guest does on overlays of several cluster sizes."""
        (image,) = self.folder.glob("golden.prepared-*.qcow2")
        loads = {
            "20,000 writes of 4 KiB, scattered": ("-w", "-s", "4096", "-S", "98304", "-c", "20000"),
            "20,000 writes of 4 KiB in a row": ("-w", "-s", "4096", "-S", "4096", "-c", "20000"),
            "8,000 writes of 64 KiB in a row": ("-w", "-s", "65536", "-S", "65536", "-c", "8000"),
            "20,000 reads of 4 KiB, scattered": ("-s", "4096", "-S", "98304", "-c", "20000"),
        }
        rows = []
        for size in CLUSTERS:
            row: dict[str, Any] = {"cluster size": size}
            for name, options in loads.items():
                path = self.folder / "load.qcow2"
                _create(path, image, "-o", f"cluster_size={size}")
                load = ["qemu-img", "bench", "-f", "qcow2", "-t", "writeback", "-d", "16", *options]
                told = subprocess.run([*load, path], check=True, capture_output=True, text=True)
                row[name] = float(told.stdout.split("completed in ")[1].split()[0])
                path.unlink()
            rows.append(row)
        return rows


def _used() -> float:
    """Seconds of processors that this process and its children have had."""
    return sum(os.times()[:4])


def _create(path: Path, backing: Path, *more: str) -> None:
    named = ("-b", backing, "-F", "qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *named, *more, path], check=True)


def _like(value: str, draw: random.Random) -> str:
    """Another value of the same shape."""
    return "".join(f"{draw.randrange(16):x}" if c in "0123456789abcdef" else c for c in value)


def _room(folder: Path) -> int:
    """Bytes that the file system has given to what is in *folder*."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _measured(command: list[str | Path]) -> dict[str, Any]:
    """Wall time in seconds, and the most memory the process has had, in MB."""
    began = time.monotonic()
    # By a small process: a child begins with the most memory that its parent has had.
    told = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURE, *command], check=True, capture_output=True, text=True
    )
    seconds = time.monotonic() - began
    used, memory = map(float, told.stdout.split())
    return {
        "seconds": round(seconds, 2),
        "processor seconds": round(used, 2),
        "peak memory, MB": round(memory / 1024),
    }


_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def _unique(vms: Path) -> dict[str, Any]:
    """How many machines and values there are; fails when a value is there twice."""
    machines, values = 0, []
    for path in vms.iterdir():
        if path.name.startswith("."):
            continue
        document = json.loads((path / "machine.json").read_text())
        for file in document["files"]:
            assert (path / file["path"]).stat().st_size == file["size"], path
        machines += 1
        machine = document["machine"]
        values += [*machine["identifiers"].values(), machine["instance_id"]]
        values += [each["new"] for each in machine["values"]]
    assert len(values) == len(set(values)), "a value was given twice"
    return {"machines": machines, "values, each once": len(values)}


def _tell(step: str) -> None:
    print(f"  {step} ...", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--scale", type=int, nargs="*", default=[10, 100, 10000])
    parser.add_argument("--each", type=int, default=2500, help="machines of each of four processes")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--without", nargs="*", default=[])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=debian.cache_directory()) as name:
        bench = Bench(Path(name))
        count = asked.machines
        parts = {
            "preparation": bench.prepare,
            "machines": lambda: bench.machines(count),
            "disks alone": lambda: bench.disks_alone(count),
            "qemu-img create": lambda: bench.qemu_img(count),
            "virt-sysprep": bench.virt_sysprep,
            "scale": lambda: [bench.machines(each) for each in asked.scale],
            "ledger": lambda: bench.one_ledger(asked.each),
            "kills": lambda: bench.killed(asked.kills, 40),
            "clusters": bench.clusters,
        }
        for part, measure in parts.items():
            if part not in asked.without:
                print(
                    json.dumps({part: measure(), "load": round(os.getloadavg()[0], 1)}), flush=True
                )


if __name__ == "__main__":
    main()
