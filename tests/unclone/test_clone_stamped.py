"""Many machines at once: each is byte for byte what a full run would have made of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sanitize.boot.test_grub_features import KNOWS
from tests.support.command import unclone
from tests.support.disks import BARE_ROOT, ESP, MIB, Part, make_disk, make_file_system
from tests.support.lvm import GROUP_UUID, VOLUME_UUID, make_physical_volume
from tests.support.templates import copy_into
from tests.unclone.test_clone import DOMAIN, MAC
from unclone.images import clock, process
from unclone.images.chain import read_chain
from unclone.images.opening import IN_PLACE, Drive, open_guest, select_engine
from unclone.runs.clone import preparing
from unclone.runs.clone.deciding import look
from unclone.runs.clone.order import Order, made_from
from unclone.runs.clone.preparing import NotStampedError
from unclone.runs.clone.run import Run
from unclone.runs.listener import NullListener
from unclone.runs.request import Request
from unclone.runs.sanitize import sanitize
from unclone.sanitize.new_values import NewValues
from unclone.sanitize.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.slow

UUID, SWAP = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb", "cccccccc-1111-4222-8333-dddddddddddd"
HOME = "eeeeeeee-1111-4222-8333-ffffffffffff"
FSTAB = f"UUID={UUID} / ext4 defaults 0 1\nUUID={SWAP.upper()} none swap sw 0 0\n"
TREE: Mapping[str, str | bytes | None] = {
    **BARE_ROOT,
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/etc/fstab": FSTAB,
    "/boot/grub/grub.cfg": f"search --fs-uuid {UUID}\nlinux /vmlinuz root=UUID={UUID} ro\n",
    "/boot/grub/x86_64-efi/ext2.mod": bytes(100) + KNOWS,
    "/etc/systemd/network/10-eth.network": f"[Match]\nMACAddress={MAC}\n",
    "/usr/lib/systemd/systemd": "ELF",
    "/usr/bin/cloud-init": "#!/bin/sh\n",
    "/etc/cloud/cloud.cfg": "datasource_list: [NoCloud]\nssh_deletekeys: true\n",
}


class Batch(NullListener):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def fail(self, message: str, hint: str = "") -> None:
        self.said.append(f"{message} {hint}")


def golden_image(folder: Path, kind: str) -> Path:
    parts = [Part("ext4", uuid=UUID, tree=TREE), Part("swap", uuid=SWAP)]
    if kind == "no checksums":
        parts[0] = Part("ext4", uuid=UUID, tree=TREE, options=("-O", "^metadata_csum"))
    elif kind == "FAT":
        esp = {"/EFI/debian/grub.cfg": f"search --fs-uuid {UUID}\n"}
        parts.insert(0, Part("vfat", uuid="6D53-7C80", tree=esp, gpt_type=ESP))
        fstab = f"{FSTAB}UUID=6D53-7C80 /boot/efi vfat defaults 0 1\n"
        tree = {**TREE, "/etc/fstab": fstab, "/boot/efi": None}
        parts[1] = Part("ext4", uuid=UUID, tree=tree)
    table = "dos" if kind == "MBR" else "gpt"
    form = "raw" if kind == "raw" else "qcow2"
    return make_disk(folder / f"golden.{form}", parts, form=form, table=table)


def kernel_image(folder: Path, kind: str, *, machine_id: str = f"{0x1234:032x}\n") -> Path:
    """An image whose root only a kernel can prepare, unless the machine-id is ""."""
    path = folder / "golden.qcow2"
    if kind != "LVM":
        tree = {**TREE, "/etc/fstab": FSTAB.replace("ext4", kind), "/etc/machine-id": machine_id}
        return make_disk(
            path, [Part(kind, uuid=UUID, tree=tree), Part("swap", uuid=SWAP)], form="qcow2"
        )
    mapper = f"LVM-{GROUP_UUID}{VOLUME_UUID.format(0)}".replace("-", "").replace("LVM", "LVM-")
    fstab = f"/dev/disk/by-id/dm-uuid-{mapper} / ext4 defaults 0 1\nUUID={HOME} /home xfs 0 0\n"
    tree = {**TREE, "/etc/fstab": fstab, "/home": None}
    volumes = {
        "root": make_file_system(folder / "root.img", Part("ext4", uuid=UUID, tree=tree)),
        "home": make_file_system(folder / "home.img", Part("xfs", uuid=HOME)),
    }
    member = make_physical_volume(folder / "member.img", "my-vg", volumes)
    size = member.stat().st_size // MIB
    raw = make_disk(folder / "golden.raw", [Part("", size=size, gpt_type="lvm")], form="raw")
    copy_into(member, raw, MIB)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path], check=True)
    return path


@pytest.mark.parametrize("kind", ["GPT", "MBR", "FAT", "no checksums", "raw"])
def test_ten_machines_are_what_full_runs_make(tmp_path: Path, kind: str) -> None:
    golden = golden_image(tmp_path, kind)
    disk = assert_ten_are_as_made_in_full(golden, engine="direct")
    assert unclone("inspect", disk, "-q", "--allow-dir", tmp_path).returncode == 0


@pytest.mark.parametrize(("kind", "program"), [("xfs", "xfs_repair"), ("btrfs", "btrfs")])
def test_what_cannot_be_checked_is_not_stamped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, program: str
) -> None:
    golden = kernel_image(tmp_path, kind, machine_id="")
    definition = tmp_path / "golden.xml"
    definition.write_text(DOMAIN.format(folder=tmp_path, mac=MAC))
    order = Order(
        Request(golden, engine=IN_PLACE), ("web-1",), tmp_path / "vms", definition=definition
    )
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in (*os.get_exec_path(), *process.SYSTEM_FOLDERS):
        for path in Path(folder).glob("*"):
            if path.name != program and not (programs / path.name).is_symlink():
                (programs / path.name).symlink_to(path)
    looked = look(order, NullListener())
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(process, "SYSTEM_FOLDERS", ())
    with pytest.raises(NotStampedError, match=rf"\({kind}\) is not checked: {program} is not"):
        preparing.prepared(order, looked, made_from(order), NullListener())
    assert not list(tmp_path.glob("*.json"))  # the program may be installed later


@pytest.mark.appliance
@pytest.mark.parametrize("kind", ["xfs", "btrfs", "LVM"])
def test_so_they_are_where_a_kernel_has_prepared_the_image(tmp_path: Path, kind: str) -> None:
    """A full run checks with xfs_repair or e2fsck; a kernel mounts one and writes to it."""
    golden = kernel_image(tmp_path, kind)
    disk = assert_ten_are_as_made_in_full(golden, engine="in-place")
    made = json.loads((disk.parent / "machine.json").read_text())["machine"]["identifiers"]
    drive = Drive(disk, "qcow2", read_chain(disk, allow=[tmp_path]))
    with open_guest([drive], engine=select_engine("auto")) as guest:
        guest.write("/etc/hostname", b"written\n")
        seen = {f"{each.kind} {each.device}": each.value for each in guest.identifiers()}
    assert made.items() <= seen.items()


def assert_ten_are_as_made_in_full(golden: Path, *, engine: str) -> Path:
    """Make ten machines of *golden* from a stamp; each has the bytes that a run of *engine* makes.

    The disk of the first is returned.
    """
    folder = golden.parent
    names = tuple(f"web-{number}" for number in range(10))
    definition = folder / "golden.xml"
    text = DOMAIN.format(folder=folder, mac=MAC).replace("golden.qcow2", golden.name)
    definition.write_text(text)
    request = Request(golden, format="raw" if golden.suffix == ".raw" else "")
    order = Order(request, names, folder / "vms", definition=definition)
    listener = Batch()
    with clock.fixed(1_700_000_000):
        runs = Run(listener).clone(order)
        assert [each.error for each in runs] == [None] * 10
        assert not any("by itself" in text for text in listener.said), listener.said
        record = json.loads(next(folder.glob("*.prepared-*.json")).read_text())
        stand_ins, kept = record["stand_ins"], record["values"]
        assert kept == {}
        for run in runs:
            assert run.result is not None
            machine = run.result
            (prepared,) = map(Path, machine.backing)
            alone = folder / f"{machine.identity.name}.qcow2"
            identity = machine.identity
            options = Options(
                macs={stand_ins[old]: new for old, new in identity.macs.items()},
                disk_serials={stand_ins[old]: new for old, new in identity.disk_serials.items()},
            )
            values = NewValues(identity.machine_id, identity.identifiers)
            wanted = Request(
                prepared,
                engine=engine,
                outputs=(alone,),
                as_overlays=True,
                options=options,
                new_values=values,
            )
            assert sanitize(wanted).status == "done"
            compared = subprocess.run(
                ["qemu-img", "compare", machine.path / "disk.qcow2", alone],
                capture_output=True,
                text=True,
                check=False,
            )
            assert compared.returncode == 0, compared.stdout
    disk = folder / "vms/web-0/disk.qcow2"
    subprocess.run(["qemu-img", "check", "-q", disk], check=True)
    assert disk.stat().st_size < 300_000
    return disk


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"/boot/grub/x86_64-efi/ext2.mod": None}, "no GRUB that knows a checksum seed"),
        (
            {
                "/usr/bin/cloud-init": None,
                "/etc/cloud/cloud.cfg": None,
                "/etc/ssh/ssh_host_ed25519_key": "x",
                "/usr/sbin/sshd": "ELF",
            },
            "the guest has no cloud-init",
        ),
    ],
    ids=["old GRUB", "host keys"],
)
def test_what_cannot_be_stamped_is_sanitised_in_full(
    tmp_path: Path, change: dict[str, str | None], said: str
) -> None:
    tree = {path: text for path, text in {**TREE, **change}.items() if path not in change or text}
    parts = [Part("ext4", uuid=UUID, tree=tree), Part("swap", uuid=SWAP)]
    golden = make_disk(tmp_path / "golden.qcow2", parts, form="qcow2")
    done = unclone("clone", golden, "--name", "web-{}", "--count", "8", "-o", tmp_path / "vms")
    assert done.returncode == 0, done.stderr
    told = re.findall(
        r"each of 8 machines is sanitised by itself, .* at least .* s: (.*)", done.stderr
    )
    assert len(told) == 1
    assert said in told[0]
    assert len(list((tmp_path / "vms").iterdir())) == 8
    again = unclone("clone", golden, "--name", "db-{}", "--count", "8", "-o", tmp_path / "vms")
    assert "preparing" not in again.stderr  # the reason is remembered


def test_a_prepared_image_is_made_once_and_kept(tmp_path: Path) -> None:
    golden = golden_image(tmp_path, "GPT")
    many = ("--count", "8", "-o", tmp_path / "vms", "--json")
    first = unclone("clone", golden, "--name", "web-{}", *many)
    assert "preparing the golden image, once" in first.stderr
    (image,) = tmp_path.glob("golden.prepared-*.qcow2")
    before = image.stat()
    second = unclone("clone", golden, "--name", "db-{}", *many)
    assert "preparing" not in second.stderr
    assert image.stat() == before
    assert image.stat().st_mode & 0o222 == 0
    results = json.loads(first.stdout)["results"] + json.loads(second.stdout)["results"]
    assert {path for each in results for path in each["backing"]} == {str(image)}
    values = [v for each in results for v in each["machine"]["identifiers"].values()]
    assert len(values) == len(set(values))
    assert os.access(golden, os.W_OK)


def test_a_machine_whose_backing_file_is_gone_is_not_called_present(tmp_path: Path) -> None:
    golden = golden_image(tmp_path, "GPT")
    many = ("clone", golden, "--name", "web-{}", "--count", "8", "-o", tmp_path / "vms")
    assert unclone(*many).returncode == 0
    (image,) = tmp_path.glob("golden.prepared-*.qcow2")
    image.unlink()
    done = unclone(*many)
    assert done.returncode == 4
    assert "its backing file" in done.stderr
    assert unclone(*many, "--replace").returncode == 0
    assert len(list(tmp_path.glob("golden.prepared-*.qcow2"))) == 1


def test_a_prepared_image_without_its_record_is_not_replaced(tmp_path: Path) -> None:
    golden = golden_image(tmp_path, "GPT")
    many = ("clone", golden, "--count", "8", "-o", tmp_path / "vms")
    assert unclone(*many, "--name", "a-{}").returncode == 0
    (image,) = tmp_path.glob("golden.prepared-*.qcow2")
    (record,) = tmp_path.glob("golden.prepared-*.json")
    before = image.stat()
    record.write_text(json.dumps({"schema": preparing.SCHEMA, "reason": "", "images": 5}))
    assert unclone(*many, "--name", "b-{}").returncode == 0
    assert image.stat() == before
    assert len(list(tmp_path.glob("golden.prepared-*.qcow2"))) == 2


def test_stamped_machines_share_no_identity(tmp_path: Path) -> None:
    """Each folder is one machine; the golden image that all stand on is harmless."""
    golden = golden_image(tmp_path, "GPT")
    (tmp_path / "golden.xml").write_text(DOMAIN.format(folder=tmp_path, mac=MAC))
    vms, definition = tmp_path / "vms", tmp_path / "golden.xml"
    batch = ("--name", "web-{:02}", "--count", "50", "--definition", definition, "-o", vms)
    assert unclone("clone", "-q", golden, *batch).returncode == 0
    done = unclone("audit", "-q", "--no-cache", "--json", vms)
    assert done.returncode == 0, done.stdout
    (found,) = json.loads(done.stdout)["results"]
    assert [each["name"] for each in found["machines"]] == [f"web-{n:02}" for n in range(1, 51)]
    assert {each["kind"] for each in found["harmless"]} >= {"backing-file", "host-name"}
    assert found["unknown"] == []
