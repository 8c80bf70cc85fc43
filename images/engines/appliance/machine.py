"""The virtual machine: QEMU without network, confined, with one channel to the agent.

References: QEMU system/invocation, ``docs/devel/migration`` (``x-ignore-shared``: memory in a
shared file is not copied), qapi/migration.json, qapi/block-core.json (BlockdevOptionsNbd).
"""

from __future__ import annotations

import json
import marshal
import os
import select
import socket
import struct
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.boot.command import SANDBOX
from unclone.images.boot.qmp import Monitor
from unclone.images.errors import EngineError, ToolError, is_kill, killed
from unclone.images.interrupts import deferred
from unclone.images.process import FairClock, start
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

#: MiB.
MEMORY = 256
#: Bytes that the state without the memory takes at most; a tenth is usual.
STATE = 4 << 20

#: Nothing of the machine depends on the host but what :mod:`.frozen` has in its key.
OPTIONS = ("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-smp", "1")

KERNEL_ARGUMENTS = (
    "panic=-1 quiet no_timer_check edd=off cryptomgr.notests tsc=reliable mitigations=off lsm= "
    "selinux=0 cgroup_disable=memory nokaslr random.trust_cpu=on 8250.nr_uarts=1 console=ttyS0"
)

#: The machine type; the version that it stands for is noted when it is frozen.
MACHINE = "pc"

#: Seconds of processor time and of waiting that starting takes at most.
START_LIMIT = 300.0

_LENGTH = struct.Struct("<I")
_TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds until it is looked at whether an answer takes too long, and again.
_LOOK = 0.5
#: Bytes of an answer; the largest has a piece of a file and its names.
_MOST = 64 * 1024 * 1024


class UnusableError(EngineError):
    """The machine does not start, or not with what was frozen."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a machine is made of. ``accelerator`` is ``kvm`` or ``tcg``."""

    program: str
    machine: str
    accelerator: str
    kernel: Path
    initrd: Path
    first_process: str

    def arguments(self) -> list[str]:
        """The command without memory, channels and disks."""
        cpu = "host" if self.accelerator == "kvm" else "qemu64"
        return [
            *(self.program, *OPTIONS, "-sandbox", SANDBOX, "-m", str(MEMORY)),
            *("-accel", self.accelerator, "-cpu", cpu),
            *("-kernel", str(self.kernel), "-initrd", str(self.initrd)),
            *("-append", f"{KERNEL_ARGUMENTS} {self.first_process}"),
            *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent"),
            *("-device", "virtio-scsi-pci,id=scsi", "-serial", "null"),
        ]


