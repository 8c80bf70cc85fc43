"""The ledger: unique whatever happens, whoever else uses it, and clear about what is wrong."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.ledger import Disturbance, contend
from unclone.images.errors import InUseError, RefusedError, UncloneError, UsageError
from unclone.sanitize.identities.file_system import file_system_type
from unclone.sanitize.identities.ledger import Ledger, sqlite
from unclone.sanitize.identities.ledger.place import parse_place
from unclone.sanitize.identities.records import Identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.identities.ledger.place import Place

ROOT = Path(__file__).resolve().parents[3]
MAC = Identity("mac", "52:54:00:00:00:01", "net0")
UUID = Identity("uuid", "11111111-2222-4333-8444-555555555555", "machine")


@pytest.fixture(params=["file", pytest.param("server", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where there is no ledger yet."""
    if request.param == "file":
        return tmp_path / "ledger"
    return parse_place(request.getfixturevalue("url"))


def record(path: Place, name: str, *identities: Identity) -> None:
    with Ledger.open(path) as ledger, ledger.transaction():
        ledger.record(name, "golden.xml", identities)


def test_what_was_recorded_is_found(place: Place) -> None:
    record(place, "web-01", MAC, UUID)
    record(place, "web-02")
    with Ledger.open(place) as ledger:
        assert ledger.holder("mac", MAC.value) == "web-01"
        assert ledger.holder("uuid", MAC.value) == ""
        machine = ledger.machine("web-01")
        assert machine is not None
        assert (machine.name, machine.source) == ("web-01", "golden.xml")
        assert machine.allocated.endswith("Z")
        assert machine.identities == (MAC, UUID)
        assert [m.name for m in ledger.machines()] == ["web-01", "web-02"]
        assert ledger.machine("web-03") is None


@pytest.mark.parametrize(
    "value",
    [MAC.value, "52-54-00-00-00-01", "525400000001", UUID.value.upper(), f"{{{UUID.value}}}"],
)
def test_a_value_is_found_in_any_spelling(place: Place, value: str) -> None:
    record(place, "web-01", MAC, UUID)
    record(place, "web-02", Identity("instance-id", "i-2"))
    with Ledger.open(place) as ledger:
        assert [m.name for m in ledger.find(value)] == ["web-01"]
        assert [m.name for m in ledger.find("i-2")] == ["web-02"]
        assert list(ledger.find("' OR 1=1 --")) == []


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        record(tmp_path / "ledger", "web-01", MAC)
    finally:
        os.umask(before)
    assert (tmp_path / "ledger").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["ledger"]


def test_nothing_is_handed_out_twice(place: Place) -> None:
    record(place, "web-01", MAC)
    with pytest.raises(RefusedError, match="mac 52:54:00:00:00:01 already belongs to web-01"):
        record(place, "web-02", UUID, MAC)
    with pytest.raises(RefusedError, match=r"already has a machine called web-01 \(20"):
        record(place, "web-01", UUID)
    with Ledger.open(place) as ledger:
        assert [m.name for m in ledger.machines()] == ["web-01"]
        assert ledger.holder("uuid", UUID.value) == ""


def test_what_is_released_can_be_handed_out_again(place: Place) -> None:
    record(place, "web-01", MAC, UUID)
    with Ledger.open(place) as ledger:
        assert ledger.release("web-01") == 2
        assert ledger.holder("mac", MAC.value) == ""
        with pytest.raises(UsageError, match="knows no machine called web-01"):
            ledger.release("web-01")
    record(place, "web-02", MAC)


def test_an_error_inside_a_transaction_undoes_it(place: Place) -> None:
    with Ledger.open(place) as ledger:
        with pytest.raises(RefusedError, match="belongs to web-01"), ledger.transaction():
            ledger.record("web-01", "", [MAC, MAC])
        assert list(ledger.machines()) == []
        with ledger.transaction():
            ledger.record("web-01", "", [MAC])
        assert ledger.holder("mac", MAC.value) == "web-01"


def test_a_hostile_source_is_shown_as_it_is(place: Place) -> None:
    with Ledger.open(place) as ledger:
        with ledger.transaction():
            ledger.record("web-01", "a\x1b\udcff'; DROP TABLE machines --", [])
        (machine,) = ledger.machines()
    assert machine.source == "a\\x1b\\xff'; DROP TABLE machines --"


