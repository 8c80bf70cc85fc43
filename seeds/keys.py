"""Which top-level keys of cloud-config a piece of user-data has, in whatever form."""

from __future__ import annotations

from unclone.seeds.errors import SeedError
from unclone.seeds.formats import ARCHIVE, CLOUD_CONFIG, is_mime, kind_of, unpacked
from unclone.seeds.mime import parts_of
from unclone.seeds.yaml_text import ParsedYaml


def config_keys(content: bytes) -> frozenset[str]:
    """The keys in *content* and its parts; what cannot be read has none."""
    try:
        plain = unpacked(content)
    except SeedError:
        return frozenset()
    if is_mime(plain):
        try:
            parts = list(parts_of(plain))
        except SeedError:
            return frozenset()
        return frozenset(key for part in parts for key in config_keys(part.content))
    text = plain.decode("utf-8", "replace")
    kind = kind_of(text)
    data = ParsedYaml("user-data", text).data if kind in {CLOUD_CONFIG, ARCHIVE} else None
    if kind == ARCHIVE and isinstance(data, list):
        pieces = [entry.get("content") if isinstance(entry, dict) else entry for entry in data]
        texts = [p for p in pieces if isinstance(p, str) and kind_of(p) != ARCHIVE]
        return frozenset(key for piece in texts for key in config_keys(piece.encode()))
    return frozenset(map(str, data)) if isinstance(data, dict) else frozenset()
