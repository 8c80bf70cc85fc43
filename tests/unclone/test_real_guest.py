"""A real Debian guest after ``unclone sanitize``, judged by other people's tools only.

Two copies are also booted the real way (OVMF, GRUB, systemd), and are two machines. That a copy
which is not sanitised is the old machine is shown in tests/unclone/test_prove_boot.py.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.guests import base, debian
from tests.support import readback
from tests.support.clones import KEPT
from tests.support.qemu import boot_guest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.clones import Clones, Contents
    from tests.support.readback import Found

    Facts = Mapping[str, str]

# The first test of a session may have to build the guest, and always makes the two copies.
pytestmark = [pytest.mark.guest, pytest.mark.appliance, pytest.mark.timeout(3600)]
BOOT = pytest.mark.boot
BOOT_LIMIT = 2400  # seconds; a guest alone on two processors takes about 100

BOTH = pytest.mark.parametrize("which", [0, 1], ids=["web-01", "web-02"])
MACHINE_ID = ("/etc/machine-id", "/var/lib/dbus/machine-id")
AN_ID = re.compile(r"[0-9a-f]{32}")


def test_the_guest_has_an_identity(clones: Clones) -> None:
    """Otherwise nothing below would prove anything."""
    ids = {clones.before[path].text for path in MACHINE_ID}
    assert len(ids) == 1
    assert AN_ID.fullmatch(ids.pop())
    assert all(found.kind == "file" for found in clones.before.values() if found.content)
    keys = [path for path in clones.before if path.endswith("_key.pub")]
    assert len(keys) == 3
    assert all(readback.fingerprint(clones.before[key].content) for key in keys)


@BOTH
def test_neither_machine_id_file_holds_an_id(clones: Clones, which: int) -> None:
    etc, dbus = (clones.after[which][path] for path in MACHINE_ID)
    # This guest's kernel command line mounts the root read-only: the file has to exist, empty.
    assert (etc.kind, etc.content) == ("file", b"")
    assert dbus.kind == "missing" or dbus.leads_to == "/etc/machine-id"


@BOTH
def test_virt_cat_sees_no_machine_id(clones: Clones, which: int) -> None:
    done = subprocess.run(
        [
            *("virt-cat", "--format=qcow2", "-a", clones.pair[which].image),
            *("-m", f"/dev/sda{readback.ROOT}", "/etc/machine-id"),
        ],
        capture_output=True,
        check=True,
        timeout=600,
        env=readback.environment(),
    )
    assert done.stdout == b""


@BOTH
def test_no_old_host_key_is_left(clones: Clones, which: int) -> None:
    after = clones.after[which]
    keys = [path for path in clones.before if path.endswith("_key.pub")]
    left = {path: after[path].content for path in keys if after[path].kind != "missing"}
    assert all(content != clones.before[path].content for path, content in left.items())


@BOTH
def test_every_claim_of_the_report_is_true(clones: Clones, which: int) -> None:
    report = clones.pair[which].report
    assert report["status"] == "done"
    assert report["changes"]
    wrong = [
        f"{change['action']} {change['target']}"
        for change in report["changes"]
        if change["action"] != "set-identifier"  # judged below, by what is on the devices
        and not CLAIMS[change["action"]](change, clones.before, clones.after[which])
    ]
    assert wrong == []


def test_no_identifier_of_a_device_is_shared(golden: Path, clones: Clones, tmp_path: Path) -> None:
    """What blkid and sfdisk print of the golden image and of both copies has nothing in common."""
    images = (golden, *(clone.image for clone in clones.pair))
    found = [readback.identifiers(image, tmp_path) for image in images]
    assert all(each.keys() == found[0].keys() for each in found)
    assert {kind for kind, _ in found[0]} == {
        "disk-guid",
        "file-system-uuid",
        "partition-guid",
        "swap-uuid",
        "vfat-serial",
    }
    values = [value.lower() for each in found for value in each.values()]
    assert len(values) == len(set(values))


@BOTH
def test_the_reported_identifiers_are_on_the_devices(
    clones: Clones, which: int, tmp_path: Path
) -> None:
    report = clones.pair[which].report
    there = readback.identifiers(clones.pair[which].image, tmp_path)
    set_to = {
        (change["details"]["kind"], change["target"]): change["new"].lower()
        for change in report["changes"]
        if change["action"] == "set-identifier"
    }
    read = {(each["kind"], each["device"]): each["value"].lower() for each in report["identifiers"]}
    assert set_to == read == {key: value.lower() for key, value in there.items()}


@BOTH
def test_what_is_no_identity_is_untouched(clones: Clones, which: int) -> None:
    """The default profile surprises nobody: histories and the person's own files stay."""
    targets = {change["target"] for change in clones.pair[which].report["changes"]}
    assert targets.isdisjoint(KEPT)
    for path in KEPT:
        assert clones.before[path].content
        assert clones.after[which][path] == clones.before[path]


@BOTH
def test_image_and_file_systems_are_clean(clones: Clones, which: int, tmp_path: Path) -> None:
    image = clones.pair[which].image
    assert readback.check_image(image)["check-errors"] == 0
    assert "root:" in readback.check_file_systems(image, tmp_path)


@BOTH
def test_nothing_is_left_beside_the_image(clones: Clones, which: int) -> None:
    image = clones.pair[which].image
    assert sorted(path.name for path in image.parent.iterdir()) == ["web-01.qcow2", "web-02.qcow2"]


def _removed(change: Mapping[str, Any], before: Contents, after: Contents) -> bool:
    target = change["target"]
    return bool(before[target].kind != "missing" and after[target].kind == "missing")


