"""Many machines in one transaction: few statements, and no value is given twice."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.sanitize.identities.test_allocation import NARROW, OLD, OLD_UUID
from unclone.images.errors import RefusedError
from unclone.sanitize.identities.allocation import Pool
from unclone.sanitize.identities.ledger import Ledger
from unclone.sanitize.identities.records import Identity, MachineRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


COUNT = 200


def counted(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that *ledger* carries out from now on."""
    said: list[str] = []
    rows = ledger._store.rows

    def count(query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        said.append(query)
        return rows(query, values)

    monkeypatch.setattr(ledger._store, "rows", count)
    return said


def test_a_machine_costs_less_than_a_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"web-{number}" for number in range(COUNT)]
    with Ledger.open(tmp_path / "ledger") as ledger:
        said = counted(ledger, monkeypatch)
        pool = Pool(ledger=ledger)
        with pool.handing_out():
            pool.expect(names, [("instance-id", f"i-{name}") for name in names])
            for name in names:
                one = pool.machine(name)
                one.uuid(OLD_UUID, field="machine")
                one.mac(OLD, oui=bytes.fromhex("525400"), place="net0")
                one.claim("instance-id", f"i-{name}")
                one.record("golden.xml")
        assert len(said) < COUNT / 4
        said.clear()
        found = list(ledger.machines())
        assert len(said) < 5
    assert sorted(each.name for each in found) == sorted(names)
    values = [(one.kind, one.value) for each in found for one in each.identities]
    assert len(values) == len(set(values)) == 3 * COUNT


def test_a_narrow_range_is_used_up_without_a_duplicate(tmp_path: Path) -> None:
    """Values are drawn ahead, of one octet: most are taken by then, in the ledger or by the run."""
    macs: list[str] = []
    for turn in range(4):
        with Ledger.open(tmp_path / "ledger") as ledger:
            pool = Pool(ledger=ledger)
            with pool.handing_out():
                for number in range(60):
                    one = pool.machine(f"m-{turn}-{number}")
                    macs.append(one.mac(OLD, oui=NARROW, place="net0"))
                    one.record("golden.xml")
    assert len(set(macs)) == 240
    with Ledger.open(tmp_path / "ledger") as ledger:
        kept = [one.value for each in ledger.machines() for one in each.identities]
    assert sorted(kept) == sorted(macs)


def test_values_for_one_order_are_no_values_for_another(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as ledger:
        pool = Pool(ledger=ledger)
        with pool.handing_out():
            for number in range(20):
                for prefix in ("525400", "020000"):
                    one = pool.machine(f"{prefix}-{number}")
                    mac = one.mac(OLD, oui=bytes.fromhex(prefix), place="net0")
                    assert mac.replace(":", "").startswith(prefix)


def test_what_waits_to_be_written_is_taken(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as ledger:
        pool = Pool(ledger=ledger)
        with pool.handing_out():
            pool.expect(["a", "b"], [("instance-id", "i-1")])
            first = pool.machine("a")
            first.claim("instance-id", "i-1")
            first.record("golden.xml")
            with pytest.raises(RefusedError, match="instance-id i-1 for b is taken"):
                pool.machine("b").claim("instance-id", "i-1")
            known = pool.recorded("a")
            assert known is not None
            assert known.identities == (Identity("instance-id", "i-1"),)


def test_an_error_leaves_nothing_to_be_written_later(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as ledger:
        pool = Pool(ledger=ledger)
        with suppress(KeyError), pool.handing_out():
            pool.machine("a").record("golden.xml")
            raise KeyError
        with pool.handing_out():
            pool.machine("b").record("golden.xml")
        assert [each.name for each in ledger.machines()] == ["b"]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (MachineRecord("b", "", "", (Identity("mac", OLD),)), "already belongs to a"),
        (MachineRecord("a", "", "", ()), "already has a machine called a"),
    ],
)
def test_several_are_recorded_or_none(tmp_path: Path, second: MachineRecord, words: str) -> None:
    first = MachineRecord("a", "", "", (Identity("mac", OLD),))
    with Ledger.open(tmp_path / "ledger") as ledger:
        with pytest.raises(RefusedError, match=words), ledger.transaction():
            ledger.record_all([first, second])
        assert list(ledger.machines()) == []
