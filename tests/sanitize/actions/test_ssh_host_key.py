"""New SSH host keys: of the same kind, real by OpenSSH's own judgement, and read back."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.ssh_guests import (
    DEBIAN,
    KEY,
    derived,
    done,
    fingerprint,
    keygen,
    planned,
)
from tests.support.tree import guest_at, plant
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.residue import find_residue

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "bits", "old_format"),
    [
        (("-t", "rsa", "-b", "2048"), 3072, False),
        pytest.param(("-t", "rsa", "-b", "4096"), 4096, False, marks=pytest.mark.slow),
        (("-t", "rsa", "-b", "3072"), 3072, True),
        (("-t", "ecdsa", "-b", "256"), 256, False),
        (("-t", "ecdsa", "-b", "384"), 384, True),
        (("-t", "ecdsa", "-b", "521"), 521, False),
        (("-t", "ed25519"), 256, False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_a_new_key_is_of_the_same_kind_and_real(
    tmp_path: Path, arguments: tuple[str, ...], bits: int, old_format: bool
) -> None:
    plant(tmp_path, DEBIAN)
    name = f"etc/ssh/ssh_host_{arguments[1]}_key"
    path = tmp_path / name
    old = keygen(path, *arguments, *(("-m", "PEM") if old_format else ()))
    path.chmod(0o640)
    inode = path.stat().st_ino
    plan = planned(tmp_path)
    (change,) = plan.changes
    assert change.old == old
    new = done(tmp_path, plan)[f"/{name}"]
    assert new != old
    assert fingerprint(path) == fingerprint(path.with_name(f"{path.name}.pub")) == new
    line = path.with_name(f"{path.name}.pub").read_text().split()
    assert line == [*derived_private(path), "root@template"]
    listed = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True)
    assert listed.stdout.split()[0] == str(bits)
    assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (inode, 0o640)


def derived_private(path: Path) -> list[str]:
    """What ssh-keygen derives from the private key; it insists on a mode of 0600."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    try:
        return derived(path)
    finally:
        path.chmod(mode)


def test_a_key_open_to_others_is_closed(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    keygen(path, "-t", "ed25519")
    path.chmod(0o666)
    done(tmp_path, planned(tmp_path))
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_key_material_leaves_the_guest(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    keygen(path, "-t", "ed25519")
    before = path.read_text().split("\n")[1:-2]
    plan = planned(tmp_path)
    learned = done(tmp_path, plan)
    after = path.read_text().split("\n")[1:-2]
    shown = f"{plan!r} {learned!r} {json.dumps([dict(c.details) for c in plan.changes])}"
    assert not [line for line in before[2:] + after[2:] if line in shown]


def test_two_copies_get_different_keys(tmp_path: Path) -> None:
    prints = set()
    for name in ("a", "b"):
        plant(tmp_path / name, DEBIAN)
        keygen(tmp_path / name / KEY[1:], "-t", "ed25519")
        prints |= set(done(tmp_path / name, planned(tmp_path / name)).values())
    assert len(prints) == 2


def test_the_old_key_is_retired_and_found_in_known_hosts(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    keygen(tmp_path / KEY[1:], "-t", "ed25519")
    public = (tmp_path / f"{KEY[1:]}.pub").read_text()
    plant(tmp_path, {"/root/.ssh/known_hosts": f"web-01 {public}"})
    plan = planned(tmp_path)
    assert [(r.kind, r.value) for r in plan.retired] == [("ssh-host-key", public.split()[1])]
    done(tmp_path, plan)
    found = find_residue(guest_at(tmp_path), plan.retired)
    assert [(r.path, r.read_at_boot) for r in found] == [("/root/.ssh/known_hosts", False)]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.unlink(), "is not a regular file"),
        (lambda p: p.chmod(0o644), "can be read by others"),
        (lambda p: p.write_text("nonsense"), "is not a private key"),
        (lambda p: p.write_bytes(p.read_bytes()[:-60] + b"\n-----END OPENSSH PRIVATE KEY-----\n"),
         "is not a private key"),
        (lambda p: [p.unlink(), keygen(p.with_name("x"), "-t", "ed25519"),
                    p.with_name("x").rename(p)], "is not the key that was made"),
        (lambda p: [keygen(p.with_name("x"), "-t", "ed25519"),
                    p.with_name("x.pub").rename(f"{p}.pub")], "does not fit"),
        (lambda p: p.with_name(f"{p.name}.pub").write_text("hello\n"), "is not a public key"),
    ],
    ids=["gone", "open", "garbage", "cut short", "another key", "another public half", "no half"],
)  # fmt: skip
def test_verify_notices(tmp_path: Path, damage: object, words: str) -> None:
    assert callable(damage)
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    keygen(path, "-t", "ed25519")
    (change,) = planned(tmp_path).changes
    action = ACTIONS[change.action]
    learned = action.apply(guest_at(tmp_path), change)
    damage(path)
    assert words in action.verify(guest_at(tmp_path), change, learned)


def test_verify_notices_that_the_old_key_is_back(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    old = keygen(path, "-t", "ed25519")
    (change,) = planned(tmp_path).changes
    assert "is not the key" in ACTIONS[change.action].verify(guest_at(tmp_path), change, old)
