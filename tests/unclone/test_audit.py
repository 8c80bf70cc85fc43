"""``unclone audit``: what machines share is found wherever it is, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import unclone
from tests.support.disk_images import overlay_on
from tests.support.disks import BARE_ROOT, ESP, Part, make_disk
from tests.support.documents import check_document
from unclone.images.lock import ImageLock

if TYPE_CHECKING:
    from pathlib import Path

MAC, OTHER_MAC = "52:54:00:aa:bb:cc", "52:54:00:00:00:02"
ID = "0123456789abcdef0123456789abcdef"
PIN = "/etc/systemd/network/10-eth.network"


def tree(number: int) -> dict[str, str | bytes | None]:
    """A guest of which everything that identifies it depends on *number*."""
    return {
        **BARE_ROOT,
        "/etc/hostname": f"host-{number}\n",
        "/etc/machine-id": f"{number:032x}\n",
        PIN: f"[Match]\nMACAddress=52:54:00:00:01:{number:02x}\n"
        f"[Network]\nAddress=10.0.0.{number}/24\n",
        "/var/lib/systemd/random-seed": bytes([number]) * 512,
    }


def disk(path: Path, number: int) -> Path:
    uuid = f"aaaaaaaa-1111-4222-8333-{number:012x}"
    return make_disk(path, [Part("ext4", uuid=uuid, tree=tree(number))], form="qcow2")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two machines that have nothing in common."""
    folder = tmp_path_factory.mktemp("images")
    return disk(folder / "one.qcow2", 1), disk(folder / "two.qcow2", 2)


def domain(path: Path, disks: list[Path], *, mac: str = MAC, number: int = 1) -> Path:
    """A libvirt definition of a machine that is called as its file."""
    listed = "".join(
        f"<disk type='file' device='{'cdrom' if each.suffix == '.iso' else 'disk'}'>"
        f"<source file='{each}'/><target dev='vd{chr(97 + n)}' bus='virtio'/></disk>"
        for n, each in enumerate(disks)
    )
    path.write_text(
        f"<domain type='qemu'><name>{path.stem}</name>"
        f"<uuid>11111111-2222-4333-8444-{number:012x}</uuid><memory>1</memory>"
        f"<os><type>hvm</type></os><devices>{listed}<interface type='network'>"
        f"<mac address='{mac}'/><source network='default'/></interface></devices></domain>\n"
    )
    return path


def seed(path: Path, name: str, mac: str = MAC) -> Path:
    done = unclone("seed", "--hostname", name, "--nic", f"mac={mac},dhcp", "-o", path)
    assert done.returncode == 0, done.stderr
    return path


def audit(*arguments: str | Path, status: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result, and the failures after it."""
    done = unclone("audit", "-q", "--no-cache", "--json", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    document = json.loads(done.stdout)
    check_document(document)
    found, *failed = document["results"]
    return found, failed


def kinds(found: dict[str, Any], of: str = "shared") -> dict[str, list[str]]:
    """The values of each kind."""
    listed: dict[str, list[str]] = {}
    for each in found[of]:
        listed.setdefault(each["kind"], []).append(each["value"])
    return listed


@pytest.mark.slow
def test_copies_share_everything_and_each_place_is_named(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    copy = shutil.copy(images[0], tmp_path / "copy.qcow2")
    found, failed = audit(images[0], copy, images[1], status=5)
    assert failed == []
    assert found["status"] == "shared"
    names = [machine["name"] for machine in found["machines"]]
    assert [name.rpartition("/")[2] for name in names] == ["one.qcow2", "copy.qcow2", "two.qcow2"]
    shared = kinds(found)
    assert set(shared) == {
        *("disk-guid", "file-system-uuid", "host-name", "ip-address", "mac-address"),
        *("machine-id", "partition-guid", "random-seed"),
    }
    assert shared["machine-id"] == [f"{1:032x}"]
    assert shared["mac-address"] == ["52:54:00:00:01:01"]
    assert shared["ip-address"] == ["10.0.0.1"]
    assert shared["random-seed"][0].startswith("sha256:")
    (pin,) = (each for each in found["shared"] if each["kind"] == "mac-address")
    assert pin["machines"] == [{"machine": name, "places": [PIN]} for name in names[:2]]
    assert "partition-type" in kinds(found, "harmless")


@pytest.mark.slow
def test_machines_of_their_own_share_nothing(images: tuple[Path, Path]) -> None:
    found, _ = audit(*images, status=0)
    assert (found["status"], found["shared"]) == ("distinct", [])
    assert {each["why"] for each in found["harmless"]} == {"it says what kind of partition this is"}


@pytest.mark.slow
def test_the_text_fits_80_columns_and_says_what_is_shared(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    copy = tmp_path / f"{'long-name-' * 9}.qcow2"
    shutil.copy(images[0], copy)
    for options in ([], ["-v"]):
        done = unclone("audit", "-q", "--no-cache", *options, images[0], copy, images[1])
        assert done.returncode == 5
        assert max(map(len, done.stdout.splitlines())) <= 80
        first, *rest = done.stdout.splitlines()
        assert first == "3 machines compared: 2 share 8 identities of 8 kinds"
        assert "  machine-id (1)" in rest
    done = unclone("audit", "-q", "--no-cache", *images)
    assert done.stdout.splitlines()[0] == "2 machines compared: no identity is shared"


@pytest.mark.slow
def test_a_definition_copied_by_hand_beside_its_seed(tmp_path: Path) -> None:
    seed(tmp_path / "web-01.iso", "web-01")
    domain(tmp_path / "web-01.xml", [tmp_path / "web-01.iso"])
    text = (tmp_path / "web-01.xml").read_text()
    (tmp_path / "web-02.xml").write_text(text.replace("<name>web-01", "<name>web-02"))
    found, _ = audit(tmp_path, status=5)
    assert [machine["name"] for machine in found["machines"]] == ["web-01.xml", "web-02.xml"]
    shared = kinds(found)
    assert shared["machine-uuid"] == ["11111111-2222-4333-8444-000000000001"]
    assert shared["mac-address"] == [MAC]
    assert "instance-id" in shared  # both name the one seed
    assert "machine-name" not in shared
    (mac,) = (each for each in found["shared"] if each["kind"] == "mac-address")
    assert len(mac["machines"][0]["places"]) == 2  # in the definition, and in the seed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["web-01.iso", "web-01-seed.iso", "seed.iso"])
def test_a_machine_and_its_own_seed_are_one(tmp_path: Path, name: str) -> None:
    """The seed belongs to the definition that names it, else to what is called like it."""
    seed(tmp_path / name, "web-01")
    domain(tmp_path / "web-01.xml", [tmp_path / name] if name == "seed.iso" else [])
    domain(tmp_path / "web-02.xml", [], mac=OTHER_MAC, number=2)
    found, _ = audit(tmp_path, status=0)
    assert len(found["machines"]) == 2
    assert [len(machine["files"]) for machine in found["machines"]] == [2, 1]


@pytest.mark.slow
def test_a_mac_address_in_a_definition_and_in_another_machines_seed(tmp_path: Path) -> None:
    seed(tmp_path / "a.iso", "a")
    domain(tmp_path / "b.xml", [])
    found, _ = audit(tmp_path / "a.iso", tmp_path / "b.xml", status=5)
    assert kinds(found) == {"mac-address": [MAC]}


@pytest.mark.slow
def test_definitions_in_libvirts_folder_are_read_with_their_disks(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    """The disks are elsewhere; a link in autostart/ is no further machine."""
    folder = tmp_path / "qemu"
    (folder / "autostart").mkdir(parents=True)
    domain(folder / "a.xml", [images[0]])
    domain(folder / "b.xml", [images[1], tmp_path / "gone.qcow2"], mac=OTHER_MAC, number=2)
    (folder / "autostart" / "a.xml").symlink_to("../a.xml")
    (folder / "networks").mkdir()
    (folder / "networks" / "default.xml").write_text("<network><name>default</name></network>")
    found, _ = audit(folder, status=0)
    assert [machine["name"] for machine in found["machines"]] == ["a.xml", "b.xml"]
    assert found["machines"][0]["files"] == [str(folder / "a.xml"), str(images[0])]
    assert "gone.qcow2 is no file on this host" in found["machines"][1]["notes"][0]
    assert found["ignored_files"] == 1


@pytest.mark.slow
def test_a_disk_that_two_machines_write_to_is_shared(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    domain(tmp_path / "a.xml", [images[0]])
    domain(tmp_path / "b.xml", [images[0]], mac=OTHER_MAC, number=2)
    shared = kinds(audit(tmp_path, status=5)[0])
    assert shared["disk-file"] == [str(images[0])]
    assert "machine-id" in shared


@pytest.mark.slow
def test_the_backing_file_of_linked_clones_is_harmless(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    """It may lie anywhere in the folder given, and is no machine unless it is given by name."""
    (tmp_path / "vms").mkdir()
    base = tmp_path / "base.qcow2"
    shutil.copy(images[0], base)
    clones = [overlay_on(tmp_path / "vms" / f"{n}.qcow2", base) for n in "ab"]
    found, failed = audit(tmp_path, status=5)
    assert failed == []
    assert [each["name"] for each in found["machines"]] == ["a.qcow2", "b.qcow2"]
    assert found["ignored_files"] == 1
    assert kinds(found, "harmless")["backing-file"] == [str(base)]
    assert "backing-file" not in kinds(found)
    found, _ = audit(base, clones[0], "--allow-dir", tmp_path, status=5)
    assert len(found["machines"]) == 2


@pytest.mark.slow
def test_links_in_circles_and_special_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "loop.xml").symlink_to("loop.xml")
    (tmp_path / "gone.xml").symlink_to("nothing.xml")
    os.mkfifo(tmp_path / "pipe")
    for name, mac in (("a", MAC), ("b", OTHER_MAC)):
        domain(tmp_path / f"{name}.xml", [], mac=mac, number=ord(name))
    found, failed = audit(tmp_path, status=0)
    assert (failed, len(found["machines"]), found["ignored_files"]) == ([], 2, 3)


@pytest.mark.slow
def test_a_data_disk_is_compared_by_what_is_on_its_devices(tmp_path: Path) -> None:
    """It has no operating system, and that is no failure."""
    parts = [Part("ext4", uuid="aaaaaaaa-1111-4222-8333-0000000000dd"), Part("vfat", gpt_type=ESP)]
    data = make_disk(tmp_path / "data.qcow2", parts, form="qcow2")
    shutil.copy(data, tmp_path / "data-2.qcow2")
    found, failed = audit(tmp_path, status=5)
    assert failed == []
    assert kinds(found)["file-system-uuid"] == ["aaaaaaaa-1111-4222-8333-0000000000dd"]
    assert "no operating system was found" in found["machines"][0]["notes"][0]


@pytest.mark.slow
def test_an_image_in_use_is_named_and_the_others_are_compared(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    domain(tmp_path / "a.xml", [tmp_path / "busy.qcow2"])
    domain(tmp_path / "b.xml", [images[1]], mac=OTHER_MAC, number=2)
    busy = tmp_path / "busy.qcow2"
    shutil.copy(images[0], busy)
    with ImageLock() as lock:
        lock.exclusive([busy])
        _, (failed,) = audit(tmp_path, status=3)
        assert (failed["image"], failed["status"]) == (str(busy), "in-use")
        domain(tmp_path / "b.xml", [images[1]])
        found, (failed,) = audit(tmp_path, status=5)  # what its definition says is compared
        assert failed["status"] == "in-use"
    assert set(kinds(found)) == {"mac-address", "machine-uuid"}


@pytest.mark.slow
def test_another_reader_of_an_image_is_no_obstacle(images: tuple[Path, Path]) -> None:
    with ImageLock() as lock:
        lock.shared(images)
        audit(*images, status=0)


@pytest.mark.slow
def test_what_cannot_be_read_is_named_and_is_no_pass(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    """A truncated image, and a definition that is malformed: each a failure of its own."""
    (tmp_path / "cut.qcow2").write_bytes(images[0].read_bytes()[:70_000])
    (tmp_path / "bad.xml").write_text("<domain type='kvm'><name>bad</name>")
    shutil.copy(images[1], tmp_path)
    found, failed = audit(tmp_path, status=4)
    assert {each["image"].rpartition("/")[2] for each in failed} == {"cut.qcow2", "bad.xml"}
    assert {each["status"] for each in failed} == {"refused"}
    assert found["shared"] == []


@pytest.mark.slow
def test_hostile_names_forge_no_line(images: tuple[Path, Path], tmp_path: Path) -> None:
    name = "a\n\x1b[31m0 machines.qcow2"
    shutil.copy(images[0], tmp_path / name)
    shutil.copy(images[0], tmp_path / "b.qcow2")
    done = unclone("audit", "--no-cache", tmp_path)
    assert done.returncode == 5
    assert "\x1b" not in done.stdout + done.stderr
    assert r"a\n\x1b[31m0 machines.qcow2" in done.stdout


@pytest.mark.parametrize("given", ["one", "twice", "empty folder", "missing"])
def test_it_takes_two_machines(images: tuple[Path, Path], tmp_path: Path, given: str) -> None:
    link = tmp_path / "link.qcow2"
    link.symlink_to(images[0])
    (tmp_path / "empty").mkdir()
    arguments = {
        "one": [images[0]],
        "twice": [images[0], link],
        "empty folder": [tmp_path / "empty"],
        "missing": [images[0], tmp_path / "none"],
    }
    done = unclone("audit", "--no-cache", *arguments[given])
    assert done.returncode == 2
    words = "does not exist" if given == "missing" else "nothing to compare"
    assert words in done.stderr


@pytest.mark.slow
def test_what_was_read_is_remembered_until_the_image_changes(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    """The cache is asked: what stands in it is told. A file that was changed is read again."""
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    first = shutil.copy(images[0], tmp_path / "a.qcow2")
    old = 1_000_000_000
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("unclone.images.files.SETTLED", 0)
        assert unclone("audit", "-q", first, images[1], env=env).returncode == 0
        folder = tmp_path / "cache" / "unclone" / "audit"
        assert folder.stat().st_mode & 0o777 == 0o700
        entries = list(folder.iterdir())
        assert len(entries) == 2
        assert {entry.stat().st_mode & 0o777 for entry in entries} == {0o600}
        planted = {"values": [["machine-id", ID, "planted", "", 0]], "notes": []}
        for entry in entries:
            entry.write_text(json.dumps(planted))
        done = unclone("audit", "-q", first, images[1], env=env)
        assert done.returncode == 5
        assert "planted" in done.stdout
        assert unclone("audit", "-q", "--no-cache", first, images[1], env=env).returncode == 0
        os.utime(first, ns=(old, old))
        assert unclone("audit", "-q", first, images[1], env=env).returncode == 0
        entries[0].write_text("[]")
        entries[1].write_text("{}")
        assert unclone("audit", "-q", first, images[1], env=env).returncode == 0


@pytest.mark.slow
def test_an_image_that_was_just_written_is_not_remembered(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    first = shutil.copy(images[0], tmp_path / "a.qcow2")
    second = shutil.copy(images[1], tmp_path / "b.qcow2")
    assert unclone("audit", "-q", first, second, env=env).returncode == 0
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_what_no_rule_knows_is_ranked_and_becomes_rows(tmp_path: Path) -> None:
    """--strict makes it count; --suggest writes rows, which the next run knows."""
    agent = "3f1c2f4e-8a67-4b0d-9d55-2f6f0c1b7a10"
    trees = [{**tree(n), "/var/lib/agents/node_id": agent} for n in (1, 2)]
    images = [
        make_disk(tmp_path / f"{n}.qcow2", [Part("ext4", tree=each)], form="qcow2")
        for n, each in enumerate(trees)
    ]
    rows = tmp_path / "rows.yaml"
    found, _ = audit(*images, "--suggest", rows, status=0)
    (value,) = found["unknown"]
    assert value["kind"] == "uuid"
    assert agent not in value["value"]
    assert value["machines"][0] == {"machine": "0.qcow2", "places": ["/var/lib/agents/node_id"]}
    found, _ = audit(*images, "--catalogue", rows, status=5)
    assert list(kinds(found)) == ["found-var-lib-agents-node-id"]
    assert found["unknown"] == []
    audit(*images, "--strict", status=5)
    done = unclone("audit", "-q", "--no-cache", "--suggest", rows, *images)
    assert done.returncode == 2
    assert "exists already" in done.stderr


@pytest.mark.slow
def test_pages_and_numbers_are_written_beside_the_text(tmp_path: Path) -> None:
    for name in ("a", "b"):
        domain(tmp_path / f"{name}.xml", [])
    page, numbers = tmp_path / "audit.html", tmp_path / "audit.prom"
    audit(tmp_path / "a.xml", tmp_path / "b.xml", "--html", page, "--prometheus", numbers, status=5)
    assert MAC in page.read_text()
    assert 'unclone_shared_identities{kind="mac-address"} 1\n' in numbers.read_text()
    done = unclone("audit", "-q", "--html", tmp_path / "a.xml", tmp_path)
    assert done.returncode == 2
    assert "exists already" in done.stderr


@pytest.mark.slow
def test_what_was_not_read_is_not_said_to_be_distinct(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.qcow2").write_bytes(b"QFI\xfb" + bytes(100))
    done = unclone("audit", "--no-cache", tmp_path / "a.qcow2", tmp_path / "b.qcow2")
    assert done.returncode == 4
    assert done.stdout.startswith("2 machines compared: no identity is shared in what was read\n")
