"""A Dask cluster on this host: a scheduler, and workers with folders of their own.

The environment with Dask stands on the one that runs the tests, and is made once.
"""

from __future__ import annotations

import fcntl
import os
import re
import site
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests import debian

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 300
#: As docs/fleets.md has them: fewer looks at the processes by the clock.
_QUIET = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "500ms",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
}


def python() -> Path:
    """The interpreter of an environment with Dask; made where it is not there."""
    requirement = next(
        line.split('"')[1]
        for line in Path("pyproject.toml").read_text().splitlines()
        if line.startswith("dask = ")
    )
    key = re.sub(r"[^a-z0-9.]+", "-", f"{requirement}-{sys.prefix}")
    folder = debian.cache_directory() / f"dask{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            (packages,) = folder.glob("lib/python*/site-packages")
            parents = "; ".join(f"site.addsitedir({path!r})" for path in site.getsitepackages())
            (packages / "parent.pth").write_text(f"import site; {parents}\n")
            pip = (folder / "bin/python", "-m", "pip", "install", "-q", requirement)
            subprocess.run(pip, check=True, capture_output=True)
            (folder / "complete").touch()
    return folder / "bin/python"


@dataclass
class Cluster:
    """A scheduler, and workers by name."""

    folder: Path
    python: Path
    #: The folder of :func:`certificates`, for a cluster that speaks TLS.
    tls: Path | None = None
    address: str = ""
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _scheduler: subprocess.Popen[bytes] | None = None

    def start(self, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> None:
        """Start the scheduler."""
        said = self.folder / "scheduler.log"
        self._scheduler = self._run(
            [*prefix, self.python, "-m", "distributed.cli.dask_scheduler", "--host", host,
             "--port", "0", "--no-dashboard", *(["--protocol", "tls"] if self.tls else [])],
            said, {},
        )  # fmt: skip
        until = time.monotonic() + _SECONDS
        while not (found := re.search(r"Scheduler at:\s+(t(?:cp|ls)://\S+)", said.read_text())):
            assert self._scheduler.poll() is None, said.read_text()
            assert time.monotonic() < until
            time.sleep(0.1)
        self.address = found[1]

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        """The scheduler and the workers."""
        return [*([self._scheduler] if self._scheduler else []), *self.workers.values()]

    def output(self, name: str) -> Path:
        """The folder of the worker *name*."""
        return self.folder / name / "vms"

    def start_worker(
        self, name: str, prefix: tuple[str | Path, ...] = (), **env: str | Path
    ) -> subprocess.Popen[bytes]:
        """Start the worker *name*, or start it again, with a folder of its own."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        own = {
            "UNCLONE_WORKER_OUTPUT": str(self.output(name)),
            **{k: str(v) for k, v in env.items()},
        }
        self.workers[name] = self._run(
            [*prefix, self.python, "-m", "distributed.cli.dask_worker", self.address,
             "--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard",
             "--local-directory", home / "dask"],
            self.folder / f"{name}.log", own,
        )  # fmt: skip
        return self.workers[name]

    def _run(
        self, command: list[str | Path], said: Path, env: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        with said.open("ab") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=os.environ | _QUIET | self._environment() | env,
            )

    def _environment(self) -> dict[str, str]:
        """Dask's configuration distributed.comm.tls, as docs/fleets.md has it in a file."""
        if self.tls is None:
            return {}
        files = {"KEY": self.tls / "key.pem", "CERT": self.tls / "cert.pem"}
        parts = (f"{part}__{key}" for part in ("SCHEDULER", "WORKER", "CLIENT") for key in files)
        named = {part: files[part.rsplit("__", 1)[1]] for part in parts}
        prefix = "DASK_DISTRIBUTED__COMM__"
        return {
            f"{prefix}REQUIRE_ENCRYPTION": "True",
            f"{prefix}TLS__CA_FILE": str(self.tls / "cert.pem"),
            **{f"{prefix}TLS__{part}": str(file) for part, file in named.items()},
        }

    def unclone(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start the command with this cluster as its executor."""
        return subprocess.Popen(
            [self.python, "-m", "unclone", *arguments, "--executor", "dask",
             "--scheduler", self.address],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | self._environment(),
        )  # fmt: skip

    def stop(self) -> None:
        """End everything."""
        for each in self.processes:
            each.kill()
        for each in self.processes:
            each.wait()


def certificates(folder: Path) -> Path:
    """*folder* with one key and its certificate, which is its own authority."""
    folder.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=fleet", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@contextmanager
def cluster(folder: Path, tls: Path | None = None) -> Iterator[Cluster]:
    """A cluster with a scheduler and no worker, in *folder*."""
    found = Cluster(folder, python(), tls)
    try:
        found.start()
        yield found
    finally:
        found.stop()
