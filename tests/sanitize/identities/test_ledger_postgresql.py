"""The ledger on a PostgreSQL server: real servers, which are stopped, cut off and asked again."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.ledger import Disturbance, Found, contend
from tests.support import postgresql
from unclone.images.errors import InUseError, RefusedError, UncloneError, UsageError
from unclone.sanitize.identities.ledger import Ledger
from unclone.sanitize.identities.ledger.place import Server, parse_place
from unclone.sanitize.identities.records import Identity

ROOT = Path(__file__).resolve().parents[3]
MAC = Identity("mac", "52:54:00:00:00:01", "net0")
pytestmark = pytest.mark.slow


def opened(url: str) -> Ledger:
    return Ledger.open(parse_place(url))


def names(url: str) -> list[str]:
    with opened(url) as ledger:
        return [machine.name for machine in ledger.machines()]


def test_looking_makes_nothing(server: postgresql.Server, url: str) -> None:
    place = parse_place(url)
    database = url.rpartition("/")[2]
    assert not Ledger.exists(place)
    assert (
        server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'unclone'", database) == "0"
    )
    opened(url).close()
    assert Ledger.exists(place)


def test_processes_share_out_what_all_of_them_want(url: str) -> None:
    found = contend(url, machines=400, processes=4)
    assert found.recorded == 400
    assert found.told == 400
    assert found.twice == 0


def test_nothing_is_lost_while_connections_are_cut_and_the_server_restarts(
    server: postgresql.Server,
) -> None:
    cuts = kills = restarts = 0
    # Where processes are quick, some end before their blow falls.
    while cuts < 10 or not kills or not restarts:
        url = server.new_database()
        disturbance = Disturbance(server, cuts=10, kills=3)
        found = contend(url, machines=400, processes=4, disturbance=disturbance)
        cuts, kills = cuts + disturbance.cuts, kills + disturbance.kills
        restarts += disturbance.restarts
        expect_all_once(url, found)


def expect_all_once(url: str, found: Found) -> None:
    assert found.recorded == 400
    assert found.told == 400
    assert found.twice == 0
    for message in found.messages:
        assert message.startswith(f"the ledger {url} "), message
        assert "Nothing was given out." in message or "cannot be opened" in message, message


def test_a_ledger_that_stays_busy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from unclone.sanitize.identities.ledger import postgresql as module  # noqa: PLC0415 (an extra)

    with opened(url) as first, opened(url) as second, first.transaction():
        monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
        with pytest.raises(InUseError, match="was in use by another process"):
            second.release("web-01")
        first.record("web-01", "", [MAC])
    assert names(url) == ["web-01"]


# -- the connection is lost ----------------------------------------------------------------
def test_a_connection_that_was_cut_is_made_again(server: postgresql.Server, url: str) -> None:
    with opened(url) as ledger:
        assert server.cut_connections() == 1
        assert list(ledger.machines()) == []
        assert server.cut_connections() == 1
        with ledger.transaction():
            ledger.record("web-01", "", [MAC])
    assert names(url) == ["web-01"]


def test_inside_a_transaction_nothing_is_kept(server: postgresql.Server, url: str) -> None:
    with opened(url) as ledger:
        lost = pytest.raises(UncloneError, match="does not answer any more")
        with lost as raised, ledger.transaction():
            ledger.record("web-01", "", [MAC])
            server.cut_connections()
            ledger.record("web-02", "", [])
        assert "Nothing was given out. Run it again" in raised.value.hint
        assert list(ledger.machines()) == []


class Cutter:
    """Between a client and the server: the first COMMIT, or the answer to it, does not arrive."""

    def __init__(self, server: postgresql.Server, folder: Path, *, arrives: bool) -> None:
        self._server = str(server.socket)
        self._arrives = arrives
        self._seen = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / server.socket.name))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            for pump in (self._questions, self._answers):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _questions(self, client: socket.socket, server: socket.socket) -> None:
        while data := client.recv(65536):
            is_first = b"COMMIT\0" in data and not self._seen.is_set()
            if is_first:
                self._seen.set()
                if not self._arrives:
                    break
            server.sendall(data)
        for end in (client, server):
            end.shutdown(socket.SHUT_RDWR)

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        before = self._seen.is_set()
        while data := server.recv(65536):
            if self._seen.is_set() and not before:
                client.shutdown(socket.SHUT_RDWR)
                return
            client.sendall(data)


def test_a_transaction_whose_number_another_got_after_a_crash(server: postgresql.Server) -> None:
    """A server that stops hard forgets numbers that it gave out, and gives them out again."""
    for _ in range(5):  # what the server had written by then is a matter of chance
        url = server.new_database()
        with opened(url) as ledger:
            lost = pytest.raises(UncloneError, match="recorded nothing")
            with lost as raised, ledger.transaction():
                ledger.record("web-01", "", [MAC])
                server.stop("immediate")
                server.start()
                with opened(url) as other, other.transaction():
                    other.record("web-02", "", [MAC])
            assert "Nothing was given out." in raised.value.hint
        assert names(url) == ["web-02"]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_commit_without_an_answer(
    server: postgresql.Server, url: str, tmp_path_factory: pytest.TempPathFactory, *, arrives: bool
) -> None:
    """The server is asked whether it kept the transaction."""
    folder = tmp_path_factory.mktemp("s")
    Cutter(server, folder, arrives=arrives)
    through = postgresql.url(folder, url.rpartition("/")[2])
    with opened(url):
        pass  # makes the tables, so that the first COMMIT is that of the machine
    with opened(through) as ledger:
        if arrives:
            with ledger.transaction():
                ledger.record("web-01", "", [MAC])
        else:
            with (
                pytest.raises(UncloneError, match="recorded nothing: ") as raised,
                ledger.transaction(),
            ):
                ledger.record("web-01", "", [MAC])
            assert "Nothing was given out. Run it again" in raised.value.hint
    assert names(url) == ["web-01"] * arrives


# -- what is no ledger ---------------------------------------------------------------------
def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be opened") as raised:
        opened(postgresql.url(tmp_path, "fleet"))
    assert "whether the server runs" in raised.value.hint


def test_a_schema_of_another_program(server: postgresql.Server, url: str) -> None:
    server.sql("CREATE SCHEMA unclone; CREATE TABLE unclone.t (a int)", url.rpartition("/")[2])
    with pytest.raises(RefusedError, match=r"the schema unclone of .* is not a ledger of unclone"):
        opened(url)


def test_a_newer_ledger(server: postgresql.Server, url: str) -> None:
    opened(url).close()
    server.sql("UPDATE unclone.ledger SET version = 2", url.rpartition("/")[2])
    with pytest.raises(RefusedError, match=r"newer unclone \(ledger version 2; this one knows 1"):
        opened(url)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("ALTER ROLE reader SET default_transaction_read_only = off", "Ask for CREATE"),
        ("ALTER ROLE reader SET default_transaction_read_only = on", "Ask for|standby"),
    ],
)
def test_a_role_that_may_not_write(
    server: postgresql.Server, url: str, setting: str, words: str
) -> None:
    server.sql("DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN OTHERS THEN NULL; END $$")
    server.sql(setting)
    with pytest.raises(UsageError, match="may not be written to") as raised:
        opened(url.replace("//unclone@", "//reader@"))
    assert re.search(words, raised.value.hint)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ops:secret@db/fleet",
        "postgres://db/fleet?password=secret",
        "postgresql://db/fleet?user=ops&sslpassword=secret",
    ],
)
def test_a_password_in_the_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="has a password in it") as raised:
        parse_place(text)
    assert "secret" not in str(raised.value) + raised.value.hint
    assert isinstance(parse_place("postgresql://ops@db/fleet?sslmode=require"), Server)


def test_without_psycopg_the_message_says_how_to_get_it() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from unclone.__main__ import main; sys.argv[1:] = ['ledger', 'postgresql://db/fleet']\n"
        "sys.exit(main())"
    )
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs psycopg 3" in done.stderr
    assert "pipx inject unclone" in done.stderr
