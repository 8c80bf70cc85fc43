"""Steps that are left out, where they would find something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError
from unclone.sanitize.catalogue import load
from unclone.sanitize.facts import Facts
from unclone.sanitize.inventory.optional_steps import (
    Off,
    OptionalStep,
    optional_steps,
    told,
    undecided,
)
from unclone.sanitize.options import Options, Profile
from unclone.sanitize.planning import make_plan
from unclone.sanitize.step import PlanningContext

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "/var/lib/systemd/credential.secret"
FILES: dict[str, str | bytes | None] = {
    SECRET: b"x" * 100,
    "/var/log/nginx/access.log": "GET /\n",
    "/var/log/empty.log": "",
    "/var/log/a/b/c/deep.log": "x",
    "/etc/machine-info": "PRETTY_HOSTNAME=web\n",
}


def found(folder: Path, options: Options) -> dict[str, OptionalStep]:
    guest = guest_at(folder)
    return {each.step: each for each in optional_steps(guest, Facts(guest), options)}


def test_a_step_that_is_off_and_finds_something_is_listed_with_the_reason(tmp_path: Path) -> None:
    plant(tmp_path, FILES)
    steps = found(tmp_path, Options())
    assert set(steps) == {"systemd-credential-secret", "machine-info", "log-files"}
    secret = steps["systemd-credential-secret"]
    assert (secret.off, secret.path) == (Off.BY_DEFAULT, SECRET)
    assert secret.off_because
    logs = steps["log-files"]
    assert (logs.off, logs.path) == (Off.GOLDEN, "/var/log/nginx/access.log")


def test_a_step_that_runs_is_not_listed(tmp_path: Path) -> None:
    plant(tmp_path, FILES)
    options = Options(profile=Profile.GOLDEN, enable=frozenset({"machine-info"}))
    assert set(found(tmp_path, options)) == {"systemd-credential-secret"}


def test_a_disabled_step_is_listed_as_such(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/lib/systemd/random-seed": b"x" * 32})
    options = Options(disable=frozenset({"random-seed", "machine-id", "dhclient-leases"}))
    steps = found(tmp_path, options)
    assert {step: each.off for step, each in steps.items()} == {
        "random-seed": Off.DISABLED,
        "machine-id": Off.DISABLED,
    }


def test_what_is_found_would_be_changed_and_what_is_not_would_not(tmp_path: Path) -> None:
    """For every row that searches no whole tree, the short look agrees with the plan."""
    plant(tmp_path, FILES)
    guest = guest_at(tmp_path)
    facts = Facts(guest)
    context = PlanningContext(guest, facts, Options())
    for step in load():
        if not any("/**/" in pattern for pattern in step.row.paths):
            planned = step.plan(context).changes
            assert (step.places(guest, facts) != ()) == bool(planned), step.info.id


def test_a_tree_is_looked_at_two_levels_deep(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/log/a/b/c/deep.log": "x"})
    assert "log-files" not in found(tmp_path, Options())


def test_all_places_of_a_step_are_listed_up_to_a_limit(tmp_path: Path) -> None:
    keys = [f"/etc/wireguard/wg{number:02}.conf" for number in range(70)]
    plant(tmp_path, dict.fromkeys(keys, "PrivateKey = x"))
    step = found(tmp_path, Options())["wireguard-keys"]
    assert step.path == step.paths[0]
    assert list(step.paths) == keys[:50]


def test_what_lies_behind_a_linked_folder_is_listed(tmp_path: Path) -> None:
    plant(tmp_path, {"/srv/wireguard/wg0.conf": "x", "/etc/wireguard": "-> /srv/wireguard"})
    assert found(tmp_path, Options())["wireguard-keys"].paths == ("/etc/wireguard/wg0.conf",)


TOR = "/var/lib/tor/keys/ed25519_master_id_secret_key"


def test_told_is_what_nothing_makes_again(tmp_path: Path) -> None:
    plant(tmp_path, {TOR: "x", "/var/lib/tor/keys/secret_id_key": ""})
    guest = guest_at(tmp_path)
    (one,) = told(guest, Facts(guest), Options())
    assert (one.step, one.paths) == ("tor-keys", (TOR,))  # the empty file holds no key
    assert "Tor makes new keys" in one.remedy
    assert "tor-keys" not in found(tmp_path, Options())
    assert told(guest, Facts(guest), Options(disable=frozenset({"tor-keys"}))) == ()
    assert "tor-keys" not in found(tmp_path, Options(disable=frozenset({"tor-keys"})))


def test_told_behind_a_linked_folder(tmp_path: Path) -> None:
    plant(tmp_path, {"/srv/tor/keys/secret_id_key": "x", "/var/lib/tor": "-> /srv/tor"})
    guest = guest_at(tmp_path)
    (one,) = told(guest, Facts(guest), Options())
    assert one.paths == ("/var/lib/tor/keys/secret_id_key",)


def test_a_strict_run_refuses_what_nobody_decided(tmp_path: Path) -> None:
    plant(tmp_path, {**FILES, TOR: "x"})
    with pytest.raises(RefusedError) as refused:
        make_plan(guest_at(tmp_path), Options(strict=True))
    assert "3 identities would stay" in refused.value.message
    for named in (f"systemd-credential-secret ({SECRET})", "machine-info", f"tor-keys ({TOR})"):
        assert named in refused.value.message
    assert "--enable ID" in refused.value.hint
    assert "log-files" not in refused.value.message  # cleaning up is another profile's


def test_strict_is_content_with_what_was_decided(tmp_path: Path) -> None:
    plant(tmp_path, {**FILES, TOR: "x"})
    options = Options(
        strict=True,
        enable=frozenset({"machine-info"}),
        disable=frozenset({"systemd-credential-secret", "tor-keys"}),
    )
    plan = make_plan(guest_at(tmp_path), options)
    assert "/etc/machine-info" in [change.target for change in plan.changes]


def test_strict_counts_golden_rows_that_are_off_only_with_their_profile(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/lib/samba/passdb.tdb": "x"})
    guest = guest_at(tmp_path)
    assert undecided(guest, Facts(guest), Options()) == []
    golden = Options(profile=Profile.GOLDEN)
    assert undecided(guest, Facts(guest), golden) == ["samba-accounts (/var/lib/samba/passdb.tdb)"]


def test_strict_does_not_count_what_another_step_takes(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/etc/pki/tls/certs/localhost.crt": "x",
            "/etc/pki/tls/private/localhost.key": "x",
            "/usr/lib/systemd/system/httpd-init.service": "[Service]\n",
        },
    )
    plan = make_plan(guest_at(tmp_path), Options(strict=True))
    assert {change.step for change in plan.changes} == {"httpd-certificate"}
    (tmp_path / "usr/lib/systemd/system/httpd-init.service").unlink()
    with pytest.raises(RefusedError, match="ca-certificates"):
        make_plan(guest_at(tmp_path), Options(strict=True))


@pytest.mark.slow
def test_so_many_home_directories_are_looked_into(tmp_path: Path) -> None:
    homes = {f"/home/u{number:03}/.config/syncthing/key.pem": "x" for number in range(520)}
    plant(tmp_path, {**homes, "/root/.config/syncthing/key.pem": "x"})
    guest = guest_at(tmp_path)
    (step,) = (each for each in load() if each.row.id == "syncthing-keys")
    assert step.places(guest, Facts(guest), 1000) == tuple(homes)[:500]
    (one,) = told(guest, Facts(guest), Options())
    assert one.paths == tuple(homes)[:50]
