"""Which values several machines have, for few and for many."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unclone.runs.audit.index import PLACES, Index, Shared
from unclone.sanitize.audit.values import Found, digest


def shared(*machines: list[Found]) -> list[Shared]:
    index = Index()
    for number, values in enumerate(machines):
        index.add(number, values)
    found = list(index.shared())
    index.close()
    return found


def test_a_value_is_shared_within_its_kind_and_between_machines() -> None:
    uuid, name = Found("uuid", "1", "a"), Found("name", "1", "b")
    assert shared([uuid, uuid._replace(place="c")], [name], []) == []
    assert shared([uuid, uuid._replace(place="c")], [name], [uuid]) == [
        Shared("uuid", "1", {0: ("a", "c"), 2: ("a",)})
    ]


def test_what_one_machine_does_not_call_harmless_is_not() -> None:
    harmless = Found("host-name", "a", "x", "the seed gives another")
    assert shared([harmless], [harmless])[0].harmless == "the seed gives another"
    assert shared([harmless], [harmless._replace(harmless="")])[0].harmless == ""


def test_the_likeliest_unknown_value_is_first_and_places_are_bounded() -> None:
    values = [Found("b", "1", "x", score=50), Found("a", "2", "y", score=90)]
    values += [Found("a", "2", f"z{n}", score=10) for n in range(3 * PLACES)]
    found = shared(values, values)
    assert [(each.kind, each.score) for each in found] == [("a", 90), ("b", 50)]
    assert len(found[0].machines[0]) == PLACES


def test_undecodable_text_is_kept_apart() -> None:
    odd = Found("name", "\udcff", "/etc/\udcfe")
    (found,) = shared([odd], [odd])
    assert found.value == "\\udcff"
    assert shared([odd], [odd._replace(value="\udcfd")]) == []


MEMORY = """
import resource, sys
from unclone.runs.audit.index import Index
from unclone.sanitize.audit.values import Found, digest
index = Index()
for machine in range(int(sys.argv[1])):
    own = (Found("kind", f"{machine}-{n:064}", f"/var/lib/agents/{n}") for n in range(400))
    index.add(machine, [*own, Found("kind", "shared", "/etc/x")])
(found,) = index.shared()
print(len(found.machines), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_a_thousand_machines_need_the_memory_of_a_hundred() -> None:
    """400,000 values are more than 60 MB; the index has them in a file."""
    mebibytes = []
    for machines in (100, 1000):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(machines)],
            capture_output=True,
            check=True,
            text=True,
        )
        count, used = map(int, done.stdout.split())
        assert count == machines
        mebibytes.append(used)
    assert mebibytes[1] - mebibytes[0] < 16


def test_an_identity_of_one_machine_in_an_unknown_file_of_another_is_shared() -> None:
    digits = "0123456789abcdef0123456789abcdef"
    known = Found("machine-id", digits, "/etc/machine-id")
    unknown = Found("uuid", digest(digits.encode()), "/opt/id", score=90)
    machines: dict[int, tuple[str, ...]] = {0: ("/etc/machine-id",), 1: ("/opt/id",)}
    assert shared([known], [unknown]) == [Shared("machine-id", digits, machines)]
    assert shared([known, unknown], []) == []
    harmless = known._replace(harmless="by design")
    assert shared([harmless], [unknown]) == []
