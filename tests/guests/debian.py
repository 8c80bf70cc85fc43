"""A real Debian 12 guest from Debian's packages: no root, no loop device, no virtual machine.

``python -m tests.guests.debian OUT.qcow2`` builds one; :func:`cached` builds it once per recipe and
keeps it. The disk is what an installed cloud image looks like (GPT, an ESP with Debian's signed
GRUB, an ext4 root that the kernel command line mounts read-only, swap), and it has been lived in:
there is an identity to take away (see ``identity.py``).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from images.errors import ToolError, UncloneError
from images.process import run
from tests.guests import disk, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUITE = "bookworm"
SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")

#: The standard address, used only where the host itself has no Debian mirror configured.
FALLBACK = (
    f"deb http://deb.debian.org/debian {SUITE} main",
    f"deb http://deb.debian.org/debian {SUITE}-updates main",
    f"deb http://deb.debian.org/debian-security {SUITE}-security main",
)

PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "dbus",
    "e2fsprogs",
    "grub-efi-amd64-bin",
    "grub-efi-amd64-signed",
    "grub2-common",
    "ifupdown",
    "initramfs-tools",
    "iproute2",
    "isc-dhcp-client",
    "linux-image-cloud-amd64",
    "netbase",
    "openssh-server",
    "systemd",
    "systemd-sysv",
    "udev",
    "zstd",
)

#: Nobody reads manuals in this guest; without them it builds and copies faster.
UNPACKED = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)

#: A mirror of Debian itself: other repositories use the same suite and component names.
MIRROR = re.compile(r"/debian(-security)?(/\d{8}T\d{6}Z)?/?$")


def cached(say: Callable[[str], None] = lambda _: None) -> Path:
    """Return the guest for the present recipe, building it first where the cache has none.

    The file is read-only and shared: work on a copy, or on an overlay. Two processes that ask at
    the same time build it once. The cache is ``~/.cache/unclone-tests`` or ``UNCLONE_TEST_CACHE``.
    """
    image = cache_directory() / f"debian-12-{recipe()}.qcow2"
    with _locked(image.with_suffix(".lock")):
        if not image.exists():
            build(image, say)
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


def build(out: Path, say: Callable[[str], None] = lambda _: None) -> None:
    """Build the guest as *out* (qcow2). It appears under that name only when it is complete."""
    if os.uname().machine != "x86_64":
        raise UncloneError("the test guest is amd64 and is built on an amd64 host")
    _clear_leftovers(out)
    # Not in /tmp: that may be small, or a tmpfs. The unpacked guest takes about 2 GB for a while.
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        work = Path(scratch)
        ids = disk.Identifiers.fresh()
        say(f"Fetching and installing {SUITE} ({len(PACKAGES)} packages and what they need)")
        _bootstrap(work / "base.tar", work, ids)
        say("Adding the traces of a life: keys, journal, leases, cloud-init's state")
        identity.write_overlay(work / "overlay.tar", ids)
        say("Making the disk: GPT, ESP, ext4, swap")
        disk.assemble(work, ids)
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", work / "disk.raw", work / "done"])
        os.rename(work / "done", out)


def mirrors() -> list[str]:
    """Return ``deb`` lines for the guest: the host's own Debian mirrors where it has any."""
    if shutil.which("apt-get") is None:
        return list(FALLBACK)
    listed = run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ]
    ).stdout.decode()
    found: dict[str, str] = {}
    for line in listed.splitlines():
        uri, release, component = line.split(" ")
        if release in SUITES and component == "main" and MIRROR.search(uri):
            found.setdefault(release, f"deb {uri} {release} main")
    return list(found.values()) if SUITE in found else list(FALLBACK)


def _bootstrap(tarball: Path, work: Path, ids: disk.Identifiers) -> None:
    # The initramfs records the swap partition to resume from, as the installer has it.
    resume = (
        'mkdir -p "$1/etc/initramfs-tools/conf.d" && '
        f'echo RESUME=UUID={ids.swap} > "$1/etc/initramfs-tools/conf.d/resume"'
    )
    # Without root, mmdebstrap works as another user id, which cannot look into a home directory.
    scratch = str(work) if os.geteuid() == 0 else "/var/tmp"
    log = work / "mmdebstrap.log"
    command = [
        "mmdebstrap",
        f"--logfile={log}",
        "--mode=auto",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        *(f"--dpkgopt={option}" for option in UNPACKED),
        *(f"--aptopt={option}" for option in ('Acquire::Retries "3";', *_proxies())),
        f"--essential-hook={resume}",
        "--format=tar",
        SUITE,
        str(tarball),
        *mirrors(),
    ]
    try:
        run(command, timeout=1800, env={"DEBIAN_FRONTEND": "noninteractive", "TMPDIR": scratch})
    except ToolError as error:
        last = log.read_text(errors="replace").splitlines()[-20:] if log.exists() else []
        raise ToolError("\n".join([error.message, *last])) from error


def _proxies() -> list[str]:
    """The host's own way out, which mmdebstrap does not take over by itself."""
    if shutil.which("apt-config") is None:
        return []
    dump = run(["apt-config", "dump"]).stdout.decode()
    return re.findall(r"^Acquire::https?::Proxy\b.*;$", dump, re.MULTILINE | re.IGNORECASE)


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
    parser = argparse.ArgumentParser(description="Build the Debian guest the tests use.")
    parser.add_argument("out", type=Path, nargs="?", help="where to put it (default: the cache)")
    wanted = parser.parse_args()
    try:
        if wanted.out is None:
            print(cached(lambda step: print(f"  {step} ...", flush=True)))
        else:
            build(wanted.out.absolute(), lambda step: print(f"  {step} ...", flush=True))
    except UncloneError as error:
        print(f"error: {error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
