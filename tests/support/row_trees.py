"""A tree for each row of the catalogue, made from the row itself.

The patterns are turned into concrete paths and matched here by other code than the product's, so
that a mistake in one shows against the other.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from functools import cache
from typing import TYPE_CHECKING

from tests.support.tree import plant
from unclone.sanitize.catalogue import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from unclone.sanitize.catalogue.row import CatalogueRow

HOMES = ("/home/ada", "/root", "/var/lib/jenkins")
PASSWD = "".join(f"u{n}:x:{n}:{n}::{home}:/bin/sh\n" for n, home in enumerate(HOMES))

#: For each expression of ``containing``, a text that matches it.
HELD = {
    text: sample
    for sample in (
        "kind: Config\n",
        "username=SCC_00\n",
        "options nfs nfs4_unique_id=web-01\n",
        "--hostnqn=nqn.2020-01.org.example:web-01\n",
        "engineID web-01\n",
        "ComputerID=1\n",
        'const NodeName = "web-01"\n',
        "computer_title = web-01\n",
        "mode: wireguard\n",
        "router id 192.0.2.1;\n",
        "<uuid>x</uuid>\n",
        "<key>\n",
        "PrivateKey: x\n",
        "uuid = 33\n",
        "server-id = 3\n",
        "authorizationToken=x\n",
        "Name = web-01-fd\n",
        "ldap_sasl_authid = web$\n",
        "id: web-01\n",
        '"serial":"3333"\n',
        '"wwn": "iqn"\n',
        "<target iqn>\n",
        "rundeck.server.uuid = 33\n",
        "  replSetName: rs0\n",
        "1 MD5 secret\n",
        "'instanceid' => 'oc33',\n",
        "option ula_prefix 'fd12::/48'\n",
    )
    for step in load()
    for _, text in step.row.containing
    if re.search(text, sample)
}

_CLASSES = {"[0-9]": "7", "[0-3]": "3", "[01]": "1", "[12]": "2"}


def concrete(pattern: str) -> list[str]:
    """Paths that *pattern* has to match."""
    for written, sample in _CLASSES.items():
        pattern = pattern.replace(written, sample)
    assert "[" not in pattern, pattern
    if pattern.startswith("~/"):
        return [home + path for home in HOMES for path in concrete(pattern[1:])]
    if "/**/" in pattern:
        above, name = pattern.split("/**/")
        return [path for deep in ("", "/one/two") for path in concrete(f"{above}{deep}/{name}")]
    return [pattern.replace("*", "any").replace("?", "q")]


def matches(patterns: Iterable[str], path: str) -> bool:
    """Whether one of *patterns* matches *path* itself."""
    return any(_expression(pattern).fullmatch(path) for pattern in patterns)


def covers(patterns: Iterable[str], path: str) -> bool:
    """Whether one of *patterns* matches *path* or a folder around it."""
    patterns = tuple(patterns)
    while path != "/":
        if matches(patterns, path):
            return True
        path = posixpath.dirname(path)
    return False


def within(path: str, folder: str) -> bool:
    """Whether *path* is *folder* or lies in it."""
    return path == folder or path.startswith(f"{folder}/")


def plant_row(folder: Path, row: CatalogueRow, content: str) -> list[str]:
    """Fill *folder* so that *row* applies to it; the paths that it has to find."""
    targets = [path for pattern in row.paths for path in concrete(pattern)]
    targets = [t for t in targets if not covers(row.excepts, t)]
    # Where one path is the folder of another, the other makes it one.
    files = [t for t in targets if not any(o != t and within(o, t) for o in targets)]
    plant(folder, {"/etc/passwd": PASSWD, "/etc/os-release": _os_release(row)})
    plant(folder, {file: held(row, file) or content for file in files})
    plant(folder, dict.fromkeys(asked_for(row), "asked for"))
    return sorted(set(targets))


def held(row: CatalogueRow, path: str) -> str:
    """What the file at *path* has to hold for *row* to mean it; "" when anything will do."""
    asked = (text for pattern, text in row.containing if matches([pattern], path))
    return next((HELD[text] for text in asked), "")


def asked_for(row: CatalogueRow) -> list[str]:
    """The path that has to exist for *row* to apply, if one has to."""
    return concrete(row.when.exists[0]) if row.when.exists else []


def plant_spared(folder: Path, row: CatalogueRow) -> list[str]:
    """Plant what *row* spares, deep inside where it spares a folder."""
    paths = []
    for pattern in row.excepts:
        deep = [p.rsplit("/", 1)[-1] for p in row.paths if "/**/" in p]
        inside = "" if "." in posixpath.basename(pattern) else f"/one/{(deep or ['kept'])[0]}"
        paths += concrete(pattern + inside)
    plant(folder, dict.fromkeys(paths, "spared"))
    return paths


def plant_beside(folder: Path, row: CatalogueRow, planted: Sequence[str]) -> list[str]:
    """Plant neighbours of *planted* that *row* does not mean: beside each, else further up."""
    paths = set()
    for path in planted:
        while (path := posixpath.dirname(path)) != "/":
            neighbour = f"{path}/a neighbour"
            if not covers(row.paths, neighbour):
                paths.add(neighbour)
                break
        paths.add(f"{path.rstrip('/')}/a neighbour")
    paths = {path for path in paths if not covers(row.paths, path)}
    plant(folder, dict.fromkeys(paths, "neighbour"))
    return sorted(paths)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    if pattern.startswith("~/"):
        home = "(?:" + "|".join(map(re.escape, HOMES)) + ")"
        return re.compile(home + _expression(pattern[1:]).pattern)
    parts = pattern.split("/")[1:]
    return re.compile("".join("(/[^/]+)*" if p == "**" else "/" + _component(p) for p in parts))


def _component(part: str) -> str:
    return fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z").replace(".*", "[^/]*")


def _os_release(row: CatalogueRow) -> str:
    return f"ID={row.when.distro[0] if row.when.distro else 'debian'}\n"
