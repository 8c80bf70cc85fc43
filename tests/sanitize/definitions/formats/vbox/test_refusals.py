"""VirtualBox definitions that are broken, hostile, encrypted or suspended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.definitions import Golden, goldens
from tests.support.refusals import defined, refusal, require_refused
from unclone.images.errors import RefusedError
from unclone.runs.define import Request
from unclone.sanitize.definitions.formats.table import read_definition

if TYPE_CHECKING:
    from pathlib import Path

NS = 'xmlns="http://www.virtualbox.org/" version="1.19-linux"'
UUID = "{7b2e1f9c-4c35-4a6e-9d10-a1b2c3d4e5f6}"


def machine(hardware: str = "", *, attributes: str = f'uuid="{UUID}"', more: str = "") -> str:
    return (
        f'<VirtualBox {NS}><Machine name="golden" {attributes}>{more}'
        f"<Hardware>{hardware}</Hardware></Machine></VirtualBox>"
    )


def cards(*addresses: str) -> str:
    adapters = (f'<Adapter slot="{n}" MACAddress="{mac}"/>' for n, mac in enumerate(addresses))
    return f"<Network>{''.join(adapters)}</Network>"


BOMB = (
    '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    f"]><VirtualBox {NS}><Machine name='&b;'/></VirtualBox>"
)
EXTERNAL = (
    f"<!DOCTYPE d SYSTEM 'http://192.0.2.1/x.dtd'><VirtualBox {NS}><Machine name='x'/></VirtualBox>"
)
REFUSED = {
    "truncated": (machine()[:-20], "golden.vbox:1:"),
    "settings-of-virtualbox": (f"<VirtualBox {NS}><Global/></VirtualBox>", "no <Machine>"),
    "no-name": (f"<VirtualBox {NS}><Machine uuid='{UUID}'/></VirtualBox>", "no <Machine>"),
    "encrypted": (f"<VirtualBox {NS}><MachineEncrypted/></VirtualBox>", "is encrypted"),
    "suspended": (
        machine(attributes=f'uuid="{UUID}" stateFile="Snapshots/2024-03-22.sav"'),
        "2024-03-22.sav holds its saved state",
    ),
    "entity-bomb": (BOMB, "document type"),
    "external-dtd": (EXTERNAL, "document type"),
    "deep": (machine("<a>" * 5000 + "</a>" * 5000), "within each other"),
    "many": (machine("<a/>" * 100_001), "elements"),
    "deep-snapshots": (machine(more="<Snapshot>" * 200 + "</Snapshot>" * 200), "within each other"),
    "huge": (machine(" " * 2**23), "MiB"),
    "null-bytes": (machine("\0"), "null characters"),
    "mac-malformed": (machine(cards("080027D1F0")), "is not a MAC address"),
    "mac-multicast": (machine(cards("090027D1F0A3")), "multicast"),
    "uuid-malformed": (machine(attributes='uuid="{7b2e}"'), "is not a UUID"),
    "escape-sequences": (machine(cards("x&#10;all is well&#x9b;")), "is not a MAC address"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_is_refused(tmp_path: Path, text: str, words: str) -> None:
    require_refused(tmp_path / "golden.vbox", text, words)


@pytest.mark.parametrize("golden", goldens("vbox"), ids=str)
def test_a_truncated_definition_is_refused_wherever_it_ends(golden: Golden, tmp_path: Path) -> None:
    content = golden.before.read_bytes()
    body = content[: content.rindex(b"VirtualBox>") - 4]
    for end in range(0, len(body), max(1, len(body) // 8)):
        source = tmp_path / "golden.vbox"
        source.write_bytes(body[:end])
        assert isinstance(refusal(source), RefusedError), end


def test_a_file_of_100_mb_is_refused_unread(tmp_path: Path) -> None:
    source = tmp_path / "golden.vbox"
    source.write_text(f"<VirtualBox {NS}>")
    os.truncate(source, 100_000_000)
    with pytest.raises(RefusedError, match="MiB"):
        read_definition(source)


def test_a_snapshot_s_saved_state_is_no_suspended_machine(tmp_path: Path) -> None:
    more = f'<Snapshot uuid="{UUID}" name="s1" stateFile="Snapshots/1.sav"/>'
    source = tmp_path / "golden.vbox"
    source.write_text(machine(more=more))
    done = defined(Request(source, "web-01", output=tmp_path / "web-01.vbox"))
    assert any("Snapshots/1.sav" in note.text for note in done.notes)


@pytest.mark.parametrize(
    ("path", "content", "copied"),
    [
        ("golden.nvram", bytes(40) + b"_FVH", True),
        ("golden.nvram", bytes(257) + b"ustar", True),
        ("golden.nvram", b"root:x:0:0", False),
        ("../golden.nvram", bytes(40) + b"_FVH", False),
    ],
    ids=["variables", "archive", "another-file", "outside"],
)
def test_only_firmware_variables_beside_it_are_copied(
    tmp_path: Path, path: str, content: bytes, copied: bool
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / path).write_bytes(content)
    source = tmp_path / "a" / "golden.vbox"
    source.write_text(machine(f'<BIOS><NVRAM path="{path}"/></BIOS>'))
    done = defined(Request(source, "web-01", output=tmp_path / "b" / "web-01.vbox"))
    assert (tmp_path / "b" / "web-01.nvram").exists() == copied
    assert any(note.step == "nvram" for note in done.notes) != copied
