"""The packages that unclone needs: which one is missing or too old.

Reference: Python packaging, "Core metadata specifications", ``Requires-Dist``.
"""

from __future__ import annotations

import re
from importlib import metadata

from unclone.images.text import printable

_LEAST = re.compile(r"(?P<name>[\w.-]+) *>= *(?P<version>[\d.]+)$")


def unmet_requirement(error: BaseException) -> str:
    """Why *error* is one of the installation: a package is missing, too old, or does not load.

    "" when that is not so.
    """
    try:
        requirements = metadata.requires("unclone") or []
    except metadata.PackageNotFoundError:  # run from a folder, without being installed
        requirements = []
    for requirement in requirements:
        least = _LEAST.match(requirement)  # not what is for developers only: that has a marker
        if least is None:
            continue
        try:
            installed = metadata.version(least["name"])
        except metadata.PackageNotFoundError:
            return f"the Python package {least['name']} is missing; unclone needs {requirement}"
        if _parts(installed) < _parts(least["version"]):
            return f"unclone needs {requirement}; {least['name']} {installed} is installed"
    if isinstance(error, ImportError) and (error.name or "unclone").split(".")[0] != "unclone":
        return printable(f"the Python package {error.name} cannot be loaded: {error}", 500)
    return ""


def _parts(version: str) -> tuple[int, ...]:
    """The numbers that *version* begins with: (8, 1, 3) for ``8.1.3rc1``."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
