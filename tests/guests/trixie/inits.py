"""Small Debian 13 guests without systemd: sysvinit's init, which starts OpenRC.

Kernel, initrd and boot loader are those of the other small guests (``base.py``).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests import base
from tests.guests.debian import cache_directory
from tests.guests.trixie.base import Identifiers
from tests.guests.trixie.parts import ESP, ESP_MIB, LINUX, Builder, Part
from tests.support.debian_root import SUITE, mirrors
from unclone.images.process import run

if TYPE_CHECKING:
    from tests.guests.trixie.base import Base

_COMMON = ("sysvinit-core", "initscripts", "udev", "kmod", "dbus", "e2fsprogs", "openssh-server")
PACKAGES = {"openrc": (*_COMMON, "openrc")}

_MIB = 500

#: $1 the tarball, $2 that of the other guests, $3 the new file system, $4 its size. /dev is made by
#: the kernel; of the guest's kernel only its modules are here.
_UNPACK = r"""
set -e
mkdir tree
tar --extract --file "$1" --directory tree --numeric-owner --exclude './dev/*' \
    --exclude ./usr/share/locale --exclude ./var/lib/apt --exclude ./var/cache
tar --extract --file "$2" --directory tree ./usr/lib/modules
mkdir -p tree/efi tree/var/cache
rm -f tree/etc/ssh/ssh_host_*
cp -a --no-preserve=ownership overlay/. tree/
mke2fs -q -F -t ext4 -d tree "$3" "$4"
rm -r tree
"""


def build(init: str, packages: Base, prepared: Path, folder: Path) -> tuple[Path, Identifiers]:
    """Make the disk of a guest whose init is *init* in *folder*; return it and what it is."""
    folder.mkdir()
    ids = Identifiers.fresh()
    make = Builder(prepared, packages, ids, folder)
    _write_overlay(folder / "overlay", make)
    as_root = [] if os.geteuid() == 0 else ["fakeroot", "--"]
    image = prepared / f"{init}.img"
    arguments = [str(_cached(init)), str(packages.tarball), str(image), f"{_MIB}M"]
    script = f'cd "$0"\n{_UNPACK}'
    run([*as_root, "sh", "-c", script, str(folder), *arguments], timeout=600)
    esp = make.systemd_boot(
        {**make.entry(f"root=UUID={ids.root} ro"), "debian/initrd": prepared / "plain"}
    )
    root = make.root({}, image=image.name)
    image.unlink()
    return make.disk(Part(esp, ESP_MIB, ESP), Part(root, _MIB, LINUX), make.swap()), ids


def _write_overlay(overlay: Path, make: Builder) -> None:
    files = {
        "etc/hostname": "template\n",
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 template\n",
        "etc/fstab": make.fstab("/efi", make.swap_line()),
        "var/lib/dbus/machine-id": f"{make.ids.machine_id}\n",
    }
    for name, text in files.items():
        place = overlay / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (overlay / "etc/ssh").mkdir()
    for kind in ("ecdsa", "ed25519"):
        key = overlay / f"etc/ssh/ssh_host_{kind}_key"
        run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "root@template", "-f", key])


def _cached(init: str) -> Path:
    """The installed packages of a guest, as a tarball."""
    packages = ",".join(PACKAGES[init])
    recipe = hashlib.sha256(packages.encode()).hexdigest()[:12]
    tarball = cache_directory() / f"debian-13-{init}-{recipe}.tar"
    with tarball.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tarball.exists():
            _build(tarball, packages)
    return tarball


def _build(tarball: Path, packages: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{tarball.name}.", dir=tarball.parent) as scratch:
        made = Path(scratch) / tarball.name
        # Without root, mmdebstrap works as another user id, which cannot look into a home.
        temporary = scratch if os.geteuid() == 0 else "/var/tmp"
        command = [
            *("mmdebstrap", "--mode=auto", "--variant=minbase", "--format=tar"),
            f"--include={packages}",
            *(f"--dpkgopt={option}" for option in base.UNPACKED),
            '--aptopt=Acquire::Retries "3";',
            *(SUITE, str(made), *mirrors()),
        ]
        run(command, timeout=1800, env={"DEBIAN_FRONTEND": "noninteractive", "TMPDIR": temporary})
        made.rename(tarball)
