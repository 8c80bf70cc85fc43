"""QEMU command lines that are broken, hostile or in use."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.definitions import Golden, goldens
from tests.support.refusals import defined, refused, require_refused
from unclone.images.errors import InUseError, RefusedError
from unclone.runs.define import Request
from unclone.sanitize.change import Level
from unclone.sanitize.definitions.formats.table import format_of, read_definition
from unclone.sanitize.definitions.text.source import Source

if TYPE_CHECKING:
    from unclone.sanitize.definitions.definition import Definition

LINE = "qemu-system-x86_64 -name golden -uuid 6695eb01-f6a4-4304-b9aa-97f2502e193f"
HEAD = f"#!/bin/sh\n{LINE}"


def card(mac: str) -> str:
    return f" -device virtio-net-pci,mac={mac}"


DOUBLING = "V0=aaaaaaaaaa\n" + "".join(f"V{n}=$V{n - 1}$V{n - 1}\n" for n in range(1, 40))
GROWING = "A=1\n" + 'A="$A x"\n' * 150
REFUSED = {
    "quote": (HEAD + " -m '1G\n", "golden.sh:2:79: cannot read this command: a quote does not"),
    "double-quote": (HEAD + ' -m "1G\n', "a quote does not end"),
    "backtick": (HEAD + " -m `nproc\n", "a quote does not end"),
    "substitution": (HEAD + " -m $(nproc\n", "a bracket does not end"),
    "array": ("#!/bin/bash\nA=(-m 1G\n" + LINE, "a bracket does not end"),
    "array-operator": ("#!/bin/bash\nA=(-m 1G; x)\n" + LINE, "an operator between the words"),
    "here-document": (HEAD + "\ncat <<END\nabc\n", "a here-document does not end"),
    "continued": (HEAD + " \\\n", "ends in the middle of a command"),
    "backslash": (HEAD + " \\", "ends in the middle of a command"),
    "value-missing": (HEAD + " -m 1G -device", "nothing follows -device"),
    "json": (HEAD + """ -device '{"driver":"e1000","mac"}'""", "is not valid JSON"),
    "json-twice": (HEAD + """ -device '{"driver":"a","driver":"b"}'""", "is there twice"),
    "no-machine": ("#!/bin/sh\nqemu-system-x86_64 --version\n", "starts QEMU nowhere"),
    "only-spoken-of": ("#!/bin/sh\napt install qemu-system-x86 qemu-kvm\n", "QEMU nowhere"),
    "two-machines": (HEAD + f" &\n{LINE} &\n", "starts QEMU 2 times"),
    "mac-malformed": (HEAD + card("52:54:00:12:34"), "is not a MAC address"),
    "mac-multicast": (HEAD + card("53:54:00:12:34:56"), "multicast"),
    "mac-twice-by-variable": (
        f"#!/bin/sh\nMAC=52:54:00:aa:bb:cc\n{LINE}" + card("$MAC") * 2,
        "have the same MAC address",
    ),
    "uuid-malformed": ("qemu-system-x86_64 -name golden -uuid 6695eb01", "is not a UUID"),
    "cid-malformed": (HEAD + " -device vhost-vsock-pci,guest-cid=x", "is not a number"),
    "incoming": (HEAD + " -incoming tcp:0:4444", "-incoming makes it go on"),
    "loadvm": (HEAD + " -loadvm before-update", "-loadvm makes it go on"),
    "null-bytes": (HEAD + " \0", "null characters"),
    "huge": (HEAD + " " * 2**23, "MiB"),
    "arguments": (HEAD + ", a" * 2000, "more than 2000 arguments"),
    "too-large": (HEAD + " -m 1" * 60_000, "KiB"),
    "many-words": (HEAD + " x" * 30_000, "words"),
    "variable-bomb": (f"#!/bin/sh\n{DOUBLING}{LINE} $V39", "more than any command line has"),
    "variable-chain": (f"#!/bin/sh\n{GROWING}{LINE} $A", "grow"),
    "escape-sequences": (HEAD + card("'\x1b[2J'"), "is not a MAC address"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_is_refused(tmp_path: Path, text: str, words: str) -> None:
    require_refused(tmp_path / "golden.sh", text, words)


@pytest.mark.parametrize("golden", goldens("qemu"), ids=str)
def test_a_truncated_command_is_refused_or_is_a_shorter_one(golden: Golden, tmp_path: Path) -> None:
    content = golden.before.read_bytes()
    for end in range(0, len(content), max(1, len(content) // 12)):
        source = Source(tmp_path / "golden.sh", content[:end])
        found = format_of(source)
        if found is not None:
            with contextlib.suppress(RefusedError):
                assert found.read(source).fields


def test_a_file_of_100_mb_is_refused_unread(tmp_path: Path) -> None:
    source = tmp_path / "golden.sh"
    source.write_text(HEAD + "\n#")
    os.truncate(source, 100_000_000)
    with pytest.raises(RefusedError, match="MiB"):
        read_definition(source)


def read_definition_of(text: str) -> Definition:
    source = Source(Path("golden.sh"), text.encode())
    found = format_of(source)
    assert found is not None
    return found.read(source)


def test_nothing_is_executed(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    text = f"#!/bin/sh\ntouch {trap}\nA=$(touch {trap})\n{LINE} -m `touch {trap}` $A\n"
    assert read_definition_of(text).name == "golden"
    assert not trap.exists()


def test_a_running_machine_is_in_use(tmp_path: Path) -> None:
    fake = tmp_path / "qemu-system-x86_64"
    fake.symlink_to("/bin/cat")
    with subprocess.Popen([fake], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"running\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"running\n"  # so it has its own name by now
        (tmp_path / "golden.pid").write_text(f"{child.pid}\n")
        error = refused(tmp_path / "golden.sh", HEAD + " -pidfile golden.pid")
    assert isinstance(error, InUseError)
    assert "golden.pid" in error.message


@pytest.mark.parametrize("content", [None, b"", b"x", b"-1", b"99999999999", b"1\n"], ids=str)
def test_a_process_that_is_no_qemu_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "golden.pid").write_bytes(content)
    source = tmp_path / "golden.sh"
    source.write_text(HEAD + " -pidfile golden.pid")
    assert read_definition(source).active is None


def test_a_pid_file_that_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "golden.pid")
    source = tmp_path / "golden.sh"
    source.write_text(HEAD + " -pidfile golden.pid")
    assert read_definition(source).active is None


def test_uefi_variables_are_copied_beside_the_result(tmp_path: Path) -> None:
    store = bytes(40) + b"_FVH" + bytes(1000)
    (tmp_path / "golden_VARS.fd").write_bytes(store)
    source = tmp_path / "golden.sh"
    source.write_text(HEAD + " -drive if=pflash,format=raw,file=golden_VARS.fd\n")
    (tmp_path / "out").mkdir()
    defined(Request(source, "web-01", output=tmp_path / "out/web-01.sh"))
    assert (tmp_path / "out/web-01_VARS.fd").read_bytes() == store
    assert "file=web-01_VARS.fd" in (tmp_path / "out/web-01.sh").read_text()


def test_other_files_are_never_copied_as_uefi_variables(tmp_path: Path) -> None:
    source = tmp_path / "golden.sh"
    source.write_text(HEAD + " -drive if=pflash,format=raw,file=/etc/passwd\n")
    result = defined(Request(source, "web-01", output=tmp_path / "web-01.sh"))
    assert result.associated_files == ()
    assert any("/etc/passwd holds no UEFI variables" in note.text for note in result.notes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"#!/bin/sh\n{LINE} -nic user,mac=$1\n", "-nic (1) mac: only the script knows"),
        (f"#!/bin/sh\n{LINE} -nic user,mac=$(./mac)\n", "-nic (1) mac: only the script knows"),
        (f"#!/bin/sh\nM=1\nM=2\n{LINE} -nic user,mac=$M\n", "only the script knows"),
        (f"#!/bin/sh\nN=12\n{LINE} -nic user,mac=52:54:00:12:34:$N$X\n", "only the script knows"),
    ],
    ids=["argument", "substitution", "assigned-twice", "unassigned"],
)
def test_what_only_the_shell_knows_is_said(text: str, words: str) -> None:
    notes = [n for n in read_definition_of(text).notes if n.level is Level.WARNING]
    assert [n for n in notes if words in n.text]


VIRTIO_REFUSED = {
    "no-pci": ("-machine isapc -hda a.img", "has no PCI bus"),
    "json": (
        """-device '{"driver":"ide-hd","drive":"a","bus":"ide.0"}'""",
        "cannot be moved to virtio",
    ),
    "unknown-value": ("-hda $1", "cannot be moved to virtio"),
    "comma": ("-hda a,b.img", "cannot be moved to virtio"),
}


@pytest.mark.parametrize(("words", "message"), VIRTIO_REFUSED.values(), ids=VIRTIO_REFUSED)
def test_what_cannot_move_to_virtio_is_refused(words: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message) as raised:
        read_definition_of(f"#!/bin/sh\n{LINE} {words}\n").virtio()
    assert raised.value.hint


VIRTIO = {
    "hda": ("-hda golden.img", "-drive file=golden.img,media=disk,if=virtio"),
    "image": ("'a b.img'", "-drive file='a b.img',media=disk,if=virtio"),
    "cd": ("-cdrom a.iso", "-cdrom a.iso"),
    "drive": ("-drive file=a.img", "-drive file=a.img,if=virtio"),
    "drive-ide": ("-drive file=a,if=ide,bus=1,unit=0", "-drive file=a,if=virtio"),
    "drive-cd": ("-drive file=a,media=cdrom", "-drive file=a,media=cdrom"),
    "device": (
        "-drive if=none,id=d,file=a -device ide-hd,drive=d,bus=ide.1,wwn=0x5000c50015ea71ac",
        "-drive if=none,id=d,file=a -device virtio-blk-pci,drive=d",
    ),
    "virtio-scsi": (
        "-device virtio-scsi-pci -drive if=none,id=d,file=a -device scsi-hd,drive=d",
        "-device virtio-scsi-pci -drive if=none,id=d,file=a -device scsi-hd,drive=d",
    ),
    "card": ("-device e1000e,netdev=n", "-device virtio-net-pci,netdev=n"),
    "nic": ("-nic user,model=rtl8139", "-nic user,model=virtio-net-pci"),
    "nic-default": ("-nic user", "-nic user,model=virtio-net-pci"),
    "nic-virtio": ("-nic user,model=virtio", "-nic user,model=virtio"),
    "net": ("-net nic -net user", "-net nic,model=virtio-net-pci -net user"),
    "quoted": ('-drive "file=a b.img"', '-drive "file=a b.img,if=virtio"'),
}


@pytest.mark.parametrize(("before", "after"), VIRTIO.values(), ids=VIRTIO)
def test_devices_move_to_virtio(tmp_path: Path, before: str, after: str) -> None:
    source = tmp_path / "golden.sh"
    source.write_text(f"{LINE} {before}\n")
    request = Request(source, "golden", output=tmp_path / "x.sh", virtio=True, unchecked=True)
    defined(request)
    text = re.sub(r",mac(?:addr)?=[0-9a-f:]{17}", "", (tmp_path / "x.sh").read_text())
    assert text.split(" ", 5)[5] == f"{after}\n"
