"""What the guest's sshd needs at its next start: which host keys, and who makes missing ones.

References: sshd(8), sshd_config(5), ssh-keygen(1) ``-A``, Fedora's ``sshd-keygen@.service`` and
``sshd-keygen.target`` (openssh 9.6), Arch's ``sshdgenkeys.service``, openSUSE's
``sshd-gen-keys-start``, Alpine's ``main/openssh/sshd.initd``, Debian 13's ``sshd-keygen.service``
(only on a first boot), cloud-init's ``disable-sshd-keygen-if-cloud-init-active.conf``.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.systemd_units import BOOT_TARGETS, linked_from, load_unit, pulled_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.guest import Guest
    from unclone.images.systemd_units import Unit
    from unclone.sanitize.facts import Facts

FOLDER = "/etc/ssh"

#: The key types that ``ssh-keygen -A`` and its relatives make today.
MADE_TYPES = frozenset({"rsa", "ecdsa", "ed25519"})

#: The configuration of a second sshd, of ALT Linux, and of one that was not packaged.
_FURTHER = (
    f"{FOLDER}/sshd_config[!.]*",
    f"{FOLDER}/*_sshd_config",
    "/etc/openssh/sshd_config",
    "/usr/local/etc/sshd_config",
    "/usr/local/etc/ssh/sshd_config",
    "/opt/*/etc/sshd_config",
    "/opt/*/etc/ssh/sshd_config",
)
#: What starts an sshd, and the variables with its options.
_STARTING = (
    "/etc/systemd/system/*.service",
    "/etc/systemd/system/*.d/*.conf",
    "/usr/local/lib/systemd/system/*.service",
    "/usr/lib/systemd/system/ssh*.service",
    "/etc/default/ssh*",
    "/etc/sysconfig/ssh*",
    "/etc/conf.d/ssh*",
    "/etc/init.d/ssh*",
    "/etc/dinit.d/ssh*",
    "/etc/sv/ssh*/run",
    "/etc/inetd.conf",
    "/etc/xinetd.d/*ssh*",
    "/etc/inittab",
    "/etc/rc.local",
)
#: sshd(8): ``-f``, ``-h``, ``-o``.
_OPTION = re.compile(
    r"(?<![\w-])-(?:(?P<flag>[fh])[ \t]*"
    r"|o[ \t]*[\"']?(?P<keyword>HostKey|HostCertificate)[ \t=]+)[\"']?(?P<path>/[^\s\"';]+)",
    re.IGNORECASE,
)

#: Bytes and number of configuration files read; real ones are a few kilobytes.
CONFIG_LIMIT = 64 * 1024
CONFIG_FILES = 64


def default_key(kind: str) -> str:
    """Where sshd looks for its key of type *kind* when its configuration names none."""
    return f"{FOLDER}/ssh_host_{kind}_key"


@dataclass(frozen=True, slots=True)
class SshdConfig:
    """The files that sshd's configuration names, in the guest's own spelling."""

    host_keys: tuple[str, ...]
    host_certificates: tuple[str, ...]


class KeyMaker(NamedTuple):
    """What makes missing host keys at boot, by itself and for certain."""

    name: str
    types: frozenset[str]
    #: It does nothing on a boot on which cloud-init runs.
    yields_to_cloud_init: bool = False


def sshd_config(guest: Guest) -> SshdConfig:
    """The ``HostKey`` and ``HostCertificate`` files of every sshd, ``Include`` followed."""
    values: dict[str, list[str]] = {"hostkey": [], "hostcertificate": []}
    main = f"{FOLDER}/sshd_config"
    if not guest.glob(main):
        main = "/usr/etc/ssh/sshd_config"
    given = list(_on_command_lines(guest))
    further = (path for pattern in _FURTHER for path in guest.glob(pattern))
    mains = dict.fromkeys((main, *further, *(path for name, path in given if name == "f")))
    settings = [each for config in mains for each in _settings(guest, config)]
    settings += [("hostkey" if name == "h" else name, [path]) for name, path in given]
    for keyword, arguments in settings:
        if keyword in values and arguments:
            path = arguments[0]
            if path.startswith("/") and "\0" not in path:
                values[keyword].append(posixpath.normpath(path).replace("//", "/"))
    return SshdConfig(
        tuple(dict.fromkeys(values["hostkey"])), tuple(dict.fromkeys(values["hostcertificate"]))
    )


def used_keys(guest: Guest) -> frozenset[str]:
    """The physical paths of the files that an sshd or dropbear of the guest takes its keys from."""
    patterns = (
        f"{FOLDER}/ssh_host_*key",
        "/etc/dropbear/*_host_key",
        "/var/lib/dropbear/*_host_key",
    )
    named = (*sshd_config(guest).host_keys, *(p for each in patterns for p in guest.glob(each)))
    return frozenset(guest.resolve(path) for path in named if _is_file(guest, path))


def key_maker(guest: Guest, facts: Facts) -> KeyMaker | None:
    """What in the guest makes missing OpenSSH host keys before sshd starts, cloud-init aside."""
    if facts.init == "systemd":
        return _systemd_maker(guest)
    return _openrc_maker(guest) if facts.init == "openrc" else None


def _is_file(guest: Guest, path: str) -> bool:
    try:
        return guest.is_file(path)
    except OSError:  # a loop of links
        return False


def _settings(guest: Guest, main: str) -> Iterator[tuple[str, list[str]]]:
    files = [main]
    for path in files:  # it grows meanwhile
        for line in guest.text_or_empty(path, CONFIG_LIMIT).split("\n"):
            match = re.match(r"\s*([A-Za-z]+)(?:\s*=\s*|\s+)(.*)", line)
            if not match:
                continue
            keyword, arguments = match[1].lower(), _arguments(match[2])
            if keyword == "include" and len(files) < CONFIG_FILES:
                for pattern in arguments:
                    found = guest.glob(posixpath.join(FOLDER, pattern))
                    files += [each for each in found if each not in files]
                del files[CONFIG_FILES:]
            yield keyword, arguments


def _on_command_lines(guest: Guest) -> Iterator[tuple[str, str]]:
    """Options of sshd that name a file, as ``f``, ``h`` or the keyword, and the file."""
    for pattern in _STARTING:
        for path in guest.glob(pattern):
            text = guest.text_or_empty(path, CONFIG_LIMIT).replace("\\\n", " ")
            for line in text.split("\n"):
                if re.search("sshd|(?i:opt)", line) and not line.lstrip().startswith("#"):
                    for match in _OPTION.finditer(line):
                        yield (match["flag"] or match["keyword"]).lower(), match["path"]


def _arguments(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return []


# -- systemd -------------------------------------------------------------------------------


def _systemd_maker(guest: Guest) -> KeyMaker | None:
    enabled = linked_from(guest, (*BOOT_TARGETS, "sockets.target"))
    roots = [name for name in ("ssh", "sshd") if f"{name}.service" in enabled]
    sockets = [name for name in ("ssh", "sshd") if f"{name}.socket" in enabled]
    starts = [[f"{name}.service"] for name in roots or ([] if sockets else ["ssh", "sshd"])]
    starts += [[f"{name}.socket", f"{name}@.service", f"{name}.service"] for name in sockets]
    makers = [
        _started_maker(guest, names, enabled)
        for names in starts
        if any(load_unit(guest, name) for name in names)
    ]
    first = makers[0] if makers else None
    # Whichever way sshd is started, the keys must be there.
    return first if first and all(makers) else None


def _started_maker(guest: Guest, names: list[str], enabled: frozenset[str]) -> KeyMaker | None:
    """What makes the keys when *names* (a service, or a socket and its service) are started."""
    started = {name: unit for name in names if (unit := load_unit(guest, name))}
    pending = list(started.values())
    while pending:
        for name in sorted(pulled_in(guest, pending.pop())):
            if name not in started and _RELATED.search(name) and (unit := load_unit(guest, name)):
                started[name] = unit
                pending.append(unit)
    for name in sorted(n for n in enabled if n not in started and _RELATED.search(n)):
        unit_at_boot = load_unit(guest, name)
        # What the boot itself starts is in time only when it is ordered before sshd.
        if unit_at_boot and set(names) & set(unit_at_boot.words("Unit", "Before")):
            started[name] = unit_at_boot
    makers = [maker for unit in started.values() if (maker := _unit_maker(guest, unit))]
    if not makers:
        return None
    return KeyMaker(
        name=", ".join(sorted(maker.name for maker in makers)),
        types=frozenset().union(*(maker.types for maker in makers)),
        yields_to_cloud_init=any(maker.yields_to_cloud_init for maker in makers),
    )


def _unit_maker(guest: Guest, unit: Unit) -> KeyMaker | None:
    types = {
        kind
        for key in ("ExecStartPre", "ExecStart")
        for command in unit.values("Service", key)
        for kind in _made_by(guest, command)
    }
    if not types or not _conditions_hold(guest, unit):
        return None
    yields = any(_CLOUD_INIT_LINK in value for value in unit.values("Unit", "ConditionPathExists"))
    return KeyMaker(unit.name, frozenset(types), yields)


def _made_by(guest: Guest, command: str) -> frozenset[str]:
    """The key types that one command line of a unit makes when they are missing."""
    words = command.lstrip("-@:+!").split()
    program = posixpath.basename(words[0]) if words else ""
    if program == "ssh-keygen":
        if "-A" in words[1:]:
            return MADE_TYPES
        return frozenset(kind for kind in MADE_TYPES if default_key(kind) in words)
    if program == "sshd-keygen":
        allowed = _shell_value(guest, "/etc/sysconfig/sshd", "AUTOCREATE_SERVER_KEYS").lower()
        if allowed in {"no", "nokeys"}:
            return frozenset()
        made = MADE_TYPES & set(words[1:]) if words[1:] else MADE_TYPES
        return made & {"rsa"} if allowed == "rsaonly" else made
    if program == "sshd-gen-keys-start" and not sshd_config(guest).host_keys:
        return MADE_TYPES
    return frozenset()


def _conditions_hold(guest: Guest, unit: Unit) -> bool:
    """Whether *unit* certainly runs on every boot on which the host keys are missing."""
    needed: list[bool] = []
    triggers: list[bool] = []
    for (section, key), values in unit.settings.items():
        if section != "Unit" or not key.startswith(("Condition", "Assert")):
            continue
        for value in values:
            rest = value.removeprefix("|").lstrip()
            truth = _condition(guest, key, rest.removeprefix("!").strip(), rest.startswith("!"))
            (triggers if value.startswith("|") else needed).append(truth)
    return all(needed) and (not triggers or any(triggers))


def _condition(guest: Guest, key: str, path: str, negated: bool) -> bool:  # noqa: FBT001 - a pair
    kind = key.removeprefix("Condition").removeprefix("Assert")
    if path == _CLOUD_INIT_LINK:
        return negated  # whether cloud-init runs is the caller's to judge
    if kind not in {"PathExists", "FileNotEmpty", "PathExistsGlob", "FileIsExecutable"}:
        return False  # ConditionFirstBoot above all: an emptied machine-id is no first boot
    if path.startswith(("/run/", "/proc/", "/sys/", "/dev/")):
        return False
    if fnmatch.fnmatch(path, f"{FOLDER}/ssh_host_*"):
        return negated
    found = bool(guest.glob(path)) if path.startswith("/") else False
    return found is not negated


# -- OpenRC --------------------------------------------------------------------------------


def _openrc_maker(guest: Guest) -> KeyMaker | None:
    enabled = [p for p in guest.glob("/etc/runlevels/*/sshd*") if guest.is_file(p)]
    if not enabled:
        return None
    for path in enabled:
        name = path.rsplit("/", 1)[-1]
        script = guest.text_or_empty(path, CONFIG_LIMIT)
        if not re.search(r"ssh-keygen[\"']?\s+-A\b|KEYGEN_BINARY\}?[\"']?\s+-A\b", script):
            return None
        for conf in ("/etc/conf.d/sshd", f"/etc/conf.d/{name}"):
            for key in ("sshd_disable_keygen", "SSHD_DISABLE_KEYGEN"):
                if _shell_value(guest, conf, key).lower() in {"yes", "true", "on", "1"}:
                    return None
    chosen = _shell_value(guest, "/etc/conf.d/sshd", "key_types_to_generate").split()
    types = MADE_TYPES & set(chosen) if chosen else MADE_TYPES
    return KeyMaker("the OpenRC service sshd", types) if types else None


def _shell_value(guest: Guest, path: str, key: str) -> str:
    """The last plain assignment of *key* in a shell-like settings file."""
    text = guest.text_or_empty(path, CONFIG_LIMIT)
    found = re.findall(rf"^[ \t]*(?:export[ \t]+)?{key}=(.*)$", text, re.MULTILINE)
    words = _arguments(found[-1]) if found else []
    return words[0] if words else ""


#: Names of units worth reading: those that have to do with SSH or its keys.
_RELATED = re.compile(r"ssh|keygen|host-?key")

_CLOUD_INIT_LINK = "/run/systemd/generator.early/multi-user.target.wants/cloud-init.target"
