"""The post-processor: ``unclone sanitize`` on the disks of an artifact.

The command runs in a process of its own, so that its messages can be passed on, and so that it
can be interrupted. It leaves the disks as they were unless it succeeds.
Reference: rpc/post_processor.go and rpc/artifact.go of Packer's plugin SDK.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import unclone
from unclone.images import process
from unclone.images.errors import UncloneError
from unclone.packer import settings
from unclone.packer.artifact import disks_of, is_definition, new_artifact, same_artifact
from unclone.packer.gob import object_spec

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from unclone.packer.rpc import Broker, Client, Methods

_COMMAND = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from unclone.__main__ import main; main()"
)
_PACKAGES = Path(unclone.__file__).parents[1]


class PostProcessor:
    """What Packer calls."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._numbers = itertools.count(1)
        self._options: Sequence[str] = ()
        self._paths: Sequence[str] = ()
        self._starting = Lock()
        self._cancelled = False
        self._child: subprocess.Popen[bytes] | None = None
        self._packer: Client | None = None

    def methods(self) -> Methods:
        return {
            "PostProcessor.ConfigSpec": self._config_spec,
            "PostProcessor.Configure": self._configure,
            "PostProcessor.PostProcess": self._post_process,
            "PostProcessor.Cancel": lambda _: self.cancel(),
        }

    def cancel(self) -> None:
        """Interrupt the run, if there is one, and have none begin."""
        with self._starting:
            self._cancelled = True
            if self._child is None or self._child.poll() is not None:
                return
            self._child.send_signal(signal.SIGINT)
        if self._packer is not None:
            _tell(self._packer, ["interrupting the run, which leaves the image as it was"])

    def end(self) -> None:
        """Interrupt the run, and wait until it has ended: Packer is gone."""
        self.cancel()
        if self._child is not None:
            self._child.wait()

    def _config_spec(self, _: object) -> dict[str, bytes]:
        kinds = {name: kind for name, (_, kind) in settings.SETTINGS.items()}
        return {"ConfigSpec": object_spec(kinds)}

    def _configure(self, given: dict[str, Any]) -> None:
        configuration = settings.configured(given["Configs"] or ())
        self._options, self._paths = settings.arguments(configuration)

    def _post_process(self, stream: int) -> dict[str, Any]:
        answer = {"Err": None, "Keep": True, "ForceOverride": True, "StreamId": 0}
        with ExitStack() as ending:
            packer = self._broker.call(stream)
            ending.callback(packer.close)
            try:
                artifact, in_place = self._sanitize(packer)
            except UncloneError as error:
                message = "\n".join(filter(None, (error.message, error.hint)))
                return {**answer, "Err": {"Message": message}}
            if in_place:  # the artifact from before is still asked
                ending.pop_all()
        number = next(self._numbers)
        self._broker.serve(number, artifact)
        return {**answer, "ForceOverride": in_place, "StreamId": number}

    def _sanitize(self, packer: Client) -> tuple[Methods, bool]:
        """The artifact that was made, and whether it is made of the files that were there."""
        defined = bool(self._values("--definition"))
        files = packer("Artifact.Files") or []
        disks = self._paths or disks_of(files, defined=defined)
        settings.check(self._options, disks)
        add = (f"--add-disk={each}" for each in disks[1:])
        self._run(packer, [*self._options, *add, "--", disks[0]])
        definition = self._values("--definition-output")
        if outputs := self._values("--output"):
            return new_artifact(outputs, definition), False
        if self._paths:
            return same_artifact([*disks, *definition], disks, None), True
        kept = [each for each in files if not (defined and is_definition(each))]
        return same_artifact([*kept, *definition], disks, packer), True

    def _values(self, option: str) -> list[str]:
        head = f"{option}="
        return [each[len(head) :] for each in self._options if each.startswith(head)]

    def _run(self, packer: Client, arguments: Sequence[str]) -> None:
        """Run ``unclone sanitize``. Raises UncloneError with what it said when it fails."""
        start = (sys.executable, "-P", "-c", _COMMAND, str(_PACKAGES), "sanitize")
        reading, writing = os.pipe()
        with open(reading, errors="replace") as output:  # noqa: PTH123 (a descriptor)
            try:
                with self._starting:
                    if self._cancelled:
                        raise UncloneError("cancelled")
                    self._packer = packer
                    self._child = process.start([*start, *arguments], output=writing)
            finally:
                os.close(writing)
            # What follows the last line that begins so is why it failed.
            said: list[str] = []
            for line in map(str.rstrip, output):
                if line.startswith("unclone: "):
                    _tell(packer, said)
                    said.clear()
                said.append(line.removeprefix("unclone: "))
        if status := self._child.wait():
            raise UncloneError("\n".join(said) or f"unclone sanitize ended with status {status}")
        _tell(packer, said)


def _tell(packer: Client, lines: Sequence[str]) -> None:
    """Show *lines*, if Packer is still there: the child ends with the thread that started it."""
    with suppress(EOFError):
        for line in lines:
            packer("Ui.Message", line)
