"""unclone with each engine and virt-sysprep: time, CPU, memory and bytes, in turns.

    .venv/bin/python -m benchmarks.engines                       # one image, three rounds
    .venv/bin/python -m benchmarks.engines --images 32 --rounds 1 --without virt-sysprep guestfs
    .venv/bin/python -m benchmarks.engines --made-of 30000 --gib 20    # a guest made for this
    .venv/bin/python -m benchmarks.engines --uuids renew         # and every reference rewritten
    .venv/bin/python -m benchmarks.engines --guest disk.qcow2 --markdown
    .venv/bin/python -m benchmarks.engines --guest xfs --uuids renew    # or btrfs, or lvm
    .venv/bin/python -m benchmarks.engines --guest xfs --uuids renew --batch 8 --rounds 1

Every run gets fresh copies of the guest, read once so that all find the same page cache; the
interpreter's start is part of the time. UUIDs stay as they are, as virt-sysprep leaves them,
unless ``--uuids renew`` says otherwise. A ratio is of one round, and the median of them is shown:
how many times the wall time, and the CPU time, of an image with the first contestant. With
``--batch`` the first one takes its turn with so many images as well, and the ratios to that are
in the lines below the table.

On a machine that does other things, ``chrt --rr 1`` before the command gives every contestant the
processors to itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests import debian
from tests.support import families, readback
from tests.support.disks import Part, make_disk, make_file_system
from tests.support.lvm import make_physical_volume
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

UNCLONE = Path(sys.executable).with_name("unclone")

#: What a guest can be made with, and the type of its root; those of the tests, as they call them.
_KINDS = {"ext4": "ext4", "xfs": "xfs", "btrfs": "btrfs", "lvm": "xfs"}
_BUILT = {"ext4": debian.USUAL, "xfs": "xfs"}
#: Files of a guest that is made, unless the number is given.
_FILES = 15_000

#: Seconds between two looks at how much memory a run uses.
_PERIOD = 0.02


@dataclass
class Measured:
    """The runs of one contestant: seconds, CPU seconds, peak bytes (PSS), bytes added."""

    images: int
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: int = 0
    added: list[int] = field(default_factory=list)


def main() -> int:
    options = _options()
    found = _contestants(options.uuids, options.guest)
    contestants = {n: c for n, c in found.items() if n not in options.without}
    measured = {name: Measured(options.images) for name in contestants}
    first = next(iter(contestants))
    batch = f"each of {options.batch}"
    if options.batch:
        contestants[batch] = contestants[first]
        measured[batch] = Measured(options.batch)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        guest = _guest(Path(scratch), options)
        for number in range(options.rounds):
            for name, command in contestants.items():
                print(f"  round {number + 1}: {name} ...", file=sys.stderr, flush=True)
                images = _fresh(guest, Path(scratch), measured[name].images)
                _measure(measured[name], command, images)
        if not options.no_memory:
            for name, command in contestants.items():
                print(f"  memory: {name} ...", file=sys.stderr, flush=True)
                images = _fresh(guest, Path(scratch), measured[name].images)
                measured[name].memory = _weigh(command, images)
    _print(measured, markdown=options.markdown)
    for other in measured.keys() - {first, batch} if options.batch else ():
        times = _ratio(measured[other], measured[batch], "wall")
        spent = _ratio(measured[other], measured[batch], "cpu")
        print(f"{other}: {times:.1f} times the wall time of {batch}, {spent:.1f} times its CPU")
    return 0


def _guest(folder: Path, options: argparse.Namespace) -> Path:
    """What *options* name: an image, the tests' guest, or one made of so many files."""
    kind = options.guest or "ext4"
    if kind not in _KINDS:
        return Path(kind)
    if not options.made_of and kind in _BUILT:
        return debian.cached(
            lambda step: print(f"  {step} ...", file=sys.stderr), variant=_BUILT[kind]
        )
    form = _KINDS[kind]
    root = "/dev/vg/root" if kind == "lvm" else "/dev/sda1"
    tree = {
        **families.DEBIAN_12,
        "/usr/lib/systemd/systemd": "ELF",
        # What virt-sysprep knows a root file system by.
        "/bin": "-> usr/bin",
        "/usr/bin/true": "ELF",
        "/etc/debian_version": "12.0\n",
        "/etc/fstab": f"{root} / {form} defaults 0 1\n",
    }
    for number in range(options.made_of or _FILES):
        tree[f"/usr/share/made/{number % 300}/{number}"] = f"{number}\n" * 200
    if kind != "lvm":
        part = Part(form, tree=tree, size=options.gib * 1024 - 2)
        return make_disk(folder / "made.qcow2", [part], form="qcow2")
    content = make_file_system(folder / "root", Part(form, tree=tree, size=options.gib * 1024 - 8))
    volume, made = folder / "volume", folder / "made.qcow2"
    make_physical_volume(volume, "vg", {"root": content})
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", volume, made])
    content.unlink()
    volume.unlink()
    return made


