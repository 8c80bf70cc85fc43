"""What a "first boot" would do to a guest, found out without booting it.

Without ``/etc/machine-id`` (or with ``uninitialized`` in it) systemd applies its presets to every
unit, which enables what an administrator disabled, and ``systemd-firstboot`` may ask questions on
the console. Upstream only enables units then; Fedora 37 and later disable them as well.

References: systemd.preset(5), systemd.unit(5) ([Install] section), systemctl(1) ``preset-all``,
machine-id(5) "First Boot Semantics", systemd-firstboot(1); Fedora Change "Preset All Systemd Units
on First Boot". Compared with ``systemctl --root=`` (systemd 252) in the tests.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.systemd_units import UNIT_FOLDERS, UNIT_LIMIT
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts

#: Preset files by the same name replace each other; the first folder wins.
PRESET_FOLDERS = (
    "/etc/systemd/system-preset",
    "/usr/local/lib/systemd/system-preset",
    "/usr/lib/systemd/system-preset",
    "/lib/systemd/system-preset",
)
CONFIG_FOLDER = "/etc/systemd/system"

#: Distributions that build systemd with ``-Dfirst-boot-full-preset=true``. Known for Fedora 37
#: and later; that its descendants with the same systemd do it too is assumed here.
FULL_PRESET_IDS = frozenset({"fedora", "rhel", "centos"})
FULL_PRESET_SINCE = 252

_UNIT_NAME = re.compile(
    r"[A-Za-z0-9:_.\\@-]+\.(service|socket|target|timer|path|mount|automount|swap|slice|scope|device)"
)
_LINK_FOLDER = re.compile(r"\.(wants|requires|upholds)$")
_KEYS = {"WantedBy": "wants", "RequiredBy": "requires", "UpheldBy": "upholds"}
_PROMPTS = {
    "--prompt-locale": ("the locale", ("/etc/locale.conf", "/etc/default/locale")),
    "--prompt-keymap": ("the keyboard map", ("/etc/vconsole.conf",)),
    "--prompt-timezone": ("the time zone", ("/etc/localtime",)),
    "--prompt-hostname": ("the host name", ("/etc/hostname",)),
    "--prompt-root-password": ("the root password", ("/etc/shadow",)),
}


class UnitChange(NamedTuple):
    """One unit that a first boot would switch: ``now`` and ``then`` are enabled or disabled."""

    unit: str
    now: str
    then: str


class Rule(NamedTuple):
    """One line of a preset file; *instances* only follow the name of a template."""

    enable: bool
    pattern: str
    instances: tuple[str, ...] = ()


@dataclass(slots=True)
class _UnitFile:
    """A unit as the search path shows it: its [Install] section, or what it stands for."""

    name: str
    masked: bool = False
    alias_of: str = ""
    install: dict[str, list[str]] = field(default_factory=dict)


def first_boot_changes(guest: Guest, facts: Facts) -> tuple[UnitChange, ...]:
    """Every unit whose enablement a first boot of *guest* would change, sorted by name."""
    full = bool(facts.distro_ids & FULL_PRESET_IDS) and (
        (facts.systemd_version or 0) >= FULL_PRESET_SINCE
    )
    return preset_all(guest, full=full)


def preset_all(guest: Guest, *, full: bool) -> tuple[UnitChange, ...]:
    """What ``systemctl preset-all`` would change: enable, and with *full* disable as well."""
    units, links = _read_units(guest)
    rules = read_rules(guest)
    enabled: dict[str, None] = {}
    disabled: dict[str, None] = {}
    for unit in units.values():
        if unit.masked or unit.alias_of:
            continue
        enable, names = _ruling(rules, unit.name)
        for name in names:
            (enabled if enable else disabled)[name] = None
    changes = {}
    if full:
        for name in _with_also(units, disabled):
            if any(_stands_for(path, name, target) for path, target in links.items()):
                changes[name] = UnitChange(name, "enabled", "disabled")
    for name in _with_also(units, enabled):
        if any(path not in links for path in _wanted_links(units, name)):
            # In a full preset a unit may be taken away and given back; then nothing changes.
            changes[name] = UnitChange(name, "disabled", "enabled")
        else:
            changes.pop(name, None)
    return tuple(changes[name] for name in sorted(changes))


def first_boot_prompts(guest: Guest) -> tuple[str, ...]:
    """What ``systemd-firstboot`` would ask for on the console at a first boot."""
    name = "systemd-firstboot.service"
    text = ""
    for folder in UNIT_FOLDERS:
        if name in guest.list(folder):
            text = guest.text_or_empty(f"{folder}/{name}", UNIT_LIMIT)
            break
    wanted = any(name in guest.list(f"{folder}/sysinit.target.wants") for folder in UNIT_FOLDERS)
    if not text or not wanted:
        return ()
    asked = set(re.findall(r"--prompt-[a-z-]+", text)) or (
        set(_PROMPTS) if re.search(r"--prompt(\s|$)", text) else set()
    )
    return tuple(
        what
        for option, (what, files) in _PROMPTS.items()
        if option in asked and not any(guest.exists(path) for path in files)
    )


def read_rules(guest: Guest) -> tuple[Rule, ...]:
    """The preset rules in the order in which they are asked; the first match decides."""
    files: dict[str, str] = {}
    for folder in PRESET_FOLDERS:
        for name in guest.list(folder):
            if name.endswith(".preset"):
                files.setdefault(name, f"{folder}/{name}")
    return tuple(
        rule
        for _, path in sorted(files.items())
        for line in guest.text_or_empty(path, UNIT_LIMIT).splitlines()
        if (rule := _rule(line))
    )


# -- rules ---------------------------------------------------------------------------------
def _rule(line: str) -> Rule | None:
    words = line.split()
    if len(words) < 2 or words[0] not in {"enable", "disable"}:
        return None
    return Rule(words[0] == "enable", words[1], tuple(words[2:]))


def _ruling(rules: Sequence[Rule], name: str) -> tuple[bool, Sequence[str]]:
    """Whether *name* is to be enabled, and which names that means (instances of a template)."""
    for rule in rules:
        if rule.instances:
            if name == rule.pattern and "@." in name:
                return rule.enable, [name.replace("@.", f"@{i}.") for i in rule.instances]
            if name in {rule.pattern.replace("@.", f"@{i}.") for i in rule.instances}:
                return rule.enable, [name]
        elif fnmatchcase(name, rule.pattern):
            return rule.enable, [name]
    return True, [name]


# -- units ---------------------------------------------------------------------------------
def _read_units(guest: Guest) -> tuple[Mapping[str, _UnitFile], Mapping[str, str]]:
    """Every unit by name, and every link below /etc/systemd/system with what it points to.

    The folders are read in one sweep each: asking for single files costs milliseconds apiece.
    """
    units: dict[str, _UnitFile] = {}
    drop_ins: dict[str, dict[str, bytes]] = {}
    links: dict[str, str] = {}
    read: set[str] = set()
    for folder in UNIT_FOLDERS:
        if not guest.is_dir(folder) or (physical := guest.resolve(folder)) in read:
            continue
        read.add(physical)
        for member in guest.walk(folder, limit=UNIT_LIMIT):
            path = member.path.removeprefix(f"{physical}/")
            above, _, name = path.rpartition("/")
            if folder == CONFIG_FOLDER and member.stat.kind is Kind.SYMLINK:
                links[path] = member.link_target
            if not above and _UNIT_NAME.fullmatch(name) and name not in units:
                if member.stat.kind in {Kind.FILE, Kind.SYMLINK}:
                    content = member.content or b""
                    units[name] = _unit(guest, folder, name, member.link_target, content)
            elif above.endswith(".d") and name.endswith(".conf") and member.content:
                drop_ins.setdefault(above[:-2], {}).setdefault(name, member.content)
    for name, files in drop_ins.items():
        if name in units:
            for _, content in sorted(files.items()):
                _parse_install(units[name].install, content)
    return units, links


def _unit(guest: Guest, folder: str, name: str, target: str, content: bytes) -> _UnitFile:
    unit = _UnitFile(name)
    if target:
        path = f"{folder}/{name}"
        behind = posixpath.basename(target)
        if target == "/dev/null":
            unit.masked = True
        elif behind != name and _template_of(name) != behind:
            unit.alias_of = behind
            return unit
        else:
            content = guest.read(path, UNIT_LIMIT) if guest.is_file(path) else b""
    unit.masked = unit.masked or not content
    _parse_install(unit.install, content)
    return unit


def _parse_install(install: dict[str, list[str]], content: bytes) -> None:
    section = ""
    text = content.decode("utf-8", "replace").replace("\\\n", " ")
    for line in (raw.strip() for raw in text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == "[Install]" and line[:1] not in {"", "#", ";"}:
            key, _, value = line.partition("=")
            words = value.split()
            known = install.setdefault(key.strip(), [])
            if words:
                known += words
            else:
                known.clear()


def _with_also(units: Mapping[str, _UnitFile], names: Iterable[str]) -> Sequence[str]:
    """*names* and everything their ``Also=`` lists name, and so on."""
    pending = list(names)
    found: dict[str, None] = {}
    while pending:
        name = pending.pop()
        unit = _find(units, name)
        if name not in found and unit and not unit.masked:
            found[name] = None
            pending += [_filled(also, name) for also in unit.install.get("Also", ())]
    return tuple(found)


def _wanted_links(units: Mapping[str, _UnitFile], name: str) -> Sequence[str]:
    """The links, relative to /etc/systemd/system, that enabling *name* makes."""
    unit = _find(units, name)
    if unit is None or unit.alias_of:
        return ()
    template_only = False
    linked = name
    if "@." in name:
        default = unit.install.get("DefaultInstance", [])
        template_only = not default
        linked = name.replace("@.", f"@{default[-1]}.") if default else name
    found = [
        _filled(alias, linked)
        for alias in unit.install.get("Alias", ())
        if alias.rpartition(".")[2] == name.rpartition(".")[2]
    ]
    for key, kind in _KEYS.items():
        for word in unit.install.get(key, ()):
            wanting = _filled(word, linked)
            if _UNIT_NAME.fullmatch(wanting) and ("@." in wanting or not template_only):
                found.append(f"{wanting}.{kind}/{linked}")
    return [path for path in found if path != name]


def _find(units: Mapping[str, _UnitFile], name: str) -> _UnitFile | None:
    return units.get(name) or units.get(_template_of(name))


def _template_of(name: str) -> str:
    before, at, rest = name.partition("@")
    return f"{before}@.{rest.rpartition('.')[2]}" if at else ""


def _filled(word: str, name: str) -> str:
    """*word* with the specifiers that [Install] sections use filled in for unit *name*."""
    stem, _, _ = name.rpartition(".")
    prefix, _, instance = stem.partition("@")
    final = prefix.rpartition("-")[2]
    known = {"i": instance, "p": prefix, "n": name, "N": stem, "j": final, "%": "%"}
    return re.sub("%(.)", lambda m: known.get(m.group(1), m.group()), word)


def _stands_for(path: str, name: str, target: str) -> bool:
    """Whether the link *path* below /etc/systemd/system enables the unit *name*."""
    if target == "/dev/null":
        return False
    folder, _, link = path.rpartition("/")
    if folder and not _LINK_FOLDER.search(folder):
        return False
    behind = posixpath.basename(target)
    return name in {link, behind} or ("@." in name and name in map(_template_of, (link, behind)))
