"""An audit as a page for a browser, and as numbers for Prometheus' textfile collector.

Reference: HTML, "4.12.1 The script element" (what ends one).
"""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING

from unclone.runs.prometheus import Gauge, write_gauges, write_own

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.runs.audit.run import Audit

#: What pages of ours begin with: nothing else is replaced.
_PAGE_START = b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'


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
    write_own(path, page.encode("utf-8"), _PAGE_START)


def write_metrics(found: Audit, path: Path) -> None:
    """Write the numbers for Prometheus. Raises as :func:`write_page`."""
    kinds = Counter(each.kind for each in found.shared)
    sharing = {number for each in found.shared for number in each.machines}
    numbers = [
        Gauge(
            "shared_identities", "Identities that several machines have, by kind.", "kind", kinds
        ),
        Gauge.of("machines_sharing", "Machines that share an identity.", len(sharing)),
        Gauge.of("machines_audited", "Machines that were compared.", len(found.machines)),
        Gauge.of("unknown_values", "Shared values that no rule knows.", len(found.unknown)),
        Gauge.of("audit_failures", "Files that could not be read.", len(found.failures)),
    ]
    write_gauges(path, numbers)
