"""What flags say and what files say, in one user-data.

A file stays as it is, byte for byte, when nothing has to be added to it. What flags ask for is
merged into the one plain ``#cloud-config`` file there is, where that has only one meaning: entries
that only one side has, lists (the file's items first), mappings within mappings. Two values for one
thing are refused. Everything else becomes a part of a MIME message, and cloud-init merges it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unclone.seeds.errors import SeedError
from unclone.seeds.formats import CLOUD_CONFIG, is_mime, kind_of, unpacked
from unclone.seeds.mime import Part, multipart, part
from unclone.seeds.yaml_text import ParsedYaml, dump_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: With these a file says how cloud-init is to merge it; adding to it would change the meaning.
_MERGE_KEYS = frozenset({"merge_how", "merge_type"})

#: What there is to say when there is nothing to say.
NOTHING = b"#cloud-config\n{}\n"


def cloud_config(data: Mapping[str, Any]) -> bytes:
    """*data* as a ``#cloud-config`` file."""
    return f"#cloud-config\n{dump_yaml(dict(data))}".encode()


def combined(flags: Mapping[str, Any], files: Sequence[Part]) -> bytes:
    """The user-data of *files* with what *flags* ask for.

    Raises :class:`SeedError` where both give different values to the same thing, and when several
    files are given of which one begins with nothing cloud-init knows.
    """
    if not files:
        return cloud_config(flags) if flags else NOTHING
    if not flags:
        return _one_or_several(files)
    plain = [at for at, file in enumerate(files) if _plain_config(file)]
    pieces = list(files)
    if len(plain) == 1:
        file = files[plain[0]]
        pieces[plain[0]] = Part(file.name, _merged_file(file, flags), CLOUD_CONFIG)
    else:
        pieces.insert(0, part("flags.yaml", cloud_config(flags)))
    return _one_or_several(pieces)


def merged(base: Mapping[str, Any], added: Mapping[str, Any], where: str) -> dict[str, Any]:
    """*base* with *added*, both kept whole; :class:`SeedError` where they contradict each other."""
    out = dict(base)
    for key, value in added.items():
        path = f"{where}{key}"
        if out.get(key) is None:
            out[key] = value
        elif isinstance(out[key], dict) and isinstance(value, dict):
            out[key] = merged(out[key], value, f"{path}.")
        elif isinstance(out[key], list) and isinstance(value, list):
            out[key] = _joined(out[key], value, path)
        elif out[key] != value:
            # Neither value is shown: one of them may be a password.
            raise SeedError(
                f"{path} has one value in the file and another from the command line",
                hint="Remove it from one of the two.",
            )
    return out


def _merged_file(file: Part, flags: Mapping[str, Any]) -> bytes:
    parsed = ParsedYaml(file.name, unpacked(file.content).decode())
    if parsed.root is None and parsed.problems:
        finding = parsed.problems[0]
        raise SeedError(f"{finding.place}: {finding.message}", hint=finding.hint)
    base = parsed.data if parsed.data is not None else {}
    if not isinstance(base, dict):
        raise SeedError(
            f"{file.name} is no mapping, so nothing can be added to it",
            hint="A #cloud-config file has key: value at its top level.",
        )
    try:
        return cloud_config(merged(base, flags, ""))
    except RecursionError:
        raise SeedError(f"{file.name} refers to itself in a circle") from None


def _one_or_several(pieces: Sequence[Part]) -> bytes:
    """One piece as it is, where it says itself what it is; else a MIME message."""
    (first, *more) = pieces
    start = unpacked(first.content)[:200].decode("utf-8", "replace") if first.type else ""
    return multipart(pieces) if more or kind_of(start) != first.type else first.content


def _name(item: object) -> str | None:
    """What an entry of a list is known by; None where it is by nothing."""
    name = item.get("name", item.get("path")) if isinstance(item, dict) else None
    return name if isinstance(name, str) else None


def _plain_config(file: Part) -> bool:
    """Whether flags can be merged into *file*: cloud-config, and a mapping without merge rules."""
    if file.type not in {"", CLOUD_CONFIG}:
        return False
    try:
        text = unpacked(file.content).decode()
    except (SeedError, UnicodeDecodeError):
        return False
    if is_mime(file.content) or kind_of(text) != CLOUD_CONFIG:
        return False
    data = ParsedYaml(file.name, text).data
    return not isinstance(data, dict) or not _MERGE_KEYS & data.keys()


def _joined(base: list[Any], added: list[Any], path: str) -> list[Any]:
    """Both lists; entries with a name (users) or path must not be twice with other content."""
    known = {_name(item): item for item in base if _name(item)}
    out = list(base)
    for item in added:
        name = _name(item)
        if name in known and known[name] != item:
            raise SeedError(
                f"{path} has {name!r} in the file and from the command line",
                hint="Remove it from one of the two.",
            )
        if name is None or name not in known:
            out.append(item)
    return out
