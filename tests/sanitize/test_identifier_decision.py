"""Which identifiers are renewed, which are kept, and the plan that this adds up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.identified import ALL, ROOT, SWAP, IdentifiedVolumes, identified_guest, olds
from tests.support.tree import plant
from unclone.images.errors import RefusedError, ResidueError
from unclone.images.volumes import Identifier, IdentifierKind
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.change import Level
from unclone.sanitize.identifiers import STEPS
from unclone.sanitize.identities.derivation import IdentityGenerator
from unclone.sanitize.identities.spellings import spellings
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.change import Plan
    from unclone.sanitize.identifiers import IdentifierStep

KEY = b"0123456789abcdef"


def volumes_of(folder: Path, **refused: str) -> IdentifiedVolumes:
    plant(
        folder,
        {
            "/etc/fstab": f"UUID={ROOT.old} / ext4\nUUID={SWAP.old} none swap\n",
            "/boot/grub/grub.cfg": f"linux /vmlinuz root=UUID={ROOT.old} ro\n",
            "/etc/os-release": "ID=debian\n",
        },
    )
    return IdentifiedVolumes(folder, olds(), refused=refused)


def new_values(plan: Plan) -> dict[tuple[str, str], str]:
    changes = [change for change in plan.changes if change.action == "set-identifier"]
    return {(change.details["kind"], change.target): change.new for change in changes}


def test_every_kind_has_a_step_of_its_own() -> None:
    assert {step.kind for step in STEPS} == set(IdentifierKind)
    assert [step.info.id for step in STEPS] == [step.kind.value for step in STEPS]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.info.id)
@pytest.mark.parametrize("key", [b"", KEY], ids=["random", "derived"])
def test_new_values_have_the_shape_of_the_old(step: IdentifierStep, key: bytes) -> None:
    old = next(each.old for each in ALL if each.kind is step.kind)
    new = step.form.draw(IdentityGenerator("web-01", key), "field")
    assert new != old
    assert step.form.fits(new)
    assert [len(s) for s in spellings(new)] == [len(s) for s in spellings(old)]


def test_files_first_then_devices_from_the_inside_out(tmp_path: Path) -> None:
    plan = make_plan(identified_guest(volumes_of(tmp_path)), Options())
    actions = [change.action for change in plan.changes]
    assert actions == sorted(actions, key=lambda action: action == "set-identifier")
    kinds = [c.details["kind"] for c in plan.changes if c.action == "set-identifier"]
    order = [step.kind.value for step in STEPS]
    assert kinds == sorted(kinds, key=order.index)
    assert set(new_values(plan)) == {(each.kind.value, each.device) for each in ALL}
    assert {retired.value for retired in plan.retired} >= {each.old for each in ALL}


def test_a_run_from_plan_to_proof(tmp_path: Path) -> None:
    volumes = volumes_of(tmp_path)
    guest = identified_guest(volumes)
    plan = make_plan(guest, Options())
    outcomes = apply_plan(guest, plan)
    assert [len(batch) for batch in volumes.batches] == [len(ALL)]  # unmounted once
    assert verify(guest, plan, outcomes).residue == ()
    root = new_values(plan)["file-system-uuid", ROOT.device]
    assert (tmp_path / "etc/fstab").read_text().startswith(f"UUID={root} / ext4\n")
    assert f"root=UUID={root} ro" in (tmp_path / "boot/grub/grub.cfg").read_text()


def test_derived_values_are_the_same_again_and_differ_between_machines(tmp_path: Path) -> None:
    guest = identified_guest(volumes_of(tmp_path))
    first, again, other = (
        new_values(make_plan(guest, Options(identities=IdentityGenerator(name, KEY))))
        for name in ("web-01", "web-01", "web-02")
    )
    assert first == again
    assert not set(first.values()) & set(other.values())


@pytest.mark.parametrize("uuids", ["keep", "renew"])
def test_keeping_them_all(tmp_path: Path, uuids: str) -> None:
    plan = make_plan(identified_guest(volumes_of(tmp_path)), Options(uuids=uuids))
    assert bool(new_values(plan)) == (uuids == "renew")
    assert any(c.action == "replace-identifiers" for c in plan.changes) == (uuids == "renew")


def test_a_step_that_is_off_keeps_its_kind(tmp_path: Path) -> None:
    options = Options(disable=frozenset({"file-system-uuid"}))
    plan = make_plan(identified_guest(volumes_of(tmp_path)), options)
    assert "file-system-uuid" not in {kind for kind, _ in new_values(plan)}
    assert [c.target for c in plan.changes if c.step in {"fstab", "grub-cfg"}] == ["/etc/fstab"]


def test_a_reference_that_is_off_is_caught(tmp_path: Path) -> None:
    guest = identified_guest(volumes_of(tmp_path))
    plan = make_plan(guest, Options(disable=frozenset({"grub-cfg"})))
    outcomes = apply_plan(guest, plan)
    with pytest.raises(ResidueError, match=r"file-system-uuid .* /boot/grub/grub\.cfg:1"):
        verify(guest, plan, outcomes)


def test_a_reference_that_no_rule_knows_is_reported_with_its_line(tmp_path: Path) -> None:
    volumes = volumes_of(tmp_path)
    plant(tmp_path, {"/etc/app/agent.conf": f"# agent\ndisk = {ROOT.old.upper()}\n"})
    guest = identified_guest(volumes)
    plan = make_plan(guest, Options())
    (residue,) = verify(guest, plan, apply_plan(guest, plan)).residue
    assert (residue.path, residue.line, residue.value) == ("/etc/app/agent.conf", 2, ROOT.old)


def test_what_cannot_be_set_is_kept_with_all_that_refers_to_it(tmp_path: Path) -> None:
    volumes = volumes_of(tmp_path, **{ROOT.old: "it has stable inode numbers"})
    guest = identified_guest(volumes)
    plan = make_plan(guest, Options())
    assert (("file-system-uuid", ROOT.device)) not in new_values(plan)
    (kept,) = [note for note in plan.notes if note.level is Level.KEPT]
    assert ROOT.old in kept.text
    assert "stable inode numbers" in kept.text
    apply_plan(guest, plan)
    fstab = (tmp_path / "etc/fstab").read_text()
    assert ROOT.old in fstab
    assert SWAP.old not in fstab
    with pytest.raises(RefusedError, match="cannot be changed safely"):
        make_plan(guest, Options(strict=True))


def test_what_has_one_value_has_one_value_afterwards(tmp_path: Path) -> None:
    pair = [
        Identifier(IdentifierKind.FILE_SYSTEM_UUID, device, ROOT.old)
        for device in ("/dev/sda1", "/dev/sdb1")
    ]
    guid = Identifier(IdentifierKind.PARTITION_GUID, "/dev/sda1", ROOT.old.upper())
    plan = make_plan(identified_guest(IdentifiedVolumes(tmp_path, [*pair, guid])), Options())
    assert len({value.lower() for value in new_values(plan).values()}) == 1


@pytest.mark.parametrize("nothing", ["", "0000-0000", "00000000", "0" * 32])
def test_zeros_are_no_identifier(tmp_path: Path, nothing: str) -> None:
    volumes = IdentifiedVolumes(tmp_path, [Identifier(IdentifierKind.MBR_DISK_ID, "a", nothing)])
    assert new_values(make_plan(identified_guest(volumes), Options())) == {}
