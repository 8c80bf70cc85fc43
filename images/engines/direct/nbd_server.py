"""``qemu-nbd`` for images that only QEMU can read (VMDK, VDI, VHDX, some qcow2).

References: qemu-nbd(8); QEMU ``docs/interop/nbd.txt``.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from unclone.images.chain import read_chain
from unclone.images.engines.direct.access.nbd import Connection
from unclone.images.engines.direct.helpers import HelperProcess
from unclone.images.errors import EngineError
from unclone.images.files import explained
from unclone.images.formats.header import Format
from unclone.images.image import blockdev, qemu_name
from unclone.images.process import require_program
from unclone.images.temporary_folders import new_folder, remove

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.image import Image

#: Connections: the engine, the worker and the checker of each file system.
_CLIENTS = 256
#: Seconds; opening an image in a slow folder takes a few.
_LIMIT = 60.0
_PAUSE = 0.01
#: Bytes of a disk to try it with.
_TRIED = 64 * 1024


def try_reading() -> None:
    """Have ``qemu-nbd`` show a small disk, and read it. Raises UncloneError."""
    content = os.urandom(_TRIED)
    folder, lock = new_folder()
    try:
        disk = folder / "disk"
        with explained("try qemu-nbd", folder):
            disk.write_bytes(content)
        server = NbdServer(read_chain(disk, Format.RAW), folder / "socket")
        try:
            with explained("try qemu-nbd", folder):
                connection = Connection(str(folder / "socket"))
                found = connection.read(0, _TRIED)
                connection.close()
        finally:
            server.kill()
        if found != content:
            raise EngineError("qemu-nbd shows other bytes than the disk has")
    finally:
        remove(folder)
        os.close(lock)


class NbdServer:
    """A server for *image* with its backing chain, on the new UNIX socket *path*."""

    def __init__(self, image: Image, path: Path) -> None:
        """Raises EngineError when QEMU cannot open the image, ToolError when it is not there."""
        require_program("qemu-nbd")
        name = qemu_name(blockdev(image, locked=True))  # this run holds the locks
        # Relative to the working directory, because a socket's path has at most 107 bytes.
        socket = f"--socket=/proc/self/cwd/{path.name}"
        options = ("--read-only", "--persistent", f"--shared={_CLIENTS}", socket)
        command = ("env", f"--chdir={path.parent}", "qemu-nbd", *options, name)
        self._process = HelperProcess(command, "qemu-nbd")
        try:
            self.size = self._await(path)
        except BaseException:
            self.kill()
            raise

    def require_alive(self) -> None:
        """Raise KilledError when something else has killed it."""
        self._process.require_alive()

    def kill(self) -> None:
        """End it. Safe to call twice."""
        self._process.kill()

    def _await(self, path: Path) -> int:
        deadline = time.monotonic() + _LIMIT
        while True:
            try:
                connection = Connection(str(path))
            except (FileNotFoundError, ConnectionRefusedError) as error:
                self._process.require_alive()
                if not self._process.is_running:
                    raise EngineError("qemu-nbd cannot open the image") from error
                if time.monotonic() > deadline:
                    raise EngineError(f"qemu-nbd did not start within {_LIMIT:.0f} s") from error
                time.sleep(_PAUSE)
            except OSError as error:
                raise EngineError(f"qemu-nbd cannot show the image: {error.strerror}") from error
            else:
                connection.close()
                return connection.size
