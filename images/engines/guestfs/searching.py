"""Searching names and contents inside the appliance, where they are: only names come out.

References: find(1) ``-name``, ``-lname``, ``-size``; grep(1) ``-F``, ``-l``, ``-Z``; xargs(1), all
of GNU. One script for everything: starting a program costs more there than what it has to do.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from unclone.images.engines.guestfs.appliance import shell_value
from unclone.images.engines.guestfs.native import encode
from unclone.images.engines.guestfs.walking import pruning
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.engines.guestfs.appliance import Appliance

#: Bytes of names that are accepted; a guest made to have more is not worth an answer.
_LIMIT = 2_900_000


def search(
    appliance: Appliance,
    paths: Sequence[str],
    needles: Sequence[bytes],
    *,
    exclude: Sequence[str],
    limit: int,
) -> Sequence[str]:
    """As :meth:`unclone.images.volumes.Volumes.search`."""
    if not paths or not needles:
        return []
    prepare, prune = pruning(exclude)
    script = [prepare]
    tops, patterns, names = [], [], []
    for number, path in enumerate(paths):
        script.append(shell_value(f"top{number}", b"/sysroot" + encode(path)))
        tops.append(f'"$top{number}"')
    for number, needle in enumerate(needles):
        escaped = re.sub(rb"([\\*?\[\]])", rb"\\\1", needle)
        script.append(shell_value(f"n{number}", needle))
        script.append(shell_value(f"g{number}", b"*" + escaped + b"*"))
        patterns.append(f'-e "$n{number}"')
        names.append(f'-name "$g{number}" -o -lname "$g{number}"')
    find = f"find {' '.join(tops)} -mindepth 1 {prune}"
    script.append(
        rf"{{ {find}\( {' -o '.join(names)} \) -print0; "
        f"{find}-type f -size -{limit + 1}c -print0 "
        f"| LC_ALL=C xargs -0 -r grep -F -l -Z -s {' '.join(patterns)} --; }} "
        f"| head -c {_LIMIT} | base64 -w0"
    )
    found = base64.b64decode(appliance.shell("".join(script)))
    if len(found) >= _LIMIT:
        raise EngineError("an old identifier is in more files than can be listed")
    hits = found.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return sorted({hit.removeprefix("/sysroot") for hit in hits})
