"""Where Packer starts the plugin.

As ``packer-post-processor-unclone``, without an argument, for Packer 1.6; as
``packer-plugin-unclone`` with ``describe`` or ``start``, for later ones. The protocol is the same
(5), and so is the way that settings are described (gob); the first line differs.
Reference: plugin/server.go and plugin/set.go of Packer's plugin SDK.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

from unclone import __version__

_COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"

#: The post-processor that has the plugin's own name.
_DEFAULT = "-packer-default-plugin-name-"

_DESCRIPTION = {
    "version": __version__,
    "sdk_version": "0.6.0",
    "api_version": "x5.0",
    "builders": [],
    "post_processors": [_DEFAULT],
    "provisioners": [],
    "datasources": [],
}


def main() -> None:
    """Describe the plugin, or serve the process that started it."""
    if sys.argv[1:] == ["describe"]:
        sys.stdout.write(json.dumps(_DESCRIPTION) + "\n")
        return
    if sys.argv[1:] not in ([], ["start", "post-processor", _DEFAULT]):
        sys.exit("usage: packer-plugin-unclone describe")
    if os.environ.get("PACKER_PLUGIN_MAGIC_COOKIE") != _COOKIE:
        sys.exit("Packer starts this program: see docs/packer.md for where to install it.")
    _serve("5|0|unix|" if sys.argv[1:] else "5|unix|")


def _serve(head: str) -> None:
    # What ends Packer comes here, too; Packer says itself when to cancel.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which a child would inherit
    from unclone.packer.post_processor import PostProcessor  # noqa: PLC0415 (not for describe)
    from unclone.packer.rpc import Broker  # noqa: PLC0415 (likewise)

    # The path of a socket has at most 107 bytes (unix(7)).
    short = tempfile.gettempdir() if len(os.fsencode(tempfile.gettempdir())) < 70 else "/tmp"  # noqa: S108 (a folder of its own there)
    with tempfile.TemporaryDirectory(prefix="packer-unclone.", dir=short) as folder:
        path = Path(folder) / "socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            sys.stdout.write(f"{head}{path}\n")
            sys.stdout.flush()
            connection, _ = listener.accept()
    broker = Broker(connection)
    served = PostProcessor(broker)
    broker.serve(0, served.methods())
    broker.run()
    served.end()


if __name__ == "__main__":
    main()
