"""YAML, written without surprises: every string in quotes, keys and lists in the order given.

No reader of any YAML version then takes ``no``, ``0x1f`` or a MAC address for something else. And
the text does not depend on the version of a library: seeds have to be the same bytes everywhere.

References: YAML 1.1 and 1.2, "Double-Quoted Style" and "Block Styles".
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
from typing import TYPE_CHECKING

from unclone.seeds.errors import SeedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
#: Words that YAML 1.1 takes for something else, in any mixture of cases.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}

#: A seed with more lines than this came from YAML that refers to itself again and again.
_MOST_LINES = 200_000


def dump_yaml(data: object) -> str:
    """*data* (mappings, lists and what YAML's safe loaders make of scalars) as block-style YAML.

    Raises :class:`SeedError` for other types, and for what would never end.
    """
    lines = []
    for line in _block(data, 0):
        lines.append(line)
        if len(lines) > _MOST_LINES:
            raise SeedError("the configuration expands to more than 200,000 lines of YAML")
    return "\n".join(lines) + "\n"


def _block(data: object, depth: int) -> Iterator[str]:
    """The lines of *data*; nesting deeper than 100 is a circle, or nothing a person wrote."""
    if depth > 100:
        raise SeedError("the configuration is nested too deeply, or refers to itself")
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _entry(f"{_key(key)}:", value, depth)
    elif isinstance(data, list | tuple) and data:
        for item in data:
            yield from _entry("-", item, depth)
    else:
        yield _scalar(data)


def _entry(start: str, value: object, depth: int) -> Iterator[str]:
    """``key: value`` or ``- value``, with what is nested below indented by two."""
    nested = isinstance(value, dict | list | tuple) and value
    if not nested:
        yield from _text(start, value)
        return
    lines = _block(value, depth + 1)
    if start == "-":  # the first line of an item stands beside its dash
        yield f"- {next(lines)}"
    else:
        yield start
    for line in lines:
        yield f"  {line}" if line else ""


def _text(start: str, value: object) -> Iterator[str]:
    """One scalar; text of several lines as a literal block, where that can hold it."""
    if isinstance(value, str) and "\n" in value and _fits_a_block(value):
        chomping = "" if value.endswith("\n") else "-"
        yield f"{start} |{chomping}"
        for line in value.removesuffix("\n").split("\n"):
            yield f"  {line}" if line else ""
    else:
        yield f"{start} {_scalar(value)}"


def _fits_a_block(text: str) -> bool:
    """Whether a literal block gives exactly *text* back without an indentation indicator."""
    lines = text.removesuffix("\n").split("\n")
    return (
        all(c.isprintable() or c in "\n\t" for c in text)
        and bool(lines[0].strip())
        and not lines[0].startswith((" ", "\t"))
        and bool(lines[-1])
    )


def _key(key: object) -> str:
    if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS:
        return key
    return _scalar(key)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return f'"{"".join(map(_character, value))}"'
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    if isinstance(value, dt.date):  # datetimes are dates, too
        return value.isoformat()
    if isinstance(value, bytes):
        return f'!!binary "{base64.b64encode(value).decode()}"'
    raise SeedError(f"a {type(value).__name__} cannot be written as YAML")


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    mantissa, separator, exponent = repr(value).partition("e")
    if separator and "." not in mantissa:
        mantissa += ".0"  # without it YAML 1.1 sees text
    return mantissa + separator + exponent


def _character(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else char
