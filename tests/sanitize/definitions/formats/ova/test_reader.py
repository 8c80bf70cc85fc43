"""An OVA as importers see it: manifests that agree, disks as they were, nothing read whole."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import tool
from tests.support.refusals import defined, refusal
from unclone.images.errors import RefusedError
from unclone.runs.define import Request

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.runs.define import Defined

MIB = 2**20
OVF = """<?xml version="1.0"?>
<Envelope
    xmlns="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <References><File ovf:id="file1" ovf:href="golden-disk1.vmdk"{size}/></References>
  <DiskSection><Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="...vmdk"/></DiskSection>
  <VirtualSystem ovf:id="golden"><Name>golden</Name>
    <VirtualHardwareSection><Item>
      <Address>00:50:56:1a:2b:3c</Address><ResourceType>10</ResourceType>
    </Item></VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""


def ovf(size: int | None = None) -> bytes:
    return OVF.format(size="" if size is None else f' ovf:size="{size}"').encode()


def manifest(
    files: dict[str, bytes], algorithm: str = "SHA256", style: str = "{}({})= {}"
) -> bytes:
    lines = (
        style.format(algorithm, name, hashlib.new(algorithm, content).hexdigest())
        for name, content in files.items()
    )
    return ("\n".join(lines) + "\n").encode()


def pack(path: Path, files: dict[str, bytes], **options: int) -> Path:
    with tarfile.open(path, "w", format=options.get("format", tarfile.USTAR_FORMAT)) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), 0o644, 1711102500
            archive.addfile(member, io.BytesIO(content))
    return path


def unpack(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


def run(source: Path) -> Defined:
    return defined(Request(source, "web-01", output=source.with_name(f"web-01{source.suffix}")))


@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "SHA512"])
@pytest.mark.parametrize("style", ["{}({})= {}", "{} ({}) = {}"])
def test_the_manifest_agrees_with_every_member(tmp_path: Path, algorithm: str, style: str) -> None:
    files = {"golden.ovf": ovf(), "golden-disk1.vmdk": b"disk" * 1000}
    files["golden.mf"] = manifest(files, algorithm, style)
    run(pack(tmp_path / "golden.ova", files))
    after = unpack(tmp_path / "web-01.ova")
    assert list(after) == list(files)
    assert after["golden.ovf"] != files["golden.ovf"]
    members = {name: after[name] for name in ("golden.ovf", "golden-disk1.vmdk")}
    assert after["golden.mf"] == manifest(members, algorithm, style)


def test_a_real_disk_comes_out_as_it_was(tmp_path: Path) -> None:
    raw, disk = tmp_path / "disk.raw", tmp_path / "golden-disk1.vmdk"
    raw.write_bytes(b"A" * MIB)
    kind = ("-o", "subformat=streamOptimized")
    tool("qemu-img", "convert", "-f", "raw", "-O", "vmdk", *kind, raw, disk)
    content = disk.read_bytes()
    files = {"golden.ovf": ovf(len(content)), "golden-disk1.vmdk": content}
    run(pack(tmp_path / "golden.ova", files))
    subprocess.run(["tar", "-xf", "web-01.ova", "golden-disk1.vmdk"], cwd=tmp_path, check=True)
    assert disk.read_bytes() == content
    info = json.loads(tool("qemu-img", "info", "-f", "vmdk", "--output=json", disk))
    assert info["virtual-size"] == MIB


