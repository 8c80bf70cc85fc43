"""From the options of ``unclone seed`` to a blueprint and its machines.

Files are opened and stdin is read here; ``seeds`` interprets them.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.errors import ExitStatus, RefusedError, UncloneError, UsageError
from unclone.images.text import printable
from unclone.seeds.blueprint import Blueprint, Row
from unclone.seeds.errors import SeedError
from unclone.seeds.findings import blocking
from unclone.seeds.fleet import write_fleet
from unclone.seeds.guest_file import GuestFile
from unclone.seeds.mime import Part
from unclone.seeds.nic_option import parse_option
from unclone.seeds.output import Format
from unclone.seeds.password import generated
from unclone.seeds.ssh_keys import looks_like_a_key, public_keys
from unclone.seeds.template import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from unclone.seeds.fleet import Result
    from unclone.seeds.machine import Machine
    from unclone.seeds.nic_option import Description

#: Bytes; larger than any file of a seed, so that a device or an endless pipe is refused.
INPUT_LIMIT = 64 * 1024 * 1024

_MIME_TYPE = re.compile(r"(text|application)/[a-z0-9.+-]+")
_SUFFIXES = {Format.ISO: ".iso", Format.VFAT: ".img", Format.FOLDER: ".seed"}
_FAILURES = {
    ExitStatus.FAILED: UncloneError,
    ExitStatus.USAGE: UsageError,
    ExitStatus.REFUSED: RefusedError,
}


def as_unclone_error(error: SeedError) -> UncloneError:
    """The failure of a seed as the command line knows failures."""
    return _FAILURES[ExitStatus(error.status)](error.message, error.hint)


def blueprint_from(given: Mapping[str, Any], source: Source) -> Blueprint:
    """What the options say about all machines."""
    network, meta = given["network_config"], given["meta_data"]
    if given.get("generate_password") and given["password_file"]:
        raise UsageError("--generate-password and --password-file are two passwords: give one")
    return Blueprint(
        users=given["users"],
        ssh_keys=tuple(key for text in given["ssh_keys"] for key in _keys(text, source)),
        user_keys=_user_keys(given.get("user_keys", ()), source),
        password=_password(given["password_file"], source),
        packages=given["packages"],
        run=given["run"],
        timezone=given["timezone"] or "",
        disk_grow=given["disk_grow"],
        write_files=tuple(_guest_file(text, source) for text in given.get("write_files", ())),
        dsmode=given.get("dsmode") or "",
        nics=_described(given, source),
        network_version=int(given["network_version"]),
        user_data=source.parts(given["user_data"]),
        templates=source.parts(given["templates"]),
        vendor_data=source.parts(given["vendor_data"]),
        network_config=source.read(network) if network else None,
        meta_data=source.read(meta) if meta else None,
        values=_values(given["values"]),
    )


def rows_from(given: Mapping[str, Any], source: Source) -> Sequence[Row]:
    """The machines: those of ``--machines``, or the one that the options name."""
    if given["machines"]:
        for option in ("hostname", "fqdn", "instance_id"):
            if given[option]:
                name = option.replace("_", "-")
                raise UsageError(f"--{name} is for one machine; --machines has its own")
        from unclone.seeds.machines_file import read_machines  # noqa: PLC0415 (not for one machine)

        text = source.read(given["machines"])
        try:
            decoded = text.decode()
        except UnicodeDecodeError as error:
            raise SeedError(f"{given['machines']} is not UTF-8") from error
        rows: Sequence[Row] = read_machines(decoded, given["machines"])
    else:
        rows = (_only_row(given),)
    if given["generate_password"]:
        rows = tuple(replace(row, password=generated()) for row in rows)
    return rows


def _only_row(given: Mapping[str, Any]) -> Row:
    return Row(
        hostname=given["hostname"] or "",
        fqdn=given["fqdn"] or "",
        instance_id=given["instance_id"] or "",
        generation=given["generation"],
    )


def naming(given: Mapping[str, Any], kind: Format) -> Callable[[Machine], Path]:
    """Where each machine's seed goes: ``--output``, or its name in ``--output-dir``."""
    if given["output"]:
        if given["machines"]:
            raise UsageError("--output is for one seed; --output-dir is for --machines")
        if given["output_dir"]:
            raise UsageError("--output and --output-dir are two ways to say where: give one")
        path = Path(given["output"])
        return lambda _: path
    folder = given["output_dir"] or Path()
    return lambda machine: folder / f"{_file_name(machine)}{_SUFFIXES[kind]}"


