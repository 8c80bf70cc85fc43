"""Command lines of bhyve and configurations of vm-bhyve: what is refused, and what is said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.allocator import Counting
from unclone.images.errors import InUseError, RefusedError
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition

if TYPE_CHECKING:
    from pathlib import Path

CONF = 'loader="uefi"\ndisk0_name="disk0.img"\n'
REFUSED = {
    "twice": ("bhyve -m 1 a\nbhyve -m 1 b\n", "starts bhyve 2 times: one machine is one command"),
    "no-name": ("bhyve -m 1 -s 0,hostbridge\n", "the name at the end of the bhyve command"),
    "name-unknown": ("bhyve -m 1 $1\n", "the name at the end of the bhyve command cannot be read"),
    "no-setting": (f"{CONF}echo hello\n", "'echo hello' is not KEY=\"VALUE\""),
    "key-twice": (f'{CONF}uuid=""\nuuid="a"\n', "uuid is set a second time"),
    "variable": (f'{CONF}network0_mac="$MAC"\n', "vm-bhyve would read this value as another"),
    "address": (f'{CONF}network0_mac="58:9c"\n', "'58:9c' is not a MAC address"),
}


def planned(path: Path, text: str) -> list[str]:
    path.write_text(text)
    plan = plan_definition(read_definition(path), IdentityMap(Counting(), "web-01"))
    return [note.text for note in plan.notes]


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(message)):
        planned(tmp_path / "golden", text)


def test_a_machine_that_goes_on_from_a_saved_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text("bhyve -r golden.ckp -m 1 golden\n")
    with pytest.raises(RefusedError, match="-r makes it go on with a saved state"):
        read_definition(path).require_off()


def test_a_machine_of_vm_bhyve_that_runs_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "golden.conf"
    path.write_text(CONF)
    read_definition(path).require_off()
    (tmp_path / "run.lock").touch()
    with pytest.raises(InUseError, match=r"it runs, as run\.lock beside it says"):
        read_definition(path).require_off()


def test_vm_bhyve_calls_a_machine_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "golden"
    folder.mkdir()
    (folder / "golden.conf").write_text(CONF)
    assert read_definition(folder / "golden.conf").name == "golden"
    (folder / "other.conf").write_text(CONF)
    assert read_definition(folder / "other.conf").name == ""


def test_an_address_that_only_the_script_knows_is_said(tmp_path: Path) -> None:
    notes = planned(tmp_path / "run.sh", "bhyve -s 2,e1000,tap0,mac=$(mkmac) golden\n")
    assert (
        "-s net mac (2): only the script knows it when it runs; give the new machine one of its own"
    ) in notes


def test_a_comma_ends_an_argument_of_bhyve(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text("bhyve -s 3,virtio-blk,/vm/golden.raw golden\n")
    disks = {"3": "/vm/a,b.raw"}
    with pytest.raises(RefusedError, match="a comma ends it"):
        plan_definition(read_definition(path), IdentityMap(Counting(), "a"), disks=disks).edits  # noqa: B018
