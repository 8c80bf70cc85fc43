"""Archives with several disks, large members, split disks; runs on archives that are killed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.archives import OLD, TREE, UUID, VMX, archive, descriptor, ova
from tests.support.command import PROGRAM, sanitized, unclone
from tests.support.disks import Part, make_disk
from tests.unclone.test_sanitize_archive import renewed, unpacked
from unclone.images.archives.packing import read_member, repack
from unclone.images.archives.tar import BLOCK, header_with_size, read_archive

if TYPE_CHECKING:
    from pathlib import Path

DATA = "bbbbbbbb-1111-4222-8333-cccccccccccc"
LARGE = 9 * 2**30  # bytes; eleven octal digits say up to 8 GiB


def two_disks(folder: Path) -> list[bytes]:
    """The root file system, whose fstab mounts the second disk, and that disk; both qcow2."""
    fstab = f"UUID={UUID} / ext4 defaults 0 1\nUUID={DATA} /data ext4 defaults 0 2\n"
    parts = [
        Part("ext4", uuid=UUID, tree={**TREE, "/etc/fstab": fstab, "/data/.keep": ""}),
        Part("ext4", uuid=DATA, tree={"/etc.bak": "none"}),
    ]
    made = []
    for number, part in enumerate(parts):
        path = make_disk(folder / f"{number}.qcow2", [part], form="qcow2")
        made.append(path.read_bytes())
        path.unlink()
    return made


def as_vmdk(path: Path, content: bytes) -> bytes:
    """The disk *content* as a stream-optimised VMDK; *path* is for the work."""
    path.write_bytes(content)
    vmdk = path.with_suffix(".vmdk")
    options = ("-O", "vmdk", "-o", "subformat=streamOptimized")
    subprocess.run(["qemu-img", "convert", *options, path, vmdk], check=True)
    made = vmdk.read_bytes()
    path.unlink()
    vmdk.unlink()
    return made


@pytest.mark.slow
@pytest.mark.parametrize("listed", [False, True])
def test_all_disks_of_a_box_become_another_machine(tmp_path: Path, *, listed: bool) -> None:
    """Those with the usual names, and those that the metadata list in another order."""
    names = ["root.img", "a-data.img"] if listed else ["box_0.img", "box_1.img"]
    paths = ", ".join(f'{{"path": "{name}"}}' for name in names)
    more = f', "disks": [{paths}]' if listed else ""
    metadata = f'{{"provider": "libvirt", "format": "qcow2"{more}}}'.encode()
    disks = dict(zip(names, two_disks(tmp_path), strict=True))
    members = {"metadata.json": metadata, **dict(sorted(disks.items()))}
    image = archive(tmp_path / "golden.box", members)
    report = sanitized(image)
    new = {each["value"] for each in report["identifiers"]}
    assert {UUID, DATA}.isdisjoint(new)
    folder = unpacked(image)
    assert sorted(path.name for path in folder.iterdir()) == sorted(members)
    done = unclone("inspect", folder / names[0], "--add-disk", folder / names[1])
    assert done.returncode == 0, done.stderr
    for old in (UUID, DATA, OLD):
        assert old not in done.stdout
    assert done.stdout.count("mounted at") == 2


@pytest.mark.slow
def test_all_disks_of_an_ova_become_another_machine(tmp_path: Path) -> None:
    contents = [as_vmdk(tmp_path / "plain", each) for each in two_disks(tmp_path)]
    text = descriptor(contents[0], "root.vmdk").decode()
    file = f'<File ovf:id="file2" ovf:href="data.vmdk" ovf:size="{len(contents[1])}"/>'
    second = (
        '<Disk ovf:capacity="1073741824" ovf:diskId="vmdisk2" ovf:fileRef="file2" ovf:format='
        '"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>'
    )
    text = text.replace("</References>", f"{file}</References>")
    text = text.replace("</DiskSection>", f"{second}</DiskSection>")
    members = {"golden.ovf": text.encode(), "root.vmdk": contents[0], "data.vmdk": contents[1]}
    image = archive(tmp_path / "golden.ova", members)
    sanitized(image)
    folder = unpacked(image)
    new = (folder / "golden.ovf").read_text()
    for name in ("root.vmdk", "data.vmdk"):
        assert f'ovf:href="{name}" ovf:size="{(folder / name).stat().st_size}"' in new
    done = unclone("inspect", folder / "root.vmdk", "--add-disk", folder / "data.vmdk")
    assert done.returncode == 0, done.stderr
    assert {UUID, DATA, OLD} & set(done.stdout.split()) == set()
    assert done.stdout.count("mounted at") == 2


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_member_of_more_than_8_gib_is_read_and_replaced(
    tmp_path: Path, form: Literal[1, 2]
) -> None:
    """As GNU tar (base 256) and POSIX (a record of an extended header) write its size."""
    large = tarfile.TarInfo("box.img")
    large.size = LARGE
    image, new, packed = (tmp_path / name for name in ("golden.box", "new", "packed"))
    after = tarfile.TarInfo("after")
    after.size = 5
    with image.open("wb") as file:
        file.write(large.tobuf(form))
        file.seek(LARGE, io.SEEK_CUR)
        file.write(after.tobuf(form) + b"after" + bytes(3 * BLOCK - 5))
    members = read_archive(image, image)
    assert [(each.name, each.size) for each in members] == [("box.img", LARGE), ("after", 5)]
    assert read_member(image, members[1]) == b"after"
    new.write_bytes(b"small")
    with packed.open("wb") as file:
        repack(image, members, {"box.img": new}, file)
    assert subprocess.check_output(["tar", "-xOf", packed, "box.img", "after"]) == b"smallafter"


def test_the_size_of_a_member_of_more_than_8_gib_is_written(tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    with packed.open("wb") as file:
        file.write(header_with_size(tarfile.TarInfo("box.img").tobuf(tarfile.USTAR_FORMAT), LARGE))
        file.seek(LARGE, io.SEEK_CUR)
        file.write(bytes(2 * BLOCK))
    listed = subprocess.run(["tar", "-tvf", packed], check=True, capture_output=True, text=True)
    assert str(LARGE) in listed.stdout.split()


def split_box(folder: Path, variant: str) -> Path:
    """A Vagrant box for VMware whose disk of 65 MiB is a VMDK of the kind *variant*."""
    made = folder / "made"
    made.mkdir()
    raw = make_disk(made / "disk.raw", [Part("ext4", uuid=UUID, tree=TREE)])
    options = ("-O", "vmdk", "-o", f"subformat={variant},hwversion=10")
    subprocess.run(["qemu-img", "convert", *options, raw, made / "disk.vmdk"], check=True)
    raw.unlink()
    return box(folder, {path.name: path.read_bytes() for path in sorted(made.iterdir())})


def box(folder: Path, disk: dict[str, bytes]) -> Path:
    members = {"metadata.json": b'{"provider": "vmware_desktop"}', "golden.vmx": VMX.encode()}
    return archive(folder / "golden.box", {**members, **disk})


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant", ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "monolithicFlat"]
)
def test_a_split_disk_stays_split(tmp_path: Path, variant: str) -> None:
    image = split_box(tmp_path, variant)
    before = [each.name for each in read_archive(image, image)]
    assert len(before) == 4
    sanitized(image)
    assert [each.name for each in read_archive(image, image)] == before
    folder = unpacked(image)
    text = (folder / "disk.vmdk").read_text("latin-1")
    assert f'createType="{variant}"' in text
    assert 'ddb.virtualHWVersion = "10"' in text
    renewed(folder / "disk.vmdk")


@pytest.mark.slow
def test_pieces_that_are_smaller_than_qemus_become_fewer(tmp_path: Path) -> None:
    """VMware's have 2047 MiB, QEMU's 2048."""
    raw = make_disk(tmp_path / "disk.raw", [Part("ext4", uuid=UUID, tree=TREE)])
    sizes = [raw.stat().st_size, 2**30, 2**30]
    os.truncate(raw, sum(sizes))
    pieces, lines, start = {}, [], 0
    for number, size in enumerate(sizes, 1):
        name, made = f"disk-s{number:03}.vmdk", tmp_path / "piece"
        part = {"driver": "raw", "offset": start, "size": size}
        part["file"] = {"driver": "file", "filename": str(raw)}
        subprocess.run(
            ["qemu-img", "convert", "-O", "vmdk", f"json:{json.dumps(part)}", made], check=True
        )
        pieces[name] = made.read_bytes()
        lines.append(f'RW {size // 512} SPARSE "{name}"\n')
        start += size
    text = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
    text += 'createType="twoGbMaxExtentSparse"\n' + "".join(lines)
    text += 'ddb.virtualHWVersion = "10"\nddb.adapterType = "lsilogic"\n'
    image = box(tmp_path, {"disk.vmdk": text.encode(), **pieces})
    sanitized(image)
    folder = unpacked(image)
    names = {path.name for path in folder.glob("disk*")}
    assert names == {"disk.vmdk", "disk-s001.vmdk", "disk-s002.vmdk"}
    renewed(folder / "disk.vmdk")


@pytest.mark.parametrize("wrong", ["piece is missing", "piece too many", "piece elsewhere"])
def test_pieces_that_do_not_agree_with_their_descriptor(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "made").mkdir()
    made = ("-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", tmp_path / "made/disk.vmdk")
    subprocess.run(["qemu-img", "create", "-q", *made, "1M"], check=True)
    disk = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    if wrong == "piece is missing":
        del disk["disk-s001.vmdk"]
    elif wrong == "piece too many":
        disk["disk-s002.vmdk"] = disk["disk-s001.vmdk"]
    else:
        (tmp_path / "disk-s001.vmdk").write_bytes(disk["disk-s001.vmdk"])
        disk["disk.vmdk"] = disk["disk.vmdk"].replace(
            b'"disk-s001.vmdk"', f'"{tmp_path}/disk-s001.vmdk"'.encode()
        )
    image = box(tmp_path, disk)
    before = image.read_bytes()
    done = unclone("sanitize", image)
    assert done.returncode == 4, done.stderr
    assert "it needs other files than those beside it" in " ".join(done.stderr.split())
    assert image.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("inside/golden.ovf", signal.SIGKILL),
        ("disk-0.qcow2", signal.SIGTERM),
        ("disk-0.qcow2", signal.SIGKILL),
        ("packed.tar", signal.SIGINT),
        ("packed.tar", signal.SIGKILL),
    ],
)
def test_a_killed_run_leaves_the_archive_whole(tmp_path: Path, moment: str, number: int) -> None:
    """*moment*: the file in the run's folder at whose appearance it is killed."""
    image = ova(tmp_path)
    before = image.read_bytes()
    folder = tmp_path / f".{image.name}.unclone-unpacked"
    with subprocess.Popen([PROGRAM, "sanitize", image], stderr=subprocess.PIPE) as run:
        while not (folder / moment).exists() and run.poll() is None:
            time.sleep(0.002)
        run.send_signal(number)
        run.communicate()
    if image.read_bytes() == before:  # else it came to its end before the signal
        assert run.returncode != 0
        assert number == signal.SIGKILL or list(tmp_path.iterdir()) == [image]
        sanitized(image)
    assert list(tmp_path.iterdir()) == [image]
    renewed(unpacked(image) / "golden-disk1.vmdk")
