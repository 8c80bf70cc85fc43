"""JSON Schemas (2020-12) of the documents that ``--json`` prints; docs/json.md says what they mean.

``unclone.sanitize/1`` is described by ``sanitize-1.json``. Within a version fields are only added,
so the schemas allow fields that they do not know.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

_NAME = re.compile(r"unclone\.([a-z-]+)/(\d+)")


def load(name: str) -> dict[str, Any]:
    """The schema of the documents whose ``schema`` is *name* (``unclone.sanitize/1``).

    Raises ``KeyError`` when there is none.
    """
    match = _NAME.fullmatch(name)
    file = files(__package__).joinpath(f"{match[1]}-{match[2]}.json") if match else None
    if file is None or not file.is_file():
        raise KeyError(name)
    schema: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return schema
