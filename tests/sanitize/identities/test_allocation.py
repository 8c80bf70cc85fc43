"""Every new identity is unlike all it must be unlike, random or derived."""

from __future__ import annotations

import string
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import RefusedError, UsageError
from unclone.sanitize.identities import allocation as allocation_module
from unclone.sanitize.identities.allocation import Pool
from unclone.sanitize.identities.avoidance import Avoided
from unclone.sanitize.identities.ledger import Ledger

if TYPE_CHECKING:
    from unclone.sanitize.identities.allocation import Allocator

ROOT = Path(__file__).resolve().parents[3]
KEY = b"correct horse battery staple"
OUI = bytes.fromhex("525400")
#: A prefix that leaves one octet: collisions are the rule.
NARROW = bytes.fromhex("0200000000")
OLD = "52:54:00:12:34:56"
OLD_UUID = "0ae55c0b-8ce3-4d5c-95cf-e65d4ec7aa11"


def everything(allocator: Allocator) -> list[object]:
    return [
        allocator.mac(OLD, oui=OUI, place="net0"),
        allocator.mac("52:54:00:12:34:57", oui=OUI, place="net1"),
        allocator.uuid(OLD_UUID, field="machine"),
        allocator.token("WD-WX11D", field="disk-serial", alphabet=string.digits + "ABCDEFWX"),
        allocator.number(3, field="vsock-cid", low=3, high=2**32 - 2),
    ]


def test_the_same_old_value_gets_the_same_new_one() -> None:
    allocation = Pool().machine("web-01")
    assert everything(allocation) == everything(allocation)
    assert allocation.mac("525400123456", oui=OUI, place="snapshot") == everything(allocation)[0]
    assert len(allocation.replaced) == 5


def test_what_is_handed_out_has_the_right_shape() -> None:
    mac, _, uuid, token, number = everything(Pool().machine("web-01"))
    assert isinstance(mac, str)
    assert isinstance(uuid, str)
    assert mac.startswith("52:54:00:")
    assert mac != OLD
    assert len(uuid) == 36
    assert isinstance(token, str)
    assert (len(token), token[2]) == (8, "-")
    assert token != "WD-WX11D"
    assert isinstance(number, int)


def test_the_report_and_the_map_for_the_guest() -> None:
    allocation = Pool().machine("web-01")
    new = allocation.mac("52-54-00-12-34-56", oui=OUI, place="net0")
    allocation.uuid(OLD_UUID, field="machine")
    assert allocation.macs == {OLD: new}
    assert [(r.kind, r.field, r.old) for r in allocation.replaced] == [
        ("mac", "net0", OLD),
        ("uuid", "machine", OLD_UUID),
    ]


def test_random_machines_have_nothing_in_common() -> None:
    pool = Pool()
    values = [value for n in range(200) for value in everything(pool.machine(f"web-{n}"))]
    assert len(set(values)) == len(values)


def test_derived_machines_are_the_same_each_time() -> None:
    first, again = Pool(key=KEY), Pool(key=KEY)
    assert everything(first.machine("web-01")) == everything(again.machine("web-01"))
    assert everything(first.machine("web-02")) != everything(again.machine("web-03"))
    assert everything(Pool(key=KEY + b"x").machine("web-02")) != everything(again.machine("web-02"))


@pytest.mark.parametrize("key", [b"", KEY], ids=["random", "derived"])
def test_a_range_is_used_to_the_last_address(key: bytes) -> None:
    pool = Pool(key=key)
    news = {pool.machine(f"m{n}").mac(OLD, oui=NARROW, place="net0") for n in range(256)}
    assert news == {f"02:00:00:00:00:{n:02x}" for n in range(256)}
    with pytest.raises(RefusedError, match="net0: no free value was found"):
        pool.machine("one-too-many").mac(OLD, oui=NARROW, place="net0")


def test_collisions_are_resolved_the_same_way_each_time() -> None:
    def batch() -> list[str]:
        pool = Pool(key=KEY)
        return [pool.machine(f"m{n}").mac(OLD, oui=NARROW, place="net0") for n in range(200)]

    assert batch() == batch()


def test_cards_of_one_place_and_disks_of_one_row_differ() -> None:
    allocation = Pool(key=KEY).machine("web-01")
    macs = {allocation.mac(f"52:54:00:00:00:{n:02x}", oui=OUI, place="net") for n in range(20)}
    tokens = {allocation.token(f"{n:04}", field="serial", alphabet=string.digits) for n in range(9)}
    assert (len(macs), len(tokens)) == (20, 9)


def test_avoided_definitions_are_avoided() -> None:
    macs = frozenset(f"02:00:00:00:00:{n:02x}" for n in range(256) if n != 7)
    allocation = Pool(avoided=Avoided(macs=macs)).machine("web-01")
    assert allocation.mac(OLD, oui=NARROW, place="net0") == "02:00:00:00:00:07"
    derived = Pool(key=KEY).machine("web-01").uuid(OLD_UUID, field="f")
    avoiding = Pool(key=KEY, avoided=Avoided(uuids=frozenset({derived})))
    assert avoiding.machine("web-01").uuid(OLD_UUID, field="f") != derived


def test_an_old_value_is_never_handed_out_again() -> None:
    seen = set()
    for n in range(50):
        allocation = Pool().machine(f"m{n}")
        seen.add(allocation.token("7", field="serial", alphabet="78"))
        assert allocation.number(5, field="port", low=5, high=6) == 6
    assert seen == {"8"}


