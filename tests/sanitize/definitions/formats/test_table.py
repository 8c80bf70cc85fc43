"""Files that are no definition, made to keep a reader busy: no format takes one for its own."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions import formats
from unclone.sanitize.definitions.formats import incus
from unclone.sanitize.definitions.formats.table import FORMATS, read_definition
from unclone.sanitize.definitions.text.source import HEAD

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.definitions.definition import Format

PIECES = {
    "line-ends": b"\n",
    "blanks": b" ",
    "blank-lines": b"\t\r\n",
    "letters": b"a",
    "assignments": b"a=b ",
    "keys": b"a: \n",
    "comments": b"#\n",
    "slashes": b"/",
    "quotes": b"\"'",
    "less-than": b"<",
    "instructions": b"<?",
    "xml-comments": b"<!--",
    "document-types": b"<!DOCTYPE x[",
    "braces": b'{"a":',
    "items": b"- ",
    "sections": b"[a]\n",
    "options": b"env -a ",
    "zeros": b"\0",
}


@pytest.mark.parametrize("start", [b"", b"#!", b"#! "], ids=["", "script", "script-blank"])
@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_is_no_definition(start: bytes, piece: bytes) -> None:
    head = (start + piece * HEAD)[:HEAD]
    assert [each.id for each in FORMATS if each.detects(head)] == []


def test_every_folder_of_a_format_is_in_the_table() -> None:
    folders = {module.name for module in pkgutil.iter_modules(formats.__path__) if module.ispkg}
    companions = {"libvirt_backup", "libvirt_network"}
    assert {each.id.replace("-", "_") for each in FORMATS} == folders - companions


@pytest.mark.parametrize("format_", FORMATS, ids=lambda each: str(each.id))
def test_a_format_loads_from_the_folder_of_its_id(format_: Format) -> None:
    assert format_.package.rpartition(".")[2] == format_.id.replace("-", "_")
    assert len({rule.id for rule in format_.rules}) == len(format_.rules)


def test_the_table_of_formats_loads_no_reader() -> None:
    program = (
        "import sys; from unclone.sanitize.definitions.formats import table; "
        "print(*(name for name in sys.modules if name.endswith(('.reader', '.rules', 'yaml'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("a.conf", "net0: virtio=BC:24:11:00:00:0A\n%%%\n", "--format proxmox"),
        ("a.vmx", "nothing\n", "--format vmx"),
        ("a.xml", "<a><domain type='kvm'/></a>", "--format libvirt"),
        ("a.yaml", "apiVersion: kubevirt.io/v1\nkind: VirtualMachinePool\n", "--format kubevirt"),
        ("a.sh", "# qemu-system-x86_64 is started elsewhere\n", "--format qemu"),
        (
            "long.sh",
            "#!/bin/sh\n" + "echo step\n" * 2000 + "apt install qemu-system-x86_64\n",
            "--format qemu",
        ),
        ("100.conf", "arch: amd64\nrootfs: local:1\nnet0: name=eth0\n", "Known are: "),
        ("a.txt", "hello\n", "Known are: "),
    ],
)
def test_the_nearest_format_is_named(tmp_path: Path, name: str, text: str, hint: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(RefusedError) as raised:
        read_definition(path)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    "text",
    [
        b"paths:\n  architecture: x\n  config: y\n  devices: z\n  profiles: volatile.\n",
        b"#!/bin/sh\ncat <<EOF\n  architecture: x\n  config: {}\n  devices: {}\nvolatile.\nEOF\n",
    ],
    ids=["interface-description", "script"],
)
def test_keys_of_an_instance_begin_lines(text: bytes) -> None:
    assert not incus.FORMAT.detects(text)


def test_an_instance_with_long_user_data_is_one() -> None:
    text = b"architecture: x86_64\nconfig:\n  cloud-init.user-data: |\n" + b"    # line\n" * HEAD
    assert incus.FORMAT.detects(text[:HEAD])
    assert not incus.FORMAT.detects(text[:100])
