"""The host name, with ``--hostname``: in every file that has the old one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError
from unclone.images.guest import READ_LIMIT
from unclone.images.text import printable
from unclone.sanitize.change import Change, Level, Note, StepPlan
from unclone.sanitize.cloud_init import Runs, cloud_init, is_true
from unclone.sanitize.hostname import hosts, places
from unclone.sanitize.hostname.places import OF_ALL, PLACES
from unclone.sanitize.hostname.verifying import ACTION
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unclone.images.guest import Guest
    from unclone.sanitize.step import PlanningContext

_SYSTEMD = "/etc/hostname"
#: It is set by the kernel command line before /etc/hostname is read.
_ARGUMENT = re.compile(r"(?<![\w.-])systemd\.hostname=[\"']?([^\s\"']+)")


class _Names(NamedTuple):
    """``old`` is what the machine called itself, "" for nothing; ``all`` maps old to new ones."""

    old: str
    new: str
    all: Mapping[str, str]


class HostName:
    """The step ``hostname``; it does nothing unless a name is asked for."""

    info = StepInfo(
        id="hostname",
        title="The host name, with --hostname NAME",
        why="Two machines of one name are confused in logs, in DNS and by DHCP servers. It is "
        "what people know a machine by, so it is only changed to a name that is given.",
        sources=(
            "https://www.freedesktop.org/software/systemd/man/latest/hostname.html",
            "https://man7.org/linux/man-pages/man5/hosts.5.html",
            "https://www.postfix.org/postconf.5.html#myhostname",
            "https://www.libguestfs.org/virt-customize.1.html",
        ),
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each file that has the old name, or has to have the new one."""
        wanted = context.options.hostname
        if not wanted:
            return StepPlan()
        _require_effect(context)
        names = _names(context.guest, wanted)
        changes = tuple(self._changes(context, names))
        notes = [Note(self.info.id, level, text) for level, text in _notes(context, names)]
        if not changes:
            text = f"the host name is {names.new} already"
            notes.append(Note(self.info.id, Level.INFO, text))
        return StepPlan(changes, tuple(notes))

    def _changes(self, context: PlanningContext, names: _Names) -> Iterator[Change]:
        guest = context.guest
        for path, place in _places(context):
            text = guest.text_or_empty(path, READ_LIMIT)
            if place == "hosts":
                new = hosts.rewritten(text, names.all)
            else:
                new = places.rewritten(place, text, names.new, names.all)
            if new != text:
                yield Change(
                    self.info.id,
                    ACTION,
                    path,
                    self.info.why,
                    old=names.old,
                    new=names.new,
                    details={"place": place, "name": names.new, "names": dict(names.all)},
                )


def _require_effect(context: PlanningContext) -> None:
    for file, text in context.facts.kernel_argument_texts:
        for value in _ARGUMENT.findall(text):
            if value != context.options.hostname:
                raise RefusedError(
                    f"{printable(file.path)} has systemd.hostname={printable(value, 200)}, which "
                    "the machine would take its name from",
                    hint="Remove it from the kernel command line in the guest, or leave out "
                    "--hostname.",
                )


def _places(context: PlanningContext) -> Iterator[tuple[str, str]]:
    """Physical path and place of every file there is, or that is to be made."""
    guest = context.guest
    seen: set[tuple[str, str]] = set()
    decides = False
    for key, place in PLACES.items():
        for path in dict.fromkeys(p for pattern in place.globs for p in guest.glob(pattern)):
            if not guest.is_file(path):
                # SUSE has a folder called /etc/sysconfig/network.
                _require_file(path, needed=place.decides and not guest.is_dir(path))
                continue
            physical = guest.resolve(path)
            _require_readable(guest, physical)
            form = "alone" if key in {"hostname", "HOSTNAME"} else key
            if (physical, form) in seen:
                continue
            seen.add((physical, form))
            decides |= place.decides and (
                form == "alone" or place.pattern.search(guest.text_or_empty(physical)) is not None
            )
            yield physical, key
    has_systemd = context.facts.init == "systemd"
    if not guest.is_file(_SYSTEMD) and (has_systemd or not decides):
        _require_file(_SYSTEMD, needed=guest.exists(_SYSTEMD))
        yield _SYSTEMD, "hostname"
    if guest.is_file(hosts.PATH):
        _require_readable(guest, hosts.PATH)
        yield guest.resolve(hosts.PATH), "hosts"


def _require_file(path: str, *, needed: bool) -> None:
    if needed:
        raise RefusedError(
            f"{printable(path)} leads to no file of the guest: a host name cannot be written there",
            hint="Correct it in the guest, or leave out --hostname.",
        )


def _require_readable(guest: Guest, path: str) -> None:
    stat = guest.stat(path)
    if stat is not None and stat.size > READ_LIMIT:
        raise RefusedError(
            f"{printable(path)} has {stat.size} bytes, too many to look for the host name in it",
            hint="Make it smaller in the guest, or leave out --hostname.",
        )


def _names(guest: Guest, wanted: str) -> _Names:
    old = _old(guest)
    short = old.partition(".")[0].lower()
    text = guest.text_or_empty(hosts.PATH, READ_LIMIT)
    known = dict.fromkeys([old.lower(), short, *hosts.own_names(text, short)])
    for key in ("mailname", "postfix", "exim"):
        for path in PLACES[key].globs:
            words = places.WORD.findall(guest.text_or_empty(path, READ_LIMIT).lower())
            known.update(dict.fromkeys(word for word in words if word.startswith(f"{short}.")))
    known.pop("", None)
    return _Names(old, _new(old, wanted), {each: _new(each, wanted, fill=True) for each in known})


def _old(guest: Guest) -> str:
    """What the machine calls itself; "" when that is no name of its own."""
    for place in PLACES.values():
        if place.decides:
            match = place.pattern.search(guest.text_or_empty(place.globs[0], READ_LIMIT))
            if match and not OF_ALL.fullmatch(match["names"]):
                return str(match["names"])
    return ""


def _new(old: str, wanted: str, *, fill: bool = False) -> str:
    """What *old* becomes: a short name stays short; with *fill* an FQDN keeps a domain."""
    short, dot, _ = wanted.partition(".")
    if dot:
        return wanted if "." in old or not old else short
    return f"{short}.{old.partition('.')[2]}" if fill and "." in old else short


def _notes(context: PlanningContext, names: _Names) -> Iterator[tuple[Level, str]]:
    guest, facts = context.guest, context.facts
    found = cloud_init(guest, facts)
    preserves = is_true((found.config or {}).get("preserve_hostname"))
    if found.installed and found.runs is not Runs.NO and not preserves:
        text = (
            "cloud-init sets the host name again where a seed or a cloud gives one: give the same "
            f"name there (`unclone seed --hostname {context.options.hostname}`)"
        )
        yield Level.WARNING, text
    text = guest.text_or_empty(hosts.PATH, READ_LIMIT)
    for new in dict.fromkeys((names.new, *names.all.values())):
        if new.lower() not in names.all and (taken := hosts.addresses_of(text, new)):
            yield Level.WARNING, f"{hosts.PATH} has {new} for {printable(taken[0], 64)} already"
