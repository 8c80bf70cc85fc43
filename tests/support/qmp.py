"""A QEMU that was started and does not run yet (``-S``): asked what its machine is.

References: QEMU docs/interop/qmp-spec.rst; docs/specs/fw_cfg.rst; softmmu/qtest.c (its protocol).
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

#: Ports of fw_cfg on a PC, and its item that lists the files.
SELECTOR, DATA, FILES = 0x510, 0x511, 0x19


class Stopped:
    """A shell script's QEMU in *folder*, with sockets there for QMP and, if named, qtest."""

    def __init__(self, folder: Path, script: str, qmp: str, qtest: str = "") -> None:
        self._folder = folder
        with (folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", "sh", script],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._names = qmp, qtest

    def __enter__(self) -> Self:
        qmp, qtest = self._names
        try:
            self._qmp = self._connected(qmp).makefile("rw")
            assert "QMP" in json.loads(self._qmp.readline())
            self.ask("qmp_capabilities")
            self._qtest = self._connected(qtest).makefile("rw") if qtest else None
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, command: str, **arguments: Any) -> Any:
        """What QEMU answers to a QMP command."""
        self._qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._qmp.flush()
        while True:
            answer = json.loads(self._qmp.readline())
            if "event" not in answer:
                assert "return" in answer, answer
                return answer["return"]

    def cards(self) -> list[str]:
        """The MAC address of every network card, sorted."""
        found = []
        for folder in ("peripheral", "peripheral-anon", "unattached"):
            for each in self.ask("qom-list", path=f"/machine/{folder}"):
                path = f"/machine/{folder}/{each['name']}"
                if not each["type"].startswith("child<"):
                    continue
                if any(p["name"] == "mac" for p in self.ask("qom-list", path=path)):
                    found.append(str(self.ask("qom-get", path=path, property="mac")))
        return sorted(found)

    def smbios(self) -> dict[tuple[int, int], str]:
        """The strings of the SMBIOS tables by type and number, and the UUID as (1, 0).

        References: DMTF DSP0134, 6.1.2 (structure header), 6.1.3 (strings), 7.2.1 (UUID).
        """
        table, at = self._fw_cfg("etc/smbios/smbios-tables"), 0
        found: dict[tuple[int, int], str] = {}
        while at < len(table) and table[at] != 127:
            kind, length = table[at], table[at + 1]
            if kind == 1:
                first, second, third = struct.unpack_from("<IHH", table, at + 8)
                rest = table[at + 16 : at + 24].hex()
                found[1, 0] = f"{first:08x}-{second:04x}-{third:04x}-{rest[:4]}-{rest[4:]}"
            end = table.index(b"\0\0", at + length)
            for number, text in enumerate(table[at + length : end].split(b"\0"), 1):
                found.setdefault((kind, number), text.decode())
            at = end + 2
        return found

    def _fw_cfg(self, name: str) -> bytes:
        count = struct.unpack(">I", self._item(FILES, 4))[0]
        listing = self._item(FILES, 4 + 64 * count)[4:]
        for at in range(0, len(listing), 64):
            size, select, _, raw = struct.unpack_from(">IHH56s", listing, at)
            if raw.rstrip(b"\0") == name.encode():
                return self._item(select, size)
        raise AssertionError(f"no {name} in fw_cfg")

    def _item(self, select: int, size: int) -> bytes:
        self._test(f"outw {SELECTOR:#x} {select:#x}")
        return bytes(int(self._test(f"inb {DATA:#x}"), 16) for _ in range(size))

    def _test(self, command: str) -> str:
        assert self._qtest is not None
        self._qtest.write(command + "\n")
        self._qtest.flush()
        words = self._qtest.readline().split()
        assert words[0] == "OK", (command, words)
        return words[1] if len(words) > 1 else ""

    def _connected(self, name: str, limit: float = 120) -> socket.socket:
        until = time.monotonic() + limit
        while True:
            client = socket.socket(socket.AF_UNIX)
            try:
                client.connect(str(self._folder / name))
            except OSError:
                client.close()
                log = (self._folder / "qemu.log").read_text()
                assert self._process.poll() is None, log
                assert time.monotonic() < until, log
                time.sleep(0.05)
            else:
                client.settimeout(limit)
                return client
