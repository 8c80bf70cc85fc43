"""Real files of seeds: what unclone says of each, and what cloud-init and netplan say.

    python -m benchmarks.seed_corpus FOLDER [--cloud-init TREE] [--netplan PROGRAM] [--show]

FOLDER has the folders ``user-data``, ``network-config`` and ``meta-data``, or files in any folders,
whose kind is then told by their content. The judges are cloud-init's own code (the installed
package, or the source in TREE) and netplan's generator (PROGRAM). Exit status: 1 when a file is
refused or passed wrongly.

Refused wrongly: an error, and the judges have nothing against the file. Passed wrongly: the judges
lose the file, and there is no error; or a schema refuses it, and unclone says nothing. What only
netplan's renderer for one guest cannot do is counted apart.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.seeds import Seed, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.seeds import Finding

KINDS = ("user-data", "network-config", "meta-data")
JUDGE = Path(__file__).with_name("judge_seeds.py")


def kind_of(path: Path, content: bytes) -> str:
    """Which file of a seed *path* is."""
    for kind in KINDS:
        if kind in path.parts:
            return kind
    if re.match(rb"\s*(network:|version:|ethernets:|config:)", content):
        return "network-config"
    if re.search(rb"^(instance-id|local-hostname):", content, re.MULTILINE):
        return "meta-data"
    return "user-data"


def findings(kind: str, content: bytes) -> tuple[Finding, ...]:
    """What unclone says about one file of an otherwise faultless seed."""
    files = {"user-data": b"", "meta-data": b"instance-id: i-1\n", "network-config": b""}
    files[kind] = content
    seed = Seed(files["user-data"], files["meta-data"], files["network-config"])
    return seed.check()


def outcome(found: Sequence[Finding], verdict: str) -> str:
    """The column of the table."""
    if any(f.code == "check-failed" for f in found):
        return "CHECK FAILED"
    if any(f.severity is Severity.ERROR for f in found):
        return "refused rightly" if verdict else "REFUSED WRONGLY"
    if verdict == "renderer":
        return "done, the renderer cannot"
    if verdict == "lost" or (verdict and not found):
        return "PASSED WRONGLY"
    if found:
        return "done, rightly warned" if verdict else "done, with a warning of ours"
    return "done"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cloud-init", default="", metavar="TREE")
    parser.add_argument("--netplan", default="", metavar="PROGRAM")
    parser.add_argument("--python", default="/usr/bin/python3", help="that of the judges")
    parser.add_argument("--show", action="store_true", help="name the files that count as wrong")
    given = parser.parse_args()
    paths = [path for path in sorted(given.folder.rglob("*")) if path.is_file()]
    listed = [(kind_of(path, path.read_bytes()), path) for path in paths]
    done = subprocess.run(
        [given.python, JUDGE, given.cloud_init, given.netplan],
        input="".join(f"{kind} {path}\n" for kind, path in listed),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    table: Counter[tuple[str, str]] = Counter()
    for (kind, path), (verdict, reason) in zip(listed, verdicts, strict=True):
        found = findings(kind, path.read_bytes())
        column = outcome(found, verdict)
        table[kind, "files"] += 1
        table[kind, column] += 1
        if given.show and (column.isupper() or "of ours" in column):
            said = "; ".join(f"{f.line}: {f.message} [{f.code}]" for f in found)
            print(f"{column}: {path}\n    judge: {verdict} {reason}\n    unclone: {said}")
    for kind in KINDS:
        counts = {what: n for (of, what), n in sorted(table.items()) if of == kind}
        print(f"{kind}: " + ", ".join(f"{what} {n}" for what, n in counts.items()))
    return int(any(what.isupper() for _, what in table))


if __name__ == "__main__":
    sys.exit(main())
