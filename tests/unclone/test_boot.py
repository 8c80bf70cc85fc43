"""Two sanitised copies boot the real way (OVMF, GRUB, systemd) and are two machines.

That a copy which is not sanitised is the old machine is shown in tests/unclone/test_prove_boot.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.guests import base, debian
from tests.support import readback
from tests.support.qemu import boot_guest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.clones import Clones

    Facts = Mapping[str, str]

pytestmark = [
    pytest.mark.boot,
    pytest.mark.guest,
    pytest.mark.appliance,
    pytest.mark.timeout(3600),
]

BOOT_LIMIT = 2400  # seconds; a guest alone on two processors takes about 100

AN_ID = re.compile(r"[0-9a-f]{32}")


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


@pytest.mark.parametrize("name", ["web-01", "web-02"])
def test_the_journal_is_the_new_machines(running: Mapping[str, Facts], name: str) -> None:
    assert running[name]["journal"] == running[name]["machine-id"]


def test_the_copies_differ(running: Mapping[str, Facts]) -> None:
    first, second = running["web-01"], running["web-02"]
    assert machine_ids(first).isdisjoint(machine_ids(second))
    assert set(host_keys(first).values()).isdisjoint(host_keys(second).values())
