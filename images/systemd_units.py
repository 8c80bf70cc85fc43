"""systemd units as a guest loads them: searched for, masked, merged with drop-ins.

References: systemd.unit(5), systemd.syntax(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unclone.images.guest import Guest

#: The unit directories on disk; the first one with a unit wins. /run is made at boot.
UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)

#: The targets that a boot to a login prompt reaches.
BOOT_TARGETS = ("multi-user.target", "graphical.target", "basic.target", "sysinit.target")

#: Bytes read of a unit file; real ones have a few hundred.
UNIT_LIMIT = 64 * 1024


class Unit(NamedTuple):
    """One unit, its drop-ins merged, ``%i`` filled in for an instance of a template."""

    name: str
    path: str
    settings: Mapping[tuple[str, str], tuple[str, ...]]

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Every assignment of *key*, in order, after the last empty one."""
        return self.settings.get((section, key), ())

    def words(self, section: str, key: str) -> tuple[str, ...]:
        """The space separated words of every assignment of *key*."""
        return tuple(word for value in self.values(section, key) for word in value.split())


def load_unit(guest: Guest, name: str) -> Unit | None:
    """The unit *name*, or None when there is none or it is masked."""
    candidates = [name]
    template, instance = _template(name)
    if template:
        candidates.append(template)
    for candidate in candidates:
        for folder in UNIT_FOLDERS:
            path = f"{folder}/{candidate}"
            if candidate not in guest.list(folder):
                continue
            if is_masked(guest, path):
                return None
            settings: dict[tuple[str, str], tuple[str, ...]] = {}
            for text in (guest.text_or_empty(path, UNIT_LIMIT), *_drop_ins(guest, candidates)):
                _merge(settings, text.replace("%i", instance) if template else text)
            return Unit(name, path, settings)
    return None


def is_masked(guest: Guest, path: str) -> bool:
    """Whether the unit file at *path* masks the unit: it is empty, or a link to /dev/null."""
    found = guest.lstat(path)
    if found is not None and found.kind is Kind.SYMLINK and guest.readlink(path) == "/dev/null":
        return True
    behind = guest.stat(path)
    return behind is not None and behind.kind is Kind.FILE and behind.size == 0


def pulled_in(guest: Guest, unit: Unit) -> frozenset[str]:
    """The names of the units that starting *unit* starts as well, directly."""
    linked = {
        name
        for folder in UNIT_FOLDERS
        for kind in ("wants", "requires")
        for name in guest.list(f"{folder}/{unit.name}.{kind}")
    }
    named = {
        word
        for key in ("Wants", "Requires", "Requisite", "BindsTo", "Upholds")
        for word in unit.words("Unit", key)
    }
    return frozenset(linked | named)


def linked_from(guest: Guest, targets: tuple[str, ...]) -> frozenset[str]:
    """The names of the units enabled into any of *targets* by a link."""
    return frozenset(
        name
        for target in targets
        for folder in UNIT_FOLDERS
        for kind in ("wants", "requires")
        for name in guest.list(f"{folder}/{target}.{kind}")
    )


def _template(name: str) -> tuple[str, str]:
    """The template an instance comes from, and the instance; empty for any other unit."""
    before, at, rest = name.partition("@")
    instance, dot, suffix = rest.rpartition(".")
    if not at or not dot or not instance:
        return "", ""
    return f"{before}@.{suffix}", instance


def _drop_ins(guest: Guest, names: list[str]) -> Iterator[str]:
    files: dict[str, str] = {}
    for folder in reversed(UNIT_FOLDERS):
        for name in reversed(names):
            for path in guest.glob(f"{folder}/{name}.d/*.conf"):
                files[path.rsplit("/", 1)[-1]] = path
    for _, path in sorted(files.items()):
        yield guest.text_or_empty(path, UNIT_LIMIT)


def _merge(settings: dict[tuple[str, str], tuple[str, ...]], text: str) -> None:
    section = ""
    for line in text.replace("\\\n", " ").split("\n"):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1]
            continue
        key, equals, value = stripped.partition("=")
        if not equals:
            continue
        place = (section, key.strip())
        if not value.strip() and place[1].startswith(("Condition", "Assert")):
            # systemd.unit(5): an empty condition resets the conditions of every kind.
            for other in [o for o in settings if o[1].startswith(place[1][:6])]:
                del settings[other]
        settings[place] = (*settings.get(place, ()), value.strip()) if value.strip() else ()
