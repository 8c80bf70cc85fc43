"""What was seen is known, and nothing else is, however full the table gets."""

from __future__ import annotations

import tracemalloc

from unclone.sanitize.identities.allocation import Pool
from unclone.sanitize.identities.hash_table import HashTable


def test_values_with_one_slot_are_told_from_each_other() -> None:
    """The hash of a small number is the number: these all begin at one slot."""
    table = HashTable()
    numbers = range(0, 300 << 20, 1 << 20)
    for number in numbers:
        if number % 3:
            table.add(number)
            table.add(number)
    assert all((number in table) == bool(number % 3) for number in numbers)
    assert 1 not in table


def test_a_value_whose_hash_is_zero_is_kept() -> None:
    table = HashTable()
    assert 0 not in table
    table.add(0)
    assert 0 in table


def test_what_many_machines_were_given_takes_little_memory() -> None:
    pool, kept = Pool(), 0
    tracemalloc.start()
    try:
        for number in range(150):
            machine = pool.machine(f"web-{number}")
            for field in range(10):
                machine.uuid("", field=f"field {field}")
                kept += 1
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / kept < 40  # bytes; the text of a UUID takes 85
