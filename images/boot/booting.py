"""One boot: QEMU is started, its console and report are read, and it is stopped, whatever happens.

The guest may say anything on every channel, and as much as it likes: what is kept has limits.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unclone.images.boot.command import CHANNELS
from unclone.images.boot.console import Console, Phase
from unclone.images.boot.qmp import Monitor
from unclone.images.boot.screen import png_from_ppm
from unclone.images.errors import ToolError
from unclone.images.files import scratch_folder
from unclone.images.interrupts import deferred
from unclone.images.process import run_delay, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from unclone.images.boot.command import Machine

#: Bytes of a report that are read.
REPORT_LIMIT = 512 * 1024
#: Restarts of the machine in one boot: relabelling a file system for SELinux takes one or two.
RESTARTS = 3
#: Seconds that a report may still come after a dead end, and that turning off may take.
_GRACE, _SHUTDOWN = 90.0, 120.0
#: Pieces of at most 64 KiB that are read after the end.
_DRAINED = 64
#: How often a passphrase is typed: a wrong one is asked for again.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Ending:
    """How a boot ended. *report* is what the guest sent, complete only if *reported*."""

    reported: bool
    report: bytes
    phase: Phase
    #: Why there is no report; "" when there is one.
    reason: str
    console: Console
    seconds: float
    #: Seconds since the start at which each phase was reached.
    phases: Mapping[str, float] = field(default_factory=dict)
    #: The screen when it ended, as PNG; empty where QEMU had none.
    screen: bytes = b""


@dataclass(frozen=True)
class Watch:
    """What is waited for.

    *complete* says of the bytes of a report whether all of it is there, *begun* whether the guest
    has begun one. *keys* are passphrases, typed when the console asks. *limit* is in seconds.
    With *until_off* the machine may turn itself off after its report.
    """

    complete: Callable[[bytes], bool]
    begun: Callable[[bytes], bool]
    limit: float
    keys: Sequence[bytes] = ()
    until_off: bool = False
    say: Callable[[str], None] = lambda _: None


def boot(machine: Machine, watch: Watch) -> Ending:
    """Start *machine* and watch it until it has reported, or will not any more.

    Raises ToolError when QEMU itself fails. It has ended when this returns or raises.
    """
    with ExitStack() as stack:
        ours: dict[str, socket.socket] = {}
        theirs: dict[str, socket.socket] = {}
        for name in CHANNELS:
            own, other = socket.socketpair()
            ours[name], theirs[name] = stack.enter_context(own), stack.enter_context(other)
        said = stack.enter_context(tempfile.TemporaryFile())
        inherited = {name: other.fileno() for name, other in theirs.items()}
        arguments = machine.arguments(inherited)
        running = _started(arguments, tuple(inherited.values()), said.fileno())
        process = stack.enter_context(running)
        for other in theirs.values():  # only QEMU has them now: its end is seen
            other.close()
        ending = _Boot(process, ours, watch).watched()
        if not ending.reported and process.poll() not in {None, 0}:
            said.seek(0)
            words = said.read(4096).decode("utf-8", "replace").strip()
            raise ToolError(f"QEMU failed (status {process.returncode}): {words or 'no output'}")
    return ending


@contextmanager
def _started(
    argv: Sequence[str], descriptors: Sequence[int], output: int
) -> Iterator[subprocess.Popen[bytes]]:
    with deferred():  # one that was started is known here, and ended
        process = start(argv, keep_open=descriptors, output=output)
    try:
        yield process
    finally:
        with deferred():
            process.kill()
            process.wait()


class _Boot:
    """A machine that runs."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channels: Mapping[str, socket.socket],
        watch: Watch,
    ) -> None:
        self._process, self._channels, self._watch = process, channels, watch
        self._console = Console()
        self._monitor = Monitor(channels["qmp"])
        # A guest without virtio serial ports reports on its second serial port.
        self._reports = {"report": b"", "serial": b""}
        self._open = dict(channels)
        self._since = time.monotonic()
        self._reached: dict[str, float] = {}
        self._typed = 0
        self._dead_since = 0.0

    def watched(self) -> Ending:
        """Watch until there is a report, or a reason why there will be none."""
        reason = ""
        self._tell()
        with suppress(ToolError):  # why not is seen when QEMU ends
            self._monitor.ask("query-status", {})
        while not self._report() and not reason:
            self._read(1.0)
            self._tell()
            reason = self._ended()
        for _ in range(_DRAINED):  # a guest may never be silent
            if not self._read(0.0):
                break
        report = self._report()
        # A picture first: a machine that is off has none.
        screen = b"" if report else self._screen()
        if report and self._watch.until_off:
            self._wait_until_off()
        return Ending(
            reported=bool(report),
            report=report or max(self._reports.values(), key=len),
            phase=self._console.phase,
            reason="" if report else reason,
            console=self._console,
            seconds=round(time.monotonic() - self._since, 1),
            phases=self._reached,
            screen=screen,
        )

    def _report(self) -> bytes:
        return next((data for data in self._reports.values() if self._watch.complete(data)), b"")

    def _read(self, wait: float) -> bool:
        """Read what the channels have, or wait for it up to *wait* seconds; whether any had."""
        with selectors.DefaultSelector() as selector:
            for name, channel in self._open.items():
                selector.register(channel, selectors.EVENT_READ, name)
            ready = [key.data for key, _ in selector.select(wait)] if self._open else []
        for name in ready:
            if name == "qmp":
                alive = self._monitor.receive()
            else:
                data = _received(self._channels[name])
                alive = bool(data)
                self._take(name, data)
            if not alive:
                del self._open[name]
        if not self._open:
            time.sleep(min(wait, 0.2))
        if self._console.asks and self._watch.keys and self._typed < _ATTEMPTS:
            key = self._watch.keys[self._typed % len(self._watch.keys)]
            self._typed += 1
            self._console.feed(b"\r\n")  # answered: the question is not the last line any more
            with suppress(OSError):
                self._channels["console"].sendall(key.rstrip(b"\r\n") + b"\r")
        return bool(ready)

    def _take(self, name: str, data: bytes) -> None:
        if name == "console":
            self._console.feed(data)
            return
        room = REPORT_LIMIT - len(self._reports[name])
        self._reports[name] += data[:room]
        if data:
            self._dead_since = 0.0  # it is reporting, however slowly
        if self._watch.begun(self._reports[name]):
            self._console.reach(Phase.SYSTEM)
        if self._watch.complete(self._reports[name]):
            self._console.reach(Phase.REPORT)

    def _tell(self) -> None:
        phase = self._console.phase
        if phase not in self._reached:
            self._reached[phase] = round(time.monotonic() - self._since, 1)
            self._watch.say(phase)

    def _ended(self) -> str:
        """Why nothing more is waited for; "" while something is."""
        now = time.monotonic()
        if self._process.poll() is not None:
            return "the machine turned itself off before it had reported"
        if now - self._since > self._watch.limit:
            return f"no report within {self._watch.limit:.0f} s"
        if self._monitor.events.count("RESET") > RESTARTS:
            return "the machine restarts again and again"
        if any(len(report) >= REPORT_LIMIT for report in self._reports.values()):
            return f"the report is longer than {REPORT_LIMIT} bytes"
        if self._console.asks and (self._typed >= _ATTEMPTS or not self._watch.keys):
            return self._dead("the console waits for a passphrase")
        if self._console.dead_end:
            return self._dead(self._console.dead_end)
        self._dead_since = 0.0
        return ""

    def _dead(self, why: str) -> str:
        """*why*, once the guest has had its time to report all the same: time on a processor."""
        now = time.monotonic() - run_delay(self._process.pid)
        self._dead_since = self._dead_since or now
        began = any(self._watch.begun(report) for report in self._reports.values())
        return why if now - self._dead_since > (_GRACE if began else _GRACE / 9) else ""

    def _wait_until_off(self) -> None:
        until = time.monotonic() + _SHUTDOWN
        while self._process.poll() is None and time.monotonic() < until:
            self._read(0.5)
        if self._process.poll() is None:
            # What QEMU has not written yet is a part of the disks.
            with suppress(ToolError, subprocess.TimeoutExpired):
                self._monitor.ask("quit", {})
                self._process.wait(_SHUTDOWN)

    def _screen(self) -> bytes:
        """The screen as PNG; empty where QEMU is gone or has none."""
        with scratch_folder("unclone-screen-") as folder:
            picture = folder / "screen.ppm"
            try:
                self._monitor.ask("screendump", {"filename": str(picture)})
                return png_from_ppm(picture.read_bytes())
            except (ToolError, OSError, ValueError):
                return b""


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(65536)
    except OSError:
        return b""
