"""Copies of identity files inside initrds become what the files on the disk become."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest

from tests.support.boot_images import unified_kernel
from tests.support.families import OLD, Tree
from tests.support.identified import ROOT, SWAP, IdentifiedVolumes, identified_guest, olds
from tests.support.initrds import archive, compress, unpack
from tests.support.tree import guest_at, plant
from unclone.sanitize.actions.follow_in_initrd import SIZE_LIMIT
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.boot.initrd import survey
from unclone.sanitize.change import Level
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.ssh.key import KeyFormat, encode, generate
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.change import Plan

INITRD = "/boot/initramfs-6.1.img"
ISCSI = "/etc/iscsi/initiatorname.iscsi"
NQN, HOST_ID = "/etc/nvme/hostnqn", "/etc/nvme/hostid"
LVM = "/etc/lvm/devices/system.devices"
WWIDS = "/etc/multipath/wwids"
UUID = "22222222-3333-4444-8555-666666666666"

#: As dracut copies them where it makes an initrd for one machine.
COPIES: Tree = {
    ISCSI: "InitiatorName=iqn.1994-05.com.redhat:aabbccddeeff\n",
    NQN: f"nqn.2014-08.org.nvmexpress:uuid:{UUID}\n",
    HOST_ID: f"{UUID}\n",
    WWIDS: "/3600140512345678/\n",
    LVM: "VERSION=1.1.1\nIDTYPE=sys_wwid IDNAME=t10.ATA_QEMU DEVNAME=/dev/sda3 PVID=abc PART=3\n",
    "/etc/hostname": "golden\n",
}
#: Where iscsi-init.service makes a new name at boot.
MAKES_NAMES: Tree = {
    "/usr/lib/systemd/system/iscsid.service.wants/iscsi-init.service": "-> ../iscsi-init.service"
}
DEBIAN: Tree = {"/usr/lib/open-iscsi/startup-checks.sh": ""}


def run(folder: Path, disk: Tree, inside: Tree, options: Options | None = None) -> Plan:
    """A run on a guest with one initrd that holds *inside*; everything is read back."""
    if not (folder / "guest").exists():
        plant(folder / "tree", inside)
        packed = compress(Compression.GZIP, archive(folder / "tree"))
        plant(folder / "guest", {**disk, INITRD: packed, "/etc/machine-id": OLD})
    guest = guest_at(folder / "guest")
    plan = make_plan(guest, options or Options())
    verify(guest, plan, apply_plan(guest, plan))
    return plan


def unpacked(folder: Path, initrd: str = INITRD) -> Path:
    """What the kernel makes of the initrd: both archives, one over the other."""
    content = (folder / "guest" / initrd[1:]).read_bytes()
    members = content.split(b"\x1f\x8b\x08")[1:]
    assert len(members) == 2
    return unpack([_plain(b"\x1f\x8b\x08" + one) for one in members], folder / "unpacked")


def _plain(packed: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(packed)


def copies(plan: Plan) -> set[str]:
    changes = [change for change in plan.changes if change.step == "initrd-copies"]
    return {member for change in changes for member in change.details["members"]}


def kept(plan: Plan) -> str:
    notes = [note for note in plan.notes if note.step == "initrd-copies"]
    assert all(note.level is Level.KEPT for note in notes)
    return "\n".join(note.text for note in notes)


def test_what_is_removed_from_the_disk_is_gone_from_the_initrd(tmp_path: Path) -> None:
    plan = run(tmp_path, {**COPIES, **MAKES_NAMES}, COPIES)
    assert copies(plan) == {path[1:] for path in (ISCSI, NQN, HOST_ID, LVM)}
    tree = unpacked(tmp_path)
    for path in (ISCSI, NQN, HOST_ID, LVM):
        assert not (tree / path[1:]).exists()  # a link that leads to nothing
    assert (tree / WWIDS[1:]).read_text() == COPIES[WWIDS]  # as on the disk
    assert (tree / "etc/hostname").read_text() == "golden\n"


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path, {**COPIES, **MAKES_NAMES}, COPIES)
    before = (tmp_path / "guest" / INITRD[1:]).read_bytes()
    assert copies(run(tmp_path, {}, {})) == set()
    assert (tmp_path / "guest" / INITRD[1:]).read_bytes() == before


def test_what_is_written_on_the_disk_is_written_in_the_initrd(tmp_path: Path) -> None:
    run(tmp_path, {ISCSI: COPIES[ISCSI], **DEBIAN}, {ISCSI: COPIES[ISCSI]})
    assert (unpacked(tmp_path) / ISCSI[1:]).read_text() == "GenerateName=yes\n"


def test_a_new_host_name_is_in_the_initrd_as_well(tmp_path: Path) -> None:
    plan = run(tmp_path, COPIES, {"/etc/hostname": "golden\n"}, Options(hostname="web-01"))
    assert copies(plan) == {"etc/hostname"}
    assert (unpacked(tmp_path) / "etc/hostname").read_text() == "web-01\n"


def test_a_dhcp_identity_leaves_the_initrd_as_well(tmp_path: Path) -> None:
    path = "/etc/systemd/network/20-lan.network"
    text = "[DHCPv6]\nDUIDType=uuid\n"
    files: Tree = {path: f"{text}DUIDRawData=00:04:aa:bb:cc:dd:ee:ff\n"}
    run(tmp_path, files, files)
    assert (unpacked(tmp_path) / path[1:]).read_text() == text


def test_what_is_renewed_inside_a_file_is_renewed_in_the_initrd(tmp_path: Path) -> None:
    path = "/etc/nvme/config.json"
    text = f'[{{"hostnqn": "nqn.2014-08.org.nvmexpress:uuid:{UUID}"}}]\n'
    run(tmp_path, {path: text}, {path: text})
    new = (tmp_path / "guest" / path[1:]).read_text()
    assert UUID not in new
    assert (unpacked(tmp_path) / path[1:]).read_text() == new


def test_an_option_that_removes_more_removes_more_there(tmp_path: Path) -> None:
    options = Options(enable=frozenset({"multipath-bindings"}))
    run(tmp_path, COPIES, COPIES, options)
    assert not (unpacked(tmp_path) / WWIDS[1:]).exists()


@pytest.mark.parametrize(
    "member",
    [
        "/.extra/credentials/system.machine_id.cred",
        "/.extra/global_credentials/system.machine_id.cred",
        "/etc/credstore/system.machine_id",
        "/usr/lib/credstore.encrypted/system.machine_id",
    ],
)
def test_a_credential_with_the_machine_id_goes(tmp_path: Path, member: str) -> None:
    assert copies(run(tmp_path, {}, {member: f"{OLD}\n"})) == {member[1:]}
    assert not (unpacked(tmp_path) / member[1:]).exists()


def test_a_credential_stays_with_the_machine_id(tmp_path: Path) -> None:
    options = Options(disable=frozenset({"machine-id"}))
    member = "/.extra/credentials/system.machine_id.cred"
    assert copies(run(tmp_path, {}, {member: f"{OLD}\n"}, options)) == set()


def test_a_copy_of_a_large_file_is_named(tmp_path: Path) -> None:
    path = "/etc/nvme/config.json"
    text = f'[{{"hostnqn": "nqn.2014-08.org.nvmexpress:uuid:{UUID}"}}]\n'
    plan = run(tmp_path, {path: text + " " * SIZE_LIMIT}, {path: text})
    assert copies(plan) == set()
    assert "a copy of a large file (etc/nvme/config.json)" in kept(plan)


def test_a_copy_whose_file_is_gone_from_the_disk_goes(tmp_path: Path) -> None:
    assert copies(run(tmp_path, {}, COPIES)) == {path[1:] for path in (ISCSI, NQN, HOST_ID, LVM)}
    assert not (unpacked(tmp_path) / LVM[1:]).exists()


@pytest.mark.parametrize(
    ("disk", "disable", "left"),
    [
        (COPIES, {"nvme-host", "lvm-devices"}, set()),
        ({}, {"nvme-host", "lvm-devices", "iscsi-initiator-name"}, set()),
        (COPIES, {"initrd-copies"}, set()),
        ({}, {"lvm-devices", "iscsi-initiator-name"}, {NQN, HOST_ID}),
    ],
)
def test_what_is_disabled_stays_in_the_initrd(
    tmp_path: Path, disk: Tree, disable: set[str], left: set[str]
) -> None:
    plan = run(tmp_path, disk, COPIES, Options(disable=frozenset(disable)))
    assert copies(plan) == {path[1:] for path in left}


@pytest.mark.parametrize(
    ("folder", "inside", "form"),
    [
        ("/etc/dropbear/initramfs/dropbear_ed25519", "dropbear/dropbear_ed25519", "dropbear"),
        ("/etc/dropbear-initramfs/dropbear_ed25519", "dropbear/dropbear_ed25519", "dropbear"),
        ("/etc/dropbear/dropbear_ed25519", "dropbear/dropbear_ed25519", "dropbear"),
        ("/etc/ssh/ssh_host_ed25519", "ssh/ssh_host_ed25519", "openssh"),
        ("/etc/ssh/dracut_ssh_host_ed25519", "ssh/ssh_host_ed25519", "openssh"),
    ],
)
def test_a_host_key_is_the_new_one_in_the_initrd(
    tmp_path: Path, folder: str, inside: str, form: str
) -> None:
    path, member = f"{folder}{'_host' if form == 'dropbear' else ''}_key", f"/etc/{inside}"
    member += path.removeprefix(folder)
    old = encode(generate("ed25519", 256), KeyFormat(form))
    plan = run(tmp_path, {path: old}, {member: old})
    new = (tmp_path / "guest" / path[1:]).read_bytes()
    assert new != old
    assert (unpacked(tmp_path) / member[1:]).read_bytes() == new
    assert kept(plan) == ""


def test_a_private_key_that_nothing_changes_is_named(tmp_path: Path) -> None:
    inside: Tree = {
        "/etc/tinyssh/sshkeydir/.ed25519.sk": b"\1" * 64,
        "/etc/dropbear/dropbear_rsa_host_key": b"\0\0\0\7ssh-rsa",
        "/etc/initiatorname.iscsi": COPIES[ISCSI],
    }
    text = kept(run(tmp_path, {}, inside))
    assert f"the initrd in {INITRD} keeps a private host key (etc/tinyssh/sshkeydir/" in text
    assert "etc/dropbear/dropbear_rsa_host_key" in text
    assert "the iSCSI initiator name (etc/initiatorname.iscsi)" in text


def test_inside_a_unified_kernel_image_copies_are_named(tmp_path: Path) -> None:
    plant(tmp_path / "tree", {NQN: COPIES[NQN]})
    uki = "/boot/efi/EFI/Linux/a.efi"
    image = unified_kernel(tmp_path, {".cmdline": b"ro", ".initrd": archive(tmp_path / "tree")})
    plant(tmp_path / "guest", {NQN: COPIES[NQN], uki: image})
    plan = make_plan(guest_at(tmp_path / "guest"), Options())
    assert f"the initrd in {uki} keeps a copy of a file that is changed" in kept(plan)


def test_an_initrd_that_is_renamed_is_changed_under_its_new_name(tmp_path: Path) -> None:
    plant(tmp_path / "tree", COPIES)
    old = f"/boot/initramfs-0-rescue-{OLD}.img"
    packed = compress(Compression.GZIP, archive(tmp_path / "tree"))
    disk: Tree = {**COPIES, "/etc/machine-id": OLD, "/etc/os-release": "ID=rhel\n", old: packed}
    plant(tmp_path / "guest", disk)
    run(tmp_path, {}, {})
    (renamed,) = (tmp_path / "guest/boot").iterdir()
    assert OLD not in renamed.name
    assert not (unpacked(tmp_path, f"/boot/{renamed.name}") / NQN[1:]).exists()


def test_an_initrd_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    plant(tmp_path, {INITRD: b"\x89LZO" + bytes(64)})
    plan = make_plan(guest_at(tmp_path), Options(uuids="keep"))
    (note,) = (note for note in plan.notes if note.step == "initrd-copies")
    assert note.level is Level.WARNING
    assert f"the initrd {INITRD} cannot be read (it is compressed with lzo" in note.text


def test_devices_copies_and_machine_id_are_corrected_in_one_initrd(tmp_path: Path) -> None:
    """dracut makes such a one: resume=, iSCSI and NVMe names, and the id, in one archive."""
    resume, root = "/etc/cmdline.d/95resume.conf", "/etc/cmdline.d/95root-dev.conf"
    inside = {
        **COPIES,
        resume: f" resume=UUID={SWAP.old}\n",
        root: f" root=UUID={ROOT.old}\n",
        "/etc/machine-id": f"{OLD}\n",
    }
    plant(tmp_path / "tree", inside)
    packed = compress(Compression.GZIP, archive(tmp_path / "tree"))
    disk = {**COPIES, **MAKES_NAMES, INITRD: packed, "/etc/machine-id": f"{OLD}\n"}
    plant(tmp_path / "guest", disk)
    guest = identified_guest(IdentifiedVolumes(tmp_path / "guest", olds()))
    plan = make_plan(guest, Options())
    assert verify(guest, plan, apply_plan(guest, plan)).residue == ()
    new = {change.old: change.new for change in plan.changes if change.action == "set-identifier"}
    found = survey(guest.read(INITRD), read=[path[1:] for path in inside]).contents
    assert found[resume[1:]].decode() == f" resume=UUID={new[SWAP.old]}\n"
    assert found[root[1:]].decode() == f" root=UUID={new[ROOT.old]}\n"
    assert OLD.encode() not in found.get("etc/machine-id", b"")
    assert UUID.encode() not in found.get(NQN[1:], b"") + found.get(HOST_ID[1:], b"")
    assert b"aabbccddeeff" not in found.get(ISCSI[1:], b"")
    assert found[WWIDS[1:]].decode() == COPIES[WWIDS]