def _truncated(change: Mapping[str, Any], before: Contents, after: Contents) -> bool:
    target = change["target"]
    was, now = before[target], after[target]
    return bool(was.content) and (now.kind, now.content) == ("file", b"")


def _cleared(change: Mapping[str, Any], before: Contents, after: Contents) -> bool:
    target = change["target"]
    return (
        bool(before[target].names)
        and after[target].kind == "directory"
        and not _names(after[target])
    )


def _renamed(change: Mapping[str, Any], before: Contents, after: Contents) -> bool:
    target, to = change["target"], change["details"]["to"]
    return bool(after[target].kind == "missing" and after[to].kind == before[target].kind)


def _written(change: Mapping[str, Any], _before: Contents, after: Contents) -> bool:
    text: str = change["details"]["text"]
    return after[change["target"]].content == text.encode()


def _new_key(change: Mapping[str, Any], before: Contents, after: Contents) -> bool:
    public = change["details"]["public"]
    now = readback.fingerprint(after[public].content)
    old = readback.fingerprint(before[public].content)
    return bool(now == change["learned"] != old)


def _replaced(change: Mapping[str, Any], before: Contents, after: Contents) -> bool:
    was, now = before[change["target"]].content, after[change["target"]].content
    pairs = [(one["old"].encode(), one["new"].encode()) for one in change["details"]["identifiers"]]
    return len(was) == len(now) and all(
        was.count(old) == now.count(new) > 0 == now.count(old) for old, new in pairs
    )


def _initrd_corrected(change: Mapping[str, Any], before: Contents, after: Contents) -> bool:
    """What was there is there, and what overrides it comes behind it."""
    was, now = before[change["target"]].content, after[change["target"]].content
    unpacked = subprocess.run(
        ["zstd", "-dc"], input=now, capture_output=True, check=True, timeout=60
    ).stdout
    new = [one["new"].encode() for one in change["details"]["identifiers"]]
    return now.startswith(was) and all(value in unpacked for value in new)


def _lines_dropped(change: Mapping[str, Any], before: Contents, after: Contents) -> bool:
    target = change["target"]
    patterns = [re.compile(line) for line in change["details"]["lines"]]

    def matching(found: Found) -> int:
        return sum(any(p.fullmatch(line) for p in patterns) for line in found.text.splitlines())

    return matching(before[target]) > 0 == matching(after[target])


def _names(found: Found) -> list[str]:
    return [name for name in found.names if name not in {".", "..", "lost+found"}]


#: What each action claims. An action that this guest meets and that is missing here is an error.
CLAIMS: Mapping[str, Callable[[Mapping[str, Any], Contents, Contents], bool]] = {
    "clear": _cleared,
    "correct-initrd": _initrd_corrected,
    "drop-lines": _lines_dropped,
    "generate-ssh-host-key": _new_key,
    "remove": _removed,
    "rename": _renamed,
    "replace-identifiers": _replaced,
    "truncate": _truncated,
    "write": _written,
}


# -- booted -------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def running(clones: Clones, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Facts]:
    """What each machine told about itself, by name."""
    folder = tmp_path_factory.mktemp("boots")
    images = {clone.image.stem: clone.image for clone in clones.pair}
    return {
        name: boot_guest(image, folder / name, BOOT_LIMIT).facts for name, image in images.items()
    }


def machine_ids(facts: Facts) -> set[str]:
    """Every answer a running machine gives to the question for its id, from whoever is asked."""
    askable = ("machine-id", "dbus-machine-id", "systemd-machine-id", "bus-machine-id")
    return {facts[key] for key in askable}


def host_keys(facts: Facts) -> dict[str, str]:
    return {key: value for key, value in facts.items() if key.startswith("host-key-")}


@BOOT
@pytest.mark.parametrize("name", ["web-01", "web-02"])
def test_a_sanitised_guest_is_a_new_machine(
    clones: Clones, running: Mapping[str, Facts], name: str
) -> None:
    facts = running[name]
    (new,) = machine_ids(facts)  # the same one wherever it is asked for
    assert AN_ID.fullmatch(new)
    assert new != clones.before["/etc/machine-id"].text
    assert facts["machine-id-kind"] == "file"
    kinds = ("rsa", "ecdsa", "ed25519")
    keys = [clones.before[f"/etc/ssh/ssh_host_{kind}_key.pub"].content for kind in kinds]
    assert host_keys(facts)
    assert set(host_keys(facts).values()).isdisjoint(map(readback.fingerprint, keys))


@BOOT
@pytest.mark.parametrize("name", ["web-01", "web-02"])
def test_a_sanitised_guest_works(clones: Clones, running: Mapping[str, Facts], name: str) -> None:
    facts = running[name]
    assert facts["sshd"] == "active"  # nobody is locked out
    assert facts["failed-units"] == ""
    assert facts["root-options"].startswith("rw")
    packages = debian.cache_directory() / f"debian-12-base-{base.recipe()}.tar"
    assert facts["kernel"] == base.kernel(packages)
    (clone,) = (each for each in clones.pair if each.image.stem == name)
    changes = clone.report["changes"]
    assert facts["root-uuid"] in {each["new"] for each in changes}
    assert facts["root-uuid"] not in {each["old"] for each in changes}


@BOOT
@pytest.mark.parametrize("name", ["web-01", "web-02"])
def test_the_journal_is_the_new_machines(running: Mapping[str, Facts], name: str) -> None:
    assert running[name]["journal"] == running[name]["machine-id"]


@BOOT
def test_the_running_copies_differ(running: Mapping[str, Facts]) -> None:
    first, second = running["web-01"], running["web-02"]
    assert machine_ids(first).isdisjoint(machine_ids(second))
    assert set(host_keys(first).values()).isdisjoint(host_keys(second).values())
