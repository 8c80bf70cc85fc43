"""Disks in an xl.cfg: positional, with keys, or in the spelling of old tools.

References: xl-disk-configuration(5) ("target, format, vdev, access", "deprecated prefixes").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_KEY = re.compile(r"\s*(\w+)\s*=\s*")
_PREFIX = re.compile(r"(?:(?:raw|qcow2?|vhd|aio|tap2?|file|phy|vbd|cow|tapdisk):)+")
_FORMATS = ("raw", "qcow", "qcow2", "vhd", "qed")
_READ_ONLY = ("r", "ro")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the path of a disk stands in its string, and what is said about it."""

    start: int
    end: int
    vdev: str
    format: str
    removable: bool
    shared: bool


def target(text: str) -> Target | None:
    """The disk that *text* describes; None for one without a path, as an empty CD drive."""
    positional: list[tuple[int, int]] = []
    keys: dict[str, str] = {}
    path: tuple[int, int] | None = None
    removable, at = False, 0
    while at <= len(text):
        end = text.find(",", at)
        end = end if end >= 0 else len(text)
        part = text[at:end]
        key = _KEY.match(part)
        if key and key[1] == "target":
            path = (at + key.end(), len(text.rstrip()))  # target= is last, and takes the rest
            break
        if key:
            keys[key[1]] = part[key.end() :].rstrip()
        elif part.strip() in ("cdrom", "devtype=cdrom"):
            removable = True
        elif not (keys and part.strip() in ("backendtype", "direct-io-safe", "discard")):
            positional.append(_stripped(text, at, end))
        at = end + 1
    words = [text[start:end] for start, end in positional]
    if path is None and positional:
        path = positional[0]
        prefix = _PREFIX.match(text, *path)
        if prefix:  # old spelling: PREFIX:PATH,VDEV,ACCESS
            keys.setdefault("format", _format(prefix[0]))
            path = (prefix.end(), path[1])
            words.insert(1, keys["format"])
    names = ("target", "format", "vdev", "access")
    for name, word in zip(names, words, strict=False):
        keys.setdefault(name, word)
    vdev = keys.get("vdev", "")
    if vdev.endswith(":cdrom"):
        vdev, removable = vdev.removesuffix(":cdrom"), True
    removable = removable or keys.get("devtype") == "cdrom"
    if path is None or path[0] == path[1]:
        return None
    shared = removable or keys.get("access", "rw") in _READ_ONLY
    return Target(*path, vdev, keys.get("format", ""), removable, shared)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    left = len(part) - len(part.lstrip())
    return start + left, start + len(part.rstrip()) if part.strip() else start + left


def _format(prefix: str) -> str:
    return next((each for each in reversed(prefix.split(":")) if each in _FORMATS), "")
