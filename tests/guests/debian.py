"""Real Debian 12 guests from Debian's packages: no root, no loop device.

``python -m tests.guests.debian OUT.qcow2`` builds one (``--variant`` says which, ``variants.py``
what there is); :func:`cached` builds it once per recipe and keeps it. The disk of the usual one is
what an installed cloud image looks like (GPT, an ESP with Debian's signed GRUB, an ext4 root that
the kernel command line mounts read-only, swap), and it has been lived in: there is an identity to
take away (see ``identity.py``).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests import base, disk, identity
from tests.guests.variants import VARIANTS
from unclone.images.errors import UncloneError
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The variant that is meant where none is named.
USUAL = "uefi"


def cached(say: Callable[[str], None] = lambda _: None, variant: str = USUAL) -> Path:
    """Return the guest *variant* for the present recipe, building it where the cache has none.

    The file is read-only and shared: work on a copy, or on an overlay. Two processes that ask at
    the same time build it once. The cache is ``~/.cache/unclone-tests`` or ``UNCLONE_TEST_CACHE``.
    """
    image = cache_directory() / f"debian-12-{variant}-{recipe()}.qcow2"
    with _locked(image.with_suffix(".lock")):
        if not image.exists():
            build(image, say, variant)
            image.chmod(0o444)
    return image


def cache_directory() -> Path:
    """Where built guests are kept; created if missing."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "unclone-tests"
    directory = Path(os.environ.get("UNCLONE_TEST_CACHE") or default)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def recipe() -> str:
    """Return what names the recipe: a hash over every file of this folder."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.iterdir()):
        if source.is_file():
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def build(out: Path, say: Callable[[str], None] = lambda _: None, variant: str = USUAL) -> None:
    """Build the guest as *out* (qcow2). It appears under that name only when it is complete."""
    if os.uname().machine != "x86_64":
        raise UncloneError("the test guest is amd64 and is built on an amd64 host")
    chosen = VARIANTS[variant]
    packages = _packages(say)
    ids = base.identifiers(packages, chosen)
    _clear_leftovers(out)
    # Not in /tmp: that may be small, or a tmpfs. The unpacked guest takes about 2 GB for a while.
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        work = Path(scratch)
        (work / "base.tar").symlink_to(packages)
        say("Adding the traces of a life: keys, journal, leases, cloud-init's state")
        identity.write_overlay(work / "overlay.tar", chosen, ids, base.kernel(packages))
        say(f"Making the disk: {chosen.title}")
        disk.assemble(work, chosen, ids, f"{base.INITRDS}/{variant}")
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", work / "disk.raw", work / "done"])
        os.rename(work / "done", out)


def key_file(variant: str, path: Path) -> Path:
    """Write what opens the LUKS container of *variant* to *path*; return *path*."""
    path.write_text(base.identifiers(_packages(print), VARIANTS[variant]).key)
    return path


def _packages(say: Callable[[str], None]) -> Path:
    """Return the tarball that all variants are made from, made once per recipe of its own."""
    tarball = cache_directory() / f"debian-12-base-{base.recipe()}.tar"
    with _locked(tarball.with_suffix(".lock")):
        if not tarball.exists():
            _clear_leftovers(tarball)
            base.build(tarball, say)
            tarball.chmod(0o444)
    return tarball


def _clear_leftovers(out: Path) -> None:
    """Remove what builds that were killed left behind. The caller holds the lock, if any."""
    for leftover in out.parent.glob(f".{out.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Command line: build (or copy from the cache) a guest under the given name."""
    parser = argparse.ArgumentParser(description="Build a Debian guest the tests use.")
    parser.add_argument("out", type=Path, nargs="?", help="where to put it (default: the cache)")
    parser.add_argument("--variant", choices=VARIANTS, default=USUAL)
    wanted = parser.parse_args()
    try:
        if wanted.out is None:
            print(cached(lambda step: print(f"  {step} ...", flush=True), wanted.variant))
        else:
            out = wanted.out.absolute()
            build(out, lambda step: print(f"  {step} ...", flush=True), wanted.variant)
    except UncloneError as error:
        print(f"error: {error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
