"""A PostgreSQL server of the tests' own: an ordinary user's process on a UNIX socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

#: PostgreSQL refuses to run as root.
_USER = "nobody"
_ROLE = "unclone"


def _newest() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    assert found, "apt-get install postgresql"
    return found[-1]


def url(folder: Path, database: str) -> str:
    """The address of *database* of the server whose socket is in *folder*."""
    return f"postgresql://{_ROLE}@{quote(str(folder), safe='')}/{database}"


class Server:
    """A server whose databases are in *folder*; its socket, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._databases = 0
        self._programs = _newest()
        self._as_user = ["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []
        if self._as_user:
            os.chown(folder, pwd.getpwnam(_USER).pw_uid, -1)
        self._run("initdb", "-D", str(folder / "data"), "-U", _ROLE, "-A", "trust", "--no-sync")

    @property
    def socket(self) -> Path:
        return self.folder / ".s.PGSQL.5432"

    def start(self) -> None:
        # Shared memory in the folder of the data: others may clean up /dev/shm.
        settings = f"-k {self.folder} -c listen_addresses='' -c max_connections=50"
        settings += " -c dynamic_shared_memory_type=mmap"
        self._control("start", "-l", str(self.folder / "log"), "-o", settings)

    def stop(self, mode: str = "fast") -> None:
        self._control("stop", "-m", mode)

    def _control(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", *words)

    def new_database(self) -> str:
        """Make one; its URL."""
        self._databases += 1
        name = f"fleet{self._databases}"
        self.sql(f"CREATE DATABASE {name}")
        return url(self.folder, name)

    def service(self, name: str, address: str) -> str:
        """A service file in which *name* is the database at *address*."""
        database = address.rpartition("/")[2]
        return f"[{name}]\nhost={self.folder}\ndbname={database}\nuser={_ROLE}\n"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints for *statement*."""
        words = ["-X", "-q", "-A", "-t", "-d", url(self.folder, database), "-c", statement]
        return self._run("psql", *words)

    def cut_connections(self) -> int:
        """End every connection of unclone; how many there were."""
        quiet = "SET client_min_messages = error"  # some are gone meanwhile
        ended = self.sql(
            f"{quiet}; SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'unclone'"
        )
        return int(ended)

    def _run(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [*self._as_user, str(self._programs / program), *words],
            cwd="/",
            # A file: the server inherits it, and a pipe would stay open as long as the server runs.
            stdout=subprocess.PIPE if program == "psql" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, (program, words, done.stdout)
        return (done.stdout or "").strip()


@contextmanager
def running() -> Iterator[Server]:
    """A running server; everything of it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    try:
        server = Server(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)
