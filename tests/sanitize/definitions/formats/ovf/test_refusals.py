"""OVF descriptors and OVA archives that are broken or hostile."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.definitions import Golden, goldens
from tests.support.refusals import refusal, require_refused
from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.formats.table import read_definition

if TYPE_CHECKING:
    from pathlib import Path

NS = (
    'xmlns="http://schemas.dmtf.org/ovf/envelope/1" '
    'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" '
    'xmlns:vbox="http://www.virtualbox.org/ovf/machine"'
)
SYSTEM = '<VirtualSystem ovf:id="golden"><Name>golden</Name></VirtualSystem>'


def envelope(inner: str = SYSTEM) -> str:
    return f"<Envelope {NS}>{inner}</Envelope>"


def hardware(*addresses: str, more: str = "") -> str:
    cards = "".join(
        f"<Item><Address>{mac}</Address><ResourceType>10</ResourceType></Item>" for mac in addresses
    )
    return envelope(
        f'<VirtualSystem ovf:id="golden"><VirtualHardwareSection>{cards}</VirtualHardwareSection>'
        f"{more}</VirtualSystem>"
    )


BOMB = '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + envelope("<Info>&b;</Info>")
STATE = '<vbox:Machine uuid="{7b2e1f9c-4c35-4a6e-9d10-a1b2c3d4e5f6}" stateFile="x.sav"/>'
DESCRIPTORS = {
    "truncated": (envelope()[:-6], ":1:"),
    "no-machine": (envelope(""), "no <VirtualSystem>"),
    "two-machines": (envelope(SYSTEM * 2), "has 2 machines"),
    "entity-bomb": (BOMB, "document type"),
    "deep": (envelope("<a>" * 5000 + "</a>" * 5000), "within each other"),
    "many": (envelope("<a/>" * 100_001), "elements"),
    "huge": (envelope(" " * 2**23), "MiB"),
    "null-bytes": (envelope("\0"), "null characters"),
    "mac-malformed": (hardware("00:50:56"), "is not a MAC address"),
    "mac-multicast": (hardware("01:50:56:00:00:01"), "multicast"),
    "suspended": (hardware(more=STATE), "x.sav holds its saved state"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ovf", "ova"])
@pytest.mark.parametrize(("text", "words"), DESCRIPTORS.values(), ids=DESCRIPTORS)
def test_a_bad_descriptor_is_refused(tmp_path: Path, text: str, words: str, kind: str) -> None:
    content = text.encode() if kind == "ovf" else archive({"golden.ovf": text.encode()})
    require_refused(tmp_path / f"golden.{kind}", content, words)


@pytest.mark.parametrize("golden", [*goldens("ovf"), *goldens("ova")], ids=str)
def test_a_truncated_file_is_refused_wherever_it_ends(golden: Golden, tmp_path: Path) -> None:
    content = golden.before.read_bytes()
    content = content.rstrip(b"\0 \r\n")
    for end in range(0, len(content) - 1, max(1, len(content) // 12)):
        source = tmp_path / "golden.file"
        source.write_bytes(content[:end])
        assert isinstance(refusal(source), RefusedError), end


@pytest.mark.parametrize("start", [envelope().encode(), None], ids=["ovf", "ova"])
def test_a_file_of_100_mb_is_refused(tmp_path: Path, start: bytes | None) -> None:
    source = tmp_path / "golden.file"
    source.write_bytes(start or archive({"golden.ovf": b"<"}, size=90_000_000))
    os.truncate(source, 100_000_000)
    with pytest.raises(RefusedError, match="MiB"):
        read_definition(source)


def archive(
    files: dict[str, bytes], *, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = -1
) -> bytes:
    """A tar archive; the last member has *kind*, *link* and *size*."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for number, (name, content) in enumerate(files.items(), 1):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if number == len(files):
                member.type, member.linkname = kind, link
                member.size = size if size >= 0 else member.size
                output.write(member.tobuf(tarfile.USTAR_FORMAT))
                output.write(content + bytes(-len(content) % 512))
            else:
                made.addfile(member, io.BytesIO(content))
                output.seek(made.offset)
        end = output.tell()
    return output.getvalue()[:end] + bytes(1024)


GOOD = envelope().encode()
REFERS = envelope(
    SYSTEM + '<References><File ovf:href="d.vmdk" ovf:size="9"/></References>'
).encode()


