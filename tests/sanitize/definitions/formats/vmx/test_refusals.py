"""VMware definitions that are broken, hostile, encrypted or in use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.definitions import Golden, goldens
from tests.support.refusals import defined, refusal, refused, require_refused
from unclone.images.errors import InUseError, RefusedError
from unclone.runs.define import Request
from unclone.sanitize.definitions.formats.table import read_definition

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 'config.version = "8"\nvirtualHW.version = "19"\ndisplayName = "golden"\n'


def card(number: int, address: str, key: str = "address", kind: str = "static") -> str:
    name = f"ethernet{number}"
    return f'{name}.addressType = "{kind}"\n{name}.{key} = "{address}"\n'


REFUSED = {
    "not-a-setting": (HEAD + "hello world\n", "golden.vmx:4:1: is not NAME"),
    "no-closing-quote": (HEAD + 'uuid.bios = "56 4d 3f\n', "golden.vmx:4:1: is not NAME"),
    "twice": (HEAD + 'DisplayName = "x"\n', "golden.vmx:4:1: DisplayName is set a second time"),
    "encrypted": (HEAD + 'encryption.keySafe = "vmware:key/list/(pair"\n', "is encrypted"),
    "encrypted-in-part": (HEAD + 'encryption.data = "8sLRcxBvQ"\n', "is encrypted"),
    "suspended": (HEAD + 'checkpoint.vmState = "golden.vmss"\n', "golden.vmss holds its saved"),
    "mac-malformed": (HEAD + card(0, "00:50:56:1a:2b"), "is not a MAC address"),
    "mac-multicast": (HEAD + card(0, "01:50:56:1a:2b:3c"), "multicast"),
    "uuid-malformed": (HEAD + 'uuid.bios = "56 4d 3f"\n', "is not a UUID"),
    "genid-malformed": (HEAD + 'vm.genid = "12a"\n', "is not a number"),
    "port-malformed": (HEAD + 'RemoteDisplay.vnc.port = "vnc"\n', "is not a number"),
    "null-bytes": (HEAD + 'x = "\0"\n', "null characters"),
    "huge": (HEAD + "#" * 2**23, "MiB"),
    "many-lines": (HEAD + "\n" * 100_001, "lines"),
    "escape-sequences": (HEAD + 'uuid.bios = "\x1b[2J|0A|9B"\n', "is not a UUID"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_is_refused(tmp_path: Path, text: str, words: str) -> None:
    require_refused(tmp_path / "golden.vmx", text, words)


@pytest.mark.parametrize("golden", goldens("vmx"), ids=str)
def test_a_truncated_definition_is_refused_where_a_line_is_cut(
    golden: Golden, tmp_path: Path
) -> None:
    content = golden.before.read_bytes()
    uuid = content.index(b"uuid.bios")
    for end in (uuid + 4, uuid + 14, uuid + 30):
        source = tmp_path / "golden.vmx"
        source.write_bytes(content[:end])
        assert isinstance(refusal(source), RefusedError), end


def test_a_file_of_100_mb_is_refused_unread(tmp_path: Path) -> None:
    source = tmp_path / "golden.vmx"
    source.write_text(HEAD)
    os.truncate(source, 100_000_000)
    with pytest.raises(RefusedError, match="MiB"):
        read_definition(source)


@pytest.mark.parametrize("name", ["golden.vmx.lck", "disk.vmdk.lck", "golden-1a2b.vswp"])
def test_a_running_machine_is_in_use(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    text = 'scsi0:0.fileName = "disk.vmdk"\nsched.swap.derivedName = "/vmfs/x/golden-1a2b.vswp"\n'
    error = refused(tmp_path / "golden.vmx", HEAD + text)
    assert isinstance(error, InUseError)
    assert name in error.message


@pytest.mark.parametrize("name", ["golden.vmss", "golden.vmem"])
def test_a_suspended_machine_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    error = refused(tmp_path / "golden.vmx", HEAD)
    assert isinstance(error, RefusedError)
    assert name in error.message


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "..", "x" * 5000])
def test_a_name_does_not_lead_anywhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "secret").write_bytes(b"MRVN")
    (tmp_path / "secret.lck").touch()
    source = tmp_path / "a" / "golden.vmx"
    source.write_text(HEAD + f'nvram = "{name}"\nscsi0:0.fileName = "{name}"\n')
    request = Request(source, "web-01", output=tmp_path / "a" / "web-01.vmx")
    done = defined(request)
    assert done.associated_files == ()
    assert any(note.step == "nvram" for note in done.notes)


def test_the_nvram_of_another_program_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "golden.nvram").write_bytes(b"root:x:0:0")
    source = tmp_path / "golden.vmx"
    source.write_text(HEAD + 'nvram = "golden.nvram"\n')
    request = Request(source, "web-01", output=tmp_path / "web-01.vmx")
    defined(request)
    assert not (tmp_path / "web-01.nvram").exists()


def test_the_nvram_is_copied_to_where_the_new_definition_is(tmp_path: Path) -> None:
    (tmp_path / "golden.nvram").write_bytes(b"MRVN and more")
    (tmp_path / "new").mkdir()
    source = tmp_path / "golden.vmx"
    source.write_text(HEAD + 'nvram = "golden.nvram"\n')
    request = Request(source, "web-01", output=tmp_path / "new" / "web-01.vmx")
    defined(request)
    assert (tmp_path / "new" / "web-01.nvram").read_bytes() == b"MRVN and more"


def test_a_range_vmware_would_refuse_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "golden.vmx"
    source.write_text(HEAD + card(0, "00:50:56:1a:2b:3c") + 'ethernet0.checkMACAddress = "true"\n')
    error = refusal(source, oui=bytes.fromhex("525400"))
    assert isinstance(error, RefusedError)
    assert "checkMACAddress" in error.message


def test_what_may_be_secret_is_not_in_the_report(tmp_path: Path) -> None:
    secrets = 'guestinfo.userdata = "correct-horse"\nRemoteDisplay.vnc.key = "correct-horse"\n'
    source = tmp_path / "golden.vmx"
    source.write_text(HEAD + secrets)
    done = defined(Request(source, "web-01", output=tmp_path / "web-01.vmx"))
    assert "correct-horse" not in str(done.to_json())
    assert {"guest-info", "vnc-password"} <= {note.step for note in done.notes}


def test_a_machine_without_a_name_gets_one(tmp_path: Path) -> None:
    source = tmp_path / "golden.vmx"
    source.write_text('config.version = "8"\r\nvirtualHW.version = "19"\r\n')
    defined(Request(source, "web-01", output=tmp_path / "web-01.vmx"))
    assert (tmp_path / "web-01.vmx").read_bytes() == (
        b'displayName = "web-01"\r\nconfig.version = "8"\r\nvirtualHW.version = "19"\r\n'
    )
