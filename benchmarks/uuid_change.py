"""What a new UUID costs on ext4: seconds, and bytes that change, in guests of two sizes.

    .venv/bin/python -m benchmarks.uuid_change                    # 2 and 20 GB, both engines
    .venv/bin/python -m benchmarks.uuid_change --without guestfs --rounds 5

The UUID is the seed of every metadata checksum, so that each inode, directory, extent block and
bitmap is written anew; file contents are not. "change" is setting the UUID alone, "check" the file
system check that has to follow, "added" what the overlay over the image holds afterwards: what is
copied into the image at the end (in clusters of 64 KiB).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from unclone.images.chain import read_chain
from unclone.images.engines.engine import Drive, no_keys
from unclone.images.opening import select_engine
from unclone.images.process import run
from unclone.images.volumes import Identifier, IdentifierKind

#: Gigabytes, and how many files of 4 KB are in them.
GUESTS = {2: 30_000, 20: 200_000}
#: Files in one directory, and bytes in one file.
_FILES, _SIZE = 15, 4096
_DISK = "/dev/sda"


@dataclass
class Measured:
    """The rounds of one engine on one guest."""

    change: list[float] = field(default_factory=list)
    check: list[float] = field(default_factory=list)
    added: list[int] = field(default_factory=list)


def main() -> int:
    options = _options()
    engines = [name for name in ("direct", "guestfs") if name not in options.without]
    print(f"{'guest':24}{'engine':10}{'change':>10}{'check':>10}{'added':>12}")
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        for gigabytes in options.sizes:
            image = Path(scratch) / f"{gigabytes}.qcow2"
            print(f"  making {gigabytes} GB ...", file=sys.stderr, flush=True)
            _make(image, gigabytes, GUESTS.get(gigabytes, 10_000 * gigabytes))
            for engine in engines:
                measured = Measured()
                for _ in range(options.rounds):
                    _measure(measured, image, engine)
                _print(gigabytes, engine, measured)
            image.unlink()
    return 0


def _make(image: Path, gigabytes: int, files: int) -> None:
    """An image that is one ext4 file system, as mke2fs makes it by default."""
    with tempfile.TemporaryDirectory(dir=image.parent) as work:
        tree, raw = Path(work) / "tree", Path(work) / "raw"
        for number in range(files):
            folder = tree / f"{number // _FILES // 100}/{number // _FILES % 100}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"file-{number}").write_bytes(number.to_bytes(4, "big") * (_SIZE // 4))
        with raw.open("wb") as file:
            file.truncate(gigabytes * 10**9 // 4096 * 4096)
        run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, raw], timeout=3600)
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], timeout=3600)


def _measure(into: Measured, image: Path, engine: str) -> None:
    overlay = image.with_suffix(".overlay")
    backing = ["-b", image.name, "-F", "qcow2"]
    run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, overlay])
    before = overlay.stat().st_blocks * 512
    drives = [Drive(overlay, "qcow2", read_chain(image))]
    opening = select_engine(engine).open(drives, keys=no_keys, read_only=False, say=lambda _: None)
    with opening as volumes:
        new = Identifier(IdentifierKind.FILE_SYSTEM_UUID, _DISK, str(uuid.uuid4()))
        started = time.monotonic()
        volumes.set_identifiers([new])
        changed = time.monotonic()
        result = volumes.begin_check(_DISK)()
        into.check.append(time.monotonic() - changed)
        into.change.append(changed - started)
        if result.state != "clean" or new not in volumes.identifiers():
            raise SystemExit(f"{engine}: {result.output}")
    into.added.append(overlay.stat().st_blocks * 512 - before)
    overlay.unlink()


def _print(gigabytes: int, engine: str, measured: Measured) -> None:
    guest = f"{gigabytes} GB, {GUESTS.get(gigabytes, 10_000 * gigabytes):,} files"
    change, check = statistics.median(measured.change), statistics.median(measured.check)
    added = statistics.median(measured.added) / 1e6
    print(f"{guest:24}{engine:10}{change:8.2f} s{check:8.2f} s{added:9.1f} MB", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a new UUID costs on ext4.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(GUESTS), help="gigabytes")
    parser.add_argument("--without", nargs="+", default=[], choices=["direct", "guestfs"])
    parser.add_argument("--folder", type=Path, help="where the guests are made")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
