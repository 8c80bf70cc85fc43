"""A real kernel unpacks corrected initrds: every compression, each with its correction behind it.

One boot for all of them: an initrd may be any number of archives, so the corrected initrds are
put one behind the other, and a shell as init shows what became of them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.initrds import COMPRESSORS, archive, compress, microcode
from unclone.sanitize.boot import overriding
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.boot.initrd import survey

pytestmark = pytest.mark.boot

OLD = "11111111-2222-3333-4444-555555555555"
NEW = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

#: The modern lz4 frame is the one no kernel unpacks.
KERNELS_OWN = [one for one in COMPRESSORS if one is not Compression.LZ4]

#: Shell built-ins only; the kernel panics when its init ends, which ends QEMU.
INIT = """#!/bin/sh
echo PROOF begin
for file in /disks/*/*; do
    kind=file; [ -L "$file" ] && kind=link
    text=; { read -r text < "$file"; } 2>/dev/null
    echo "PROOF $kind $file: $text"
done
echo PROOF end
"""


def shell(root: Path) -> None:
    """A shell that runs as init, with the libraries it needs."""
    program = Path("/bin/sh").resolve()
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
    paths = [Path(word) for word in libraries.stdout.split() if word.startswith("/")]
    for path in (program, *paths):
        target = root / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (root / "bin").mkdir(exist_ok=True)
    shutil.copy(program, root / "bin/sh")
    (root / "dev").mkdir()
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)


def disk(root: Path, name: str) -> None:
    """Files that name a disk in every way one can."""
    folder = root / "disks" / name
    folder.mkdir(parents=True)
    (folder / "conf").write_text(f"UUID={OLD}\n")
    (folder / f"hook-{OLD}").write_text("hook\n")
    (folder / f"link-{OLD}").symlink_to(f"hook-{OLD}")
    (folder / f"shared-{OLD}").write_text("shared\n")
    (folder / "shared").hardlink_to(folder / f"shared-{OLD}")


def corrected(data: bytes) -> bytes:
    correction = overriding.correct(
        data, survey(data, [OLD.encode()]), lambda part: part.replace(OLD.encode(), NEW.encode())
    )
    return correction.applied(data)


def test_the_kernel_unpacks_every_correction(tmp_path: Path) -> None:
    kernels = sorted(Path("/boot").glob("vmlinuz-*"))
    assert kernels, "no kernel in /boot; the libguestfs appliance needs one too"
    image = microcode(tmp_path / "early")
    for compression in KERNELS_OWN:
        root = tmp_path / compression.name
        disk(root, compression.name)
        image += bytes(-len(image) % 4) + corrected(compress(compression, archive(root)))
        image += bytes(4)
    shell(tmp_path / "shell")
    image += bytes(-len(image) % 4) + archive(tmp_path / "shell")
    (tmp_path / "initrd").write_bytes(image)
    said = subprocess.run(
        ["qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-nographic", "-no-reboot",
         "-kernel", kernels[-1], "-initrd", tmp_path / "initrd",
         "-append", "console=ttyS0 panic=-1 quiet"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=600,
        check=False,
    ).stdout  # fmt: skip
    shown = [line.partition("PROOF ")[2].strip() for line in said.splitlines() if "PROOF " in line]
    assert "end" in shown, said[-3000:]
    for compression in KERNELS_OWN:
        folder = f"/disks/{compression.name}"
        assert [line for line in shown if f"{folder}/" in line] == [
            f"file {folder}/conf: UUID={NEW}",
            f"file {folder}/hook-{OLD}:",
            f"file {folder}/hook-{NEW}: hook",
            f"file {folder}/link-{OLD}:",
            f"link {folder}/link-{NEW}: hook",
            f"file {folder}/shared: shared",
            f"link {folder}/shared-{OLD}:",
            f"file {folder}/shared-{NEW}: shared",
        ]
