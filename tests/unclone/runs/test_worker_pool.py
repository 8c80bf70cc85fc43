"""Several images at once: in order, each by itself, and stopped together."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import PROGRAM, process, unclone
from tests.support.disk_images import digest
from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone.cli.progress import LineProgress
from unclone.images.engines import admission
from unclone.images.errors import ExitStatus, InUseError, RefusedError
from unclone.runs import failures
from unclone.runs.worker import Worker
from unclone.runs.worker_pool import Task, default_jobs, run_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from unclone.runs.completed import CompletedRun
    from unclone.runs.listener import Listener

ID = "0123456789abcdef0123456789abcdef"
TREE = {
    **BARE_ROOT,
    "/etc/machine-id": f"{ID}\n",
    "/usr/lib/systemd/systemd": "ELF",
    **{f"/var/log/journal/{ID}/{number}.journal": b"x" * 20_000 for number in range(30)},
}


@dataclass(frozen=True)
class Said:
    """The result of a task of these tests."""

    words: str

    def to_json(self) -> dict[str, Any]:
        return {"words": self.words}


def attempts(
    *works: Callable[[Listener], Said], jobs: int = 2, stream: io.StringIO | None = None
) -> Sequence[CompletedRun[Said]]:
    tasks = [Task(f"image-{number}", work) for number, work in enumerate(works)]
    progress = LineProgress(stream or io.StringIO())
    return run_all(tasks, progress, jobs=jobs, on_error=lambda _: None)


def saying(words: str) -> Callable[[Listener], Said]:
    def work(listener: Listener) -> Said:
        listener.phase("plan")
        listener.say(words)
        listener.warn("careful")
        return Said(words)

    return work


def await_file(path: Path) -> None:
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_results_come_in_order_with_what_was_said_on_the_way(tmp_path: Path) -> None:
    def first(_: Listener) -> Said:
        await_file(tmp_path / "last")  # ends after all the others
        return Said("first")

    def last(_: Listener) -> Said:
        (tmp_path / "last").touch()
        return Said("last")

    stream = io.StringIO()
    done = attempts(first, saying("one"), saying("two"), last, stream=stream)
    assert [each.image for each in done] == [f"image-{number}" for number in range(4)]
    assert [each.result for each in done] == [Said(w) for w in ("first", "one", "two", "last")]
    lines = stream.getvalue().splitlines()
    assert "unclone: image-1: reading the guest" in lines
    assert "unclone: image-2: two" in lines
    assert "unclone: image-2: warning: careful" in lines


def refuse(_: Listener) -> Said:
    raise RefusedError("not this one", hint="Take another.")


def fail(_: Listener) -> Said:
    raise ZeroDivisionError("\x1b[2J")


def crash(_: Listener) -> Said:
    os.kill(os.getpid(), signal.SIGKILL)
    return Said("never")


@pytest.mark.slow
def test_a_failure_stops_no_other_and_keeps_its_words() -> None:
    stream = io.StringIO()
    done = attempts(refuse, fail, crash, saying("fine"), stream=stream)
    assert [each.status for each in done] == [
        ExitStatus.REFUSED,
        ExitStatus.FAILED,
        ExitStatus.FAILED,
        ExitStatus.DONE,
    ]
    told = [failures.describe(each.error) for each in done if each.error]
    assert told == [
        "not this one",
        r"internal error: ZeroDivisionError: \x1b[2J",
        "the process that worked on it ended by signal 9",
    ]
    assert failures.hint_of(done[0].error or OSError()) == "Take another."
    assert "unclone recover image-2" in failures.hint_of(done[2].error or OSError())
    assert all(words in stream.getvalue() for words in told)


@pytest.mark.slow
def test_an_image_that_another_of_them_holds_has_its_turn_later(tmp_path: Path) -> None:
    place = tmp_path / "lock"

    def work(_: Listener) -> Said:
        with place.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                (tmp_path / "met").touch()
                raise InUseError("held by another") from None
            if not (tmp_path / "met").exists():
                await_file(tmp_path / "met")  # until the other has met the lock
            return Said("done")

    stream = io.StringIO()
    done = attempts(work, work, stream=stream)
    assert [each.result for each in done] == [Said("done"), Said("done")]
    assert "held" not in stream.getvalue()


@pytest.mark.slow
def test_an_image_in_use_by_somebody_else_is_in_use() -> None:
    def work(_: Listener) -> Said:
        raise InUseError("by a virtual machine")

    assert [each.status for each in attempts(work, work)] == [ExitStatus.IN_USE] * 2


@pytest.mark.slow
def test_waiting_for_a_virtual_machine_delays_no_other_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "VM_MEMORY", 2**60)  # room for one, as always
    running = tmp_path / "running"

    def machine(_: Listener) -> Said:
        admission.await_admission()
        running.mkdir()  # fails when there is another
        await_file(tmp_path / "light")
        running.rmdir()
        return Said("heavy")

    def light(_: Listener) -> Said:
        (tmp_path / "light").touch()
        return Said("light")

    done = attempts(machine, machine, machine, light, jobs=1)
    assert [each.result for each in done] == [Said("heavy")] * 3 + [Said("light")]


def test_a_worker_that_died_while_it_waited_is_admitted_in_vain() -> None:
    worker = Worker([Task("image", crash)], 0, on_error=lambda _: None, others=())
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    worker.admit()
    assert worker.receive() == ("ended", -signal.SIGKILL)
    worker.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_told_of_when_all_that_ran_are_done(number: signal.Signals) -> None:
    def work(_: Listener) -> Said:
        # What the parent then sends is held back until this is done.
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        os.kill(os.getppid(), number)
        return Said("done")

    stream = io.StringIO()
    done = attempts(work, saying("second"), saying("third"), jobs=1, stream=stream)
    assert [each.result for each in done] == [Said("done"), None]
    assert done[1].interrupted
    assert done[1].status == {signal.SIGINT: 1, signal.SIGTERM: 143, signal.SIGHUP: 129}[number]
    assert "image-1: interrupted" in stream.getvalue()
    assert "the image is as it was" in stream.getvalue()


def test_there_is_always_room_for_one() -> None:
    assert 1 <= default_jobs() <= (os.cpu_count() or 1)


# -- the whole command ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest to copy."""
    folder = tmp_path_factory.mktemp("golden")
    return make_disk(folder / "disk.qcow2", [Part("ext4", tree=TREE)], form="qcow2")