class Machine:
    """A machine that runs; it has ended after :meth:`end`, whatever happened."""

    def __init__(
        self,
        parts: Parts,
        *,
        memory: Path | None = None,
        share: bool = False,
        state: Path | None = None,
        disks: Sequence[int] = (),
    ) -> None:
        """Start it; cold, or with *state*, which belongs to *memory*, resumed.

        *disks* are the descriptors of sockets behind which NBD servers are. Raises EngineError.
        """
        self._stack = ExitStack()
        self._buffer = bytearray()
        #: Whether it gave no answer in time, and why it ended before it was told to.
        self.stopped = False
        self.failure: EngineError | None = None
        try:
            self._start(parts, memory, state, disks, share=share)
        except BaseException:
            self.end()
            raise

    def _start(
        self,
        parts: Parts,
        memory: Path | None,
        state: Path | None,
        disks: Sequence[int],
        *,
        share: bool,
    ) -> None:
        pairs = {name: socket.socketpair() for name in ("qmp", "agent")}
        for pair in pairs.values():
            for each in pair:
                self._stack.callback(each.close)
        self._said = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (closed by the stack)
        inherited = [pairs["qmp"][1].fileno(), pairs["agent"][1].fileno(), *disks]
        argv = parts.arguments()
        for name, number in zip(("qmp", "agent"), inherited, strict=False):
            argv += ["-chardev", f"socket,id={name},fd={number}"]
        argv += ["-mon", "chardev=qmp,mode=control"]
        argv += ["-machine", f"{parts.machine},hpet=off{',memory-backend=ram' if memory else ''}"]
        if memory:
            sharing = "on" if share else "off"
            argv += [
                "-object",
                f"memory-backend-file,id=ram,size={MEMORY}M,share={sharing},mem-path={memory}",
            ]
        for number, descriptor in enumerate(disks):
            server = {"type": "fd", "str": str(descriptor)}
            node = {"driver": "nbd", "node-name": f"disk{number}", "server": server}
            argv += [
                "-blockdev",
                json.dumps({**node, "cache": {"direct": False, "no-flush": False}}),
            ]
            argv += ["-device", f"scsi-hd,drive=disk{number},bus=scsi.0,scsi-id={number},lun=0"]
        if state:
            argv += ["-incoming", "defer"]
            descriptor = os.open(state, os.O_RDONLY | os.O_CLOEXEC)
            self._stack.callback(os.close, descriptor)
            inherited.append(descriptor)
        with deferred():
            self.process = start(argv, keep_open=inherited, output=self._said.fileno())
            self._stack.callback(self._kill)
        for _, theirs in pairs.values():  # only QEMU has them now: its end is seen
            theirs.close()
        self._agent = pairs["agent"][0]
        self._poll = select.poll()
        self._poll.register(self._agent, select.POLLIN)
        self.monitor = Monitor(pairs["qmp"][0])
        if state:
            self._resume(inherited[-1])

    def _resume(self, state: int) -> None:
        self._capability()
        self.ask("migrate-incoming", {"uri": f"fd:{state}"})

    def freeze(self, state: Path) -> None:
        """Write its state to the file *state*; it does not run any more."""
        self._capability()
        with state.open("r+b", buffering=0) as file:
            # The monitor takes a descriptor with a message; QEMU has inherited none for this.
            self.monitor.pass_descriptor("state", file.fileno())
            self.ask("migrate", {"uri": "fd:state"})
            until = time.monotonic() + START_LIMIT
            while (status := self.ask("query-migrate", {}).get("status")) != "completed":
                if status in {"failed", "cancelled"} or time.monotonic() > until:
                    raise UnusableError(f"QEMU cannot freeze the machine ({status})")
                time.sleep(0.02)
            file.truncate(file.tell())  # QEMU has the same position

    def _capability(self) -> None:
        wanted = [{"capability": "x-ignore-shared", "state": True}]
        self.ask("migrate-set-capabilities", {"capabilities": wanted})

    def ask(self, command: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401 (what JSON holds)
        """As :meth:`Monitor.ask`. Raises UnusableError."""
        try:
            return self.monitor.ask(command, arguments)
        except ToolError as error:
            raise UnusableError(f"{error.message}: {self._words()}") from error

    def call(
        self,
        method: str,
        handle: int,
        *arguments: Any,  # noqa: ANN401 (as called)
        limit: float = 60.0,
    ) -> Any:  # noqa: ANN401 (as called)
        """Have the agent carry out *method*, within *limit* seconds of processor time.

        Raises OSError as a local file system would, and EngineError when the machine fails.
        """
        body = marshal.dumps((method, handle, arguments))
        patience = _Patience(self.process.pid, limit)
        self._agent.settimeout(4 * limit + _LOOK)
        try:
            self._agent.sendall(_LENGTH.pack(len(body)) + body)
        except TimeoutError as error:  # it does not even take the request
            raise self._no_answer() from error
        except OSError as error:
            raise self._ended() from error
        (length,) = _LENGTH.unpack(self._receive(_LENGTH.size, patience))
        if length > _MOST:
            raise EngineError("the virtual machine sends more than it can")
        try:
            kind, *answer = marshal.loads(self._receive(length, patience))  # noqa: S302
        except (ValueError, TypeError, EOFError) as error:
            raise EngineError("the virtual machine sends what cannot be read") from error
        if kind == "done":
            return answer[0]
        if kind == "os":
            raise OSError(*answer)
        raise EngineError(printable(f"{answer[0]}", 600))

    def end(self) -> None:
        """End it at once. Safe to call twice."""
        self._stack.close()

    def require_alive(self) -> None:
        """Raise KilledError when something else has killed it."""
        if self.stopped:
            return
        if hasattr(self, "process") and is_kill(self.process.poll() or 0):
            raise killed("the virtual machine")

    def _receive(self, count: int, patience: _Patience) -> bytes:
        while len(self._buffer) < count:
            if not self._poll.poll(_LOOK * 1000):
                if patience.is_over():
                    raise self._no_answer()
                continue
            try:
                part = self._agent.recv(1 << 20)
            except OSError as error:
                raise self._ended() from error
            if not part:
                raise self._ended()
            self._buffer += part
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _kill(self) -> None:
        with deferred():
            self.process.kill()
            self.process.wait()

    def _no_answer(self) -> EngineError:
        self.stopped = True
        self._kill()
        self.failure = EngineError(
            "the virtual machine gave no answer in time and was stopped",
            hint="A file system may be damaged.",
        )
        return self.failure

    def _ended(self) -> EngineError:
        with suppress(Exception):
            self.process.wait(5)
        self.require_alive()
        ending = f"the virtual machine ended ({self.process.poll()}): {self._words()}"
        self.failure = UnusableError(ending)
        return self.failure

    def _words(self) -> str:
        self._said.seek(0)
        return (
            printable(self._said.read(2000).decode("utf-8", "replace").strip(), 300) or "no output"
        )


class _Patience:
    """Waits *limit* seconds of the processor time of the machine that is *process*.

    Or twice as many on a clock that stands still while others have the processors.
    """

    def __init__(self, process: int, limit: float) -> None:
        self._process = process
        self._limit = limit
        self._used = 0.0
        self._clock: FairClock | None = None

    def is_over(self) -> bool:
        """Whether to wait no more; asked every :data:`_LOOK` seconds."""
        used = processor_time(self._process)
        if self._clock is None:  # most answers come before the first look
            # It waits for the disks, which this process serves.
            self._clock = FairClock(lambda: (self._process, os.getpid()))
            self._used = used
        is_used_up = used - self._used >= self._limit
        return is_used_up or self._clock.seconds() >= 2 * self._limit


def processor_time(process: int) -> float:
    """Seconds of processor time that *process* has used."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS
