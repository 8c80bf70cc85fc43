"""LUKS on the host: the volume key from ``cryptsetup``, sectors decrypted and encrypted here.

AES-XTS only, the default of LUKS1 and LUKS2 for fifteen years. The key that is tried and the volume
key go through pipes and memory, never through an argument or a file.

References: "LUKS On-Disk Format Specification" 1.2.3; "LUKS2 On-Disk Format Specification" 1.1.1,
3.3 (segments); cryptsetup-luksDump(8) ``--dump-volume-key``; Linux
``Documentation/admin-guide/device-mapper/dm-crypt.rst`` (plain64: the number of the sector of 512
bytes, also where sectors are larger).
"""

from __future__ import annotations

import os
import re
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from unclone.images import process
from unclone.images.containers.volume import Volume
from unclone.images.errors import EngineError, ToolError
from unclone.images.identifiers import luks
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from unclone.images.blocks import BlockDevice, OpenBlocks
    from unclone.images.identifiers.luks import Segment

_IV_SECTOR = 512
#: Bytes of the header with the key slots; more are not copied for cryptsetup.
_HEADER = 64 << 20
_KEY_SIZES = {32, 64}
#: The exit status of cryptsetup for a key that opens no slot.
_NO_SUCH_KEY = 2


class Unlocked(NamedTuple):
    """The device-mapper name of a container's content, and its volume key."""

    name: str
    volume_key: bytes

    def __repr__(self) -> str:  # a log or a traceback must not show the key
        return f"Unlocked({self.name!r})"


def unlock(device: BlockDevice, keys: Callable[[str], Iterable[bytes]]) -> bytes | str:
    """The volume key of the container on *device*, or why it stays closed.

    Raises RefusedError when none of *keys* opens it.
    """
    with closing(device.open()) as blocks:
        segment = luks.segment(blocks)
        if isinstance(segment, str):
            return segment
        key = _volume_key(blocks, segment, device.name, luks.read(blocks), keys)
    return key if len(key) in _KEY_SIZES else f"its volume key has {8 * len(key)} bits"


def open_container(device: BlockDevice, unlocked: Unlocked) -> Volume | str:
    """The content of the container on *device*, or why it stays closed."""
    name, key = unlocked
    with closing(device.open()) as blocks:
        segment = luks.segment(blocks)
        if isinstance(segment, str):
            return segment
        uuid = luks.read(blocks)
        size = segment.size or (blocks.size - segment.offset)
        size -= size % segment.sector
        if size <= 0 or segment.offset + size > blocks.size:
            return "its LUKS header is damaged"
    mapper = f"CRYPT-LUKS{segment.version}-{uuid.replace('-', '')}-{name}"
    opener = partial(_opened, device, segment, key, size)
    return Volume(f"/dev/mapper/{name}", size, mapper, secret=True, opener=opener)


def luks_name(device: str, uuid: str, taken: AbstractSet[str]) -> str:
    """The device-mapper name of the content of *device*; two copies of one have the same UUID."""
    name = f"luks-{uuid}"
    if uuid and f"/dev/mapper/{name}" not in taken:
        return name
    return "luks-" + device.removeprefix("/dev/").replace("/", "-")


def _opened(device: BlockDevice, segment: Segment, key: bytes, size: int) -> OpenBlocks:
    return _Decrypted(device.open(), segment, key, size)


def _volume_key(
    blocks: OpenBlocks,
    segment: Segment,
    device: str,
    uuid: str,
    keys: Callable[[str], Iterable[bytes]],
) -> bytes:
    tried, reason = 0, ""
    named = f"{device} (LUKS {printable(uuid)})"
    header = os.memfd_create("header", os.MFD_CLOEXEC)
    try:
        os.write(header, blocks.read(0, min(segment.offset, _HEADER)))
        os.ftruncate(header, blocks.size)
        for key in keys(named):
            tried += 1
            try:
                done = process.run(
                    [
                        *("cryptsetup", "luksDump", "--dump-volume-key", "--batch-mode"),
                        *("--key-file", "-", f"/proc/self/fd/{header}"),
                    ],
                    stdin=key,
                    keep_open=[header],
                    ok=(0, _NO_SUCH_KEY),
                )
            except ToolError as error:
                raise EngineError(error.message, hint=error.hint) from error
            if not done.returncode:
                return _dumped(done.stdout)
            reason = printable(done.stderr.decode("utf-8", "replace").strip())
    finally:
        os.close(header)
    raise luks.refusal(named, tried, reason)


def _dumped(output: bytes) -> bytes:
    """The volume key in the output of luksDump: pairs of digits after its title, in lines."""
    found = re.search(rb"MK dump:((?:\s+[0-9a-f]{2}\b)+)", output)
    if not found:
        raise EngineError("the volume key is not in the output of cryptsetup luksDump")
    return bytes.fromhex(found[1].decode())


class _Decrypted:
    """The *size* bytes of the data segment in *blocks*."""

    def __init__(self, blocks: OpenBlocks, segment: Segment, key: bytes, size: int) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, modes  # noqa: PLC0415 (slow to load)
        from cryptography.hazmat.primitives.ciphers.algorithms import AES  # noqa: PLC0415

        self.size = size
        self._blocks, self._segment = blocks, segment

        def cipher(tweak: int) -> Cipher[modes.XTS]:
            return Cipher(AES(key), modes.XTS(tweak.to_bytes(16, "little")))

        self._cipher = cipher

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*; fewer at the end."""
        count = min(count, self.size - offset)
        if count <= 0 or offset < 0:
            return b""
        start, end = self._around(offset, count)
        return self._plain(start, end)[offset - start : offset - start + count]

    def write(self, offset: int, content: bytes) -> None:
        """Write all of *content* at *offset*."""
        if offset < 0 or offset + len(content) > self.size:
            raise EngineError("a write beyond the end of a volume was prevented")
        start, end = self._around(offset, len(content))
        if (start, end) != (offset, offset + len(content)):
            whole = bytearray(self._plain(start, end))
            whole[offset - start : offset - start + len(content)] = content
            content = bytes(whole)
        sector = self._segment.sector
        sealed = [
            self._cipher(self._tweak(start + at)).encryptor().update(content[at : at + sector])
            for at in range(0, len(content), sector)
        ]
        self._blocks.write(self._segment.offset + start, b"".join(sealed))

    def close(self) -> None:
        """Close the device below."""
        self._blocks.close()

    def _around(self, offset: int, count: int) -> tuple[int, int]:
        sector = self._segment.sector
        return offset // sector * sector, -(-(offset + count) // sector) * sector

    def _plain(self, start: int, end: int) -> bytes:
        sector = self._segment.sector
        raw = self._blocks.read(self._segment.offset + start, end - start)
        if len(raw) != end - start:
            raise EngineError("a device ends before the LUKS volume that is on it")
        return b"".join(
            self._cipher(self._tweak(start + at)).decryptor().update(raw[at : at + sector])
            for at in range(0, len(raw), sector)
        )

    def _tweak(self, offset: int) -> int:
        return self._segment.tweak + offset // _IV_SECTOR
