"""Which machines the arguments of ``unclone audit`` are: files sorted by content and put together.

A folder with ``machine.json`` is one machine. Elsewhere a definition and what it names are one, and
a seed belongs to what is called like it in the same folder. Everything else stands alone: two
images are never taken for one machine because of their names.
"""

from __future__ import annotations

import gc
import json
import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.chain import read_chain
from unclone.images.errors import RefusedError, UncloneError, UsageError
from unclone.images.formats.header import Format
from unclone.images.formats.table import probe
from unclone.images.image import open_image
from unclone.images.text import shown, without_password
from unclone.sanitize.definitions.formats.table import definition_in, format_of
from unclone.sanitize.definitions.text.source import Source
from unclone.seeds import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unclone.sanitize.definitions.definition import Definition, Disk

RECORD = "machine.json"
_SEED_FILES = ("meta-data", "user-data")
_RECORD_LIMIT = 16 * 1024 * 1024
#: What a seed may be called besides the machine's own name.
_SEED_ENDINGS = ("-seed", "-cidata", ".seed", "_seed", "-cloud-init")
#: Where formats have their signatures, in bytes: a disk, its first file system, an ISO's volume.
_HEAD, _EXT, _VOLUME = 1024, 0x438, 32768
_DISK_MAGIC = ((510, b"\x55\xaa"), (512, b"EFI PART"), (_EXT, b"\x53\xef"), (0, b"XFSB"))


class Sort(StrEnum):
    """What a file is."""

    IMAGE = "image"
    DEFINITION = "definition"
    SEED = "seed"


@dataclass
class Machine:
    """The files of one machine. ``notes`` say what of it was not found; ``allow`` as for images."""

    name: str
    definitions: list[Path] = field(default_factory=list)
    disks: list[Path] = field(default_factory=list)
    seeds: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    allow: list[Path] = field(default_factory=list)
    #: What could not be read already, by file.
    errors: list[tuple[Path, UncloneError]] = field(default_factory=list)

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (*self.definitions, *self.disks, *self.seeds)


@dataclass
class Sources:
    """Every machine, and the files in folders that are nothing of one."""

    machines: list[Machine] = field(default_factory=list)
    ignored: int = 0


def find_machines(arguments: Sequence[Path]) -> Sources:
    """The machines in *arguments*: files and folders, each file once however it is named.

    Raises UsageError for what is not there, RefusedError for a folder that cannot be read.
    """
    sources = Sources()
    seen: set[Path] = set()
    given: set[Path] = set()
    loose: dict[Path, Sort] = {}
    for argument in arguments:
        if not argument.exists():
            raise UsageError(f"{shown(argument)} does not exist", hint="Check the path.")
        for found in _below(argument) if argument.is_dir() else [argument]:
            real = _real(found)
            if real in seen:
                continue
            seen.add(real)
            if found == argument:
                given.add(real)
            if found.is_dir():
                _add_folder(sources, found)
                continue
            sort = sort_of(found)
            if sort is None and found == argument:
                sort = Sort.IMAGE  # reading it says what is wrong with it
            if sort is None:
                sources.ignored += 1
            else:
                loose[found] = sort
    _add_loose(sources, loose, given, tuple(arguments))
    return sources


def sort_of(path: Path) -> Sort | None:
    """What the file at *path* is by its content; None for what is nothing of a machine."""
    try:
        with open_image(_real(path)) as file:
            head = file.read(_VOLUME + 2048)
        if is_seed(head):
            return Sort.SEED
        if probe(head[:_HEAD]) is not Format.RAW:
            return Sort.IMAGE
        if head[_VOLUME + 1 : _VOLUME + 6] == b"CD001":
            return None  # of an installation
        if any(head[at:].startswith(magic) for at, magic in _DISK_MAGIC):
            return Sort.IMAGE
        return Sort.DEFINITION if format_of(Source(path, head)) is not None else None
    except (OSError, UncloneError):
        return Sort.IMAGE if path.suffix in {".qcow2", ".raw", ".img", ".vmdk"} else None


def is_seed(head: bytes) -> bool:
    """Whether a file that begins with *head* is labelled as a seed: ISO 9660 or FAT."""
    volume = head[_VOLUME + 40 : _VOLUME + 72].strip().lower()
    is_iso = head[_VOLUME + 1 : _VOLUME + 6] == b"CD001" and volume == iso.LABEL.encode()
    labels = (head[43:54], head[71:82])  # FAT12 and FAT16; FAT32
    is_fat = head[510:512] == b"\x55\xaa" and b"cidata" in {
        label.strip().lower() for label in labels
    }
    return is_iso or is_fat


def own_disks(definition: Definition) -> Iterator[tuple[Disk, Path | None]]:
    """Each disk with a path and the file that it is on this host; None where there is none."""
    folder = _real(definition.source.path).parent
    for disk in definition.disks:
        if disk.path:
            named = folder / disk.path
            places = (named, folder / named.name)
            yield disk, next((_real(p) for p in places if _is_file(p)), None)


