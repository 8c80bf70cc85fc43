"""The disks of an artifact, before and after."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.archives.compression import packed_as
from unclone.images.errors import RefusedError, UncloneError
from unclone.images.formats.header import Format
from unclone.images.formats.table import probe
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unclone.packer.rpc import Client, Methods

_RAW = {".img", ".raw"}
_DEFINITIONS = {".ovf", ".vbox", ".vmx"}

#: What builders leave beside disks, and what may begin as a disk does: firmware variables, ISOs.
_OTHERS = {".fd", ".iso", ".nvram"}


def is_definition(path: str) -> bool:
    """Whether the file at *path* is a definition that a builder wrote, as its suffix says."""
    return Path(path).suffix.lower() in _DEFINITIONS


def disks_of(files: Sequence[str], *, defined: bool) -> list[str]:
    """Which of an artifact's *files* are the disks of its machine.

    Raises RefusedError where that cannot be told, and for a definition that would keep its
    identity, unless *defined*: it gets another.
    """
    if not files:
        raise RefusedError(
            "the artifact has no files", hint="Say in `paths` which disks are meant."
        )
    for each in filter(is_definition, () if defined else files):
        raise RefusedError(
            f"the artifact has a definition, {shown(Path(each))}, with an identity of its own",
            hint="Say in `definition`, `definition_output` and `machine_name` what becomes of it.",
        )
    files = [each for each in files if not is_definition(each)]
    if found := [each for each in files if _is_disk(Path(each))]:
        return found
    if len(files) == 1:
        return files
    names = ", ".join(str(shown(Path(each))) for each in files)
    raise RefusedError(
        f"no file of the artifact is known to be a disk: {names}",
        hint="Say in `paths` which disks are meant.",
    )


def _is_disk(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _OTHERS:
        return False
    try:
        with path.open("rb") as file:
            found = probe(file.read(1024))
    except OSError as error:
        raise UncloneError(f"cannot read {shown(path)}: {error.strerror}") from error
    return found is not Format.RAW or suffix in _RAW or bool(packed_as(path))


def checksum(path: str) -> str:
    """``sha256:`` and the digest of the file at *path*."""
    with Path(path).open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def new_artifact(outputs: Sequence[str], definition: Sequence[str]) -> Methods:
    """An artifact of new files: disks, and the new definition if there is one."""
    files = [*outputs, *definition]

    def remove() -> None:
        for each in files:
            Path(each).unlink(missing_ok=True)

    return _methods(files, outputs, lambda _: None, lambda: "unclone", remove)


def same_artifact(files: Sequence[str], disks: Sequence[str], before: Client | None) -> Methods:
    """The artifact *before*, now of *files*, whose *disks* have changed; None: the user's disks."""
    if before is None:
        return _methods(files, disks, lambda _: None, lambda: "unclone", lambda: None)
    return _methods(
        files,
        disks,
        lambda name: before("Artifact.State", name),
        lambda: before("Artifact.BuilderId"),
        lambda: before("Artifact.Destroy"),
    )


def _methods(
    files: Sequence[str],
    disks: Sequence[str],
    state: Callable[[Any], Any],
    builder: Callable[[], Any],
    destroy: Callable[[], Any],
) -> Methods:
    sums = [checksum(each) for each in disks]
    text = "\n".join(f"{path} ({each})" for path, each in zip(disks, sums, strict=True))
    return {
        "Artifact.BuilderId": lambda _: builder(),
        "Artifact.Files": lambda _: list(files),
        "Artifact.Id": lambda _: sums[0],
        "Artifact.String": lambda _: text,
        "Artifact.State": state,
        "Artifact.Destroy": lambda _: destroy(),
    }
