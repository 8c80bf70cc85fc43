"""``unclone clone``: disk, definition and seed of one machine, with one identity throughout."""

from __future__ import annotations

import gzip
import io
import json
import multiprocessing
import shutil
import subprocess
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.command import unclone
from tests.support.disks import BARE_ROOT, Part, make_disk
from tests.support.documents import check_document
from unclone.cli.progress import LineProgress
from unclone.runs.clone import run
from unclone.runs.clone.batch import Batch
from unclone.runs.clone.order import Order
from unclone.runs.request import Request
from unclone.sanitize.identities.ledger import Ledger
from unclone.sanitize.identities.machine import MachineIdentity
from unclone.seeds.output import read_image

#: A process for each command: a second or two.
pytestmark = pytest.mark.slow

UUID = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"
MAC = "52:54:00:aa:bb:cc"
TREE = {
    **BARE_ROOT,
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    "/etc/systemd/network/10-eth.network": f"[Match]\nMACAddress={MAC}\n",
    "/usr/lib/systemd/systemd": "ELF",
}
DOMAIN = """\
<domain type='qemu'>
  <name>golden</name>
  <uuid>11111111-2222-4333-8444-555555555555</uuid>
  <memory>262144</memory>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <source file='{folder}/golden.qcow2'/><target dev='vda' bus='virtio'/>
      <serial>WD-WX11A22B3344</serial>
    </disk>
    <disk type='file' device='cdrom'>
      <source file='{folder}/golden-seed.iso'/><target dev='sda' bus='sata'/><readonly/>
    </disk>
    <interface type='network'><mac address='{mac}'/><source network='default'/></interface>
  </devices>
</domain>
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "golden.qcow2"
    return make_disk(path, [Part("ext4", uuid=UUID, tree=TREE), Part("swap")], form="qcow2")


@pytest.fixture
def golden(template: Path, tmp_path: Path) -> Path:
    (tmp_path / "golden.xml").write_text(DOMAIN.format(folder=tmp_path, mac=MAC))
    return Path(shutil.copy(template, tmp_path / "golden.qcow2"))


def clone(golden: Path, *options: str | Path) -> list[dict[str, Any]]:
    vms = golden.parent / "vms"
    done = unclone("clone", golden, "-o", vms, "--json", *options)
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    return results


def record(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "machine.json").read_text())
    check_document(document)
    return document


def content(disk: Path, path: str) -> str:
    """A file of the guest, read by debugfs from the second partition's predecessor."""
    raw = disk.with_suffix(".check.raw")
    subprocess.run(["qemu-img", "convert", "-O", "raw", disk, raw], check=True)
    table = json.loads(subprocess.check_output(["sfdisk", "--json", raw], text=True))
    start = table["partitiontable"]["partitions"][0]["start"] * 512
    name = f"{raw}?offset={start}"
    text = subprocess.run(
        ["debugfs", "-R", f"cat {path}", name], check=True, capture_output=True, text=True
    ).stdout
    raw.unlink()
    return text


def test_one_identity_in_disk_definition_seed_and_record(golden: Path) -> None:
    vms = golden.parent / "vms"
    (result,) = clone(
        golden, "--name", "web-01", "--definition", golden.parent / "golden.xml", "--seed", "always"
    )
    machine = record(vms / "web-01")
    identity = machine["machine"]
    assert result["status"] == "done"
    assert sorted(result["files"]) == ["disk.qcow2", "domain.xml", "machine.json", "seed.iso"]

    domain = ET.parse(vms / "web-01/domain.xml").getroot()
    new_mac = next(each["new"] for each in identity["values"] if each["kind"] == "mac")
    assert domain.findtext("name") == "web-01"
    assert [e.get("address") for e in domain.iter("mac")] == [new_mac]
    assert new_mac != MAC
    sources = [e.get("file") for e in domain.iter("source") if e.get("file")]
    assert sources == [str(vms / "web-01/disk.qcow2"), str(vms / "web-01/seed.iso")]

    seed = read_image((vms / "web-01/seed.iso").read_bytes())
    assert identity["instance_id"].encode() in seed["meta-data"]
    assert new_mac.encode() in seed["network-config"]

    disk = vms / "web-01/disk.qcow2"
    assert new_mac in content(disk, "/etc/systemd/network/10-eth.network").lower()
    root = identity["identifiers"]["file-system-uuid /dev/sda1"]
    assert root in content(disk, "/etc/fstab")
    assert "0123456789abcdef" not in content(disk, "/etc/machine-id")
    assert content(disk, "/etc/hostname") == "web-01\n"  # it has no cloud-init


