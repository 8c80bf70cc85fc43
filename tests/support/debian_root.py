"""A Debian root with its own Python, libraries and tools, and commands run inside it.

The root is built once with mmdebstrap and kept as a tarball in the cache of the guests; each use
unpacks it afresh, in a mount namespace of its own, and leaves nothing behind.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests import base
from tests.guests.debian import cache_directory
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUITE = "trixie"

#: The program's dependencies and pytest, what the program starts, and what its fast tests start:
#: all of it from the distribution.
PACKAGES = (
    *("python3", "python3-venv"),
    *("python3-click", "python3-cryptography", "python3-jsonschema", "python3-lz4"),
    *("python3-pycdlib", "python3-rich", "python3-yaml", "python3-zstandard"),
    *("python3-pytest", "python3-pytest-timeout", "python3-pytest-xdist", "python3-hypothesis"),
    *("qemu-utils", "qemu-system-x86"),
    *("e2fsprogs", "dosfstools", "fdisk", "mtools", "openssh-client", "openssl", "procps"),
    *("xfsprogs", "btrfs-progs", "exfatprogs", "f2fs-tools", "lvm2", "mdadm", "cryptsetup-bin"),
    *("bzip2", "cpio", "lz4", "xz-utils", "zstd", "binutils", "initramfs-tools-core"),
    *(
        "grub-common",
        "grub-pc-bin",
        "grub-efi-amd64-bin",
        "sbsigntool",
        "systemd",
        "systemd-boot-efi",
        "u-boot-tools",
    ),
    *("cloud-image-utils", "cloud-init", "genisoimage", "xorriso", "7zip"),
    *("libvirt-clients", "libxml2-utils"),
)

#: $1 the tarball, $2 an empty folder; then pairs "host folder" "folder in the root" up to "--",
#: then the command. Devices and /sys are the host's; the folders are copied, not written to.
_ENTER = """
set -e
tarball=$1 root=$2
shift 2
leave() {
    umount --recursive --lazy "$root"
    rm -rf --one-file-system "$root"
}
trap leave EXIT
tar --extract --file="$tarball" --directory="$root" --numeric-owner --exclude='./dev/*'
mount --bind "$root" "$root"  # so that the root is in its own table of mounts
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    cp -a "$1/." "$root$2"
    shift 2
done
shift
chroot "$root" "$@"
"""


def run_in_root(
    command: Sequence[str],
    *,
    folders: Mapping[Path, str],
    env: Mapping[str, str] | None = None,
    timeout: float = 900,
) -> subprocess.CompletedProcess[str]:
    """Run *command* inside a fresh copy of the root; *folders* (host: inside) are copied into it.

    Needs root or user namespaces, as mmdebstrap does. *timeout* is in seconds.
    """
    tarball = cached()
    as_root = [] if os.geteuid() == 0 else ["--map-root-user", "--map-auto"]
    # Not in /tmp: that may be small. The root takes about 1 GB for a while.
    with tempfile.TemporaryDirectory(prefix=".root.", dir=tarball.parent) as scratch:
        where = Path(scratch) / "root"
        where.mkdir()
        shared = [str(part) for pair in folders.items() for part in pair]
        inside = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        return subprocess.run(
            [
                *("unshare", *as_root, "--mount", "--pid", "--fork", "--kill-child"),
                *("sh", "-c", _ENTER, "enter"),
                *(str(tarball), str(where), *shared, "--"),
                *("env", "--ignore-environment"),
                *(f"{name}={value}" for name, value in {**inside, **(env or {})}.items()),
                *command,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )


def make_and_forget(suite: str, *hooks: str, scratch: Path) -> None:
    """Make a fresh root of *suite* with apt in it, run *hooks* as mmdebstrap(1) does, remove it.

    Each gets the path of the root as ``$1``. Fails with their output when one of them fails.
    """
    done = subprocess.run(
        [
            *("mmdebstrap", "--mode=auto", "--variant=apt", "--format=null"),
            *(f"--customize-hook={hook}" for hook in hooks),
            '--aptopt=Acquire::Retries "3";',
            *(suite, "/dev/null", *mirrors(suite)),
        ],
        env={**os.environ, "TMPDIR": str(scratch) if os.geteuid() == 0 else "/var/tmp"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stdout[-20_000:]


def cached() -> Path:
    """Return the tarball of the root, built where the cache has none for these packages."""
    recipe = json.dumps([SUITE, PACKAGES]).encode()
    digest = hashlib.sha256(recipe).hexdigest()[:12]
    tarball = cache_directory() / f"debian-13-root-{digest}.tar"
    with tarball.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tarball.exists():
            _build(tarball)
    return tarball


def _build(tarball: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{tarball.name}.", dir=tarball.parent) as scratch:
        made = Path(scratch) / tarball.name
        # Without root, mmdebstrap works as another user id, which cannot look into a home.
        env = {
            "DEBIAN_FRONTEND": "noninteractive",
            "TMPDIR": scratch if os.geteuid() == 0 else "/var/tmp",
        }
        command = [
            *("mmdebstrap", "--mode=auto", "--variant=minbase", "--format=tar"),
            f"--include={','.join(PACKAGES)}",
            *(f"--dpkgopt={option}" for option in base.UNPACKED),
            '--aptopt=Acquire::Retries "3";',
            *(SUITE, str(made), *mirrors()),
        ]
        run(command, timeout=1800, env=env)
        made.rename(tarball)


def mirrors(suite: str = SUITE) -> list[str]:
    """Return ``deb`` lines: the mirrors that the guests use, with this suite."""
    lines = [re.sub(rf"\b{base.SUITE}\b", suite, line) for line in base.mirrors()]
    return [line for line in lines if f"{suite}-updates" not in line]
