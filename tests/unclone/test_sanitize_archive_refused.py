"""Archives that are refused: with the reason, and as they were."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.archives import archive, descriptor
from tests.support.command import unclone

if TYPE_CHECKING:
    from pathlib import Path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


LIBVIRT = {"metadata.json": b'{"provider": "libvirt", "format": "qcow2"}', "box.img": b"none"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (special("/etc/passwd", tarfile.REGTYPE), "is in another folder"),
        (special("../passwd", tarfile.REGTYPE), "is in another folder"),
        (special("box_1.img", tarfile.SYMTYPE, "/etc/passwd"), "is a symbolic link"),
        (special("box_1.img", tarfile.LNKTYPE, "box.img"), "is a hard link"),
        (special("sda", tarfile.BLKTYPE), "is a device"),
        (special("pipe", tarfile.FIFOTYPE), "is a pipe"),
        (special("a/../../b", tarfile.REGTYPE), "is in another folder"),
        (special("../folder", tarfile.DIRTYPE), "is a folder"),
        (special("box.img", tarfile.REGTYPE), "two members called"),
        (special("sparse", tarfile.GNUTYPE_SPARSE), "kind S"),
        (special("box_1.img", tarfile.REGTYPE), "no machine in it uses the disk"),
        (special("golden.vmem", tarfile.REGTYPE), "holds a saved state"),
    ],
)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_hostile_member_is_refused(
    tmp_path: Path, entry: tarfile.TarInfo, said: str, mode: str
) -> None:
    image = archive(tmp_path / "golden.box", LIBVIRT, mode=mode)
    with tarfile.open(image, mode, format=tarfile.USTAR_FORMAT) as tar:  # type: ignore[call-overload]
        for name, content in LIBVIRT.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        tar.addfile(entry)
    refused(image, said)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"notes.txt": b"none"}, "neither an OVA nor a Vagrant box"),
        ({"metadata.json": b'{"provider": "hyperv"}'}, "a Vagrant box for 'hyperv'"),
        ({"metadata.json": b"["}, "no JSON object"),
        ({"metadata.json": b'{"provider": "virtualbox"}'}, "0 files *.ovf"),
        ({"metadata.json": b'{"provider": "libvirt"}'}, "has no disk"),
        (
            {
                "metadata.json": b'{"provider": "libvirt", "disks": '
                b'[{"path": "a"}, {"path": "a"}]}',
                "a": b"none",
            },
            "names a twice",
        ),
        (LIBVIRT, "should be qcow2"),
        ({f"member-{number}": b"" for number in range(1001)}, "more than 1000 members"),
    ],
)
def test_an_archive_that_is_not_known_is_refused(
    tmp_path: Path, members: dict[str, bytes], said: str
) -> None:
    refused(archive(tmp_path / "golden.box", members), said)


def refused(image: Path, said: str) -> None:
    before = image.read_bytes()
    done = unclone("sanitize", image)
    assert done.returncode == 4, done.stderr
    assert said in " ".join(done.stderr.split())
    assert "unclone-unpacked" not in done.stderr
    assert (image.read_bytes(), list(image.parent.iterdir())) == (before, [image])


def test_a_disk_with_a_backing_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.qcow2"
    overlay = tmp_path / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", other, "1M"], check=True)
    argv = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", other, overlay)
    subprocess.run(argv, check=True)
    members = {**LIBVIRT, "box.img": overlay.read_bytes()}
    other.unlink()
    overlay.unlink()
    refused(archive(tmp_path / "golden.box", members), "needs other files")


def test_an_ova_that_is_not_as_its_manifest_says_is_refused(tmp_path: Path) -> None:
    content = b"KDMV" + bytes(1020)
    members = {
        "golden.ovf": (text := descriptor(content, "golden-disk1.vmdk")),
        "golden.mf": f"SHA1(golden.ovf)= {hashlib.sha1(text).hexdigest()}\n"
        f"SHA1(golden-disk1.vmdk)= {'0' * 40}\n".encode(),
        "golden-disk1.vmdk": content,
    }
    refused(archive(tmp_path / "golden.ova", members), "is not what its manifest says")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('ovf:size="', 'ovf:compression="gzip" ovf:size="', "is compressed"),
        (
            "</DiskSection>",
            '<Disk ovf:diskId="two" ovf:fileRef="file1" ovf:capacity="1"/></DiskSection>',
            "two disks are made of one file",
        ),
        ("golden-disk1.vmdk", "absent.vmdk", "absent.vmdk, which is not in it"),
    ],
)
def test_an_ova_whose_descriptor_cannot_be_followed_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    content = b"KDMV" + bytes(1020)
    text = descriptor(content, "golden-disk1.vmdk").decode().replace(old, new)
    members = {"golden.ovf": text.encode(), "golden-disk1.vmdk": content}
    refused(archive(tmp_path / "golden.ova", members), said)


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    image = archive(tmp_path / "golden.box", LIBVIRT)
    left = tmp_path / f".{image.name}.unclone-unpacked" / "inside"
    left.mkdir(parents=True)
    (left / "box.img").write_bytes(b"left")
    refused(image, "should be qcow2")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--add-disk", "other"), "is an archive: --add-disk does not go with it"),
        (("--prove",), "which is an archive"),
    ],
)
def test_what_does_not_go_with_an_archive_is_said(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    image = archive(tmp_path / "golden.box", LIBVIRT)
    done = unclone("sanitize", image, *options)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