@contextmanager
def output_folder(given: Mapping[str, Any]) -> Iterator[None]:
    """``--output-dir``, made if it is not there, and removed again when no seed came into it."""
    folder: Path | None = None if given["dry_run"] else given["output_dir"]
    if folder is None:
        yield
        return
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UncloneError(
            f"the folder {printable(str(folder))} cannot be made: {error.strerror}"
        ) from error
    try:
        yield
    finally:
        for each in made:
            with suppress(OSError):  # it is not empty
                each.rmdir()


def seed_for(
    hostname: str,
    *,
    output: str | PathLike[str] | None,
    overwrite: bool,
    dry_run: bool,
    instance_id: str,
    users: Iterable[str],
    ssh_keys: Iterable[str],
    nics: Iterable[str],
    user_data: Iterable[str | PathLike[str]],
    network_config: str | PathLike[str] | None,
    strict: bool,
) -> Result:
    """The seed of one machine, as :func:`unclone.seed` describes it. Raises UncloneError."""
    source = Source()
    try:
        network = None if network_config is None else source.read(os.fspath(network_config))
        blueprint = Blueprint(
            users=tuple(users),
            ssh_keys=tuple(key for text in ssh_keys for key in _keys(text, source)),
            nics=tuple(parse_option("nic", text) for text in nics),
            user_data=source.parts([os.fspath(each) for each in user_data]),
            network_config=network,
        )
        (result,) = write_fleet(
            blueprint,
            [Row(hostname=hostname, instance_id=instance_id)],
            lambda machine: Path(output or f"{_file_name(machine)}{_SUFFIXES[Format.ISO]}"),
            strict=strict,
            dry_run=dry_run,
            overwrite=overwrite,
        )
    except SeedError as error:
        raise as_unclone_error(error) from error
    if result.refused:
        first = blocking(result.findings, strict=strict)[0]
        raise RefusedError(f"the seed of {printable(hostname)} is refused: {first}", first.hint)
    return result


class Source:
    """Files and stdin; ``-`` is stdin, once."""

    def __init__(self) -> None:
        self._stdin_for = ""

    def read(self, name: str) -> bytes:
        """The content of the file *name*. :class:`UsageError` when it cannot be read."""
        if name == "-":
            if self._stdin_for:
                raise UsageError("two options want stdin: only one can have it")
            self._stdin_for = name
            content = sys.stdin.buffer.read(INPUT_LIMIT + 1)
        else:
            try:
                with Path(name).open("rb") as file:
                    content = file.read(INPUT_LIMIT + 1)
            except OSError as error:
                raise UsageError(
                    f"{printable(name)} cannot be read: {error.strerror}",
                    hint="Give the name of a file, or - for stdin.",
                ) from error
        if len(content) > INPUT_LIMIT:
            raise UsageError(f"{printable(name)} is larger than {INPUT_LIMIT >> 20} MiB")
        return content

    def parts(self, names: Sequence[str]) -> tuple[Part, ...]:
        """Each file as a piece of user-data; ``FILE:TYPE`` says its MIME type."""
        return tuple(self._part(name) for name in names)

    def _part(self, name: str) -> Part:
        file, _, kind = name.rpartition(":")
        if not file or not _MIME_TYPE.fullmatch(kind) or Path(name).exists():
            file, kind = name, ""
        return Part("stdin" if file == "-" else Path(file).name, self.read(file), kind)


