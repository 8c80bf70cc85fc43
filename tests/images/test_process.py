"""Several programs at the same time: all have ended before anybody goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from unclone.images.errors import ToolError
from unclone.images.process import FairClock, fork, run, run_concurrently


def test_they_do_not_wait_for_each_other() -> None:
    together = Barrier(8, timeout=60)
    run_concurrently(*[lambda: (together.wait(), None)[1]] * 8)
    assert not together.broken


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_the_error_of_one_is_raised_when_all_have_ended(tmp_path: Path, wrong: int) -> None:
    def work(number: int) -> None:
        if number == wrong:
            run(["false"])
        time.sleep(0.3)
        (tmp_path / str(number)).touch()

    with pytest.raises(ToolError, match="false failed"):
        run_concurrently(*(partial(work, each) for each in range(3)))
    assert len(list(tmp_path.iterdir())) == 2


def _tell() -> None:
    """What a forked process has, on its standard output."""
    handlers = {signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    said = sys.stdin.buffer.read().decode()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with os.scandir("/proc/self/fd") as found:  # which has a descriptor itself
        descriptors = sorted(int(each.name) for each in found)
    name = Path("/proc/self/comm").read_text().strip()
    print(name, said, descriptors, handlers == {signal.SIG_DFL}, mask, os.environ["LC_ALL"])


def test_what_is_forked_has_pipes_and_nothing_else() -> None:
    with open("/dev/null", "rb") as kept:
        os.set_inheritable(kept.fileno(), True)
        output, _ = fork(_tell, "teller").communicate(b"hello", timeout=60)
    assert output == b"teller hello [0, 1, 2, 3] True set() C.UTF-8\n"


def test_the_status_of_what_is_forked() -> None:
    def fail() -> None:
        raise ValueError

    assert fork(fail, "fails").wait(60) == 1
    assert fork(lambda: None, "ends").wait(60) == 0


def test_what_is_forked_ends_with_its_parent() -> None:
    program = (
        "import os, sys, time\n"
        "from unclone.images.process import fork\n"
        "child = fork(lambda: time.sleep(600), 'sleeps')\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    stat = Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(600):
        try:
            state = stat.read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":  # nobody has asked for its status yet
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


def test_a_clock_stands_still_while_others_have_the_processor() -> None:
    """It does for one of eight that share a processor, and not for one that sleeps."""
    busy = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nwhile True: pass"
    working = [subprocess.Popen([sys.executable, "-c", busy]) for _ in range(8)]
    idle = subprocess.Popen(["sleep", "60"])
    try:
        clocks = [FairClock(lambda pid=each.pid: [pid]) for each in (working[0], idle)]  # type: ignore[misc]
        begun = time.monotonic()
        time.sleep(4)
        shared, waiting = (clock.seconds() for clock in clocks)
        passed = time.monotonic() - begun
    finally:
        for each in (*working, idle):
            each.kill()
            each.wait()
    assert shared < passed * 0.7
    assert waiting > passed * 0.7
