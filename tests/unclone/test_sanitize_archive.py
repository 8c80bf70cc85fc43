"""OVAs and Vagrant boxes: whole or untouched, judged by tar, qemu-img, xmllint and ``define``."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.archives import MAC, MACHINE, OLD, UUID, VMX, archive, descriptor, disk, ova
from tests.support.command import sanitized, unclone

if TYPE_CHECKING:
    from pathlib import Path


def unpacked(path: Path) -> Path:
    """The folder that tar makes of the archive."""
    folder = path.with_name(f"{path.name}.d")
    folder.mkdir()
    subprocess.run(["tar", "-xf", path, "-C", folder], check=True)
    return folder


def listed(path: Path) -> list[tuple[str, int, float, str]]:
    with tarfile.open(path) as tar:
        return [(each.name, each.mode, each.mtime, each.uname) for each in tar]


def inspected(image: Path) -> str:
    done = unclone("inspect", image)
    assert done.returncode == 0, done.stderr
    return done.stdout


def checked(vmdk: Path) -> dict[str, object]:
    """What qemu-img says of a disk, which it finds sound."""
    subprocess.run(["qemu-img", "check", "-q", vmdk], check=True)
    told = subprocess.run(
        ["qemu-img", "info", "--output=json", vmdk], check=True, capture_output=True
    )
    return dict(json.loads(told.stdout))


def renewed(vmdk: Path) -> None:
    """The guest on *vmdk* has nothing of the old one."""
    plain = vmdk.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", vmdk, plain], check=True)
    said = inspected(plain)
    assert OLD not in said
    assert UUID not in said


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "SHA512"])
def test_an_ova_becomes_another_machine(tmp_path: Path, algorithm: str) -> None:
    image = ova(tmp_path, algorithm)
    image.chmod(0o640)
    before = listed(image)
    report = sanitized(image)
    assert (report["image"], report["result"], report["status"]) == (str(image), str(image), "done")
    assert list(tmp_path.iterdir()) == [image]
    assert image.stat().st_mode & 0o777 == 0o640
    assert listed(image) == before
    folder = unpacked(image)
    subprocess.run(["xmllint", "--noout", folder / "golden.ovf"], check=True)
    text = (folder / "golden.ovf").read_text()
    assert MAC not in text
    assert MACHINE not in text
    (mac,) = [each["new"] for each in report["definition"]["macs"]]
    assert mac.lower() in text.lower()
    vmdk = folder / "golden-disk1.vmdk"
    assert f'ovf:size="{vmdk.stat().st_size}"' in text
    assert re.search(r'ovf:populatedSize="[1-9]\d{3,}"', text)
    said = checked(vmdk)
    assert said["format"] == "vmdk"
    assert said["format-specific"]["data"]["create-type"] == "streamOptimized"  # type: ignore[index]
    for line in (folder / "golden.mf").read_text().splitlines():
        name, digest = re.fullmatch(rf"{algorithm}\((.*)\)= (.*)", line).groups()  # type: ignore[union-attr]
        assert hashlib.new(algorithm, (folder / name).read_bytes()).hexdigest() == digest
    renewed(vmdk)
    done = unclone("define", image, "--name", "other", "--output", tmp_path / "other.ova")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_output_leaves_the_ova_and_a_signature_is_left_out(tmp_path: Path) -> None:
    image = ova(tmp_path, further={"golden.cert": b"signed"})
    before, output = image.read_bytes(), tmp_path / "new.ova"
    done = unclone("sanitize", image, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert (image.read_bytes(), list(tmp_path.iterdir())) == (before, [image])
    report = sanitized(image, "--output", output)
    assert report["result"] == report["definition"]["output"] == str(output)
    assert report["definition"]["source"] == str(image)
    assert "golden.cert" in json.dumps(report["definition"]["notes"])
    assert "unclone-unpacked" not in json.dumps(report)
    assert image.read_bytes() == before
    assert [each[0] for each in listed(output)] == ["golden.ovf", "golden.mf", "golden-disk1.vmdk"]
    written = output.read_bytes()
    assert unclone("sanitize", image, "--output", output).returncode == 2
    assert output.read_bytes() == written
    sanitized(image, "--output", output, "--overwrite")
    assert output.read_bytes() != written


@pytest.mark.slow
def test_a_box_for_libvirt_becomes_another_machine(tmp_path: Path) -> None:
    metadata = b'{"provider": "libvirt", "format": "qcow2", "virtual_size": 1}'
    members = {
        "metadata.json": metadata,
        "Vagrantfile": b"# none\n",
        "box.img": disk(tmp_path, "qcow2"),
    }
    image = archive(tmp_path / "golden.box", members, mode="w:gz", folder=True)
    before = listed(image)
    report = sanitized(image)
    assert (report["result"], report["status"]) == (str(image), "done")
    assert image.read_bytes().startswith(b"\x1f\x8b")
    assert [each[0].rstrip("/") for each in listed(image)] == [
        each[0].rstrip("/") for each in before
    ]
    assert listed(image)[1:] == before[1:]
    folder = unpacked(image)
    assert (folder / "metadata.json").read_bytes() == metadata
    assert checked(folder / "box.img")["format"] == "qcow2"
    renewed(folder / "box.img")
    before_again = image.read_bytes()
    assert sanitized(image, "--if-needed")["status"] == "unchanged"
    assert image.read_bytes() == before_again


@pytest.mark.slow
def test_a_box_for_virtualbox_has_one_address_everywhere(tmp_path: Path) -> None:
    content = disk(tmp_path)
    members = {
        "./metadata.json": b'{"provider": "virtualbox"}',
        "./Vagrantfile": b'Vagrant.configure("2") do |config|\n'
        b'  config.vm.base_mac = "080027123456"\nend\n',
        "./box.ovf": descriptor(content, "box-disk001.vmdk"),
        "./box-disk001.vmdk": content,
        "./include/_Vagrantfile": b"# of 08:00:27:12:34:56\n",
    }
    image = archive(tmp_path / "golden.box", members, folder=True)
    (mac,) = [each["new"] for each in sanitized(image)["definition"]["macs"]]
    folder = unpacked(image)
    set_to = (folder / "Vagrantfile").read_text()
    assert (folder / "include" / "_Vagrantfile").read_text().lower() == f"# of {mac.lower()}\n"
    assert f'config.vm.base_mac = "{mac.replace(":", "").upper()}"' in set_to
    assert mac.lower() in (folder / "box.ovf").read_text().lower()
    subprocess.run(["xmllint", "--noout", folder / "box.ovf"], check=True)
    assert checked(folder / "box-disk001.vmdk")["format"] == "vmdk"
    renewed(folder / "box-disk001.vmdk")
    output = tmp_path / "other.ovf"
    done = unclone("define", folder / "box.ovf", "--name", "other", "--output", output)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_box_for_vmware_becomes_another_machine(tmp_path: Path) -> None:
    members = {
        "metadata.json": b'{"provider": "vmware_desktop"}',
        "golden.vmx": VMX.encode(),
        "disk.vmdk": disk(tmp_path, "monolithicSparse"),
    }
    image = archive(tmp_path / "golden.box", members, mode="w:gz")
    sanitized(image)
    folder = unpacked(image)
    text = (folder / "golden.vmx").read_text()
    assert "00:50:56:12:34:56" not in text
    assert "56 4d 8f 0a" not in text
    said = checked(folder / "disk.vmdk")
    assert said["format-specific"]["data"]["create-type"] == "monolithicSparse"  # type: ignore[index]
    with (folder / "disk.vmdk").open("rb") as file:
        text_in_it = file.read(4096)
    assert b'ddb.adapterType = "lsilogic"' in text_in_it
    assert b'ddb.virtualHWVersion = "10"' in text_in_it
    renewed(folder / "disk.vmdk")
    output = tmp_path / "other.vmx"
    done = unclone("define", folder / "golden.vmx", "--name", "other", "--output", output)
    assert done.returncode == 0, done.stderr
