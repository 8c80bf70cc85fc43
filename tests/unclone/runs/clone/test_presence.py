"""A machine that is there is taken for the one that is asked for only when it is that one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import Part, make_disk
from tests.unclone.test_clone import DOMAIN, MAC, TREE, UUID
from tests.unclone.test_clone_stamped import Batch as Listener
from unclone.images.errors import RefusedError, UncloneError
from unclone.runs.clone.order import Mode, Order, SeedPolicy, made_from
from unclone.runs.clone.presence import Presence
from unclone.runs.clone.run import Run
from unclone.runs.request import Request
from unclone.sanitize.identities.derivation import IdentityGenerator
from unclone.sanitize.options import Options
from unclone.seeds.blueprint import Blueprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from unclone.runs.clone.making import Machine

PASSWORD = "correct horse"
BLUEPRINT = Blueprint(users=("ops",), password=PASSWORD)


def order_in(folder: Path) -> Order:
    return Order(
        Request(folder / "golden.qcow2"),
        ("web-1",),
        folder / "vms",
        definition=folder / "golden.xml",
        blueprint=BLUEPRINT,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Order:
    """A machine that was made; tests work on a copy of its folder."""
    folder = tmp_path_factory.mktemp("made")
    make_disk(folder / "golden.qcow2", [Part("ext4", uuid=UUID, tree=TREE)], form="qcow2")
    (folder / "golden.xml").write_text(DOMAIN.format(folder=folder, mac=MAC))
    order = order_in(folder)
    (run,) = Run(Listener()).clone(order)
    assert run.error is None
    return order


@pytest.fixture
def machine(made: Order, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.folder / "web-1", tmp_path / "web-1"))


def found(order: Order, path: Path) -> Machine:
    machine = Presence(order, made_from(order)).machine(path)
    assert machine is not None
    return machine


@pytest.mark.slow
def test_as_it_was_made(made: Order, machine: Path) -> None:
    there = found(made, made.folder / "web-1")
    assert (there.status, there.notes) == ("present", ())
    elsewhere = found(made, machine)
    (note,) = elsewhere.notes
    assert elsewhere.status == "present"
    assert note.text == f"domain.xml names no file in {machine}: was the machine moved?"


@pytest.mark.slow
def test_nothing_and_what_is_replaced_is_not_there(made: Order, machine: Path) -> None:
    assert Presence(made, made_from(made)).machine(machine.with_name("web-2")) is None
    again = replace(made, replace=True)
    assert Presence(again, made_from(again)).machine(machine) is None


# -- its files -----------------------------------------------------------------------------


def written_by_the_guest(machine: Path) -> None:
    subprocess.run(
        ["qemu-io", "-c", "write -P 7 1M 64k", machine / "disk.qcow2"],
        check=True,
        capture_output=True,
    )


def more_memory(machine: Path) -> None:
    path = machine / "domain.xml"
    path.write_text(path.read_text().replace("262144", "524288"))


def newer_seed(machine: Path) -> None:
    seed = machine / "seed.iso"
    seed.write_bytes(seed.read_bytes() + bytes(2048))


def flattened(machine: Path) -> None:
    disk = machine / "disk.qcow2"
    subprocess.run(["qemu-img", "rebase", "-b", "", disk], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "file"),
    [
        (written_by_the_guest, "disk.qcow2"),
        (flattened, "disk.qcow2"),
        (more_memory, "domain.xml"),
        (newer_seed, "seed.iso"),
    ],
)
def test_a_change_that_a_machine_may_have_is_told(
    made: Order, machine: Path, change: Callable[[Path], None], file: str
) -> None:
    change(machine)
    there = found(made, machine)
    assert there.status == "present"
    moved, note = there.notes
    assert "was the machine moved?" in moved.text
    assert note.text.startswith(f"{file} has changed since it was made")


def edited(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(machine: Path) -> None:
        path = machine / file
        text = path.read_bytes()
        pattern = re.compile(old.encode())
        assert pattern.search(text)
        path.write_bytes(pattern.sub(new.encode(), text))

    return change


def filled(file: str, content: bytes) -> Callable[[Path], None]:
    def change(machine: Path) -> None:
        (machine / file).write_bytes(content)

    return change


def rebase(disk: Path, backing: Path) -> None:
    """Name the backing file of *disk* anew, and nothing else."""
    command = ("qemu-img", "rebase", "-u", "-b", backing, "-F", "qcow2", disk)
    subprocess.run(command, check=True)


def other_backing(machine: Path) -> None:
    other = machine.parent / "other.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", other, "1G"], check=True)
    rebase(machine / "disk.qcow2", other)


def smaller(machine: Path) -> None:
    disk = machine / "disk.qcow2"
    disk.unlink()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"], check=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (filled("disk.qcow2", b""), "its disk cannot be used"),
        (filled("disk.qcow2", b"text"), "its disk cannot be used"),
        (smaller, "smaller than the golden image's"),
        (other_backing, "the backing file of its disk"),
        (edited("domain.xml", "web-1</name>", "web-2</name>"), "does not say web-1 any more"),
        (edited("domain.xml", "<uuid>.{8}", "<uuid>00000000"), "does not say"),
        (edited("domain.xml", "mac address='[^']*'", "mac address='52:54:00:0:0:1'"), "domain.xml"),
        (filled("domain.xml", b"<domain>"), "its domain.xml cannot be read"),
        (filled("seed.iso", bytes(73728)), "its seed.iso cannot be read"),
        (edited("seed.iso", "web-1", "web-2"), "its seed.iso"),
        (filled("machine.json", b'{"schema": "unclone.machine/1"}'), "is not a record"),
    ],
)
def test_what_is_not_the_machine_any_more_is_refused(
    made: Order, machine: Path, change: Callable[[Path], None], said: str
) -> None:
    change(machine)
    with pytest.raises(RefusedError, match=re.escape(said)) as refused:
        found(made, machine)
    assert "--replace" in refused.value.hint


@pytest.mark.parametrize("file", ["disk.qcow2", "domain.xml", "seed.iso"])
def test_a_file_that_is_gone_is_missed(made: Order, machine: Path, file: str) -> None:
    (machine / file).unlink()
    with pytest.raises(RefusedError, match=f"its file .*{file} is not"):
        found(made, machine)


# -- what it was made from -----------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, made: Order) -> Order:
    """A golden image and a machine of a test's own: both may be changed."""
    for name in ("golden.qcow2", "golden.xml"):
        shutil.copy2(made.folder.parent / name, tmp_path / name)
    (tmp_path / "golden.qcow2").chmod(0o600)
    shutil.copytree(made.folder, tmp_path / "vms")
    record = tmp_path / "vms/web-1/machine.json"
    before, now = str(made.folder.parent), str(tmp_path)
    record.write_text(record.read_text().replace(before, now))
    disk = tmp_path / "vms/web-1/disk.qcow2"
    rebase(disk, tmp_path / "golden.qcow2")
    order = order_in(tmp_path)
    assert found(order, order.folder / "web-1").status == "present"
    return order


def test_a_golden_image_that_has_changed(own: Order) -> None:
    os.utime(own.request.image, ns=(0, 1))
    with pytest.raises(RefusedError, match="the golden image has changed since"):
        found(own, own.folder / "web-1")


def test_a_golden_image_whose_time_was_set_back(own: Order) -> None:
    image = own.request.image
    before = image.stat()
    with image.open("r+b") as file:
        file.seek(60_000)
        file.write(b"changed")
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(RefusedError, match=r"its backing file .* has changed .* \(content\)"):
        found(own, own.folder / "web-1")


def test_a_golden_image_that_was_moved(own: Order) -> None:
    moved = own.request.image.with_name("moved.qcow2")
    own.request.image.rename(moved)
    there = replace(own, request=Request(moved))
    with pytest.raises(RefusedError, match=r"its backing file .*golden.qcow2 is not"):
        found(there, own.folder / "web-1")


def test_another_golden_image(own: Order, tmp_path: Path) -> None:
    other = tmp_path / "other.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", other, "1G"], check=True)
    with pytest.raises(RefusedError, match=r"is another one: it was .*golden\.qcow2"):
        found(replace(own, request=Request(other)), own.folder / "web-1")


def test_a_golden_image_that_is_missing(own: Order) -> None:
    own.request.image.unlink()
    with pytest.raises(UncloneError, match=r"golden\.qcow2 does not exist"):
        made_from(own)


KEY = Options(identities=IdentityGenerator(key=b"k" * 32))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blueprint": replace(BLUEPRINT, password="wrong horse")}, "another password-file"),
        ({"blueprint": replace(BLUEPRINT, password="")}, "another password-file"),
        ({"blueprint": replace(BLUEPRINT, users=("dev",))}, "another user"),
        ({"blueprint": replace(BLUEPRINT, run=("true",))}, "another run"),
        ({"blueprint": None}, "another password-file and user"),
        ({"seed": SeedPolicy.NEVER}, "another seed"),
        ({"hostname": "{name}.example.org"}, "another hostname"),
        ({"mode": Mode.COPY}, "it was made with --mode overlay"),
        ({"definition": None}, "the definition is another"),
        ({"oui": b"\x02"}, "another oui"),
    ],
)
def test_what_else_was_asked_for(made: Order, change: dict[str, object], said: str) -> None:
    order = replace(made, **change)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match=re.escape(said)):
        found(order, made.folder / "web-1")


def test_another_key_to_derive_from(made: Order) -> None:
    order = replace(made, request=replace(made.request, options=KEY))
    with pytest.raises(RefusedError, match="another derive-from"):
        found(order, made.folder / "web-1")


def test_no_secret_is_in_the_record(made: Order) -> None:
    """Neither it nor a digest that can be computed without the slow function and the salt."""
    record = (made.folder / "web-1/machine.json").read_text()
    assert PASSWORD not in record
    salt, _, digest = json.loads(record)["made_from"]["asked"].partition(":")
    assert (len(salt), len(digest)) == (32, 64)
    assert Presence(made, made_from(made)).asked().partition(":")[0] != salt


def test_machines_of_later_runs_share_the_salt(made: Order) -> None:
    presence = Presence(made, made_from(made))
    presence.machine(made.folder / "web-1")
    record = json.loads((made.folder / "web-1/machine.json").read_text())
    assert presence.asked() == record["made_from"]["asked"]


def test_another_version_is_no_reason(made: Order, machine: Path) -> None:
    path = machine / "machine.json"
    document = json.loads(path.read_text())
    document["made_from"]["version"] = "0.0.1"
    del document["made_from"]["asked"], document["backing_states"]  # as of an earlier one
    path.write_text(json.dumps(document))
    assert found(made, machine).status == "present"
