"""``unclone define``: what it writes, what it says, what it never does."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.command import PROGRAM
from tests.support.definitions import FOLDER
from unclone.cli.main import cli
from unclone.runs.define import Request, define, pool, read
from unclone.sanitize.definitions.formats.table import FORMATS, read_definition
from unclone.sanitize.identities.ledger import Ledger

GOLDEN = (FOLDER / "libvirt" / "virt-manager.before.xml").read_text()
BY_HAND = (FOLDER / "libvirt" / "by-hand.before.xml").read_bytes()
OLD_MAC, OLD_UUID = "52:54:00:6b:3c:58", "6695eb01-f6a4-4304-b9aa-97f2502e193f"
NETWORK = f"""<network>
  <name>default</name>
  <uuid>{OLD_UUID}</uuid> <!-- the network's own, whatever it looks like -->
  <dns>
    <host ip='192.0.2.10'><hostname>golden</hostname><hostname>www</hostname></host>
    <host ip='192.0.2.11'><hostname>golden-db</hostname></host>
  </dns>
  <ip address='192.0.2.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.0.2.100' end='192.0.2.200'/>
      <host mac='{OLD_MAC.upper()}' name='golden' ip='192.0.2.10'/>
      <host mac='52:54:00:00:00:99' name='golden-db' ip='192.0.2.11'/>
    </dhcp>
  </ip>