def copies(golden: Path, folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    images = [folder / f"disk-{number}.qcow2" for number in range(count)]
    for image in images:
        shutil.copyfile(golden, image)
    return images


@pytest.mark.slow
def test_one_document_in_the_order_given(golden: Path, tmp_path: Path) -> None:
    images = copies(golden, tmp_path / "images", 4)
    images[1].write_bytes(b"no image at all")
    given = [*images, images[0]]
    done = process("sanitize", "--engine", "direct", "--jobs", "3", "--json", *given)
    assert done.returncode == 4, done.stderr
    results = json.loads(done.stdout)["results"]
    assert [each["image"] for each in results] == [str(path) for path in given]
    assert [each["status"] for each in results] == ["done", "refused", "done", "done", "usage"]
    # The same image twice: only one of the two is done.
    assert sum(f'"old": "{ID}"' in json.dumps(results[number]) for number in (0, 4)) == 1
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == [p.name for p in images]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_file_with_two_names_is_changed_once(golden: Path, tmp_path: Path, jobs: str) -> None:
    (image,) = copies(golden, tmp_path / "images", 1)
    other, link = image.with_name("hard.qcow2"), image.with_name("link.qcow2")
    other.hardlink_to(image)
    link.symlink_to(image.name)
    dotted = f"{image.parent}/./../images/{image.name}"
    given: list[str | Path] = [image, other, link, dotted]
    done = unclone("sanitize", "--engine", "direct", "--jobs", jobs, "--json", *given)
    assert done.returncode == 2, done.stderr
    results = json.loads(done.stdout)["results"]
    assert [each["status"] for each in results] == ["done", "usage", "usage", "usage"]
    assert all(f"is the same file as {image}" in each["error"]["message"] for each in results[1:])
    assert done.stderr.count("is the same file as") == 3
    assert sorted(p.name for p in image.parent.iterdir()) == sorted(
        p.name for p in (image, other, link)
    )


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["opening the image", "changing", "committing"])
def test_ctrl_c_stops_them_all(golden: Path, tmp_path: Path, phase: str) -> None:
    images = copies(golden, tmp_path / "images", 6)
    argv = [os.fspath(e) for e in (PROGRAM, "sanitize", "--engine", "direct", "--jobs", "2")]
    run = subprocess.Popen(
        [*argv, *map(os.fspath, images)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stderr is not None
    said = ""
    for line in run.stderr:
        said += line
        if phase in line:
            os.killpg(run.pid, signal.SIGINT)
            break
    said += run.communicate(timeout=120)[1]
    assert run.returncode == 1, said
    assert "Traceback" not in said
    assert "disk-5" not in said
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == [p.name for p in images]
    for image in images:
        untouched = digest(image) == digest(golden)
        again = unclone("sanitize", "--engine", "direct", "--json", image)
        assert again.returncode == 0, again.stderr
        assert (f'"old": "{ID}"' in again.stdout) == untouched


@pytest.mark.slow
def test_jobs_end_with_the_one_who_started_them(golden: Path, tmp_path: Path) -> None:
    images = copies(golden, tmp_path / "images", 3)
    argv: list[str | Path] = [PROGRAM, "sanitize", "--engine", "direct", "--jobs", "2"]
    run = subprocess.Popen([*argv, *images], stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    for line in run.stderr:
        if "changing" in line:
            break
    run.kill()
    run.wait()
    for image in images:
        again = unclone("sanitize", "--engine", "direct", image)
        for _ in range(100):
            if again.returncode != 3:  # a tool that has not noticed yet still holds the lock
                break
            time.sleep(0.1)
            again = unclone("sanitize", "--engine", "direct", image)
        assert again.returncode == 0, again.stderr
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == [p.name for p in images]
