"""A guest like RHEL 9 with systemd-boot's places: what would bring the old identity back goes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import sanitized
from tests.support.disks import BARE_ROOT, Part, make_disk
from tests.support.initrds import archive, compress
from tests.support.tree import plant
from unclone.sanitize.boot.compression import Compression

if TYPE_CHECKING:
    from pathlib import Path

ID = "0123456789abcdef0123456789abcdef"
UUID, SERIAL = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb", "7C3E-A91B"
NQN = f"nqn.2014-08.org.nvmexpress:uuid:{UUID[::-1]}"
ENTRY = f"{ID}-5.14.0-427.el9.x86_64"
CREDENTIAL = "systemd.set_credential_binary=system.machine_id:"
COPIES = {
    "/etc/machine-id": f"{ID}\n",
    "/etc/nvme/hostnqn": f"{NQN}\n",
    "/etc/lvm/devices/system.devices": "VERSION=1.1.1\nIDTYPE=sys_wwid IDNAME=x\n",
}
ARGUMENTS = (
    f"root=UUID={UUID} ro systemd.machine_id={ID} rd.nvmf.hostnqn={NQN} systemd.hostname=golden "
    f"{CREDENTIAL}{base64.b64encode(ID.encode()).decode()}"
)


def guest(folder: Path) -> Path:
    plant(folder / "initrd", COPIES)
    initrd = compress(Compression.ZSTD, archive(folder / "initrd"))
    tree = {
        **BARE_ROOT,
        **COPIES,
        "/etc/os-release": "ID=rhel\nID_LIKE=fedora\n",
        "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\nUUID={SERIAL} /boot/efi vfat ro 0 2\n",
        "/usr/lib/systemd/systemd": "ELF",
        "/etc/credstore/system.machine_id": ID,
        "/etc/credstore.encrypted/system.machine_id": "Whxqht+dQJax1aZeCGLxmw==\n",
        f"/boot/initramfs-0-rescue-{ID}.img": initrd,
        f"/boot/loader/entries/{ENTRY}.conf": f"linux /vmlinuz\noptions {ARGUMENTS}\n",
        "/boot/efi": None,
    }
    esp = {"/loader/credentials/system.machine_id.cred": "Whxqht+dQJax1aZeCGLxmw==\n"}
    parts = [Part("ext4", uuid=UUID, tree=tree), Part("vfat", uuid=SERIAL, tree=esp)]
    return make_disk(folder / "disk.qcow2", parts, form="qcow2")


def steps(found: dict[str, Any]) -> dict[str, int]:
    wanted = [f"{place}-machine-id" for place in ("credential", "kernel", "initrd")]
    wanted += ["initrd-copies", "kernel-identities"]
    counted = [change["step"] for change in found["changes"]]
    return {step: counted.count(step) for step in wanted if step in counted}


@pytest.mark.slow
def test_the_dry_run_says_what_the_run_does_and_a_second_run_has_nothing_to_do(
    tmp_path: Path,
) -> None:
    image = guest(tmp_path)
    planned = sanitized(image, "--dry-run")
    done = sanitized(image)
    assert steps(planned) == steps(done)
    assert steps(done) == {
        "credential-machine-id": 3,
        "kernel-machine-id": 2,
        "initrd-machine-id": 1,
        "initrd-copies": 1,
        "kernel-identities": 1,
    }
    names = {each["value"]: each["paths"] for each in done["inventory"]["host_names"]}
    assert any("/boot/loader/entries/" in path for path in names["golden"])
    assert steps(sanitized(image, "--dry-run")) == {}