def test_ports_differ_in_the_batch_and_are_no_business_of_the_ledger(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as ledger:
        pool = Pool(ledger=ledger)
        with pool.handing_out():
            a, b = pool.machine("a"), pool.machine("b")
            ports = {one.number(1, field="port", low=1, high=3) for one in (a, b)}
            assert ports == {2, 3}
            cid = a.number(3, field="cid", low=3, high=2**32 - 2)
            a.record("golden.xml")
        machine = ledger.machine("a")
    assert machine is not None
    assert [(i.kind, i.value) for i in machine.identities] == [("number cid", str(cid))]


@pytest.mark.parametrize(("old", "alphabet"), [("----", "abc"), ("", "abc"), ("aa", "a")])
def test_a_serial_with_nothing_to_renew(old: str, alphabet: str) -> None:
    with pytest.raises(RefusedError, match="leaves nothing to renew"):
        Pool().machine("m").token(old, field="serial", alphabet=alphabet)


def test_a_malformed_address_is_refused_with_its_place() -> None:
    with pytest.raises(RefusedError, match="net0: 01:00:5e:00:00:01 is a multicast address"):
        Pool().machine("m").mac("01:00:5e:00:00:01", oui=OUI, place="net0")


def test_what_was_not_searched_is_said() -> None:
    assert Pool().warnings == ()
    (words,) = Pool(avoided=Avoided(cut=(Path("/big.xml"),))).warnings
    assert words == "only the first 16 MiB of /big.xml were searched for identities to avoid"


def test_two_machines_of_one_name() -> None:
    pool = Pool()
    pool.machine("web-01")
    with pytest.raises(UsageError, match="two machines of the batch are called web-01"):
        pool.machine("web-01")


def test_a_chosen_value_is_checked_too() -> None:
    pool = Pool(avoided=Avoided(macs=frozenset({OLD})))
    first = pool.machine("a")
    first.claim("instance-id", "i-1")
    first.claim("instance-id", "i-1")
    with pytest.raises(RefusedError, match="instance-id i-1 for b is taken"):
        pool.machine("b").claim("instance-id", "i-1")
    with pytest.raises(RefusedError, match=f"mac {OLD} for a is taken"):
        first.claim("mac", OLD)


# -- with a ledger -------------------------------------------------------------------------
def run(path: Path, name: str, key: bytes = b"", *, record: bool = True) -> list[object]:
    with Ledger.open(path) as ledger:
        pool = Pool(ledger=ledger, key=key)
        with pool.handing_out():
            allocation = pool.machine(name)
            values = everything(allocation)
            values.append(allocation.mac("02:00:00:00:00:ff", oui=NARROW, place="narrow"))
            allocation.claim("instance-id", f"i-{name}")
            if record:
                allocation.record("golden.xml")
    return values


def test_the_ledger_has_everything_that_was_handed_out(tmp_path: Path) -> None:
    values = run(tmp_path / "ledger", "web-01")
    with Ledger.open(tmp_path / "ledger") as ledger:
        (machine,) = ledger.machines()
    assert {i.value for i in machine.identities} == {*map(str, values), "i-web-01"}
    assert machine.source == "golden.xml"


def test_a_dry_run_leaves_no_trace(tmp_path: Path) -> None:
    run(tmp_path / "ledger", "web-01", record=False)
    with Ledger.open(tmp_path / "ledger") as ledger:
        assert list(ledger.machines()) == []


def test_a_random_machine_cannot_be_made_twice(tmp_path: Path) -> None:
    run(tmp_path / "ledger", "web-01")
    with pytest.raises(RefusedError, match="already has a machine called web-01"):
        run(tmp_path / "ledger", "web-01")


@pytest.mark.slow
def test_a_derived_machine_can_and_is_the_same_whatever_comes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    before = {f"m{n}": run(path, f"m{n}", KEY) for n in range(30)}
    alone = {name: run(tmp_path / name, name, KEY) for name in before}
    collided = [name for name in before if before[name] != alone[name]]
    assert collided, "the range was too wide for a collision"
    with Ledger.open(path) as ledger:
        for name in before:
            if name not in collided:
                ledger.release(name)
    assert {name: run(path, name, KEY) for name in collided} == {n: before[n] for n in collided}
    with Ledger.open(path) as ledger:
        assert [m.name for m in ledger.machines()] == sorted(collided)


@pytest.mark.slow
def test_processes_share_one_ledger_without_a_duplicate(tmp_path: Path) -> None:
    """Three processes fill most of a range of 256 addresses, some machines at once, some alone."""
    program = """
        import sys
        from pathlib import Path
        from unclone.sanitize.identities.allocation import Pool
        from unclone.sanitize.identities.ledger import Ledger

        with Ledger.open(Path(sys.argv[1])) as ledger:
            for turn in range(20):
                pool = Pool(ledger=ledger)
                with pool.handing_out():
                    for number in range(turn % 4 + 1):
                        one = pool.machine(f"{sys.argv[2]}-{turn}-{number}")
                        one.mac("52:54:00:12:34:56", oui=bytes.fromhex("0200000000"), place="net0")
                        one.record("golden.xml")
        """
    path = tmp_path / "ledger"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(path), name],
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )
        for name in ("a", "b", "c")
    ]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
    with Ledger.open(path) as ledger:
        macs = [one.value for machine in ledger.machines() for one in machine.identities]
    assert len(macs) == 150
    assert len(set(macs)) == 150


def test_the_limits_of_a_search_are_wide_enough_for_a_full_range() -> None:
    """With 16 of 256 addresses left, a search that gives up does so once in 10^115 cases."""
    assert (1 - 16 / 256) ** allocation_module.ATTEMPTS < 1e-114