</network>
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "golden.xml").write_text(GOLDEN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(cli, ["define", *arguments])
    assert done.exit_code == status, done.output
    return done


def report(*arguments: str, status: int = 0) -> dict[str, Any]:
    document = json.loads(run(*arguments, "--json", status=status).stdout)
    assert document["schema"] == "unclone.define/1"
    (result,) = document["results"]
    return dict(result)


def macs(path: Path) -> list[str]:
    return re.findall(r"<(?:mac address|host mac)=.([0-9A-Fa-f:]{17})", path.read_text())


def test_writes_beside_nothing_but_the_new_machine(folder: Path) -> None:
    done = run("golden.xml", "--name", "web-01")
    text = (folder / "web-01.xml").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["golden.xml", "web-01.xml"]
    assert (folder / "golden.xml").read_text() == GOLDEN
    assert "<name>web-01</name>" in text
    assert OLD_MAC not in text
    assert OLD_UUID not in text
    assert done.stdout.startswith("golden.xml: libvirt domain XML, golden; web-01 written")
    assert "! /domain/devices/disk[1]/source/@file: /var/lib/libvirt/images/golden" in done.stdout


def test_the_report_says_what_is_in_the_file(folder: Path) -> None:
    result = report("golden.xml", "--name", "web-01", "--disk", "vda=/srv/web-01.qcow2")
    definition = read_definition(folder / "web-01.xml")
    values = {field.rule.id: field.value for field in definition.fields}
    assert result["status"] == "done"
    assert result["output"] == "web-01.xml"
    assert (result["old_name"], result["name"]) == ("golden", definition.name)
    assert result["uuid"] == values["uuid"]
    assert result["macs"] == [{"old": OLD_MAC, "new": values["interface-mac"]}]
    assert [disk["new"] for disk in result["disks"]] == [disk.path for disk in definition.disks]
    for change in result["changes"]:
        assert values.get(change["row"]) in (change["new"], None)
        assert change["why"]
    kept = {note["row"]: note["level"] for note in result["notes"]}
    assert kept["disk-shared"] == "info"
    assert kept["nvram"] == "warning"  # it is not on this host


def test_a_dry_run_writes_nothing_and_hands_nothing_out(folder: Path) -> None:
    result = report("golden.xml", "--name", "web-01", "--dry-run", "--ledger", "fleet")
    assert result["status"] == "planned"
    assert not (folder / "web-01.xml").exists()
    with Ledger.open(folder / "fleet") as ledger:
        assert ledger.machine("web-01") is None


@pytest.mark.slow
def test_stdout_gets_the_definition_and_stderr_the_report(folder: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "define", "golden.xml", "--name", "web-01", "-o", "-"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = list(zip(GOLDEN.splitlines(), done.stdout.splitlines(), strict=False))
    assert lines[0] == ('<domain type="kvm">',) * 2
    assert done.stdout.endswith("</domain>\n")
    assert "web-01 written: stdout" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["golden.xml"]


def test_a_key_gives_the_same_machine_again(folder: Path) -> None:
    (folder / "fleet.key").write_text("a key nobody guesses, of 41 characters\n")
    options = ["golden.xml", "--derive-from", "fleet.key", "--name"]
    run(*options, "web-01", "-o", "first.xml")
    run(*options, "web-01", "-o", "second.xml")
    run(*options, "web-02")
    assert (folder / "first.xml").read_bytes() == (folder / "second.xml").read_bytes()
    assert macs(folder / "first.xml") != macs(folder / "web-02.xml")


def test_the_ledger_knows_every_machine(folder: Path) -> None:
    run("golden.xml", "--name", "web-01", "--ledger", "fleet")
    again = run("golden.xml", "--name", "web-01", "--ledger", "fleet", "-o", "b.xml", status=4)
    assert "web-01" in again.stderr
    assert not (folder / "b.xml").exists()
    with Ledger.open(folder / "fleet") as ledger:
        assert ledger.holder("mac", macs(folder / "web-01.xml")[0]) == "web-01"


def test_what_a_person_chooses_is_used(folder: Path) -> None:
    uuid = "0f8fad5b-d9cb-469f-a165-70867728950e"
    result = report(
        *("golden.xml", "--name", "web-01", "--uuid", uuid.upper().replace("-", "")),
        *("--mac", "net0=02-00-00-00-00-AA", "--disk", "vda=/srv/a=b.qcow2"),
    )
    assert result["uuid"] == uuid
    assert macs(folder / "web-01.xml") == ["02:00:00:00:00:aa"]
    assert 'file="/srv/a=b.qcow2"' in (folder / "web-01.xml").read_text()


@pytest.mark.parametrize("card", ["", "net0=", "1=", f"{OLD_MAC}="])
def test_a_card_has_several_names(folder: Path, card: str) -> None:
    run("golden.xml", "--name", "web-01", "--mac", f"{card}02:00:00:00:00:aa")
    assert macs(folder / "web-01.xml") == ["02:00:00:00:00:aa"]


def test_an_oui_of_ones_own(folder: Path) -> None:
    run("golden.xml", "--name", "web-01", "--oui", "02:AB:CD")
    assert macs(folder / "web-01.xml")[0].startswith("02:ab:cd:")


def test_a_network_and_a_snapshot_follow(folder: Path) -> None:
    (folder / "default.xml").write_text(NETWORK)
    snapshot = (FOLDER / "libvirt" / "snapshot.before.xml").read_text()
    (folder / "snap.xml").write_text(snapshot)
    options = ["--network", "default.xml", "--snapshot", "snap.xml", "--disk", "vda=/srv/w.qcow2"]
    result = report("golden.xml", "--name", "web-01", *options)
    new = result["macs"][0]["new"]
    network = (folder / "web-01-default.xml").read_text()
    assert network == NETWORK.replace(
        f"mac='{OLD_MAC.upper()}' name='golden'", f"mac='{new.upper()}' name='web-01'"
    ).replace("<hostname>golden<", "<hostname>web-01<")
    assert macs(folder / "web-01-snap.xml") == [new, new]
    assert f"<uuid>{result['uuid']}</uuid>" in (folder / "web-01-snap.xml").read_text()
    assert "/srv/w.qcow2" in (folder / "web-01-snap.xml").read_text()
    assert [Path(each["path"]).name for each in result["files"]] == [
        "web-01-default.xml",
        "web-01-snap.xml",
    ]
    warned = [note for note in result["notes"] if note["level"] == "warning"]
    assert any(note["row"] == "reservation-address" for note in warned)


def test_a_reservation_without_a_mac_address_follows_by_its_name(folder: Path) -> None:
    """dnsmasq knows IPv6 clients by name or DUID; an SRV record names the machine, too."""
    ipv6 = "<ip family='ipv6' address='2001:db8::1' prefix='64'><dhcp>"
    ipv6 += "<host name='golden' ip='2001:db8::10'/><host name='golden-db' ip='2001:db8::11'/>"
    ipv6 += "<host id='0:3:0:1:0:16:3e:11:22:33' name='golden' ip='2001:db8::12'/></dhcp></ip>"
    service = "<srv service='http' protocol='tcp' target='{}' port='80'/>"
    dns = service.format("golden") + service.format("golden-db")
    dns += "<host ip='2001:db8::10'><hostname>golden</hostname></host>"
    text = NETWORK.replace("</network>", f"{ipv6}</network>").replace("<dns>", f"<dns>{dns}")
    (folder / "default.xml").write_text(text)
    result = report("golden.xml", "--name", "web-01", "--network", "default.xml")
    expected = text.replace(OLD_MAC.upper(), result["macs"][0]["new"].upper())
    for old in ("name='golden'", "target='golden'", "<hostname>golden<"):
        expected = expected.replace(old, old.replace("golden", "web-01"))
    assert (folder / "web-01-default.xml").read_text() == expected
    kept = [note for note in result["notes"] if note["row"].startswith("reservation-")]
    assert {note["row"] for note in kept} == {"reservation-address", "reservation-client-id"}


@pytest.mark.parametrize("content", [b"\0" * 40 + b"_FVH" + b"\1" * 99, b"QFI\xfb" + b"\2" * 99])
def test_the_uefi_variables_are_copied(folder: Path, content: bytes) -> None:
    store = folder / "golden_VARS.fd"
    store.write_bytes(content)
    store.chmod(0o640)
    text = GOLDEN.replace("/var/lib/libvirt/qemu/nvram/golden_VARS.fd", str(store))
    (folder / "golden.xml").write_text(text)
    run("golden.xml", "--name", "web-01")
    copy = folder / "web-01_VARS.fd"
    assert copy.read_bytes() == content
    assert copy.stat().st_mode & 0o777 == 0o640
    assert f">{copy}</nvram>" in (folder / "web-01.xml").read_text()


def test_no_other_file_is_copied(folder: Path) -> None:
    secret = folder / "golden-secret"
    secret.write_text("root:x:0:0")
    (folder / "golden.xml").write_text(re.sub(r">[^<]*_VARS.fd<", f">{secret}<", GOLDEN))
    result = report("golden.xml", "--name", "web-01")
    assert sorted(p.name for p in folder.iterdir()) == ["golden-secret", "golden.xml", "web-01.xml"]
    assert any("holds no UEFI variables" in note["text"] for note in result["notes"])


class Full(io.RawIOBase):
    """A disk without room."""

    def writable(self) -> bool:
        return True

    def write(self, _: object) -> int:
        raise OSError(28, "No space left on device")


def test_what_was_written_is_taken_back(folder: Path) -> None:
    store = folder / "golden_VARS.fd"
    store.write_bytes(b"\0" * 40 + b"_FVH")
    text = GOLDEN.replace("/var/lib/libvirt/qemu/nvram/golden_VARS.fd", str(store))
    (folder / "golden.xml").write_text(text)
    (folder / "default.xml").write_text(NETWORK)
    before = sorted(folder.iterdir())
    request = Request(Path("golden.xml"), "web-01", networks=(Path("default.xml"),))
    with pool(request) as identities, pytest.raises(OSError, match="No space"):
        define(request, read(request), identities, Full())  # type: ignore[arg-type] # all it needs is write()
    assert sorted(folder.iterdir()) == before


def test_passwords_are_shown_nowhere(folder: Path) -> None:
    (folder / "by-hand.xml").write_bytes(BY_HAND)
    done = run("by-hand.xml", "--name", "web-01", "--verbose")
    document = run("by-hand.xml", "--name", "web-02", "--json")
    assert "passwd" in done.stdout
    assert "s3cr3t" not in done.output + document.output
    assert "s3cr3t" in (folder / "web-01.xml").read_text()


def test_the_result_is_as_private_as_the_source(folder: Path) -> None:
    (folder / "golden.xml").chmod(0o600)
    run("golden.xml", "--name", "web-01")
    assert (folder / "web-01.xml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["golden.xml"], "Missing option '--name'"),
        (["golden.xml", "--name", "a/b"], "cannot be the name of a machine"),
        (["golden.xml", "--name", ""], "cannot be the name of a machine"),
        (["golden.xml", "--name", "x" * 64], "cannot be the name of a machine"),
        (["absent.xml", "--name", "web-01"], "does not exist"),
        (["golden.xml", "--name", "golden"], "is the source itself"),
        (["golden.xml", "--name", "web-01", "-o", "no/such/folder.xml"], "does not exist"),
        (["golden.xml", "--name", "web-01", "-o", "there.xml"], "already exists"),
        (["golden.xml", "--name", "web-01", "-o", ".", "--overwrite"], "already exists"),
        (["golden.xml", "--name", "web-01", "--format", "nonsense"], "no format 'nonsense'"),
        (["golden.xml", "--name", "web-01", "--disk", "vdz=/x"], "has no disk 'vdz'"),
        (["golden.xml", "--name", "web-01", "--disk", "vda"], "is not OLD=NEW"),
        (["golden.xml", "--name", "web-01", "--disk", "vda="], "is not OLD=NEW"),
        (["golden.xml", "--name", "web-01", "--disk", "vda=1", "--disk", "vda=2"], "twice"),
        (["golden.xml", "--name", "web-01", "--mac", "net7=02:00:00:00:00:01"], "no network card"),
        (["golden.xml", "--name", "web-01", "--oui", "53:54:00"], "multicast"),
        (["golden.xml", "--name", "web-01", "--uuid", "1234"], "is not a UUID"),
        (["golden.xml", "--name", "web-01", "--uuid", "0" * 32], "is not a UUID"),
        (["golden.xml", "--name", "web-01", "--avoid", "absent"], "absent"),
        (["golden.xml", "--name", "web-01", "--derive-from", "absent"], "absent"),
        (["golden.xml", "--name", "web-01", "-o", "-", "--json"], "--output -"),
        (["golden.xml", "--name", "web-01", "-o", "-", "--network", "x"], "--output -"),
    ],
    ids=lambda value: " ".join(value[1:])[:60] if isinstance(value, list) else "",
)
def test_mistakes_are_status_2(folder: Path, arguments: list[str], words: str) -> None:
    (folder / "there.xml").write_text("somebody's")
    done = run(*arguments, status=2)
    assert words in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["golden.xml", "there.xml"]
    assert (folder / "there.xml").read_text() == "somebody's"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mac", "net0=53:00:00:00:00:01"], "multicast"),
        (["--mac", f"net0={OLD_MAC}"], "is taken"),
        (["--uuid", OLD_UUID], "is taken"),
        (["--mac", "02:00:00:00:00:01", "--avoid", "other"], "is taken"),
        (["--network", "other/net.xml"], "has no reservation for a card of golden"),
        (["--network", "golden.xml"], "is not the definition of a libvirt network"),
        (["--snapshot", "other/snap.xml"], "is a snapshot of other, not of golden"),
    ],
    ids=["multicast", "own-mac", "own-uuid", "avoided", "foreign-network", "domain", "snapshot"],
)
def test_what_is_refused_is_status_4(folder: Path, arguments: list[str], words: str) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "net.xml").write_text(NETWORK.replace(OLD_MAC.upper(), "02:00:00:00:00:01"))
    (other / "snap.xml").write_text(GOLDEN.replace(">golden<", ">other<"))
    done = run("golden.xml", "--name", "web-01", *arguments, status=4)
    assert words in done.stderr
    assert not (folder / "web-01.xml").exists()


