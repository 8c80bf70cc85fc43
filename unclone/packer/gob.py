"""The settings of a post-processor, as Packer wants to be told of them: hcldec.ObjectSpec in gob.

References: Go's encoding/gob/doc.go (the format), hcldec/spec.go of github.com/hashicorp/hcl (v2),
cty/gob.go and cty/types_to_register.go of github.com/zclconf/go-cty. A type descriptor is a struct
wireType, of which one field is set; the numbers below are those of its fields and of the types
that gob knows itself.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOOL, _INT, _UINT, _STRING, _INTERFACE = 1, 2, 3, 6, 8
_STRUCT_T, _MAP_T, _GOB_ENCODER_T = 3, 4, 5
_FIRST, _SECOND, _THIRD = 65, 66, 67  # types that are described

_PRIMITIVE = "github.com/zclconf/go-cty/cty.primitiveType"
_LIST = "github.com/zclconf/go-cty/cty.typeList"


class Kind(StrEnum):
    """What a setting is."""

    TEXT = "string"
    FLAG = "bool"
    LIST = "list(string)"


def object_spec(settings: Mapping[str, Kind]) -> bytes:
    """*settings* as a gob of ``hcldec.ObjectSpec``: optional attributes, each with its type."""
    types = (
        _described(_FIRST, _MAP_T, "ObjectSpec", _int(_STRING), _int(_INTERFACE)),
        _struct(_SECOND, "AttrSpec", Name=_STRING, Type=_THIRD, Required=_BOOL),
        _described(_THIRD, _GOB_ENCODER_T, "Type"),
    )
    entries = b"".join(
        _string(name)
        + _interface("*hcldec.AttrSpec", _SECOND, _fields(_string(name), _bytes(_cty_type(kind))))
        for name, kind in settings.items()
    )
    value = _int(_FIRST) + b"\0" + _uint(len(settings)) + entries
    return b"".join(types) + _bytes(value)


def _cty_type(kind: Kind) -> bytes:
    """A gob of cty's ``gobType``, whose version is 0, and so left out."""
    types = [_struct(_FIRST, "gobType", Version=_INT, Impl=_INTERFACE)]
    if kind is Kind.LIST:
        types.append(_struct(_SECOND, "typeList", ElementTypeT=_THIRD))
        types.append(_described(_THIRD, _GOB_ENCODER_T, "Type"))
        element = _fields(_bytes(_cty_type(Kind.TEXT)))
        implementation = _interface(_LIST, _SECOND, element)
    else:
        types.append(_struct(_SECOND, "primitiveType", Kind=_UINT))
        letter = _fields(_uint(ord("B" if kind is Kind.FLAG else "S")))
        implementation = _interface(_PRIMITIVE, _SECOND, letter)
    return b"".join(types) + _bytes(_int(_FIRST) + _fields(b"", implementation))


def _struct(number: int, name: str, **fields: int) -> bytes:
    described = b"".join(_fields(_string(field), _int(of)) for field, of in fields.items())
    return _described(number, _STRUCT_T, name, _uint(len(fields)) + described)


def _described(number: int, wire_field: int, name: str, *rest: bytes) -> bytes:
    """The message that describes the type *number*."""
    common = _fields(_string(name), _int(number))
    description = _fields(*[b""] * (wire_field - 1), _fields(common, *rest))
    return _bytes(_int(-number) + description)


def _fields(*values: bytes) -> bytes:
    """A struct: each field that is not empty, after its distance from the one before, then 0."""
    found, last = b"", -1
    for number, value in enumerate(values):
        if value:
            found += _uint(number - last) + value
            last = number
    return found + b"\0"


def _interface(name: str, number: int, value: bytes) -> bytes:
    return _string(name) + _int(number) + _bytes(value)


def _string(text: str) -> bytes:
    return _bytes(text.encode())


def _bytes(content: bytes) -> bytes:
    return _uint(len(content)) + content


def _int(number: int) -> bytes:
    return _uint(~number << 1 | 1 if number < 0 else number << 1)


def _uint(number: int) -> bytes:
    if number < 0x80:
        return bytes([number])
    content = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([0x100 - len(content)]) + content