def _real(path: Path) -> Path:
    """Where *path* leads; links that lead in circles lead to themselves."""
    return Path(os.path.realpath(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _below(folder: Path) -> Iterator[Path]:
    """The files below *folder* and, instead of what is in them, folders that are one thing."""

    def fail(error: OSError) -> None:
        raise RefusedError(
            f"the folder {shown(error.filename)} cannot be read: {error.strerror}",
            hint="What is in it could be shared. Run as a user who may read it.",
        )

    for top, folders, names in os.walk(folder, onerror=fail):
        path = Path(top)
        if RECORD in names or all(name in names for name in _SEED_FILES):
            folders.clear()
            yield path
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (path / name for name in sorted(names) if not name.startswith("."))


def _add_folder(sources: Sources, folder: Path) -> None:
    machine = Machine(os.fspath(folder))
    sources.machines.append(machine)
    if not (folder / RECORD).exists():
        machine.seeds.append(folder)
        return
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    sorts = {path: sort_of(path) for path in files if path.name != RECORD}
    _take(machine, (path for path, sort in sorts.items() if sort is Sort.DEFINITION))
    machine.seeds += [path for path, sort in sorts.items() if sort is Sort.SEED]
    taken = set(machine.disks)
    images = [_real(path) for path, sort in sorts.items() if sort is Sort.IMAGE]
    whole, backing = _read_chains(images, [])
    machine.disks += [p for p in images if p in whole - backing and p not in taken]
    machine.allow += _backing_folders(folder / RECORD)


def _backing_folders(record: Path) -> Iterable[Path]:
    """Where the golden image is: the record was written when the machine was made."""
    try:
        with record.open("rb") as file:
            backing = json.loads(file.read(_RECORD_LIMIT)).get("backing", [])
        return {Path(each).parent for each in backing if Path(each).is_file()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return ()


def _add_loose(
    sources: Sources, loose: dict[Path, Sort], given: set[Path], arguments: Sequence[Path]
) -> None:
    """Put the files *loose* together. Those *given* by name are machines whatever they are."""
    claimed: set[Path] = set()
    owners: dict[Path, list[Machine]] = {}
    for path, sort in loose.items():
        if sort is Sort.DEFINITION:
            machine = Machine(os.fspath(path))
            _take(machine, [path])
            claimed.update(machine.disks, map(_real, machine.seeds))
            owners.setdefault(_real(path.parent) / path.stem, []).append(machine)
            sources.machines.append(machine)
    images = {_real(path): path for path, sort in loose.items() if sort is Sort.IMAGE}
    folders = [path for path in arguments if path.is_dir()]
    whole, backing = _read_chains([*images, *claimed], folders)
    for machine in sources.machines:
        machine.allow += folders
    for real, named in images.items():
        if real in whole and real in backing - given - claimed:
            sources.ignored += 1  # no machine may run on it: that would destroy the others
        elif real in whole and real not in claimed:
            machine = Machine(os.fspath(named), disks=[real], allow=[*folders])
            owners.setdefault(_real(named.parent) / real.stem, []).append(machine)
            sources.machines.append(machine)
    for path, sort in loose.items():
        if sort is Sort.SEED and _real(path) not in claimed:
            stem = path.stem
            for ending in _SEED_ENDINGS:
                stem = stem.removesuffix(ending)
            called = owners.get(_real(path.parent) / stem, [])
            if len(called) == 1:
                called[0].seeds.append(path)
            else:
                sources.machines.append(Machine(os.fspath(path), seeds=[path]))


def _take(machine: Machine, definitions: Iterable[Path]) -> None:
    """Add *definitions* and the files that they name."""
    for path in definitions:
        machine.definitions.append(path)
        try:
            definition = definition_in(Source(path))
        except UncloneError as error:
            machine.errors.append((path, error))
            continue
        for disk, file in own_disks(definition):
            if file is not None and sort_of(file) is Sort.SEED:
                machine.seeds.append(file)
            elif disk.removable or disk.read_only:
                continue  # an installation's, which many have
            elif file is None:
                named = without_password(disk.path)
                machine.notes.append(f"{disk.label}: {named} is no file on this host: not compared")
            elif file not in machine.disks:
                machine.disks.append(file)
        # The elements of a definition know those that they are in: without this, those of
        # hundreds stay, since a command looks for cycles rarely.
        del definition
        gc.collect(0)


def _read_chains(images: Iterable[Path], allow: Sequence[Path]) -> tuple[set[Path], set[Path]]:
    """*images* without those that are data files of another, and the backing files of all."""
    found = set(images)
    parts: set[Path] = set()
    backing: set[Path] = set()
    for path in found:
        try:
            image = read_chain(path, allow=allow)
        except UncloneError:
            continue  # reading it says why
        parts.update(image.data_files)
        backing.update(image.backing_files)
    return found - parts, backing