def test_a_failure_is_in_the_document(folder: Path) -> None:
    (folder / "golden.xml").write_text("<domain id='3'><name>golden</name></domain>")
    result = report("golden.xml", "--name", "web-01", status=3)
    assert result["status"] == "in-use"
    assert result["error"]["exit_status"] == 3


def test_every_field_is_listed_with_its_reason() -> None:
    lines = run("--fields").stdout.splitlines()
    for each in FORMATS:
        assert f"{each.title} ({each.id})" in lines
        for rule in each.rules:
            assert f"  {rule.id} ({rule.treatment}) {rule.where}: {rule.why}" in lines


@pytest.mark.slow
def test_the_example_for_python_runs(folder: Path) -> None:
    text = (FOLDER.parents[3] / "docs" / "definitions.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    (new,) = macs(folder / "web-01.xml")
    assert done.stdout == f"{{'{OLD_MAC}': '{new}'}}\n"


def test_formats_complete() -> None:
    done = subprocess.run(
        [PROGRAM],
        env={
            **os.environ,
            "_UNCLONE_COMPLETE": "bash_complete",
            "COMP_WORDS": "unclone define --format lib",
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["plain,libvirt"]


def test_overwrite_replaces_in_one_step(folder: Path) -> None:
    (folder / "web-01.xml").write_text("old")
    run("golden.xml", "--name", "web-01", "--overwrite")
    assert "<name>web-01</name>" in (folder / "web-01.xml").read_text()


def test_a_result_without_a_change_is_said(folder: Path) -> None:
    (folder / "same.xml").write_text("<domain type='kvm'><name>web-01</name></domain>")
    notes = report("same.xml", "--name", "web-01", "-o", "new.xml")["notes"]
    assert ("nothing-changed", "warning") in {(note["row"], note["level"]) for note in notes}


def test_a_shared_address_and_a_null_one_are_chosen_by_the_card(folder: Path) -> None:
    card = "<interface type='user'><mac address='{}'/>{}</interface>"
    team = "<teaming type='persistent'/><alias name='ua-0'/>"
    other = "<teaming type='transient' persistent='ua-0'/>"
    cards = (
        *(card.format("52:54:00:11:22:33", each) for each in (team, other, "")),
        card.format("00:00:00:00:00:00", ""),
    )
    text = f"<domain type='kvm'><name>golden</name><devices>{''.join(cards)}</devices></domain>"
    (folder / "cards.xml").write_text(text)
    chosen = [f"52:54:00:00:0a:0{number}" for number in (1, 2, 3)]
    given = zip(("net0", "net2", "net3"), chosen, strict=True)
    options = [word for label, mac in given for word in ("--mac", f"{label}={mac}")]
    run("cards.xml", "--name", "web-01", *options)
    assert macs(folder / "web-01.xml") == [chosen[0], chosen[0], chosen[1], chosen[2]]
