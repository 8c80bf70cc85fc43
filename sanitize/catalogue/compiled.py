"""The built-in YAML as Python keeps its own source: compiled, beside it in ``__pycache__``.

To parse it takes a twentieth of a run. Python's machinery compiles a file once, does so again when
the file changes, and does without a copy where it cannot write.

Reference: https://docs.python.org/3/library/importlib.html#importlib.machinery.SourceFileLoader
"""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from unclone.sanitize.catalogue.reading import parsed

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def load(file: Traversable) -> Any:  # noqa: ANN401 (what YAML has)
    """What the YAML *file* of this package has."""
    if not isinstance(file, Path):  # the package is in an archive
        return parsed(file.read_text("utf-8"), file.name)
    module = ModuleType(file.name)
    _Loader(file.name, str(file)).exec_module(module)
    return module.data


class _Loader(SourceFileLoader):
    def source_to_code(self, data: Any, path: Any, **_: Any) -> CodeType:  # type: ignore[override]  # noqa: ANN401 (as Python calls it)
        value = parsed(bytes(data).decode("utf-8"), Path(path).name)
        return compile(f"data = {value!r}", path, "exec")