def test_an_overlay_names_the_golden_image_and_protects_it(golden: Path) -> None:
    clone(golden, "--name", "web-01")
    disk = golden.parent / "vms/web-01/disk.qcow2"
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", disk]))
    assert info["backing-filename"] == str(golden)
    assert info["backing-filename-format"] == "qcow2"
    assert golden.stat().st_mode & 0o222 == 0


def test_no_machine_beside_has_the_same_instance_id(golden: Path) -> None:
    """One host name, in two runs."""
    clone(golden, "--name", "a")
    clone(golden, "--name", "b", "--hostname", "a")
    found = [record(golden.parent / "vms" / name)["machine"]["instance_id"] for name in "ab"]
    assert len(set(found)) == 2


@pytest.mark.parametrize("ledger", [(), ("--ledger", "fleet.ledger")], ids=["none", "ledger"])
def test_a_dry_run_tells_the_instance_id_of_a_replaced_machine(
    golden: Path, ledger: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(golden.parent)
    runs = [clone(golden, "--name", "a", *ledger, *more) for more in REPLACED]
    before, planned, after = [run[0]["machine"]["instance_id"] for run in runs]
    assert before != planned == after


REPLACED = ((), ("--replace", "--dry-run"), ("--replace",))


@pytest.mark.parametrize("mode", ["copy", "overlay"])
def test_machines_differ_in_everything_that_is_one_machines_own(golden: Path, mode: str) -> None:
    before = golden.read_bytes()
    clone(golden, "--name", "web-{:02}", "--count", "3", "--mode", mode)
    assert golden.read_bytes() == before
    seen: set[str] = set()
    for number in (1, 2, 3):
        identity = record(golden.parent / f"vms/web-{number:02}")["machine"]
        values = {*identity["identifiers"].values(), identity["instance_id"], identity["name"]}
        assert not seen & values
        seen |= values


def test_run_again_only_what_is_missing_is_made(golden: Path) -> None:
    vms = golden.parent / "vms"
    clone(golden, "--name", "web-{}", "--count", "2")
    kept, gone = (vms / "web-1/machine.json").read_bytes(), record(vms / "web-2")
    assert unclone("clone", "--remove", "web-2", "-o", vms).returncode == 0
    results = clone(golden, "--name", "web-{}", "--count", "2")
    assert [each["status"] for each in results] == ["present", "done"]
    assert (vms / "web-1/machine.json").read_bytes() == kept
    assert record(vms / "web-2")["machine"]["identifiers"] != gone["machine"]["identifiers"]


def test_a_machine_that_was_made_from_something_else_is_kept(golden: Path) -> None:
    vms = golden.parent / "vms"
    clone(golden, "--name", "web-1")
    kept = (vms / "web-1/machine.json").read_bytes()
    golden.chmod(0o644)
    with golden.open("ab") as file:
        file.write(bytes(65536))
    done = unclone("clone", golden, "--name", "web-1", "-o", vms)
    assert done.returncode == 4
    assert "the golden image has changed" in done.stderr
    assert (vms / "web-1/machine.json").read_bytes() == kept
    done = unclone("clone", golden, "--name", "web-1", "-o", vms, "--replace")
    assert done.returncode == 0, done.stderr
    assert (vms / "web-1/machine.json").read_bytes() != kept


@pytest.mark.parametrize("file", ["disk.qcow2", "seed.iso"])
def test_a_machine_that_lost_a_file_is_not_called_present(golden: Path, file: str) -> None:
    vms = golden.parent / "vms"
    clone(golden, "--name", "web-1", "--seed", "always")
    (vms / "web-1" / file).unlink()
    again = ("clone", golden, "--name", "web-1", "--seed", "always", "-o", vms)
    done = unclone(*again)
    assert done.returncode == 4
    assert f"its file {vms / 'web-1' / file} is not" in done.stderr
    assert unclone(*again, "--replace").returncode == 0
    assert (vms / "web-1" / file).is_file()


def test_the_ledger_has_what_the_record_says(golden: Path, tmp_path: Path) -> None:
    book = tmp_path / "fleet.ledger"
    options = ("--definition", tmp_path / "golden.xml", "--ledger", book)
    clone(golden, "--name", "web-{}", "--count", "2", *options)
    identity = record(tmp_path / "vms/web-1")["machine"]
    with Ledger.open(book) as ledger:
        known = ledger.machine("web-1")
        assert known is not None
        values = {one.value for one in known.identities}
        assert {*identity["identifiers"].values()} <= values
        assert {each["new"] for each in identity["values"]} <= values
    refused = unclone(
        "clone", golden, "--name", "web-1", "-o", tmp_path / "other", "--ledger", book
    )
    assert refused.returncode == 4
    assert "already has a machine called web-1" in refused.stderr
    assert list((tmp_path / "other").iterdir()) == []
    clone(golden, "--name", "web-1", "--replace", *options)
    new = record(tmp_path / "vms/web-1")["machine"]
    with Ledger.open(book) as ledger:
        known = ledger.machine("web-1")
        assert known is not None
        assert {*new["identifiers"].values()} <= {one.value for one in known.identities}
        for value in identity["identifiers"].values():
            assert list(ledger.find(value)) == []
        assert [one.name for one in ledger.machines()] == ["web-1", "web-2"]
    removed = unclone("clone", "--remove", "web-1", "-o", tmp_path / "vms", "--ledger", book)
    assert removed.returncode == 0
    with Ledger.open(book) as ledger:
        assert ledger.machine("web-1") is None


def test_derived_values_are_those_that_sanitize_derives(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
    alone = shutil.copy(golden, tmp_path / "web-1.qcow2")
    done = unclone(
        "sanitize", alone, "--json", "--derive-from", tmp_path / "key", "--name", "web-1"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["results"][0]
    clone(golden, "--name", "web-1", "--derive-from", tmp_path / "key")
    identity = record(tmp_path / "vms/web-1")["machine"]
    assert identity["identifiers"] == {
        f"{each['kind']} {each['device']}": each["value"] for each in report["identifiers"]
    }


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(golden: Path) -> None:
    before = sorted(golden.parent.iterdir())
    results = clone(golden, "--name", "web-{}", "--count", "2", "--dry-run")
    assert [each["status"] for each in results] == ["planned", "planned"]
    assert sorted(golden.parent.iterdir()) == before
    assert golden.stat().st_mode & 0o200


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--name", "../x"], 2, "cannot be the name of a machine"),
        (["--name", "web_1"], 2, "cannot be a host name"),
        (["--name", "web-{}", "--count", "2", "--hostname", "one"], 2, "two machines would have"),
        (["--name", "web-{}"], 2, "--count N"),
        (["--name", "web-{}", "--count", "2", "--machine-id", "a" * 32], 2, "several would have"),
        ([], 2, "--name is missing"),
        (["--name", "a", "--mode", "reflink"], 4, "--mode copy"),
        (["--name", "a", "--definition", "two-disks.xml"], 2, "2 disks, and 1 are given"),
        (["--name", "a", "--password-file", "nowhere"], 2, "cannot be read"),
        (["--name", "a", "--definition", "nowhere.xml"], 2, "nowhere.xml cannot be read"),
        (["--name", "a", "--write-file", "/etc/x=gone"], 2, "gone cannot be read"),
        (["--name", "a", "--user-key", "ops"], 2, "write --user-key NAME=FILE"),
        (["--name", "a", "GOLDEN=noise.img"], 4, "noise.img: the disk has no partition table"),
        (["--name", "a", "GOLDEN=empty.img"], 4, "empty.img is empty"),
        (["--name", "a", "GOLDEN=vms.tar.gz"], 4, "vms.tar.gz is compressed"),
        (["--name", "a", "GOLDEN=gone.img"], 2, "gone.img does not exist"),
        (["--name", "a", "GOLDEN=."], 2, ". is a directory"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(
    golden: Path, arguments: list[str], status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(golden.parent)
    text = (golden.parent / "golden.xml").read_text()
    disk = text[text.index("<disk") : text.index("</disk>") + 7]
    second = disk.replace("golden.qcow2", "data.qcow2").replace("vda", "vdb")
    second = second.replace("WD-WX11A22B3344", "WD-WX11A22B3345")
    (golden.parent / "two-disks.xml").write_text(text.replace(disk, disk + second))
    for name, content in (("noise", b"no disk"), ("empty", b"")):
        Path(f"{name}.img").write_bytes(content)
    Path("vms.tar.gz").write_bytes(gzip.compress(b"no disk"))
    if arguments and arguments[-1].startswith("GOLDEN="):
        golden = Path(arguments.pop().removeprefix("GOLDEN="))
    done = unclone("clone", golden, "-o", "vms", *arguments)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    vms = golden.parent / "vms"
    assert not vms.exists() or list(vms.iterdir()) == []


def test_another_executor_can_make_the_machines(golden: Path) -> None:
    """The standard's own, whose processes get everything pickled."""
    order = Order(
        Request(golden),
        ("web-1", "web-2"),
        golden.parent / "vms",
        definition=golden.parent / "golden.xml",
    )
    context = multiprocessing.get_context("fork")
    ended: list[str] = []
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        runs = run.Run(
            LineProgress(io.StringIO()),
            executor=executor,
            on_done=lambda done: ended.append(done.image),
        ).clone(order)
        assert executor.submit(int, "7").result() == 7  # it is not shut down
    assert [each.error for each in runs] == [None, None]
    assert sorted(ended) == [str(golden.parent / "vms" / name) for name in order.names]
    assert record(golden.parent / "vms/web-1")["machine"]["name"] == "web-1"


def test_the_failure_of_another_executor_is_that_of_a_machine(golden: Path) -> None:
    order = Order(Request(golden), ("web-1", "web-2"), golden.parent / "vms")
    stream = io.StringIO()
    runs = run.Run(LineProgress(stream), executor=Broken()).clone(order)
    assert [str(each.error) for each in runs] == ["no worker", "no worker"]
    assert "web-2: internal error: OSError: no worker" in stream.getvalue()
    assert [path.name for path in (golden.parent / "vms").iterdir()] == [".unclone-place"]


class Broken(Executor):
    """Has no worker for anything."""

    def submit(self, fn: Any, /, *_: Any, **__: Any) -> Future[Any]:
        assert callable(fn)
        future: Future[Any] = Future()
        future.set_exception(OSError("no worker"))
        return future


def test_a_dry_run_ends_as_the_run_would(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every machine, not only for the first: one is being made, one has something's name."""
    monkeypatch.chdir(golden.parent)
    vms = golden.parent / "vms"
    vms.mkdir()
    (vms / "web-2").write_text("somebody's")
    (golden.parent / "fleet.yaml").write_text(
        "golden: golden.qcow2\noutput-dir: vms\n"
        "machines: [{name: 'web-{}', count: 3}, {name: shared, mode: reflink}]\n"
    )
    with Batch(vms) as other:
        other.begin(MachineIdentity("web-3", "web-3", "iid-3", "0" * 32))
        told = []
        for more in (["--dry-run"], []):
            done = unclone("clone", "fleet.yaml", "--json", *more)
            results = json.loads(done.stdout)["results"]
            statuses = {Path(r.get("path") or r["image"]).name: r["status"] for r in results}
            told.append((done.returncode, statuses))
    planned, made = told
    assert planned[1] == {
        "web-1": "planned",
        "web-2": "usage",
        "web-3": "in-use",
        "shared": made[1]["shared"].replace("done", "planned"),
    }
    assert made == (planned[0], {**planned[1], "web-1": "done", "shared": made[1]["shared"]})


def test_a_dry_run_tells_of_a_folder_that_cannot_be_made(golden: Path) -> None:
    folder = golden.parent
    (folder / "file").write_text("x")
    (folder / "fleet.yaml").write_text(
        "golden: golden.qcow2\noutput-dir: file/vms\nmachines: [name: a]\n"
    )
    for more in (["--dry-run"], []):
        done = unclone("clone", folder / "fleet.yaml", *more)
        assert done.returncode == 1, done.stderr
        assert "file" in done.stderr
