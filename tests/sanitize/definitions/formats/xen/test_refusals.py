"""xl.cfg files, and QEMU's configuration files, that are broken, hostile or in use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import Golden, goldens, written
from tests.support.refusals import refused, require_refused
from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.formats.xen.disk import target
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition

if TYPE_CHECKING:
    from pathlib import Path


XEN = 'name = "golden"\nmemory = 512\n'
QEMU = '[name]\n  guest = "golden"\n'


REFUSED = {
    "python": (XEN + "import os\n", "golden.cfg:3:8: cannot read this xl.cfg: '=' is missing"),
    "call": (XEN + "x = os.system('true')\n", "a string, number or list is missing"),
    "expression": (XEN + "x = 'a' + 'b'\n", "something follows the value"),
    "name-of-a-name": (XEN + "x = name\n", "a string, number or list is missing"),
    "quote": (XEN + 'x = "abc\n', "a string does not end"),
    "list": (XEN + "vif = [ 'mac=00:16:3e:00:00:01',\n", "golden.cfg:3:7: cannot read this xl"),
    "comma": (XEN + "vif = [ 'a' 'b' ]\n", "',' or ']' is missing"),
    "deep": (XEN + "x = " + "[" * 5000 + "]" * 5000 + "\n", "levels"),
    "many": (XEN + "x = [" + "1," * 20_001 + "]\n", "values"),
    "huge": (XEN + "#" * 2**23, "MiB"),
    "null-bytes": (XEN + "x = '\0'\n", "null characters"),
    "name-twice": (XEN + "name = 'other'\n", "golden.cfg:1:1: name is there twice"),
    "name-empty": ("name = ''\nmemory = 1\n", "has no name"),
    "mac-malformed": (XEN + "vif = ['mac=00:16:3e']\n", "is not a MAC address"),
    "mac-multicast": (XEN + "vif = ['mac=01:16:3e:00:00:01']\n", "multicast"),
    "uuid-malformed": (XEN + "uuid = '1234'\n", "is not a UUID"),
    "port-malformed": (XEN + "spiceport = 'x'\n", "is not a number"),
    "escape-sequences": (XEN + "uuid = '\x1b[2J'\n", "is not a UUID"),
    "qemu-cut": (QEMU + '[device "n"]\n  mac = "52:54', "golden.cfg:4:1: QEMU cannot read"),
    "qemu-no-group": (QEMU + "hello\n", "QEMU cannot read this line"),
    "qemu-long": (QEMU + f'[device]\n  x = "{"a" * 1024}"\n', "too long"),
    "qemu-groups": (QEMU + "[rtc]\n" * 10_001, "groups"),
    "qemu-mac": (QEMU + '[device]\n mac = "53:54:00:12:34:56"\n', "multicast"),
    "qemu-uuid": (QEMU + '[smbios]\n  uuid = "x"\n', "is not a UUID"),
    "qemu-huge": (QEMU + "#" * 2**23, "MiB"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_is_refused(tmp_path: Path, text: str, words: str) -> None:
    require_refused(tmp_path / "golden.cfg", text, words)


@pytest.mark.parametrize("golden", goldens("xen"), ids=str)
def test_a_file_that_ends_in_a_list_or_string_is_refused(golden: Golden, tmp_path: Path) -> None:
    text = golden.before.read_text()
    for mark in ("[", "name", "disk"):
        at = text.index(mark) + len(mark)
        assert isinstance(refused(tmp_path / "golden.cfg", text[:at]), RefusedError), mark


@pytest.mark.parametrize("text", [XEN, QEMU], ids=["xen", "qemu-config"])
def test_a_file_of_100_mb_is_refused_unread(tmp_path: Path, text: str) -> None:
    source = tmp_path / "golden.cfg"
    source.write_text(text)
    os.truncate(source, 100_000_000)
    with pytest.raises(RefusedError, match="MiB"):
        read_definition(source)


def test_nothing_is_executed(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    error = refused(tmp_path / "golden.cfg", XEN + f"x = __import__('os').mkdir('{trap}')\n")
    assert isinstance(error, RefusedError)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["golden.save", "golden.chk"])
def test_a_suspended_machine_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"XenSavedDomain")
    error = refused(tmp_path / "golden.cfg", XEN)
    assert isinstance(error, RefusedError)
    assert name in error.message


DISKS = {
    "/dev/vg/g,raw,hda,rw": ("/dev/vg/g", "hda", False),
    "/dev/vg/g,,hda": ("/dev/vg/g", "hda", False),
    "/dev/vg/g, raw, xvda, r": ("/dev/vg/g", "xvda", True),
    "format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/a, b.iso": (
        "/root/a, b.iso",
        "hdc",
        True,
    ),
    "vdev=hda,target=a,b": ("a,b", "hda", False),
    "phy:/dev/vg/g,xvda,w": ("/dev/vg/g", "xvda", False),
    "file:/srv/a.iso,hdc:cdrom,r": ("/srv/a.iso", "hdc", True),
    "tap:aio:/srv/a.img,xvda,w": ("/srv/a.img", "xvda", False),
    "tap2:qcow2:/srv/a.qcow2,hda,w": ("/srv/a.qcow2", "hda", False),
}


@pytest.mark.parametrize("text", DISKS)
def test_disks_are_understood_in_every_spelling(text: str) -> None:
    found = target(text)
    assert found is not None
    assert (text[found.start : found.end], found.vdev, found.shared) == DISKS[text]


@pytest.mark.parametrize("text", ["", ",,hdd,cdrom", "format=empty,vdev=hdc,devtype=cdrom,target="])
def test_an_empty_drive_is_no_disk(text: str) -> None:
    assert target(text) is None


def test_a_path_that_stays_need_not_be_written_again(tmp_path: Path) -> None:
    text = 'name = "golden"\nmemory = 1\ndisk = ["""phy:/dev/vg/a\'",hda,w"""]\n'
    file = tmp_path / "golden.cfg"
    file.write_text(text)
    plan = plan_definition(read_definition(file), IdentityMap(Counting(), "web-01"))
    assert written(plan).decode() == text.replace("golden", "web-01")
