"""What is in an image, read by other people's code: guestfish, qemu-img, e2fsck.

The tests and the demo judge unclone by this, so nothing here may import it. One start of
guestfish reads everything asked for from all images at once, because a start takes about 20 s
where there is no KVM.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The partitions of the guest that tests/guests builds.
ROOT, ESP = 2, 1
MIB = 1024 * 1024


@dataclass(frozen=True)
class Found:
    """One path of a guest. ``kind`` is file, directory, symlink, other or missing."""

    kind: str
    content: bytes = b""  # of a file
    names: tuple[str, ...] = ()  # of a directory
    leads_to: str = ""  # of a symlink

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "surrogateescape").strip()


def read(images: Sequence[Path], paths: Sequence[str]) -> list[Mapping[str, Found]]:
    """Return, for each of *images* (qcow2), what is found at each of *paths* in its root."""
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        script = []
        for number, _ in enumerate(images):
            disk = f"/dev/sd{chr(ord('a') + number)}"
            script += [f"mount-ro {disk}{ROOT} /", f"mount-ro {disk}{ESP} /boot/efi"]
            for index, path in enumerate(paths):
                script += _questions(path, here / f"{number}-{index}")
            script.append("umount-all")
        _guestfish(images, script)
        return [
            {path: _answer(here / f"{number}-{index}") for index, path in enumerate(paths)}
            for number, _ in enumerate(images)
        ]


def fingerprint(public_key: bytes) -> str:
    """Return the SHA256 fingerprint of an OpenSSH public key."""
    done = subprocess.run(
        ["ssh-keygen", "-lf", "-"], input=public_key, capture_output=True, check=True, timeout=60
    )
    return done.stdout.decode().split()[1]


def check_image(image: Path) -> Mapping[str, Any]:
    """Return what ``qemu-img check`` says. Raises when it finds errors or leaks (status 2, 3)."""
    done = subprocess.run(
        ["qemu-img", "check", "-f", "qcow2", "--output=json", image],
        capture_output=True,
        check=True,
        timeout=300,
    )
    told: Mapping[str, Any] = json.loads(done.stdout)
    return told


def identifiers(image: Path, work: Path) -> Mapping[tuple[str, str], str]:
    """What blkid and sfdisk say of *image*: values by kind and device, in the report's words."""
    kinds = {"vfat": "vfat-serial", "swap": "swap-uuid"}
    raw = work / "whole.raw"
    run = partial(
        subprocess.run, capture_output=True, check=True, timeout=300, env=environment(), text=True
    )
    run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw])
    table = json.loads(run(["sfdisk", "--json", raw]).stdout)["partitiontable"]
    found = {("disk-guid", "/dev/sda"): table["id"]}
    for number, partition in enumerate(table["partitions"], start=1):
        device = f"/dev/sda{number}"
        found["partition-guid", device] = partition["uuid"]
        start, size = (str(partition[key] * 512) for key in ("start", "size"))
        said = run(["blkid", "-p", "-o", "export", "-O", start, "-S", size, raw]).stdout
        tags = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        found[kinds.get(tags["TYPE"], "file-system-uuid"), device] = tags["UUID"]
    raw.unlink()
    return found


def check_file_systems(image: Path, work: Path) -> str:
    """Run ``e2fsck -fn`` and ``fsck.vfat -n`` on copies of the partitions; raise when not clean."""
    raw = work / "whole.raw"
    subprocess.run(
        ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw], check=True, timeout=300
    )
    listed = subprocess.run(
        ["sfdisk", "--json", raw], capture_output=True, check=True, timeout=60, env=environment()
    )
    partitions = json.loads(listed.stdout)["partitiontable"]["partitions"]
    said = ""
    for number, checker in ((ROOT, ["e2fsck", "-fn"]), (ESP, ["fsck.vfat", "-n"])):
        start, size = (int(partitions[number - 1][key]) * 512 for key in ("start", "size"))
        part = work / f"partition{number}"
        subprocess.run(
            [
                *("dd", f"if={raw}", f"of={part}", "bs=1M", "conv=sparse", "status=none"),
                *(f"skip={start // MIB}", f"count={size // MIB}"),
            ],
            check=True,
            timeout=300,
        )
        done = subprocess.run(
            [*checker, part], capture_output=True, check=False, timeout=300, env=environment()
        )
        words = (done.stdout + done.stderr).decode()
        assert done.returncode == 0, words
        said += words
        part.unlink()
    raw.unlink()
    return said


def environment() -> dict[str, str]:
    """The environment for the tools: libguestfs does not notice by itself that KVM is broken."""
    settings = "" if os.environ.get("UNCLONE_TEST_ACCEL") == "kvm" else "force_tcg"
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return {
        "LIBGUESTFS_BACKEND_SETTINGS": settings,
        **os.environ,
        "LC_ALL": "C.UTF-8",
        "PATH": path,
    }


def _questions(path: str, answer: Path) -> list[str]:
    """Each on a line of its own; one that fails leaves its answer empty."""
    quoted = _quoted(path)
    return [
        f"is-symlink {quoted} | cat > {answer}.symlink",
        f"is-file {quoted} | cat > {answer}.file",
        f"is-dir {quoted} | cat > {answer}.directory",
        f"exists {quoted} | cat > {answer}.other",
        f"-readlink {quoted} | cat > {answer}.leads-to",
        f"-ls {quoted} | cat > {answer}.names",
        f"-download {quoted} {answer}.content",
    ]


def _answer(answer: Path) -> Found:
    def told(what: str) -> str:
        return Path(f"{answer}.{what}").read_text("utf-8", "surrogateescape").strip()

    kinds = ("symlink", "file", "directory", "other")
    kind = next((kind for kind in kinds if told(kind) == "true"), "missing")
    return Found(
        kind,
        content=Path(f"{answer}.content").read_bytes() if kind == "file" else b"",
        names=tuple(told("names").splitlines()) if kind == "directory" else (),
        leads_to=told("leads-to") if kind == "symlink" else "",
    )


def _guestfish(images: Sequence[Path], script: Sequence[str]) -> None:
    drives = [word for image in images for word in ("--format=qcow2", "-a", str(image))]
    done = subprocess.run(
        ["guestfish", "--ro", *drives],
        input="\n".join(["run", *script, ""]).encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
        timeout=600,
        env=environment(),
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
