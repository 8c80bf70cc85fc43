"""From a fleet file to orders: machines that have all but their own in common are made together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from unclone.images.errors import UncloneError
from unclone.runs import seed as seeding
from unclone.runs.clone.fleet_text import mistake
from unclone.runs.clone.order import Mode, Order, Own, SeedPolicy
from unclone.runs.clone.settings import ADDRESSES, LISTS, SETTINGS, Form
from unclone.runs.options import make_options
from unclone.runs.request import Request
from unclone.sanitize.identities.keys import read_key
from unclone.sanitize.identities.mac import parse_prefix
from unclone.seeds.blueprint import Row
from unclone.seeds.errors import SeedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from unclone.runs.clone.fleet_file import Entry, Fleet
    from unclone.seeds.blueprint import Blueprint

#: What one machine may have of its own in an order: it is in its seed alone.
_OWN = ("user", "ssh-key", "package", "run", "timezone", "set", *ADDRESSES)


@dataclass(frozen=True, slots=True)
class How:
    """What is said of a run, and not of the fleet. ``folder`` is None for what the file says."""

    folder: Path | None = None
    replace: bool = False
    dry_run: bool = False
    passphrase: Callable[[str], bytes] | None = None


def orders_of(fleet: Fleet, how: How) -> list[Order]:
    """The orders that *fleet* adds up to. Raises UsageError with the place of what is wrong."""
    common = fleet.common
    key = read_key(str(common["derive-from"])) if "derive-from" in common else b""
    groups: dict[object, Order] = {}
    names: dict[object, list[str]] = {}
    own: dict[object, dict[str, Own]] = {}
    for entry in fleet.entries:
        group = _group(entry)
        try:
            if group not in groups:
                groups[group] = _order(fleet, entry, how, key)
            mine = _own(entry)
        except (SeedError, UncloneError) as error:
            mistake(entry.place, error.message, error.hint)
        names.setdefault(group, []).extend(entry.names)
        if mine != Own():
            own.setdefault(group, {}).update(dict.fromkeys(entry.names, mine))
    return [
        replace(order, names=tuple(names[group]), own=own.get(group, {}))
        for group, order in groups.items()
    ]


def _group(entry: Entry) -> object:
    """The same for entries that can be made together."""
    said = {key: value for key, value in entry.said.items() if key not in _OWN}
    if "{name}" not in said.get("hostname", "{name}"):
        del said["hostname"]
    described = any(SETTINGS[key].of_seed for key in entry.said)
    return (entry.golden, described, tuple(sorted(said.items())))


def _own(entry: Entry) -> Own:
    said = entry.said
    hostname = said.get("hostname", "")
    return Own(
        "" if "{name}" in hostname else hostname,
        Row(
            users=said.get("user", ()),
            ssh_keys=said.get("ssh-key", ()),
            packages=said.get("package", ()),
            run=said.get("run", ()),
            timezone=said.get("timezone", ""),
            values=said.get("set", {}),
        ),
        # A gateway among the defaults is for the machines that have an address.
        tuple((key, text) for key in ADDRESSES for text in said.get(key, ()) if "address" in said),
    )


def _order(fleet: Fleet, entry: Entry, how: How, key: bytes) -> Order:
    given = {
        s.parameter: entry.said.get(name, _default(s.form, s.default))
        for name, s in SETTINGS.items()
    }
    common, hostname = fleet.common, given["hostname"]
    snapshots = ("snapshot-identities",) if given["delete_snapshots"] else ()
    names = ("profile", "disable", "machine_id", "ssh_host_keys", "uuids", "strict")
    options = make_options(
        **{name: given[name] for name in names},
        enable=(*given["enable"], *snapshots),
        catalogues=tuple(map(str, given["catalogues"])),
        key=key,
    )
    request = Request(
        image=entry.golden,
        add_disks=given["add_disks"],
        format=given["image_format"],
        engine=given["engine"],
        allow=given["allow"],
        key_files=given["key_files"],
        passphrase=how.passphrase,
        options=options,
    )
    return Order(
        request=request,
        names=(),
        folder=how.folder or common.get("output-dir", fleet.path.parent),
        mode=Mode(given["mode"]),
        definition=given["definition"] or None,
        blueprint=_blueprint(entry, given),
        seed=SeedPolicy(given["seed"]),
        generate_password=given["generate_password"],
        hostname=hostname if "{name}" in hostname else "{name}",
        oui=parse_prefix(given["oui"]) if given["oui"] else b"",
        avoid=common.get("avoid", ()),
        ledger=common.get("ledger"),
        replace=how.replace,
        keep_unchanged=True,
        nvram=given["nvram"] or None,
        cache=common.get("cache"),
        dry_run=how.dry_run,
    )


def _default(form: Form, text: str) -> Any:  # noqa: ANN401 (what an option has that is not given)
    if form in LISTS:
        return ()
    return False if form is Form.FLAG else text


def _blueprint(entry: Entry, given: Mapping[str, Any]) -> Blueprint | None:
    """What the seeds of an order have in common; None where nothing describes them."""
    if not any(SETTINGS[key].of_seed for key in entry.said):
        return None
    said = {
        **given,
        # Of each machine: see _own.
        "users": (),
        "ssh_keys": (),
        "packages": (),
        "run": (),
        "timezone": "",
        "values": (),
        "nics": (),
        "bonds": (),
        "vlans": (),
        "network_version": "1",
        "meta_data": None,
        "definition": None,
    }
    for name in ("password_file", "network_config"):
        said[name] = str(given[name]) if given[name] else None
    for name in ("user_data", "templates", "vendor_data"):
        said[name] = tuple(map(str, given[name]))
    return seeding.blueprint_from(said, seeding.Source())