def extended(path: str) -> bytes:
    """An archive whose second member is called *path* by an extended header."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, headers in (("golden.ovf", {}), ("x", {"path": path})):
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(GOOD), dict(headers)
            made.addfile(member, io.BytesIO(GOOD))
    return output.getvalue()


def with_manifest(text: bytes) -> bytes:
    return archive({"golden.ovf": GOOD, "golden.mf": text})


SHA = hashlib.sha256(GOOD).hexdigest().encode()
ARCHIVES = {
    "parent-folder": (archive({"golden.ovf": GOOD, "../x.vmdk": b"x"}), "is in another folder"),
    "absolute": (archive({"golden.ovf": GOOD, "/etc/x": b"x"}), "is in another folder"),
    "in-a-folder": (archive({"golden.ovf": GOOD, "a/b": b"x"}), "is in another folder"),
    "windows-path": (archive({"golden.ovf": GOOD, "..\\x": b"x"}), "is in another folder"),
    "extended-path": (extended("../../etc/cron.d/x"), "is in another folder"),
    "dots": (archive({"golden.ovf": GOOD, "..": b"x"}), "is in another folder"),
    "symbolic-link": (
        archive({"golden.ovf": GOOD, "d.vmdk": b""}, kind=tarfile.SYMTYPE, link="/etc/passwd"),
        "d.vmdk is a symbolic link",
    ),
    "hard-link": (
        archive({"golden.ovf": GOOD, "d.vmdk": b""}, kind=tarfile.LNKTYPE, link="golden.ovf"),
        "is a hard link",
    ),
    "device": (archive({"golden.ovf": GOOD, "d": b""}, kind=tarfile.CHRTYPE), "is a device"),
    "folder": (archive({"golden.ovf": GOOD, "d": b""}, kind=tarfile.DIRTYPE), "is a folder"),
    "pipe": (archive({"golden.ovf": GOOD, "d": b""}, kind=tarfile.FIFOTYPE), "is a pipe"),
    "sparse": (archive({"golden.ovf": GOOD, "d": b""}, kind=b"S"), "an entry of kind S"),
    "global-header": (archive({"golden.ovf": GOOD, "d": b""}, kind=b"g"), "an entry of kind g"),
    "huge-extended-header": (
        archive({"golden.ovf": GOOD, "d": b""}, kind=b"x", size=2**33 - 1),
        "not a sound tar archive",
    ),
    "huge-member": (
        archive({"golden.ovf": GOOD, "d": b""}, size=2**33 - 1),
        "ends within d",
    ),
    "twice": (archive({"golden.ovf": GOOD, "a": b"", "./a": b""}), "two members called a"),
    "descriptor-not-first": (
        archive({"readme": b"", "golden.ovf": GOOD}),
        "its first member is not an OVF",
    ),
    "checksum": (archive({"golden.ovf": GOOD}).replace(b"golden.ovf", b"golden.ovF"), "at byte 0"),
    "no-end": (archive({"golden.ovf": GOOD})[:-1024], "ends before the archive does"),
    "missing-disk": (archive({"golden.ovf": REFERS}), "names d.vmdk, which is not in it"),
    "wrong-size": (archive({"golden.ovf": REFERS, "d.vmdk": b"x"}), "should have 9"),
    "many-members": (
        archive({"golden.ovf": GOOD, **{str(n): b"" for n in range(1001)}}),
        "more than 1000 members",
    ),
    "manifest-nonsense": (with_manifest(b"hello\n"), "line 1 of its manifest"),
    "manifest-without-descriptor": (with_manifest(b"SHA1(x)= 00\n"), "no digest of golden.ovf"),
    "manifest-unknown": (with_manifest(b"MD5(golden.ovf)= 00\n"), "unknown kind, MD5"),
    "manifest-other": (with_manifest(b"SHA1(golden.ovf)= 00\n"), "not what its manifest says"),
    "manifest-long": (with_manifest(b"SHA256(golden.ovf)= " + SHA + b"\n" * 2**20), "MiB"),
}


@pytest.mark.parametrize(("content", "words"), ARCHIVES.values(), ids=ARCHIVES)
def test_a_bad_archive_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    require_refused(tmp_path / "golden.ova", content, words)