def _keys(text: str, source: Source) -> Sequence[str]:
    """``--ssh-key``: a key, or the name of a file that holds some."""
    if looks_like_a_key(text):
        return public_keys(text, "--ssh-key")
    return public_keys(source.read(text).decode("utf-8", "replace"), printable(text))


def _user_keys(given: Sequence[str], source: Source) -> Mapping[str, tuple[str, ...]]:
    """``--user-key NAME=FILE|KEY``."""
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, separator, key = text.partition("=")
        if not separator or not name or not key:
            raise UsageError(f"--user-key {printable(text)}: write --user-key NAME=FILE")
        found[name] = tuple(dict.fromkeys((*found.get(name, ()), *_keys(key, source))))
    return found


def _guest_file(text: str, source: Source) -> GuestFile:
    """``--write-file GUEST_PATH=FILE``, with the permissions that FILE has here."""
    path, separator, name = text.partition("=")
    if not separator or not name:
        raise UsageError(f"--write-file {printable(text)}: write --write-file /etc/x=FILE")
    content = source.read(name)
    mode = 0o600 if name == "-" else Path(name).stat().st_mode & 0o777
    return GuestFile(path, content, mode)


def _password(name: str | None, source: Source) -> str:
    if not name:
        return ""
    try:
        text = source.read(name).decode()
    except UnicodeDecodeError:
        raise UsageError(f"{printable(name)} is not UTF-8") from None  # its bytes are secret
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise UsageError(f"{printable(name)} is empty", hint="Its first line is the password.")
    return password


def _described(given: Mapping[str, Any], source: Source) -> tuple[Description, ...]:
    written = tuple(
        parse_option(kind, text) for kind in ("nic", "bond", "vlan") for text in given[f"{kind}s"]
    )
    if not given["definition"]:
        return written
    # A card that an option describes is as the option says.
    own = {description.first("mac").lower() for description in written}
    macs = cards_of(given["definition"], source)
    return (*(parse_option("nic", f"mac={mac},dhcp") for mac in macs if mac not in own), *written)


def cards_of(name: str, source: Source) -> Sequence[str]:
    """The MAC address (lower case, colons) of each card of the definition in the file *name*.

    Raises :class:`RefusedError` for a definition without cards, and for a card without an address:
    the hypervisor would choose another one than the seed says.
    """
    from unclone.sanitize.definitions.formats.table import definition_in  # noqa: PLC0415 (rarely needed)
    from unclone.sanitize.definitions.text.source import Source as File  # noqa: PLC0415 (as above)
    from unclone.sanitize.identities.mac import is_null, parse  # noqa: PLC0415 (as above)

    content = None if Path(name).is_file() else source.read(name)  # a pipe is read once
    definition = definition_in(File(Path(name), content))
    shown = definition.source.shown
    if not definition.cards:
        raise RefusedError(
            f"{shown} names no network card", hint="Describe the machine's cards with --nic."
        )
    for number, card in enumerate(definition.cards, 1):
        if not card.mac or is_null(card.mac):
            raise RefusedError(
                f"{shown}: card {number} has no MAC address",
                hint="Let the hypervisor give it one first and export the definition again, or "
                "describe the machine's cards with --nic.",
            )
    return [str(parse(card.mac, f"{shown}: {card.label}")) for card in definition.cards]


def _values(given: Sequence[str]) -> Mapping[str, str]:
    values = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not NAME.fullmatch(name):
            raise UsageError(f"--set {printable(name)}: write --set NAME=VALUE")
        values[name] = value
    return values


def _file_name(machine: Machine) -> str:
    """The host name, which holds nothing that could lead elsewhere; else the instance-id."""
    return (machine.hostname or machine.fqdn or machine.identity).lower().rstrip(".")
