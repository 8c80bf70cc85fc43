"""The Proxmox VE hookscript of the examples, with programs that stand in for ``qm`` and ``pvesm``.

What these print has the form that ``qm config`` and ``pvesm path`` print (qemu-server,
libpve-storage-perl).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import command
from tests.support.disk_images import digest
from tests.support.disks import BARE_ROOT, Part, make_disk

pytestmark = pytest.mark.slow

HOOK = Path(__file__).resolve().parents[2] / "examples" / "proxmox" / "unclone-hook"

CONFIG = """\
boot: order=net0;scsi1;ide2
cores: 2
ide2: none,media=cdrom
ide3: local:iso/seed.iso,media=cdrom,size=4M
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0
scsi0: local:101/vm-101-disk-0.raw,size=24M
scsi1: local:101/vm-101-disk-1.raw,iothread=1,size=40M
scsihw: virtio-scsi-single
smbios1: uuid=11111111-2222-4333-8444-555555555555
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder with the programs, the machine's configuration, and its disks: data, and system."""
    root = {
        **BARE_ROOT,
        "/usr/lib/systemd/systemd": "ELF",
        "/etc/fstab": "",
        "/etc/machine-id": f"{'1' * 32}\n",
    }
    make_disk(tmp_path / "vm-101-disk-0.raw", [Part("ext4")])
    make_disk(tmp_path / "vm-101-disk-1.raw", [Part("ext4", tree=root)])
    (tmp_path / "config").write_text(CONFIG)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "qm").write_text(
        f'#!/bin/sh\n[ "$1 $2" = "config 101" ] && cat {tmp_path}/config\n'
    )
    (programs / "pvesm").write_text(
        "#!/bin/sh\n"
        f'case "$1 $2" in "path local:101/"*) echo "{tmp_path}/${{2##*/}}" ;; *) exit 255 ;; esac\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    return tmp_path


def hook(host: Path, phase: str, vm: str = "101") -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(host / "bin"), str(command.PROGRAM.parent), os.environ["PATH"]))
    return subprocess.run(
        [HOOK, vm, phase],
        env={**os.environ, "PATH": path, "UNCLONE_STATE": str(host / "state")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def digests(host: Path) -> list[str]:
    return [digest(host / f"vm-101-disk-{number}.raw") for number in (0, 1)]


def test_a_clone_is_sanitised_before_its_first_start_and_not_again(host: Path) -> None:
    original = digests(host)
    assert hook(host, "post-start").returncode == 0
    assert digests(host) == original
    first = hook(host, "pre-start")
    assert first.returncode == 0, first.stderr
    done = digests(host)
    assert all(new != old for new, old in zip(done, original, strict=True))
    shown = command.unclone("inspect", host / "vm-101-disk-1.raw").stdout
    assert "1" * 32 not in shown
    assert hook(host, "pre-start").returncode == 0
    assert digests(host) == done
    clone = CONFIG.replace("11111111", "22222222")
    (host / "config").write_text(clone)
    assert hook(host, "pre-start").returncode == 0
    assert digests(host) != done


def test_a_clone_that_cannot_be_sanitised_does_not_start(host: Path) -> None:
    (host / "vm-101-disk-1.raw").write_bytes(bytes(1024 * 1024))
    failed = hook(host, "pre-start")
    assert failed.returncode == 4
    assert "vm-101-disk-1.raw" in failed.stderr
    assert not (host / "state").exists()
    assert hook(host, "pre-start").returncode == 4


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (CONFIG.replace("smbios1", "vmgenid"), "no SMBIOS UUID"),
        (CONFIG.replace("scsi", "unused"), "no disk"),
        (CONFIG.replace("local:101", "gone:101"), ""),
    ],
)
def test_what_is_missing_stops_the_start(host: Path, config: str, says: str) -> None:
    before = digests(host)
    (host / "config").write_text(config)
    failed = hook(host, "pre-start")
    assert failed.returncode != 0
    assert says in failed.stderr
    assert digests(host) == before
