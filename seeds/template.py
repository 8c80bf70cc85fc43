"""Templates with per-machine values: ``${name}``, and nothing else.

``$name`` without braces is left alone, so that shell scripts stay readable; ``$${name}`` writes a
literal ``${name}``. There are no expressions. A value is inserted as it is, so it must be one line;
put ``"${name}"`` in quotes in YAML where it could be taken for something else.

cloud-init's own templates (``## template: jinja``) are rendered in the guest and know nothing about
machines here; both can be used in one file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.seeds.errors import SeedError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a value may be called.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

_PLACEHOLDER = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_.-]*)\}")


def filled(text: str, values: Mapping[str, str], where: str) -> str:
    """*text* with every ``${name}`` replaced by its value.

    Raises :class:`SeedError` with the line of a name that has no value; *where* names the file.
    """

    def value(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        if escaped:
            return match.group(0)[1:]
        if name not in values:
            line = text.count("\n", 0, match.start()) + 1
            known = ", ".join(sorted(values)) or "none"
            raise SeedError(
                f"{where}:{line}: there is no value for ${{{name}}}",
                hint=f"Give it with --set {name}=..., or as a column of --machines; write "
                f"$${{{name}}} for a literal one. Known: {known}.",
            )
        return values[name]

    for name, text_of in values.items():
        if "\n" in text_of or "\0" in text_of:
            raise SeedError(
                f"the value {name} has more than one line",
                hint="A template takes values of one line.",
            )
    return _PLACEHOLDER.sub(value, text)