# -- many processes ------------------------------------------------------------------------
def start(program: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()


@pytest.mark.slow
def test_processes_that_want_the_same_values_share_them_out(place: Place) -> None:
    """Three processes walk through the same 120 values; each value has one owner in the end."""
    program = """
        import sys
        from unclone.sanitize.identities.ledger.place import parse_place
        from unclone.sanitize.identities.ledger import Ledger
        from unclone.sanitize.identities.records import Identity

        with Ledger.open(parse_place(sys.argv[1])) as ledger:
            for number in range(120):
                with ledger.transaction():
                    if not ledger.holder("mac", str(number)):
                        ledger.record(f"{sys.argv[2]}-{number}", "", [Identity("mac", str(number))])
        """
    finish([start(program, str(place), name) for name in ("a", "b", "c")])
    with Ledger.open(place) as ledger:
        found = [one.value for m in ledger.machines() for one in m.identities]
    assert sorted(found, key=int) == [str(number) for number in range(120)]


@pytest.mark.slow
def test_a_killed_process_leaves_no_half_machine(tmp_path: Path) -> None:
    program = """
        import sys, signal, os
        from pathlib import Path
        from unclone.sanitize.identities.ledger import Ledger
        from unclone.sanitize.identities.records import Identity

        ledger = Ledger.open(Path(sys.argv[1]))
        ledger._store.rows("PRAGMA cache_size = 1")  # so that pages reach the file early
        with ledger.transaction():
            for machine in range(200):
                many = [Identity("mac", f"{machine}-{n}", "x" * 100) for n in range(20)]
                ledger.record(f"half-{machine}", "", many)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    path = tmp_path / "ledger"
    record(path, "whole", MAC)
    size = path.stat().st_size
    process = start(program, str(path))
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert path.stat().st_size > size, "nothing was half done"
    with Ledger.open(path) as ledger:
        assert [m.name for m in ledger.machines()] == ["whole"]
        with ledger.transaction():
            ledger.record("next", "", [Identity("mac", "0-0")])
    assert os.listdir(tmp_path) == ["ledger"]


@pytest.mark.slow
def test_nothing_is_lost_while_processes_are_killed(tmp_path: Path) -> None:
    kills = 0
    # Where processes are quick, some end before their blow falls.
    for number in itertools.count():
        disturbance = Disturbance(kills=10)
        place = str(tmp_path / f"ledger-{number}")
        found = contend(place, machines=2000, processes=4, disturbance=disturbance)
        kills += disturbance.kills
        assert found.recorded == 2000
        assert found.told == 2000
        assert found.twice == 0
        assert not found.messages
        if kills > 5:
            break


def test_a_ledger_that_stays_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path) as first, first.transaction():
        monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
        second = Ledger.open(path)
        with pytest.raises(InUseError, match="was in use by another process"):
            second.release("web-01")
        second.close()


def test_every_process_gets_a_turn(place: Place) -> None:
    """One process takes turn after turn; another that wants a single one gets it meanwhile."""
    program = """
        import sys
        from unclone.sanitize.identities.ledger.place import parse_place
        from unclone.sanitize.identities.ledger import Ledger

        with Ledger.open(parse_place(sys.argv[1])) as ledger:
            print("begun", flush=True)
            while not ledger.machine("web-01"):
                with ledger.transaction():
                    pass
        """
    record(place, "web-00")
    hurried = start(program, str(place))
    assert hurried.stdout is not None
    assert hurried.stdout.readline() == b"begun\n"
    record(place, "web-01")
    finish([hurried])


def test_a_second_ledger_in_one_process_does_not_unlock_the_first(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    program = """
        import sys
        from pathlib import Path
        from unclone.sanitize.identities.ledger import sqlite as module
        from unclone.sanitize.identities.ledger import Ledger
        from unclone.sanitize.identities.records import Identity

        module.BUSY_SECONDS = 0.05
        with Ledger.open(Path(sys.argv[1])) as ledger, ledger.transaction():
            ledger.record("thief", "", [])
        """
    with Ledger.open(path) as first, first.transaction():
        Ledger.open(path).close()
        thief = start(program, str(path))
        _, errors = thief.communicate(timeout=300)
        assert b"was in use by another process" in errors
        first.record("web-01", "", [MAC])
    with Ledger.open(path) as ledger:
        assert [m.name for m in ledger.machines()] == ["web-01"]


# -- bad files -----------------------------------------------------------------------------
def foreign(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


BAD_DATABASES = {
    "tables of another program": (["CREATE TABLE t (a)"], "is a database, but not a ledger"),
    "id of another program": (["PRAGMA application_id = 7"], "is a database, but not a ledger"),
    "version without an id": (["PRAGMA user_version = 1"], "is a database, but not a ledger"),
    "a newer ledger": (
        [f"PRAGMA application_id = {sqlite.APPLICATION_ID}", "PRAGMA user_version = 2"],
        r"written by a newer unclone \(ledger version 2; this one knows 1\)",
    ),
}


@pytest.mark.parametrize(("statements", "words"), BAD_DATABASES.values(), ids=BAD_DATABASES)
def test_a_database_that_is_no_ledger(tmp_path: Path, statements: list[str], words: str) -> None:
    foreign(tmp_path / "other", *statements)
    before = (tmp_path / "other").read_bytes()
    with pytest.raises(RefusedError, match=words):
        Ledger.open(tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == before


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("name: web-01\n" * 500)
    with pytest.raises(RefusedError, match="text is not a ledger") as raised:
        Ledger.open(tmp_path / "text")
    assert "not exist" in raised.value.hint


def test_a_damaged_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    record(path, "web-01", MAC)
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(UncloneError, match="is damaged") as raised, Ledger.open(path) as ledger:
        list(ledger.machines())
    assert "backup" in raised.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing/ledger", "cannot be opened: No such file"),
        (".", "is not a regular file"),
        ("fifo", "is not a regular file"),
        ("dangling", "is a symlink that leads nowhere"),
    ],
)
def test_a_path_that_can_hold_no_ledger(tmp_path: Path, name: str, words: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UsageError, match=words):
        Ledger.open(tmp_path / name)


def test_a_name_that_means_something_to_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record(Path(":memory:"), "web-01", MAC)
    with Ledger.open(tmp_path / ":memory:") as ledger:
        assert ledger.machine("web-01") is not None


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on file sizes stands for the disk: SQLite's write fails the same way."""
    path = tmp_path / "ledger"
    record(path, "web-01", MAC)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Ledger.open(path) as ledger:
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
            many = [Identity("mac", f"{n}", "x" * 1000) for n in range(100)]
            with pytest.raises(UncloneError, match=r"ledger.* cannot be"), ledger.transaction():
                ledger.record("web-02", "", many)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    with Ledger.open(path) as ledger:
        assert [m.name for m in ledger.machines()] == ["web-01"]


def test_a_network_file_system_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(tmp_path / "ledger") as ledger:
        assert file_system_type(tmp_path / "ledger")
        assert ledger.warning == ""
        monkeypatch.setattr(sqlite, "file_system_type", lambda path: "nfs4")
        assert "is on a network file system (nfs4)" in ledger.warning
