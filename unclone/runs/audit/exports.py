"""An audit as a page for a browser, and as numbers for Prometheus' textfile collector.

References: HTML, "4.12.1 The script element" (what ends one); Prometheus, "Exposition formats";
node_exporter, "Textfile Collector" (a file appears complete or not at all).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError, UsageError
from unclone.images.text import shown

if TYPE_CHECKING:
    from unclone.runs.audit.run import Audit

#: What files of ours begin with: nothing else is replaced.
_PAGE_START = b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
_METRICS_START = b"# HELP unclone_"


def write_page(found: Audit, path: Path) -> None:
    """Write one self-contained HTML page that shows the matrix of machines and kinds.

    An earlier page is replaced. Raises UsageError for any other file, UncloneError when it cannot
    be written.
    """
    document = {"results": [found.to_json(), *(each.error for each in found.failures)]}
    # Names and values are a guest's own: nothing of them may end the element they are in.
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    page = files(__package__).joinpath("page.html").read_text("utf-8").replace("@DATA@", text)
    _write(path, page.encode("utf-8"), _PAGE_START)


def write_metrics(found: Audit, path: Path) -> None:
    """Write the numbers for Prometheus. Raises as :func:`write_page`."""
    kinds = Counter(each.kind for each in found.shared)
    sharing = {number for each in found.shared for number in each.machines}
    lines = [
        *_family("shared_identities", "Identities that several machines have, by kind."),
        *(f'unclone_shared_identities{{kind="{kind}"}} {kinds[kind]}' for kind in sorted(kinds)),
        *_family("machines_sharing", "Machines that share an identity.", len(sharing)),
        *_family("machines_audited", "Machines that were compared.", len(found.machines)),
        *_family("unknown_values", "Shared values that no rule knows.", len(found.unknown)),
        *_family("audit_failures", "Files that could not be read.", len(found.failures)),
    ]
    _write(path, "".join(f"{line}\n" for line in lines).encode("ascii"), _METRICS_START)


def _family(name: str, text: str, value: int | None = None) -> list[str]:
    lines = [f"# HELP unclone_{name} {text}", f"# TYPE unclone_{name} gauge"]
    return lines if value is None else [*lines, f"unclone_{name} {value}"]


def _write(path: Path, content: bytes, start: bytes) -> None:
    """Write *content* to *path*, complete or not at all; others may read it, as umask says."""
    try:
        if path.exists() or path.is_symlink():
            with path.open("rb") as file:
                if file.read(len(start)) != start:
                    raise UsageError(
                        f"{shown(path)} exists already, and is none of this command's",
                        hint="Give the name of a new file.",
                    )
        umask = os.umask(0)
        os.umask(umask)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:50]}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).chmod(0o666 & ~umask)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UncloneError(f"{shown(path)} cannot be written: {error.strerror}") from error