@pytest.mark.slow
def test_a_disk_is_never_read_whole(tmp_path: Path) -> None:
    size = 64 * MIB
    source = pack(tmp_path / "golden.ova", {"golden.ovf": ovf(size)})
    header = tarfile.TarInfo("golden-disk1.vmdk")
    header.size = size
    start = source.read_bytes().rstrip(b"\0")
    start += bytes(-len(start) % 512)
    with source.open("wb") as file:
        file.write(start + header.tobuf(tarfile.USTAR_FORMAT))
        file.truncate(file.tell() + size + 1024)
    tracemalloc.start()
    try:
        run(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size / 4
    assert (tmp_path / "web-01.ova").stat().st_size > size


def test_a_certificate_signs_the_source_only(tmp_path: Path) -> None:
    files = {"golden.ovf": ovf(), "golden-disk1.vmdk": b"disk"}
    files["golden.mf"] = manifest(files)
    files["golden.cert"] = b"SHA256(golden.mf)= 00\n-----BEGIN CERTIFICATE-----\n"
    done = run(pack(tmp_path / "golden.ova", files))
    assert list(unpack(tmp_path / "web-01.ova")) == ["golden.ovf", "golden-disk1.vmdk", "golden.mf"]
    assert any("golden.cert" in note.text for note in done.notes)


def test_a_disk_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path) -> None:
    files = {"golden.ovf": ovf(), "golden-disk1.vmdk": b"disk"}
    files["golden.mf"] = manifest(files)
    files["golden-disk1.vmdk"] = b"desk"
    error = refusal(pack(tmp_path / "golden.ova", files))
    assert isinstance(error, RefusedError)
    assert "golden-disk1.vmdk is not what its manifest says" in error.message


def test_extended_headers_survive(tmp_path: Path) -> None:
    name = "g" * 120 + ".ovf"
    files = {name: OVF.replace("golden-disk1", "d" * 120).format(size="").encode()}
    files["d" * 120 + ".vmdk"] = b"disk"
    run(pack(tmp_path / "golden.ova", files, format=tarfile.PAX_FORMAT))
    assert list(unpack(tmp_path / "web-01.ova")) == list(files)


def test_the_manifest_beside_a_descriptor_is_made_again(tmp_path: Path) -> None:
    files = {"golden.ovf": ovf(3), "golden-disk1.vmdk": b"old", "golden.cert": b"x"}
    files["golden.mf"] = manifest(dict(list(files.items())[:2]))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "web-01-disk1.vmdk").write_bytes(b"new and longer")
    request = Request(
        tmp_path / "golden.ovf",
        "web-01",
        output=tmp_path / "web-01.ovf",
        disks={"vmdisk1": "web-01-disk1.vmdk"},
    )
    done = defined(request)
    names = ("web-01.ovf", "web-01-disk1.vmdk")
    expected = manifest({name: (tmp_path / name).read_bytes() for name in names})
    assert (tmp_path / "web-01.mf").read_bytes() == expected
    assert b"ovf:size" not in (tmp_path / "web-01.ovf").read_bytes()
    assert any("golden.cert" in note.text for note in done.notes)


def test_a_disk_that_is_not_there_yet_has_no_digest(tmp_path: Path) -> None:
    files = {"golden.ovf": ovf(), "golden-disk1.vmdk": b"old"}
    files["golden.mf"] = manifest(files)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    request = Request(
        tmp_path / "golden.ovf", "web-01", output=tmp_path / "w.ovf", disks={"vmdisk1": "w.vmdk"}
    )
    [file] = defined(request).associated_files
    assert "w.vmdk, which is not there yet" in file.describe()
    lines = (tmp_path / "w.mf").read_text().splitlines()
    assert [re.findall(r"\((.*)\)", line) for line in lines] == [["w.ovf"]]


def test_a_manifest_that_does_not_agree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "golden.ovf").write_bytes(ovf())
    (tmp_path / "golden.mf").write_bytes(manifest({"golden.ovf": b"another"}))
    error = refusal(tmp_path / "golden.ovf")
    assert isinstance(error, RefusedError)
    assert "is not what its manifest says" in error.message


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\r\n"], ids=["empty", "line", "blank"])
@pytest.mark.parametrize("kind", ["ova", "ovf"])
def test_an_empty_manifest_is_left_out(tmp_path: Path, kind: str, content: bytes) -> None:
    """VirtualBox writes such: it says nothing about any file."""
    files = {"golden.ovf": ovf(), "golden-disk1.vmdk": b"disk", "golden.mf": content}
    if kind == "ova":
        source = pack(tmp_path / "golden.ova", files)
    else:
        for name, each in files.items():
            (tmp_path / name).write_bytes(each)
        source = tmp_path / "golden.ovf"
    done = run(source)
    new = tmp_path / f"web-01.{kind}"
    if kind == "ova":
        assert list(unpack(new)) == ["golden.ovf", "golden-disk1.vmdk"]
    assert not (tmp_path / "web-01.mf").exists()
    assert "golden.mf is empty" in " ".join(note.text for note in done.notes)