def _contestants(uuids: str, kind: str) -> Mapping[str, Callable[[Sequence[Path]], None]]:
    """By name, what to do to the images: all in one command, or as many at once as processors."""
    # Of the two, the one that opens the guest; for an image that is named, what `auto` takes.
    quick = {"": "direct", "ext4": "direct"}.get(kind, "appliance" if kind in _KINDS else "auto")
    return {
        quick: lambda images: _unclone(images, quick, uuids),
        "guestfs": lambda images: _unclone(images, "guestfs", uuids),
        "virt-sysprep": partial(_each, _virt_sysprep),
    }


def _each(command: Callable[[Path], None], images: Sequence[Path]) -> None:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(command, images):
            pass


def _unclone(images: Sequence[Path], engine: str, uuids: str) -> None:
    given = ["--json", "--quiet", "--uuids", uuids, "--engine", engine]
    _start([UNCLONE, "sanitize", *given, *images])


def _virt_sysprep(image: Path) -> None:
    _start(["virt-sysprep", "--quiet", "--format", "qcow2", "-a", image])


def _start(argv: Sequence[str | Path]) -> None:
    # virt-sysprep does not notice by itself that KVM is broken; all are told the same. An
    # installed program has its modules compiled, whatever is set for whoever works on them.
    run(argv, env={**readback.environment(), "PYTHONDONTWRITEBYTECODE": ""}, timeout=3600)


def _fresh(guest: Path, folder: Path, count: int) -> Sequence[Path]:
    images = [folder / f"image-{number}.qcow2" for number in range(count)]
    for image in images:
        image.unlink(missing_ok=True)
        shutil.copyfile(guest, image)
        image.chmod(0o600)
        with image.open("rb") as file:
            # What the copy left to be written is not the contestant's to wait for.
            os.fsync(file.fileno())
    return images


def _measure(
    into: Measured, command: Callable[[Sequence[Path]], None], images: Sequence[Path]
) -> None:
    before = sum(_allocated(image) for image in images)
    cpu, started = _cpu(), time.monotonic()
    try:
        command(images)
    finally:
        into.wall.append(time.monotonic() - started)
        into.cpu.append(_cpu() - cpu)
    into.added.append(sum(_allocated(image) for image in images) - before)


def _weigh(command: Callable[[Sequence[Path]], None], images: Sequence[Path]) -> int:
    """The peak of what *command* uses; a run of its own, because looking takes time."""
    ended = threading.Event()
    peak = [0]
    watch = threading.Thread(target=_watch, args=(ended, peak))
    watch.start()
    try:
        command(images)
    finally:
        ended.set()
        watch.join()
    return peak[0]


def _allocated(image: Path) -> int:
    return image.stat().st_blocks * 512


def _cpu() -> float:
    """Seconds of the children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _watch(ended: threading.Event, peak: list[int]) -> None:
    """Keep the largest sum of what all descendants use at one time."""
    while not ended.wait(_PERIOD):
        peak[0] = max(peak[0], sum(_memory(process) for process in _descendants(os.getpid())))


def _descendants(process: int) -> Sequence[int]:
    found = [process]
    for parent in found:  # grows on the way
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found.extend(map(int, children.read_text().split()))
            except OSError:
                continue
    return found[1:]


def _memory(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # ended meanwhile
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _ratio(of: Measured, to: Measured, what: str) -> float:
    """How many times as much an image takes; the median of the rounds."""
    pairs = zip(getattr(of, what), getattr(to, what), strict=True)
    ratios: list[float] = [o * to.images / (t * of.images) for o, t in pairs]
    return statistics.median(ratios)


def _print(measured: Mapping[str, Measured], *, markdown: bool) -> None:
    head = ["", "images", "s", "s per image", "CPU s per image", "peak MB", "MB added"]
    head += ["ratio", "CPU ratio"]
    first = next(iter(measured.values()))
    rows = []
    for name, runs in measured.items():
        wall = statistics.median(runs.wall)
        images = runs.images
        rows.append(
            [
                name,
                f"{images}",
                f"{wall:.2f}",
                f"{wall / images:.2f}",
                f"{statistics.median(runs.cpu) / images:.2f}",
                f"{runs.memory / 1e6:.0f}" if runs.memory else "",
                f"{max(runs.added) / images / 1e6:.2f}",
                f"{_ratio(runs, first, 'wall'):.1f}",
                f"{_ratio(runs, first, 'cpu'):.1f}",
            ]
        )
    if markdown:
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    else:
        for row in [head, *rows]:
            print(f"{row[0]:14}" + "".join(f"{cell:>16}" for cell in row[1:]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = "a qcow2 image, or xfs, btrfs, lvm (XFS on it), ext4 (default: the tests' ext4 guest)"
    parser.add_argument("--guest", default="", help=kinds)
    parser.add_argument(
        "--made-of", type=int, metavar="FILES", help="make a guest of so many files"
    )
    parser.add_argument(
        "--gib", type=int, default=2, help="GiB of a guest that is made (default 2)"
    )
    parser.add_argument("--images", type=int, default=1, help="copies at a time (default 1)")
    parser.add_argument("--batch", type=int, help="also so many with the first one, in its turn")
    parser.add_argument("--uuids", choices=("keep", "renew"), default="keep")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--without", nargs="*", default=[], help="contestants to leave out")
    parser.add_argument("--no-memory", action="store_true", help="no further run for the memory")
    parser.add_argument("--folder", type=Path, help="where the copies go")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
