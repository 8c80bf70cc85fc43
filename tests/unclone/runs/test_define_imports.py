"""What one definition costs to load: nothing that only other formats or options need."""

from __future__ import annotations

import subprocess
import sys

from tests.support.definitions import goldens

PROGRAM = """
import sys
from pathlib import Path
from unclone.runs import define

request = define.Request(Path(sys.argv[1]), "web-01", dry_run=True)
definition = define.read(request)
with define.pool(request) as pool:
    define.define(request, definition, pool)
print(*sys.modules)
"""
#: SQLite, OpenSSL, YAML, other programs and the readers of disk images.
HEAVY = {"sqlite3", "_hashlib", "yaml", "subprocess", "click", "rich", "unclone.images.formats"}


def test_a_libvirt_definition_loads_nothing_of_other_formats() -> None:
    [golden] = [each for each in goldens("libvirt") if str(each) == "libvirt-virt-manager"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, golden.before], capture_output=True, check=True, timeout=60
    )
    loaded = set(done.stdout.decode().split())
    readers = {name for name in loaded if name.endswith((".reader", ".rules", ".virtio"))}
    assert {name.split(".")[-2] for name in readers} == {"libvirt"}
    assert loaded & HEAVY == set()
