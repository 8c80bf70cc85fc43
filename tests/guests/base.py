"""The installed packages of every Debian guest, and an initrd for each variant: one tarball.

Only this part needs a network. The initrds are made where the packages are installed, by Debian's
own ``mkinitramfs`` from the files of each variant, so that they hold what real ones hold.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import tarfile
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests.variants import VARIANTS, Identifiers, Variant
from unclone.images.errors import ToolError
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    "cryptsetup-initramfs",
    "dbus",
    "e2fsprogs",
    "grub-efi-amd64-bin",
    "grub-efi-amd64-signed",
    "grub-pc-bin",
    "grub2-common",
    "ifupdown",
    "initramfs-tools",
    "iproute2",
    "isc-dhcp-client",
    "linux-image-cloud-amd64",
    "lvm2",
    "netbase",
    "openssh-server",
    "systemd",
    "systemd-sysv",
    "udev",
    "xfsprogs",
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

#: Where the initrds of the variants are in the tarball; each guest gets its own and no other.
INITRDS = "/var/lib/unclone-initrds"


def recipe() -> str:
    """Return what names the recipe: a hash over this file and what initrds are made from."""
    named = Identifiers("root", "boot", "swap", "luks", "esp", "key")
    files = {name: variant.files(named) for name, variant in VARIANTS.items()}
    said = json.dumps(files, sort_keys=True).encode()
    return hashlib.sha256(Path(__file__).read_bytes() + said).hexdigest()[:12]


def build(tarball: Path, say: Callable[[str], None]) -> None:
    """Make *tarball*, and the identifiers its initrds hold beside it (:func:`identifiers`)."""
    chosen = {name: Identifiers.fresh() for name in VARIANTS}
    with tempfile.TemporaryDirectory(prefix=f".{tarball.name}.", dir=tarball.parent) as scratch:
        work = Path(scratch)
        say(f"Fetching and installing {SUITE} ({len(PACKAGES)} packages and what they need)")
        _bootstrap(work / "base.tar", work, chosen)
        told = {
            "kernel": _kernel(work / "base.tar"),
            "identifiers": {name: asdict(ids) for name, ids in chosen.items()},
        }
        tarball.with_suffix(".json").write_text(json.dumps(told, indent=1))
        os.rename(work / "base.tar", tarball)


def kernel(tarball: Path) -> str:
    """Return the version of the kernel in *tarball*, as file names have it."""
    return str(json.loads(tarball.with_suffix(".json").read_text())["kernel"])


def identifiers(tarball: Path, variant: Variant) -> Identifiers:
    """Return the identifiers that *variant* has to have for its initrd in *tarball*."""
    told = json.loads(tarball.with_suffix(".json").read_text())
    return Identifiers(**told["identifiers"][variant.name])


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


def _bootstrap(tarball: Path, work: Path, chosen: Mapping[str, Identifiers]) -> None:
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
        f"--customize-hook={_initrds(chosen)}",
        "--format=tar",
        SUITE,
        str(tarball),
        *mirrors(),
    ]
    # INITRD=No: the kernel's own script would make one that no guest uses.
    env = {"DEBIAN_FRONTEND": "noninteractive", "TMPDIR": scratch, "INITRD": "No"}
    try:
        run(command, timeout=1800, env=env)
    except ToolError as error:
        last = log.read_text(errors="replace").splitlines()[-20:] if log.exists() else []
        raise ToolError("\n".join([error.message, *last])) from error


def _kernel(tarball: Path) -> str:
    with tarfile.open(tarball) as members:
        names = [member.name for member in members]
    (found,) = (name for name in names if name.startswith("./boot/vmlinuz-"))
    return found.removeprefix("./boot/vmlinuz-")


def _initrds(chosen: Mapping[str, Identifiers]) -> str:
    """The shell script that makes every variant's initrd in the tree ``$1``, and leaves no trace.

    It is a hook's text and no file, because mmdebstrap may work as a user who cannot read ours.
    """
    lines = [
        "set -e",
        'kernel=$(ls "$1/lib/modules")',
        f'mkdir -p "$1{INITRDS}"',
        'cp -a "$1/etc" "$1/etc.installed"',
    ]
    for name, ids in chosen.items():
        for path, content in VARIANTS[name].files(ids).items():
            lines.append(f'mkdir -p "$1{os.path.dirname(path)}"')
            lines.append(f'printf %s {shlex.quote(content)} >"$1{path}"')
            if content.startswith("#!"):
                lines.append(f'chmod 755 "$1{path}"')
        lines.append(f'chroot "$1" mkinitramfs -o {INITRDS}/{name} "$kernel"')
        lines.append('rm -rf "$1/etc"')
        lines.append('cp -a "$1/etc.installed" "$1/etc"')
    return "\n".join([*lines, 'rm -rf "$1/etc.installed"'])


def _proxies() -> list[str]:
    """The host's own way out, which mmdebstrap does not take over by itself."""
    if shutil.which("apt-config") is None:
        return []
    dump = run(["apt-config", "dump"]).stdout.decode()
    return re.findall(r"^Acquire::https?::Proxy\b.*;$", dump, re.MULTILINE | re.IGNORECASE)
