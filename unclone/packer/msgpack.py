"""MessagePack, as far as Packer uses it.

Reference: github.com/msgpack/msgpack, spec.md. Extension types are not used, and are refused.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: The first byte, and how the number behind it is packed.
_NUMBERS = {
    0xCA: struct.Struct(">f"),
    0xCB: struct.Struct(">d"),
    0xCC: struct.Struct(">B"),
    0xCD: struct.Struct(">H"),
    0xCE: struct.Struct(">I"),
    0xCF: struct.Struct(">Q"),
    0xD0: struct.Struct(">b"),
    0xD1: struct.Struct(">h"),
    0xD2: struct.Struct(">i"),
    0xD3: struct.Struct(">q"),
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}

#: The first byte, the bytes of the length behind it, and what it is the length of.
_SIZED: dict[int, tuple[int, type]] = {
    0xC4: (1, bytes),
    0xC5: (2, bytes),
    0xC6: (4, bytes),
    0xD9: (1, str),
    0xDA: (2, str),
    0xDB: (4, str),
    0xDC: (2, list),
    0xDD: (4, list),
    0xDE: (2, dict),
    0xDF: (4, dict),
}


def pack(value: object) -> bytes:
    """*value* as bytes. Raises TypeError for what has no form here."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            if value < 0:
                return b"\xd3" + _NUMBERS[0xD3].pack(value)
            return bytes([value]) if value < 0x80 else b"\xcf" + _NUMBERS[0xCF].pack(value)
        case float():
            return b"\xcb" + _NUMBERS[0xCB].pack(value)
        case str():
            content = value.encode("utf-8", "surrogateescape")
            return b"\xdb" + _length(content) + content
        case bytes():
            return b"\xc6" + _length(value) + value
        case list() | tuple():
            return b"\xdd" + _length(value) + b"".join(map(pack, value))
        case dict():
            pairs = b"".join(pack(key) + pack(each) for key, each in value.items())
            return b"\xdf" + _length(value) + pairs
    raise TypeError(f"{type(value).__name__} cannot be packed")


def unpack(read: Callable[[int], bytes]) -> Any:  # noqa: ANN401 (whatever was sent)
    """The next value; *read* gives exactly as many bytes as it is asked for.

    Raises ValueError for what is no MessagePack, and what *read* raises.
    """
    (first,) = read(1)
    if first < 0x80:
        return first
    if first >= 0xE0:
        return first - 0x100
    if first in _CONSTANTS:
        return _CONSTANTS[first]
    if first in _NUMBERS:
        form = _NUMBERS[first]
        return form.unpack(read(form.size))[0]
    if first in _SIZED:
        width, kind = _SIZED[first]
        return _sized(kind, int.from_bytes(read(width), "big"), read)
    if first < 0x90:
        return _sized(dict, first & 0x0F, read)
    if first < 0xA0:
        return _sized(list, first & 0x0F, read)
    if first < 0xC0:
        return _sized(str, first & 0x1F, read)
    raise ValueError(f"unknown MessagePack type {first:#x}")


def _sized(kind: type, size: int, read: Callable[[int], bytes]) -> Any:  # noqa: ANN401 (likewise)
    if kind is dict:
        return {unpack(read): unpack(read) for _ in range(size)}
    if kind is list:
        return [unpack(read) for _ in range(size)]
    content = read(size) if size else b""
    return content.decode("utf-8", "surrogateescape") if kind is str else content


def _length(value: bytes | list[Any] | tuple[Any, ...] | dict[Any, Any]) -> bytes:
    return len(value).to_bytes(4, "big")
