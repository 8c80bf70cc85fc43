"""Images that tests start from: made once in a process, and copied for each test."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Bytes that are read at once. Memory for a whole image costs more than reading it.
_PIECE = 1 << 20

#: Where they are, once there is one.
_folder: list[Path] = []
#: How often the test that runs has asked for each.
_asked: Counter[str] = Counter()
_running: list[str] = []


def copy(description: object, path: Path, make: Callable[[Path], None]) -> Path:
    """Put at *path* what *make* makes of *description*, and beside it what else it makes.

    Images that one test asks for have identities of their own: the second is a copy of another
    template than the first.
    """
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if [test] != _running:
        _running[:] = [test]
        _asked.clear()
    digest = hashlib.sha256(pickle.dumps((description, path.name))).hexdigest()
    _asked[digest] += 1
    if not _folder:
        _folder.append(Path(tempfile.mkdtemp(prefix="unclone-templates.")))
    template = _folder[0] / f"{digest}.{_asked[digest]}" / path.name
    if not template.exists():
        unfinished = Path(tempfile.mkdtemp(dir=_folder[0]))
        make(unfinished / path.name)
        unfinished.rename(template.parent)
    for file in template.parent.iterdir():
        copy_sparse(file, path.with_name(file.name))
    return path


def forget() -> None:
    """Remove all of them."""
    while _folder:
        shutil.rmtree(_folder.pop())


def copy_sparse(source: Path, target: Path) -> None:
    """Make *target* a copy of *source* that has the same holes."""
    with target.open("wb") as file:
        file.truncate(source.stat().st_size)
    copy_into(source, target, 0)


def copy_into(content: Path, disk: Path, offset: int) -> None:
    """Copy *content* to *offset* bytes into *disk*, leaving its holes out."""
    with disk.open("r+b") as target:
        for start, piece in data(content):
            target.seek(offset + start)
            target.write(piece)


def data(path: Path) -> Iterator[tuple[int, bytes]]:
    """What is in a sparse file, in pieces with their offsets, without the holes."""
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        end = 0
        while end < size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole is left
                return
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            for at in range(start, end, _PIECE):
                yield at, os.pread(file.fileno(), min(end - at, _PIECE), at)
