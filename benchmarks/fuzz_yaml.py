"""Does unclone read a YAML text otherwise than cloud-init's loader does? Random texts tell.

    python -m benchmarks.fuzz_yaml [--mutations 100000] [--seed 1] [FOLDER]

Each text is a piece of cloud-config, meta-data or network-config, or a file of FOLDER, changed at
a few places: by characters that YAML gives a meaning, or by such as keep it in the plain form that
is left to libyaml. It is read by PyYAML's pure-Python safe loader, which is what cloud-init uses,
and by unclone. A disagreement passed is a text that unclone reads, and the pure loader refuses or
reads otherwise; there must be none. Exit status: 1 when there is one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.support.yaml_fuzz import TEXTS, compare, mutations


def main() -> int:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    texts = list(TEXTS)
    texts += [
        path.read_bytes().decode("utf-8", "replace")
        for path in (sorted(given.folder.rglob("*")) if given.folder else ())
        if path.is_file() and path.stat().st_size < 4096
    ]
    seen, wrong = compare(mutations(texts, given.mutations, given.seed))
    for what, count in seen.items():
        print(f"{count:8} {what}")
    print(f"{len(wrong):8} disagreements passed")
    for text in wrong[:10]:
        print(repr(text))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
